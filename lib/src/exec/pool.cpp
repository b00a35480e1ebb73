#include "exec/pool.hpp"

#include "exec/unique_fd.hpp"

#include <weir/error.hpp>

#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <exception>
#include <iterator>
#include <utility>

namespace weir::exec {
namespace {

using proto::clock;
using proto::duration;
using proto::time_point;
using namespace std::chrono_literals;

/// What a slot claims at a time, in its own time: long enough that claiming costs nothing
/// beside it, short enough that results do not wait for one another.
constexpr duration claim_length = 1ms;
/// Below this a claim costs more than it spreads, however few tasks are left.
constexpr duration least_length = 20us;
/// 64 bytes each are a message's worth, and a no-op handler is done with them in 0.1 ms.
constexpr std::uint32_t most_tasks = 4096;
/// Slots that have more to do leave what they have finished to the next wake-up, if the last
/// one was less than this ago: waking the loop costs a twentieth of the smallest command.
constexpr duration wake_interval = 10ms;
/// A claim of one millisecond that is not done after this long was guessed wrong.
constexpr duration slow_after = 4ms;

/// Signals are for the program's own threads, and a child is spawned with none pending.
void block_signals() {
  sigset_t all;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, nullptr);
}

std::string what_of(const std::exception_ptr& thrown) {
  try {
    std::rethrow_exception(thrown);
  } catch (const std::exception& e) {
    return std::string("the handler threw: ") + e.what();
  } catch (...) {
    return "the handler threw something that is no std::exception";
  }
}

/// Whether a claim has something that could be taken from it, or a limit to be held to. One
/// that is a single task in progress has neither.
bool needs_care(const claim& running) {
  return running.size() > 1 || running.time_limit() > duration::zero();
}

finished nothing_but(const work& tasks) {
  finished part;
  part.source = tasks.source;
  part.first = tasks.first;
  part.last = tasks.last();
  return part;
}

finished released(const work& tasks) {
  finished part = nothing_but(tasks);
  part.released.push_back({tasks.first, tasks.last()});
  return part;
}

finished dropped(const work& tasks) {
  finished part = nothing_but(tasks);
  part.runs.push_back({tasks.first,
                       tasks.attempt,
                       status::cancelled,
                       proto::pack({}, tasks.payloads.size(), 0),
                       {}});
  return part;
}

}  // namespace

pool::pool(unsigned slots, runner_factory factory, std::function<void()> wake)
    : factory_(std::move(factory)), wake_(std::move(wake)) {
  std::unique_lock held(mutex_);
  unsigned started = 0;
  try {
    for (; started < slots; ++started) {
      slot& s = slots_.emplace_back();
      s.thread = std::thread([this, &s, number = started] {
        if (!start_runner(s, number)) return;
        run_slot(s);
        end_runner(s);
      });
    }
    warden_ = std::thread([this] { watch(); });
  } catch (...) {  // the system has no more threads for us
    start_failure_ = std::current_exception();
  }
  started_.wait(held, [&] { return ready_ == started; });
  if (!start_failure_) return;
  stopping_ = true;
  held.unlock();
  end_threads();
  std::rethrow_exception(start_failure_);
}

pool::~pool() { stop(); }

bool pool::start_runner(slot& self, unsigned number) {
  block_signals();
  ::pthread_setname_np(::pthread_self(),
                       std::string("weir-slot-").append(std::to_string(number)).c_str());
  std::exception_ptr failure;
  try {
    self.wake_fd = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (self.wake_fd < 0)
      throw error(exit_code::io, std::string("cannot create an eventfd: ") +
                                     std::strerror(errno) + " (see: ulimit -n)");
    self.runs = factory_(number);
  } catch (...) {
    failure = std::current_exception();
  }
  const std::lock_guard held(mutex_);
  if (failure && !start_failure_) start_failure_ = failure;
  ++ready_;
  started_.notify_one();
  return !failure;
}

void pool::end_runner(slot& self) {
  try {
    self.runs->wind_up();
  } catch (...) {
    keep_failure(std::current_exception());
  }
  self.runs.reset();
}

void pool::keep_failure(std::exception_ptr what) {
  const std::lock_guard held(mutex_);
  if (failure_) return;
  failure_ = std::move(what);
  failed_.store(true, std::memory_order_release);
}

void pool::check() const {
  if (failed()) std::rethrow_exception(failure_);
}

void pool::give(std::vector<work> more) {
  const std::lock_guard held(mutex_);
  std::uint64_t tasks = 0;
  for (work& w : more) {
    if (w.payloads.empty()) continue;
    tasks += w.payloads.size();
    queue_.push_back(std::move(w));
  }
  queued_ += tasks;
  wake_idle(tasks);
}

void pool::wake_idle(std::uint64_t tasks) {
  if (tasks >= idle_) return work_.notify_all();
  for (; tasks > 0; --tasks) work_.notify_one();
}

void pool::take(std::vector<finished>& out) {
  const std::lock_guard held(mutex_);
  // A loop that was woken by a message leaves what has just been finished: delivering that
  // would bring the next message, and so on, each with a result or two.
  if (!std::exchange(woken_, false)) return;
  if (out.empty()) return out.swap(done_);
  std::move(done_.begin(), done_.end(), std::back_inserter(out));
  done_.clear();
}

void pool::take_reports(std::vector<proto::progress>& out) {
  const std::lock_guard held(mutex_);
  for (slot& s : slots_) {
    if (!s.current) continue;
    if (auto said = s.current->take_report()) out.push_back(*std::move(said));
  }
}

pool_stats pool::stats() const {
  const std::lock_guard held(mutex_);
  pool_stats now;
  now.slots = static_cast<unsigned>(slots_.size());
  now.idle = idle_;
  for (const slot& s : slots_) now.stuck += s.stuck ? 1 : 0;
  now.queued = queued_;
  now.done = done_count_;
  if (recent_tasks_ > 0)
    now.per_task = std::max(duration(1), duration(std::llround(recent_busy_ / recent_tasks_)));
  return now;
}

// ---- Slots

void pool::run_slot(slot& self) {
  std::unique_lock held(mutex_);
  self.since = clock::now();
  while (!stopping_) {
    if (queue_.empty() || failed()) {
      ++idle_;
      work_.wait(held);
      --idle_;
      self.since = clock::now();
      continue;
    }
    run_claim(self, held);
    const bool woke =
        (queue_.empty() || failed() || self.since - last_wake_ >= wake_interval) &&
        wake_loop(held, self.since);
    // What the loop does on this thread is not the next task's.
    if (woke) self.since = clock::now();
  }
}

/// Enters with the clock read into `since`, and leaves with it, so that busy slots read it once
/// for each claim.
void pool::run_claim(slot& self, std::unique_lock<std::mutex>& held) {
  work tasks = cut();
  if (self.runs->keeps_time()) tasks.time_limit = {};
  const auto guess = static_cast<std::size_t>(bytes_per_result_ * tasks.payloads.size() * 1.05);
  claim current(std::move(tasks), self.wake_fd, guess);
  self.current = &current;
  self.claimed = self.watched_since = self.since;
  self.watched = 0;
  ++claims_;
  const duration unwatched = needs_care(current) ? 2 * slow_after : 2 * wake_interval;
  if (warden_wakes_ > self.since + unwatched) warden_work_.notify_one();
  held.unlock();

  std::exception_ptr thrown;
  try {
    self.runs->run(current);
  } catch (const useless&) {
    keep_failure(std::current_exception());
  } catch (...) {
    thrown = std::current_exception();
  }
  if (thrown && current.answered() < current.begun()) {
    outcome_details details;
    details.message = what_of(thrown);
    current.fail(current.answered(), status::internal, std::move(details));
  }
  const auto now = clock::now();

  held.lock();
  self.current = nullptr;
  self.stuck = false;
  if (current.signalled()) {
    read_empty(self.wake_fd);
    // A cancelled task that was left would start anew, and nobody would cancel it again.
    for (auto i = current.answered(); current.cancelled(i) && current.begin(i); ++i)
      current.fail(i, status::cancelled, {});
  }
  if (auto rest = current.leftover()) {
    if (stopping_)
      hand_over(released(*rest));
    else
      put_back(*std::move(rest));
  }
  const auto tasks_done = current.answered();
  if (tasks_done > 0) {
    recent_tasks_ = recent_tasks_ * 0.75 + tasks_done;
    recent_busy_ = recent_busy_ * 0.75 + static_cast<double>((now - self.claimed).count());
  }
  finished part = current.take();
  part.busy = now - self.since;
  self.since = now;
  std::size_t bytes = 0;
  std::size_t results = 0;
  for (const auto& run : part.runs) {
    bytes += run.payloads.bytes();
    results += run.payloads.size();
  }
  if (results > 0)
    bytes_per_result_ = static_cast<double>(bytes) / static_cast<double>(results);
  hand_over(std::move(part));
}

/// The next claim: from the front of the oldest work.
work pool::cut() {
  work& oldest = queue_.front();
  std::uint32_t count = 1;
  if (recent_tasks_ > 0) {
    const double each = std::max(1.0, recent_busy_ / recent_tasks_);
    const auto worth = [each](duration length) {
      return static_cast<std::uint64_t>(static_cast<double>(length.count()) / each);
    };
    const auto halves = 2 * slots_.size();
    const auto fair = std::max((queued_ + halves - 1) / halves, worth(least_length));
    const auto most = std::min<std::uint64_t>(most_tasks, oldest.payloads.size());
    count = static_cast<std::uint32_t>(
        std::clamp<std::uint64_t>(std::min(fair, worth(claim_length)), 1, most));
  }
  queued_ -= count;
  if (count == oldest.payloads.size()) {
    work whole = std::move(oldest);
    queue_.pop_front();
    return whole;
  }
  work part = oldest.part(0, count);
  oldest = oldest.part(count, oldest.payloads.size() - count);
  return part;
}

void pool::put_back(work rest) {
  const auto tasks = rest.payloads.size();
  queued_ += tasks;
  queue_.push_front(std::move(rest));
  wake_idle(tasks);
}

void pool::hand_over(finished part) {
  if (part.empty()) return;
  done_count_ += part.last - part.first + 1;
  done_.push_back(std::move(part));
}

bool pool::wake_loop(std::unique_lock<std::mutex>& held, time_point now) {
  if (woken_ || (done_.empty() && !failed())) return false;
  woken_ = true;
  last_wake_ = now;
  held.unlock();
  wake_();
  held.lock();
  return true;
}

// ---- Taking back

void pool::cancel(source_id source, proto::seq_range range, proto::cancel_mode mode) {
  std::unique_lock held(mutex_);
  for (slot& s : slots_) {
    if (!s.current) continue;
    const task_id from = s.current->id(0);
    const auto last = from.seq + s.current->size() - 1;
    if (from.source != source || last < range.first || range.last < from.seq) continue;
    // First back to the queue, so that one place decides on everything that was not begun.
    if (auto rest = s.current->withdraw()) put_back(*std::move(rest));
    if (mode == proto::cancel_mode::stop) s.current->cancel(range);
  }
  cancel_queued(source, range, mode);
  wake_loop(held, clock::now());
}

void pool::cancel_queued(source_id source, proto::seq_range range, proto::cancel_mode mode) {
  std::deque<work> kept;
  for (work& w : queue_) {
    const auto from = std::max(w.first, range.first);
    const auto to = std::min(w.last(), range.last);
    if (w.source != source || from > to) {
      kept.push_back(std::move(w));
      continue;
    }
    const auto before = static_cast<std::uint32_t>(from - w.first);
    const auto count = static_cast<std::uint32_t>(to - from + 1);
    const auto after = w.payloads.size() - before - count;
    const work taken = w.part(before, count);
    hand_over(mode == proto::cancel_mode::stop ? dropped(taken) : released(taken));
    queued_ -= count;
    if (before > 0) kept.push_back(w.part(0, before));
    if (after > 0) kept.push_back(w.part(before + count, after));
  }
  queue_ = std::move(kept);
}

void pool::release_unstarted() {
  std::unique_lock held(mutex_);
  for (slot& s : slots_) {
    if (!s.current) continue;
    if (auto rest = s.current->withdraw()) hand_over(released(*rest));
  }
  for (const work& w : queue_) hand_over(released(w));
  queue_.clear();
  queued_ = 0;
  wake_loop(held, clock::now());
}

void pool::stop() {
  {
    const std::lock_guard held(mutex_);
    stopping_ = true;
    for (slot& s : slots_) {
      if (!s.current) continue;
      if (auto rest = s.current->withdraw()) hand_over(released(*rest));
      s.current->abandon();
    }
  }
  end_threads();
  release_unstarted();
}

void pool::end_threads() {
  work_.notify_all();
  warden_work_.notify_all();
  for (slot& s : slots_) {
    if (s.thread.joinable()) s.thread.join();
    if (s.wake_fd >= 0) ::close(std::exchange(s.wake_fd, -1));
  }
  if (warden_.joinable()) warden_.join();
}

// ---- The warden: one thread that looks after claims which take long

void pool::watch() {
  block_signals();
  ::pthread_setname_np(::pthread_self(), "weir-warden");
  std::unique_lock held(mutex_);
  std::uint64_t claims_seen = 0;
  while (!stopping_) {
    const auto now = clock::now();
    // A pool that is used now and then is looked at now and then: waking this thread for each
    // task would cost more than the task. One that is not used lets it sleep.
    auto next = claims_seen == claims_ ? time_point::max() : now + wake_interval;
    claims_seen = claims_;
    for (slot& s : slots_)
      if (s.current) next = std::min(next, look_after(s, now));
    const auto wake_due = last_wake_ + wake_interval;
    if (now >= wake_due)
      wake_loop(held, now);
    else if (!woken_ && !done_.empty())
      next = std::min(next, wake_due);
    // It lets go of the lock. Meanwhile, we may have been told to stop, and a slot that has
    // claimed something counts on us.
    if (stopping_) break;
    if (claims_seen != claims_) next = std::min(next, now + slow_after);
    warden_wakes_ = next;
    if (next == time_point::max())
      warden_work_.wait(held);
    else
      warden_work_.wait_until(held, next);
  }
}

/// Says when to look again.
time_point pool::look_after(slot& s, time_point now) {
  claim& running = *s.current;
  auto next = time_point::max();
  if (now - s.claimed >= slow_after) {
    if (auto rest = running.withdraw()) put_back(*std::move(rest));
    finished part = running.take();
    part.busy = now - s.since;
    if (!part.empty()) s.since = now;
    hand_over(std::move(part));
    // A runner that has begun many goes on to answer them.
    if (running.answered() + 1 < running.begun()) next = now + slow_after;
  } else {
    next = s.claimed + slow_after;
  }
  if (!needs_care(running) && running.begun() > 0) return time_point::max();

  const auto limit = running.time_limit();
  if (limit == duration::zero()) return next;
  if (s.watched != running.answered()) {
    s.watched = running.answered();
    s.watched_since = now;
    s.stuck = false;
  }
  if (s.stuck) return next;
  if (now - s.watched_since < limit) return std::min(next, s.watched_since + limit);
  if (s.watched < running.begun()) {
    running.expire(s.watched);
    s.stuck = true;
  }
  return next;
}

}  // namespace weir::exec
