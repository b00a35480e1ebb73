// How long things take, in fixed memory.
#pragma once

#include "proto/time.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <vector>

namespace weir::proto {

/// A log-linear histogram of durations, as HdrHistogram has it: microseconds, sixteen buckets
/// to each power of two, so that a percentile is right within 3 %. 3.7 KB, from the first
/// record on; nothing before.
class histogram {
 public:
  void record(duration took, std::uint64_t times = 1) {
    if (buckets_.empty()) buckets_.resize(bucket_count);
    const auto ns = std::max<std::int64_t>(
        0, std::chrono::duration_cast<std::chrono::nanoseconds>(took).count());
    const std::uint64_t us = std::min(static_cast<std::uint64_t>(ns) / 1000, most);
    buckets_[index_of(us)] += times;
    count_ += times;
    sum_us_ += static_cast<double>(ns) / 1000 * static_cast<double>(times);
    max_us_ = std::max(max_us_, us);
  }

  [[nodiscard]] std::uint64_t count() const { return count_; }
  /// Microseconds; 0 if nothing was recorded.
  [[nodiscard]] double mean() const {
    return count_ == 0 ? 0 : sum_us_ / static_cast<double>(count_);
  }
  /// What this fraction of the durations (0.99, say) does not exceed, in microseconds.
  [[nodiscard]] double percentile(double fraction) const {
    if (count_ == 0) return 0;
    const auto rank = std::max<std::uint64_t>(
        1, static_cast<std::uint64_t>(std::ceil(fraction * static_cast<double>(count_))));
    std::uint64_t seen = 0;
    for (std::size_t i = 0; i < bucket_count; ++i) {
      seen += buckets_[i];
      if (seen >= rank) return std::min(middle_of(i), static_cast<double>(max_us_));
    }
    return static_cast<double>(max_us_);
  }

 private:
  static constexpr unsigned bits = 4;
  static constexpr std::uint64_t linear = std::uint64_t{1} << bits;
  static constexpr std::uint64_t most = (std::uint64_t{1} << 32) - 1;  // 71 minutes
  static constexpr std::size_t bucket_count = (32 - bits - 1) * linear + 2 * linear;

  // Figures below 32 have buckets of their own; each power of two above shares out sixteen.
  static std::size_t index_of(std::uint64_t us) {
    const unsigned width = static_cast<unsigned>(std::bit_width(us));
    const unsigned shift = width > bits + 1 ? width - bits - 1 : 0;
    return shift * linear + (us >> shift);
  }
  static double middle_of(std::size_t index) {
    if (index < 2 * linear) return static_cast<double>(index);
    const unsigned shift = static_cast<unsigned>(index / linear) - 1;
    const std::uint64_t from = (index - shift * linear) << shift;
    return static_cast<double>(from) + static_cast<double>((std::uint64_t{1} << shift) - 1) / 2;
  }

  std::vector<std::uint64_t> buckets_;
  std::uint64_t count_ = 0;
  std::uint64_t max_us_ = 0;
  double sum_us_ = 0;
};

}  // namespace weir::proto
