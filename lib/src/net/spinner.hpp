// Whether it pays to look again and again before going to sleep.
#pragma once

#include "proto/time.hpp"

#include <chrono>

namespace weir::net {

/// Decides, from how long its recent waits were, whether a loop should spin first.
///
/// Every libzmq hop costs two wake-ups of sleeping threads, and those are most of what a
/// message between idle nodes takes. A loop that looks for 200 us before it sleeps does without
/// one of them while an answer is under way; docs/performance.md has the figures. It does so
/// only while most of its waits are that short: a node that is idle, or whose tasks take
/// milliseconds, never spins, and does not take the processor from those who have work.
///
/// Threads    None of its own; used under its loop's lock.
class spinner {
 public:
  /// The longest look. An exchange over three nodes that sleep takes about as long.
  static constexpr std::chrono::microseconds longest{200};
  /// One look takes a microsecond or two. When it took this long, others had the processor and
  /// need it: no more looks, for they would only make it change hands. A turn of libzmq's
  /// thread and of a peer's loop, which bring what is waited for, takes up to 60 us and must
  /// not count: at 30 us, the 99th percentile of a task's three hops was 1.3 times plain
  /// libzmq's, at 60 and more 0.7 times. Without this limit, 1 KiB tasks lose a tenth of their
  /// throughput.
  static constexpr std::chrono::microseconds crowded{80};

  /// `processors`: with one, whoever spins keeps the others from what is waited for.
  explicit spinner(unsigned processors) : allowed_(processors > 1) {}

  [[nodiscard]] bool worthwhile() const { return allowed_ && score_ > most_ / 2; }
  /// After each wait that had to wait at all: how long it took, and whether something came.
  void waited(proto::duration took, bool something_came) {
    // The newest counts for an eighth. A wait that slept is ended by a wake-up, which is what
    // spinning saves: it may have taken that much longer.
    const bool short_one = something_came && took <= (worthwhile() ? longest : longest * 3 / 2);
    score_ += ((short_one ? most_ : 0) - score_) / 8;
  }

 private:
  static constexpr int most_ = 1024;
  bool allowed_;
  int score_ = 0;
};

}  // namespace weir::net
