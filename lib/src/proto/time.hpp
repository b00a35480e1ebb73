// Time as the state machines see it: a parameter.
#pragma once

#include <chrono>

namespace weir::proto {

/// Monotonic. Only the type is used in here; the one reader of the clock is the loop in net/.
using clock = std::chrono::steady_clock;
using time_point = clock::time_point;
using duration = clock::duration;

}  // namespace weir::proto
