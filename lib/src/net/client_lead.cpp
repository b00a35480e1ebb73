#include "net/client_impl.hpp"

#include <weir/error.hpp>

#include <pthread.h>
#include <sched.h>

#include <algorithm>
#include <csignal>
#include <utility>

namespace weir {
namespace {
using namespace std::chrono_literals;

/// How long nobody leads before the loop thread looks after it. Long enough that a thread which
/// makes one call after the other is left alone.
constexpr auto unattended = 10ms;
/// Who left calls behind and waits so soon needs no loop thread to send them. If he does not
/// wait this time, it finds them the next time that it looks.
constexpr auto at_once = 200us;
constexpr auto look_after = 1ms;
/// What the loop thread takes to step aside.
constexpr auto aside_takes = 100us;

/// For completions that no client sets.
std::mutex lonely_mutex;
std::condition_variable lonely_wakes;

}  // namespace

bool completion::wait(std::chrono::steady_clock::time_point until) {
  std::unique_lock lock(lonely_mutex);
  auto expected = state::open;
  state_.compare_exchange_strong(expected, state::awaited);
  const auto is_done = [&] { return done(); };
  if (until == proto::time_point::max())
    lonely_wakes.wait(lock, is_done);
  else
    lonely_wakes.wait_until(lock, until, is_done);
  return done();
}

void completion::complete() noexcept {
  if (state_.exchange(state::done) != state::awaited) return;
  { const std::lock_guard lock(lonely_mutex); }
  lonely_wakes.notify_all();
}

bool raw_client::impl::wait(completion& what, proto::time_point until) {
  if (what.done()) return true;
  if (const auto left = left_at.load(std::memory_order_relaxed); left != proto::time_point{})
    waits_follow = proto::clock::now() - left <= at_once;
  std::unique_lock lock(baton);
  ++visitors;
  bool asked = false;  // to lead
  while (!what.done() && (until == proto::time_point::max() || proto::clock::now() < until)) {
    const bool free = leading == leader::nobody && !stopping;
    if (!free || (crowded() && !asked)) {
      if (free) want_loop_locked();
      asked = wait_in_line(lock, what, until);
      continue;
    }
    leading = leader::caller;
    loop_wanted = false;
    ++turns;
    lock.unlock();
    lead_for(what, until);
    lock.lock();
    leading = leader::nobody;
    if (stopping) loop_wakes.notify_one();
  }
  --visitors;
  if (leading == leader::nobody) pass_on();
  if (visitors == 0 && stopping) visitors_leave.notify_all();
  return what.done();
}

bool raw_client::impl::wait_in_line(std::unique_lock<std::mutex>& baton_held, completion& what,
                                    proto::time_point until) {
  if (leading == leader::loop && !crowded() && !stopping && !step_aside.exchange(true)) {
    baton_held.unlock();
    net.wake();
    const auto patience = std::min(until, proto::clock::now() + aside_takes);
    while (!what.done() && leading == leader::loop && proto::clock::now() < patience)
      sched_yield();
    baton_held.lock();
    if (what.done() || leading == leader::nobody) return true;
  }
  auto expected = completion::state::open;
  if (!what.state_.compare_exchange_strong(expected, completion::state::awaited) &&
      expected == completion::state::done)
    return true;
  waiter me{what, {}, false};
  waiters.push_back(&me);
  const auto woken = [&] { return me.asked || what.done(); };
  if (until == proto::time_point::max())
    me.wake.wait(baton_held, woken);
  else
    me.wake.wait_until(baton_held, until, woken);
  std::erase(waiters, &me);
  return me.asked;
}

void raw_client::impl::complete(completion& what) noexcept {
  if (what.state_.exchange(completion::state::done) != completion::state::awaited) return;
  const std::lock_guard lock(baton);
  for (auto* w : waiters)
    if (&w->what == &what) w->wake.notify_one();
}

void raw_client::impl::pass_on() {
  if (!waiters.empty() && !stopping && (!crowded() || has_work)) {
    waiters.front()->asked = true;
    waiters.front()->wake.notify_one();
  } else if (stopping || !waiters.empty() || wanted()) {
    want_loop_locked();
  }
}

bool raw_client::impl::wanted() const {
  if (attended > quiet_up_to) return true;
  const std::lock_guard lock(input_mutex);
  if (intake.empty()) return false;
  const auto left = left_at.load(std::memory_order_relaxed);
  return left == proto::time_point{} || !waits_follow || proto::clock::now() - left > at_once;
}

void raw_client::impl::want_loop() noexcept {
  const std::lock_guard lock(baton);
  want_loop_locked();
}

void raw_client::impl::want_loop_locked() noexcept {
  if (!std::exchange(loop_wanted, true) || stopping) loop_wakes.notify_one();
}

void raw_client::impl::attend() noexcept {
  std::uint64_t made = 0;
  {
    const std::lock_guard lock(input_mutex);
    made = intake.made();
  }
  auto so_far = attended.load();
  while (so_far < made && !attended.compare_exchange_weak(so_far, made)) {
  }
  if (leading == leader::nobody && !on_loop_thread()) want_loop();
}

void raw_client::impl::post(loop_work& what) noexcept {
  what.next_ = nullptr;
  std::unique_lock lock(baton);
  if (gone) {
    lock.unlock();
    return what.run();
  }
  (first_work ? last_work->next_ : first_work) = &what;
  last_work = &what;
  if (has_work.exchange(true) || on_loop_thread()) return;
  loop_wakes.notify_one();
}

void raw_client::impl::run_later(std::function<void()> what) {
  struct once final : loop_work {
    explicit once(std::function<void()> w) : what(std::move(w)) {}
    void run() noexcept override {
      const std::unique_ptr<once> self(this);
      what();
    }
    std::function<void()> what;
  };
  post(*new once(std::move(what)));
}

void raw_client::impl::run_work(std::unique_lock<std::mutex>& baton_held) {
  taken_work = std::exchange(first_work, nullptr);
  has_work = false;
  baton_held.unlock();
  run_taken();
  baton_held.lock();
}

void raw_client::impl::run_taken() {
  while (taken_work) {
    loop_work* const current = taken_work;
    taken_work = current->next_;  // it may be gone after this
    current->run();
  }
}

void raw_client::impl::run_loop() {
  sigset_t all;
  sigfillset(&all);
  pthread_sigmask(SIG_BLOCK, &all, nullptr);
  loop_id = std::this_thread::get_id();
  std::unique_lock lock(baton);
  loop_wanted = true;  // to connect
  auto seen = turns;
  auto seen_at = proto::clock::now();
  while (!stopping) {
    if (has_work) {
      run_work(lock);
    } else if (leading == leader::nobody && !broken && (loop_wanted || wanted())) {
      if (!loop_wanted) waits_follow = false;
      loop_wanted = false;
      leading = leader::loop;
      lock.unlock();
      lead_as_loop();
      lock.lock();
      leading = leader::nobody;
      // What was being looked after still is, unless somebody else does.
      loop_wanted = !step_aside.exchange(false);
      if (!waiters.empty()) pass_on();
    } else {
      const auto look = waits_follow.load(std::memory_order_relaxed) ? look_after : unattended;
      const bool told = loop_wakes.wait_for(lock, look, [&] {
        return stopping || has_work || (leading == leader::nobody && loop_wanted && !broken);
      });
      if (told) continue;
      const auto now = proto::clock::now();
      if (std::exchange(seen, turns) != turns)
        seen_at = now;
      else if (leading == leader::nobody && now - seen_at >= unattended)
        loop_wanted = true;
    }
  }
  if (ended) return;
  end(lock);
  loop_id = std::thread::id{};  // another thread may get it, and is not the loop
}

void raw_client::impl::end(std::unique_lock<std::mutex>& baton_held) {
  // Those who lead see that this ends; nobody begins to.
  net.wake();
  loop_wakes.wait(baton_held, [&] { return leading == leader::nobody; });
  leading = leader::loop;
  baton_held.unlock();
  close_down();
  run_taken();  // what waits for a callback that is being run to return
  baton_held.lock();
  do {
    while (has_work) run_work(baton_held);
    visitors_leave.wait(baton_held, [&] { return visitors == 0; });
  } while (has_work);
  gone = true;
}

void raw_client::impl::end_within_callback() {
  gate->close();
  std::unique_lock lock(baton);
  stopping = true;
  end(lock);
  ended = true;
  loop.detach();
}

void raw_client::impl::lead_for(completion& what, proto::time_point until) {
  std::unique_lock held(loop_mutex);
  try {
    settle(proto::clock::now());
    deliver(held);
    while (!what.done() && !stopping &&
           (until == proto::time_point::max() || proto::clock::now() < until)) {
      round(held, until);
      deliver(held);
    }
  } catch (const std::exception& e) {
    if (!held.owns_lock()) held.lock();
    broken = true;
    fail_all(held, status::internal, e.what());
  }
}

void raw_client::impl::lead_as_loop() {
  std::unique_lock held(loop_mutex);
  try {
    settle(proto::clock::now());
    deliver(held);
    while (!step_aside && !stopping && !has_work) {
      round(held, proto::time_point::max());
      deliver(held);
    }
  } catch (const std::exception& e) {
    if (!held.owns_lock()) held.lock();
    broken = true;
    fail_all(held, status::internal, e.what());
  }
}

}  // namespace weir
