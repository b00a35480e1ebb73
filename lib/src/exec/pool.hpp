// Slots: threads that take tasks from one queue and run them.
#pragma once

#include "exec/claim.hpp"
#include "proto/message.hpp"
#include "proto/time.hpp"

#include <weir/error.hpp>

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace weir::exec {

/// Thrown by a runner: neither it nor another of its kind should be given tasks any more.
struct useless : error {
  using error::error;
};

/// What a slot runs tasks with. Lives on its slot's thread from its factory to its end; all
/// signals are blocked there.
class runner {
 public:
  virtual ~runner() = default;
  /// Answers the tasks, see claim. What it throws fails one task and nothing else, but for
  /// `useless`.
  virtual void run(claim& tasks) = 0;
  /// Called once, behind the last run(). What it throws, pool::check() throws.
  virtual void wind_up() {}
  /// True: it holds each task to its limit itself, and knows better than the pool when the
  /// task's time began. Then its claims have no limit.
  [[nodiscard]] virtual bool keeps_time() const { return false; }
};
using runner_factory = std::function<std::unique_ptr<runner>(unsigned slot)>;

struct pool_stats {
  unsigned slots = 0;
  unsigned idle = 0;
  /// Slots whose handler goes on although its task's time limit has passed. A thread cannot be
  /// killed: it is lost to the pool until the handler returns.
  unsigned stuck = 0;
  std::uint64_t queued = 0;    ///< tasks that no slot has claimed
  std::uint64_t done = 0;      ///< tasks handed back since the start
  proto::duration per_task{};  ///< a slot's time for one task, lately; zero: not known yet
};

/// Runs tasks on a fixed number of threads, and hands them out so that nobody idles.
///
/// A slot claims about a millisecond's worth of tasks, less when few are left: thousands of
/// short tasks cost one lock, and long ones are spread evenly. When a claim takes longer than
/// was guessed, what it has done is handed over and what it has not begun goes back to the
/// queue. While there is more to do, results may wait 2 ms for the loop to be woken, 4 ms when
/// a slow task is behind them; the last ones never wait.
///
/// Delivery   Every task given comes back exactly once, as an outcome or as released.
/// Threads    Members are called by one thread at a time, the node's loop. `wake` is called on
///            any thread, also from within members, at most once between two take()s. No lock
///            is held then: it may call members, but for stop().
/// Errors     The constructor throws what a factory threw.
class pool {
 public:
  pool(unsigned slots, runner_factory factory, std::function<void()> wake);
  ~pool();
  pool(const pool&) = delete;
  pool& operator=(const pool&) = delete;

  void give(std::vector<work> more);
  /// Appends what has been finished since the last take.
  void take(std::vector<finished>& out);
  /// Appends the newest report of each running task that has made one since the last call. A
  /// report does not wake anybody: ask now and then.
  void take_reports(std::vector<proto::progress>& out);

  /// Stop: tasks that wait end as cancelled, running ones are told (see claim::cancelled).
  /// Give back: tasks that wait are released, running ones go on.
  void cancel(source_id source, proto::seq_range range,
              proto::cancel_mode mode = proto::cancel_mode::stop);
  /// Releases everything that no slot has begun: the start of a drain.
  void release_unstarted();
  /// Releases everything unstarted, tells what runs to stop, waits for it and ends the threads.
  /// What was stopped counts as released. Afterwards only take() and stats() make sense.
  void stop();

  /// Whether a runner was `useless`. Then no slot claims any more, and what waits goes on
  /// waiting: stop().
  [[nodiscard]] bool failed() const { return failed_.load(std::memory_order_acquire); }
  /// Throws what the first such runner threw, or the first wind_up(); that only after stop().
  void check() const;

  [[nodiscard]] pool_stats stats() const;

 private:
  struct slot {
    std::unique_ptr<runner> runs;  // touched by its own thread only
    int wake_fd = -1;
    claim* current = nullptr;
    proto::time_point since{};    // of the claim, or of its last flush
    proto::time_point claimed{};  // of the claim
    // The task that the warden saw being waited for, and since when.
    std::uint32_t watched = 0;
    proto::time_point watched_since{};
    bool stuck = false;
    std::thread thread;
  };

  void run_slot(slot& self);
  bool start_runner(slot& self, unsigned number);
  void end_runner(slot& self);
  void keep_failure(std::exception_ptr what);
  void run_claim(slot& self, std::unique_lock<std::mutex>& held);
  [[nodiscard]] work cut();
  void put_back(work rest);
  void hand_over(finished part);
  bool wake_loop(std::unique_lock<std::mutex>& held, proto::time_point now);
  void wake_idle(std::uint64_t tasks);
  void cancel_queued(source_id source, proto::seq_range range, proto::cancel_mode mode);
  void end_threads();

  void watch();
  proto::time_point look_after(slot& s, proto::time_point now);

  const runner_factory factory_;
  const std::function<void()> wake_;

  mutable std::mutex mutex_;  // over everything below
  std::condition_variable work_;
  std::condition_variable started_;
  std::condition_variable warden_work_;
  std::deque<slot> slots_;
  std::deque<work> queue_;
  std::uint64_t queued_ = 0;
  std::vector<finished> done_;
  unsigned idle_ = 0;
  unsigned ready_ = 0;
  std::exception_ptr start_failure_;
  std::exception_ptr failure_;
  std::atomic<bool> failed_ = false;  // failure_ is set, and does not change any more
  bool woken_ = false;                // the loop has been woken and has not taken since
  proto::time_point last_wake_{};
  bool stopping_ = false;

  // Recent tasks and the time they took, older ones weighing less and less.
  double recent_tasks_ = 0;
  double recent_busy_ = 0;  // nanoseconds
  double bytes_per_result_ = 0;
  std::uint64_t done_count_ = 0;

  proto::time_point warden_wakes_ = proto::time_point::max();
  std::uint64_t claims_ = 0;
  std::thread warden_;
};

}  // namespace weir::exec
