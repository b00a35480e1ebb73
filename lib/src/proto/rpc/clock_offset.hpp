// Telling the way there from the way back.
#pragma once

#include "proto/time.hpp"

#include <algorithm>
#include <array>

namespace weir::proto {

/// How far another machine's clock is from ours, as NTP estimates it (RFC 5905): from the
/// quickest exchange of the recent past in either direction, which are taken to have been
/// equally quick. Only then can one say which of the two a slow exchange has spent its time on.
class clock_offset {
 public:
  struct legs {
    duration request{};
    duration response{};
  };

  /// An exchange: `sent` and `answered` by our clock, `received` and `replied` by the other's.
  legs sample(time_point sent, duration received, duration replied, time_point answered) {
    const duration there = received - sent.time_since_epoch();
    const duration back = answered.time_since_epoch() - replied;
    if (!known_ || answered >= next_) turn(there, back, answered);
    there_[1] = std::min(there_[1], there);
    back_[1] = std::min(back_[1], back);
    const duration offset = (std::min(there_[0], there_[1]) - std::min(back_[0], back_[1])) / 2;
    // An exchange that is quicker than the estimate allows shows the estimate to be wrong.
    return {std::max(there - offset, duration{}), std::max(back + offset, duration{})};
  }

 private:
  // Clocks drift: what is older than two of these counts no more.
  static constexpr duration memory = std::chrono::seconds(10);

  void turn(duration there, duration back, time_point now) {
    there_[0] = known_ ? there_[1] : there;
    back_[0] = known_ ? back_[1] : back;
    there_[1] = there;
    back_[1] = back;
    next_ = now + memory;
    known_ = true;
  }

  std::array<duration, 2> there_{};  // quickest of the span before, and of this one
  std::array<duration, 2> back_{};
  time_point next_;
  bool known_ = false;
};

}  // namespace weir::proto
