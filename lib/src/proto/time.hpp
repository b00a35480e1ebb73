// Time as the state machines see it: a parameter.
#pragma once

#include <algorithm>
#include <chrono>

namespace weir::proto {

/// Monotonic. Only the type is used in here; the one reader of the clock is the loop in net/.
using clock = std::chrono::steady_clock;
using time_point = clock::time_point;
using duration = clock::duration;

/// Whoever says std::chrono::milliseconds::max() means for ever. No sum of a time and this, a
/// hundred years, is beyond what a time_point holds.
inline constexpr std::chrono::milliseconds longest_span = std::chrono::hours(24 * 36'500);
[[nodiscard]] constexpr std::chrono::milliseconds limited(std::chrono::milliseconds span) {
  return std::min(span, longest_span);
}

}  // namespace weir::proto
