// A few tasks in the hands of one slot: what a runner gets, and where it puts outcomes.
#pragma once

#include "proto/message.hpp"
#include "proto/time.hpp"

#include <weir/task.hpp>

#include <atomic>
#include <cstdint>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

namespace weir::exec {

/// Consecutive tasks of one attempt, as the loop hands them to the pool.
struct work {
  source_id source;
  std::uint64_t first = 0;
  std::uint32_t attempt = 0;
  proto::pack payloads;
  proto::duration time_limit{};  ///< for each task; zero: none
};

/// What became of some consecutive tasks, as the loop gets it back.
struct finished {
  source_id source;
  std::uint64_t first = 0;      ///< the first seq this speaks of
  std::uint64_t last = 0;       ///< the last one
  std::vector<proto::result_run> runs;  ///< outcomes, ascending
  proto::seq_ranges released;           ///< handed back unstarted, ascending
  proto::duration busy{};               ///< how long a slot was occupied with them
};

/// Consecutive tasks that one slot has claimed.
///
/// A runner answers every index from 0 to size() - 1 in ascending order, each exactly once, by
/// succeed(), fail() or release().
///
/// Threads    The slot's thread alone, except cancel() and hang up of wake_fd(), which are the
///            pool's and may come from another thread.
class claim {
 public:
  claim(work tasks, int wake_fd);

  [[nodiscard]] std::uint32_t size() const { return tasks_.payloads.size(); }
  [[nodiscard]] std::string_view payload(std::uint32_t i) const { return tasks_.payloads[i]; }
  [[nodiscard]] task_id id(std::uint32_t i) const { return {tasks_.source, tasks_.first + i}; }
  [[nodiscard]] std::uint32_t attempt() const { return tasks_.attempt; }
  /// How long each task may take; zero: as long as it wants.
  [[nodiscard]] proto::duration time_limit() const { return tasks_.time_limit; }

  /// True once nobody wants this task's result: stop it. Cheap enough for an inner loop.
  [[nodiscard]] bool cancelled(std::uint32_t i) const {
    return any_cancelled_.load(std::memory_order_acquire) && is_cancelled(i);
  }
  /// Readable (an eventfd) whenever cancelled() may have become true, so that a runner can
  /// poll() for it. The runner reads it empty.
  [[nodiscard]] int wake_fd() const { return wake_fd_; }

  void succeed(std::uint32_t i, std::string_view result) {
    answer(i, status::ok, result);
    if (!run_.details.empty()) run_.details.emplace_back();
  }
  void succeed(std::uint32_t i, std::string_view result, outcome_details details);
  void fail(std::uint32_t i, status code, outcome_details details, std::string_view output = {});
  /// Hands the task back unstarted: it costs no attempt.
  void release(std::uint32_t i);

  /// Any thread. Marks these tasks cancelled and makes wake_fd() readable.
  void cancel(proto::seq_range range);
  /// What has been answered since the last take, for the loop.
  [[nodiscard]] finished take();
};

}  // namespace weir::exec
