// Events per second over the last ten.
#pragma once

#include "proto/time.hpp"

#include <algorithm>
#include <array>
#include <cstdint>

namespace weir::proto {

/// Counts events by the second, and forgets those older than ten.
class rate_meter {
 public:
  void add(std::uint64_t events, time_point now) {
    const auto second = second_of(now);
    if (begin_ == time_point{}) begin_ = now;
    slot& s = slots_[static_cast<std::size_t>(second) % slots_.size()];
    if (s.second != second) s = {second, 0};
    s.events += events;
  }

  /// Of the time that has been observed, but not less than a second: a burst is no rate.
  [[nodiscard]] double per_second(time_point now) const {
    if (begin_ == time_point{}) return 0;
    const auto oldest = second_of(now) - span;
    std::uint64_t events = 0;
    for (const slot& s : slots_)
      if (s.second > oldest && s.second <= oldest + span) events += s.events;
    const time_point from = std::max(
        begin_,
        time_point(std::chrono::duration_cast<duration>(std::chrono::seconds(oldest + 1))));
    const double seconds = std::chrono::duration<double>(now - from).count();
    return static_cast<double>(events) / std::max(1.0, seconds);
  }

 private:
  static constexpr std::int64_t span = 10;
  struct slot {
    std::int64_t second = -1;
    std::uint64_t events = 0;
  };
  static std::int64_t second_of(time_point t) {
    return std::chrono::duration_cast<std::chrono::seconds>(t.time_since_epoch()).count();
  }

  std::array<slot, 16> slots_{};
  time_point begin_;
};

}  // namespace weir::proto
