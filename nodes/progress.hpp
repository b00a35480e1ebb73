// How far a node has got, as one line of text.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

namespace weir::nodes {

/// What the status line shows. Absent figures are left out.
struct progress_figures {
  std::uint64_t done = 0;
  std::optional<std::uint64_t> total;
  std::uint64_t failed = 0;
  std::optional<std::uint64_t> in_flight;
  std::string bar;   ///< if that was asked for
  double rate = 0;   ///< tasks per second
  std::string note;  ///< e.g. "3 workers"
};

/// 950, 1.2k, 35k, 1.2M, 3.4G: at most four characters up to 999T, never rounded up to 1000k.
[[nodiscard]] std::string format_count(double n);
/// "1 worker", "1200 workers".
[[nodiscard]] std::string plural(std::uint64_t n, const std::string& what);
/// 0:07, 12:34, 1:02:03, 49:00:00.
[[nodiscard]] std::string format_duration(std::chrono::seconds length);

/// "1.2M/2M done  BAR  3 failed  1.2k in flight  35k/s  ETA 1:02:03  3 workers", cut from the
/// end, part by part, until it fits into `width` columns: how much is done stays longest.
[[nodiscard]] std::string format_progress(const progress_figures& figures, std::size_t width);

/// Tasks per second over about the last five seconds, from a counter that only grows.
///
/// Pure: time is a parameter and must not go backwards.
class rate_meter {
 public:
  using time_point = std::chrono::steady_clock::time_point;

  /// Call it now and then, at least a few times a second while tasks flow.
  void update(std::uint64_t count, time_point now);
  [[nodiscard]] double per_second() const { return rate_; }

 private:
  bool started_ = false;
  double measured_ = 0;  // seconds
  std::uint64_t count_ = 0;
  time_point at_{};
  double rate_ = 0;
};

}  // namespace weir::nodes
