// Simulated time: events in order, and chance from one seed.
#pragma once

#include "proto/backoff.hpp"
#include "proto/time.hpp"

#include <cstdint>
#include <functional>
#include <queue>
#include <utility>
#include <vector>

namespace weir::sim {

using proto::duration;
using proto::time_point;

/// Chance. The same seed is the same run, on any machine: no distribution of the standard
/// library is used, as those differ between implementations.
class dice {
 public:
  explicit dice(std::uint64_t seed) : bits_(seed) {}
  std::uint64_t bits() { return bits_.next(); }
  /// Uniform from `low` to `high`, both included.
  std::uint64_t between(std::uint64_t low, std::uint64_t high) {
    return low + bits_.next() % (high - low + 1);
  }
  duration between(duration low, duration high) {
    return duration(static_cast<duration::rep>(between(
        static_cast<std::uint64_t>(low.count()), static_cast<std::uint64_t>(high.count()))));
  }
  bool chance(double probability) { return bits_.fraction() < probability; }
  /// Small numbers are as likely as large ones of as many times the size.
  std::uint64_t log_between(std::uint64_t low, std::uint64_t high) {
    const std::uint64_t top = between(low, high);
    return chance(0.5) ? between(low, top) : between(low, low + (top - low) / 16);
  }

 private:
  proto::random_bits bits_;
};

/// What happens next. Events of the same moment happen in the order in which they were made.
class clockwork {
 public:
  clockwork() : now_(std::chrono::seconds(1000)) {}
  [[nodiscard]] time_point now() const { return now_; }
  void at(time_point when, std::function<void()> what) {
    events_.push({when < now_ ? now_ : when, made_++, std::move(what)});
  }
  /// Lets the next event happen, unless it is later than `end`.
  bool step(time_point end) {
    if (events_.empty() || events_.top().when > end) return false;
    // The queue only offers const access to what is popped right away.
    event next = std::move(const_cast<event&>(events_.top()));
    events_.pop();
    now_ = next.when;
    next.what();
    return true;
  }
  [[nodiscard]] std::uint64_t events() const { return made_; }

 private:
  struct event {
    time_point when;
    std::uint64_t number;
    std::function<void()> what;
    bool operator<(const event& other) const {
      return when != other.when ? when > other.when : number > other.number;
    }
  };
  time_point now_;
  std::uint64_t made_ = 0;
  std::priority_queue<event> events_;
};

}  // namespace weir::sim
