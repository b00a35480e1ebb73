// A few tasks in the hands of one slot: what a runner gets, and where it puts outcomes.
#pragma once

#include "proto/limits.hpp"
#include "proto/message.hpp"
#include "proto/pack.hpp"
#include "proto/time.hpp"

#include <weir/task.hpp>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <optional>
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
  bool commands = false;         ///< each payload is a proto::task_command
  [[nodiscard]] std::uint64_t last() const { return first + payloads.size() - 1; }
  [[nodiscard]] work part(std::uint32_t from, std::uint32_t count) const {
    return {source, first + from, attempt, payloads.slice(from, count), time_limit, commands};
  }
};

/// What became of some consecutive tasks, as the loop gets it back.
struct finished {
  source_id source;
  std::uint64_t first = 0;              ///< the first seq this speaks of
  std::uint64_t last = 0;               ///< the last one; less than `first`: nothing
  std::vector<proto::result_run> runs;  ///< outcomes, ascending
  proto::seq_ranges released;           ///< handed back unstarted, ascending
  proto::duration busy{};               ///< how long a slot was occupied with them
  [[nodiscard]] bool empty() const { return last < first; }
};

/// Why a running task should be given up.
enum class stop_reason : std::uint8_t {
  none,
  cancelled,  ///< nobody wants its result
  expired,    ///< its time limit has passed
};

/// Held for a few instructions: by the slot for each answer, and by the pool only to look after
/// a claim that is slow. So it is free whenever it is wanted, and costs a fifth of a
/// std::mutex.
class claim_lock {
 public:
  void lock();
  void unlock() { taken_.store(false, std::memory_order_release); }

 private:
  void wait();
  std::atomic<bool> taken_ = false;
};

/// Consecutive tasks that one slot has claimed.
///
///     for (std::uint32_t i = 0; tasks.begin(i); ++i) tasks.succeed(i,
///     work_on(tasks.payload(i)));
///
/// A runner begins and answers indexes in ascending order, each exactly once, by succeed(),
/// fail() or release(). It may begin several before it answers the first. When begin() says
/// false, the task has been given to somebody else, and so have those after it: return. What a
/// runner leaves unanswered when it returns goes back to the queue; when it throws, the first
/// unanswered task fails and only the others go back.
///
/// Threads    The slot's thread alone, but for the last group of members: they are the pool's.
class claim {
 public:
  /// `expected_bytes` is a guess at all results together, to allocate once.
  claim(work tasks, int wake_fd, std::size_t expected_bytes = 0);

  [[nodiscard]] std::uint32_t size() const { return tasks_.payloads.size(); }
  [[nodiscard]] std::string_view payload(std::uint32_t i) const { return tasks_.payloads[i]; }
  [[nodiscard]] task_id id(std::uint32_t i) const { return {tasks_.source, tasks_.first + i}; }
  [[nodiscard]] std::uint32_t attempt() const { return tasks_.attempt; }
  /// How long each task may take; zero: as long as it wants.
  [[nodiscard]] proto::duration time_limit() const { return tasks_.time_limit; }

  /// Whether payloads are proto::task_commands: only a worker that takes such gets them.
  [[nodiscard]] bool commands() const { return tasks_.commands; }

  /// Whether task `i` is this slot's to run. Asked before each task is started.
  [[nodiscard]] bool begin(std::uint32_t i) {
    return i < begun_.load(std::memory_order_relaxed) || begin_more(i);
  }
  /// True once task `i` should be given up. Cheap enough for an inner loop.
  [[nodiscard]] bool cancelled(std::uint32_t i) const {
    return why_stop(i) != stop_reason::none;
  }
  [[nodiscard]] stop_reason why_stop(std::uint32_t i) const {
    if (!any_stopped_.load(std::memory_order_acquire)) return stop_reason::none;
    return look_up_stop(i);
  }
  /// Readable (an eventfd) whenever cancelled() may have become true, so that a runner can
  /// poll() for it. A runner that does reads it empty; otherwise the pool does, afterwards.
  [[nodiscard]] int wake_fd() const { return wake_fd_; }

  void succeed(std::uint32_t i, std::string_view result) {
    lock_.lock();
    if (plain_ && i == answered_.load(std::memory_order_relaxed) && room_for(result)) {
      run_.add(result);
      advance(i);
      lock_.unlock();
      return;
    }
    lock_.unlock();
    answer(i, status::ok, result, nullptr);
  }
  void succeed(std::uint32_t i, std::string_view result, outcome_details details) {
    answer(i, status::ok, result, &details);
  }
  void fail(std::uint32_t i, status code, outcome_details details,
            std::string_view output = {}) {
    answer(i, code, output, &details);
  }
  /// Hands the task back to where it came from: it costs no attempt.
  void release(std::uint32_t i);
  /// Says how far task `i` has got. The newest report wins; the loop asks now and then.
  void report(std::uint32_t i, std::uint64_t done, std::uint64_t total, std::string_view text);

  // For the pool, on any thread.

  /// Marks these tasks cancelled and makes wake_fd() readable.
  void cancel(proto::seq_range range);
  /// Marks one task as over its time limit; whatever the runner says, it failed.
  void expire(std::uint32_t i);
  /// The worker leaves: everything is cancelled, and what ends as cancelled is released.
  void abandon();
  /// Takes away what has not been begun.
  [[nodiscard]] std::optional<work> withdraw();
  /// Takes away everything unanswered. Only when the runner has returned.
  [[nodiscard]] std::optional<work> leftover();
  /// What has been answered since the last take, but for `busy`.
  [[nodiscard]] finished take();
  [[nodiscard]] std::optional<proto::progress> take_report();
  /// How many have been answered: the index of the task that is being waited for.
  [[nodiscard]] std::uint32_t answered() const {
    return answered_.load(std::memory_order_relaxed);
  }
  [[nodiscard]] std::uint32_t begun() const { return begun_.load(std::memory_order_relaxed); }
  /// Whether wake_fd() was written to, so that the pool knows to read it empty.
  [[nodiscard]] bool signalled() const { return any_stopped_.load(std::memory_order_acquire); }

 private:
  bool begin_more(std::uint32_t i);
  stop_reason look_up_stop(std::uint32_t i) const;
  [[nodiscard]] stop_reason stop_locked(std::uint32_t i) const;
  void answer(std::uint32_t i, status code, std::string_view payload, outcome_details* details);
  void release_locked(std::uint32_t i);
  void seal();
  void wake();
  [[nodiscard]] bool room_for(std::string_view result) const;
  /// Begins the next task as well, if it is still ours: it saves begin() the lock.
  void advance(std::uint32_t i) {
    answered_.store(i + 1, std::memory_order_relaxed);
    if (begun_.load(std::memory_order_relaxed) == i + 1 && i + 1 < end_)
      begun_.store(i + 2, std::memory_order_relaxed);
  }

  const work tasks_;
  const int wake_fd_;
  const std::size_t expected_bytes_;

  mutable claim_lock lock_;  // over everything below; the atomics are written under it
  std::uint32_t end_;        // ours are [0, end_)
  std::atomic<std::uint32_t> begun_ = 0;
  std::atomic<std::uint32_t> answered_ = 0;

  // The open run: answers not yet in runs_. plain_: successes without details are added at
  // once.
  proto::pack_builder run_;
  std::vector<outcome_details> details_;
  std::uint32_t run_first_ = 0;
  status run_code_ = status::ok;
  bool plain_ = false;

  std::vector<proto::result_run> runs_;
  proto::seq_ranges released_;
  std::uint32_t taken_ = 0;

  std::atomic<bool> any_stopped_ = false;
  bool leaving_ = false;
  proto::seq_ranges stopped_;
  std::optional<std::uint32_t> expired_;
  std::optional<proto::progress> report_;
};

inline void claim_lock::lock() {
  if (taken_.exchange(true, std::memory_order_acquire)) wait();
}

inline bool claim::room_for(std::string_view result) const {
  // A run travels in one message where it can; and offsets have 32 bits.
  return run_.bytes() + result.size() <= proto::limits::batch_bytes || run_.empty();
}

}  // namespace weir::exec
