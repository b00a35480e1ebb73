// Who may start now, and who has to end.
#pragma once

#include "halt_policy.hpp"
#include "machine_load.hpp"
#include "proto/time.hpp"

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

namespace weir::cli::run {

/// A command that runs: what others may want to know of it, and how to reach who attends to it.
struct running_task {
  std::uint64_t number = 0;
  std::chrono::steady_clock::time_point since{};
  std::function<std::string()> describe;  ///< for --verbose people: USR1
  std::atomic<bool> give_way = false;     ///< set: end it, it will be started again
  int wake_fd = -1;                       ///< written to when something has changed
};

struct governor_options {
  std::chrono::milliseconds delay{};  ///< between two starts
  std::optional<double> max_load{};   ///< processes that want a processor
  std::uint64_t memory_free = 0;      ///< bytes; 0: whatever there is
  /// How those are looked up.
  std::function<double()> load = wanting_processor;
  std::function<std::uint64_t()> memory = available_memory;
  std::chrono::milliseconds timeout{};  ///< zero: none
  double timeout_percent = 0;           ///< of the median of those that succeeded; 0: none
  halt_policy halt{};
  /// Told once when there is a reason to end early.
  std::function<void(halt_policy::decision)> on_halt{};
  /// Told that governor::level() has risen, before on_halt. Holds no lock.
  std::function<void()> on_rise{};
};

/// Decides for all slots, at the moment when a command could start and when one has ended.
///
///     open -> start no more (HUP, --halt soon) -> end all (INT, --halt now) -> kill all
///
/// Threads    Any.
class governor {
 public:
  enum class pressure : std::uint8_t { none, start_no_more, end_all, kill_all };

  explicit governor(governor_options options);
  ~governor();
  governor(const governor&) = delete;
  governor& operator=(const governor&) = delete;

  // For the slots.
  /// Waits for what has to be waited for. False: nothing is to be started any more, or
  /// `unwanted` says that this is not.
  [[nodiscard]] bool may_start(const std::function<bool()>& unwanted);
  /// After each start that was granted, whether it came to anything: --delay counts from here.
  void started();
  void enter(running_task& task);
  void leave(running_task& task);
  /// How long a command may take, as it is known now; zero: as long as it wants.
  [[nodiscard]] proto::duration time_limit();
  /// Whether time_limit() may change while a command runs.
  [[nodiscard]] bool limit_moves() const { return options_.timeout_percent > 0; }
  [[nodiscard]] pressure level() const { return level_.load(std::memory_order_acquire); }

  /// A task has ended for good.
  void count(const task_end& end, proto::duration runtime);

  // For signals and the input.
  void press(pressure at_least);
  void set_total(std::uint64_t tasks);
  /// Call it about once a second: memory may have become scarce.
  void tick();
  /// Readable once nothing is to be started any more.
  [[nodiscard]] int closed_fd() const { return closed_fd_; }
  /// One line for each command that runs, the oldest first.
  [[nodiscard]] std::vector<std::string> running() const;
  [[nodiscard]] std::size_t running_count() const;
  [[nodiscard]] halt_policy halt() const;

 private:
  [[nodiscard]] bool has_room() const;
  /// True: it has risen.
  bool press_locked(pressure at_least);

  const governor_options options_;
  const bool waits_;  // whether may_start() may have to
  std::atomic<pressure> level_ = pressure::none;
  int closed_fd_ = -1;

  mutable std::mutex mutex_;  // over everything below
  std::condition_variable changed_;
  proto::time_point next_start_{};
  bool starting_ = false;  // somebody was let through and has not started yet
  std::vector<running_task*> running_;
  halt_policy halt_;
  std::vector<proto::duration> runtimes_;  // the latest, a ring
  std::size_t runtimes_at_ = 0;
};

}  // namespace weir::cli::run
