// How long to wait before trying again.
#pragma once

#include "proto/time.hpp"

#include <cstdint>

namespace weir::proto {

/// A small, fast, seeded generator (splitmix64, Steele et al. 2014), so that a run with the
/// same seed is the same run. Not for secrets.
class random_bits {
 public:
  explicit random_bits(std::uint64_t seed) : state_(seed) {}
  std::uint64_t next() {
    std::uint64_t z = (state_ += 0x9e3779b97f4a7c15U);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9U;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebU;
    return z ^ (z >> 31);
  }
  /// Uniform in [0, 1).
  double fraction() { return static_cast<double>(next() >> 11) * 0x1.0p-53; }

 private:
  std::uint64_t state_;
};

/// Exponential with jitter: the wait before attempt n + 1 is base * 2^(n-1), at most `most`, of
/// which a random half is taken off. Full jitter would retry some tasks at once, which is what
/// a struggling resource needs least; no jitter would retry a batch of failures in step.
struct backoff {
  duration base;
  duration most;

  [[nodiscard]] duration after(std::uint32_t failures, random_bits& random) const {
    duration wait = base;
    for (std::uint32_t i = 1; i < failures && wait < most; ++i) wait *= 2;
    if (wait > most) wait = most;
    return duration(static_cast<duration::rep>(static_cast<double>(wait.count()) *
                                               (0.5 + random.fraction() / 2)));
  }
};

}  // namespace weir::proto
