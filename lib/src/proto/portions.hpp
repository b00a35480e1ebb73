// Ranges that may be too many for one message.
#pragma once

#include "proto/limits.hpp"
#include "proto/message.hpp"

#include <algorithm>
#include <cstddef>

namespace weir::proto {

/// Calls `send` with the ranges in portions of at most limits::ranges each; with none of them,
/// once.
template <class Send>
void in_portions(const seq_ranges& ranges, Send&& send) {
  for (std::size_t i = 0; i == 0 || i < ranges.size(); i += limits::ranges) {
    const auto end = std::min(ranges.size(), i + limits::ranges);
    send(seq_ranges(ranges.begin() + static_cast<std::ptrdiff_t>(i),
                    ranges.begin() + static_cast<std::ptrdiff_t>(end)));
  }
}

}  // namespace weir::proto
