#include "exec/call_pool.hpp"

#include "exec/call_scope.hpp"
#include "proto/limits.hpp"

#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>

#include <algorithm>
#include <utility>

namespace weir::exec {
namespace {

using proto::clock;
using proto::duration;
using proto::time_point;
using namespace std::chrono_literals;

/// A method whose calls take longer is not for the loop's thread. A thread switch and back
/// costs 10 to 20 us here.
constexpr duration short_call = 50us;
/// What the loop does itself at a time, before it sends what is done.
constexpr duration help_length = 100us;
/// How much of what has just come the loop does itself. Calls that take next to nothing cost
/// more to hand over than to run.
constexpr duration most_help = 100us;
constexpr duration most_help_tiny = 500us;
constexpr std::uint64_t tiny_call_ns = 5'000;
/// Answers wait this long for others while the slot that has them has more short calls to do.
constexpr duration gather_length = 20us;
/// Reports of progress wake the loop no more often.
constexpr duration report_interval = 50ms;
constexpr std::size_t kept_scratch = 256 * 1024;

/// Whether a method is short: calls that were not weigh as much as this many that were, so that
/// one in 250 makes it a long one. Below that it is rather the processor that was taken away.
constexpr int doubt = 256;
constexpr int most_doubts = 1024;
/// A method has to show that it is short before it is believed.
constexpr int first_doubts = 16;

duration processor_time(const rusage& used) {
  const auto of = [](const timeval& t) {
    return std::chrono::seconds(t.tv_sec) + std::chrono::microseconds(t.tv_usec);
  };
  return of(used.ru_utime) + of(used.ru_stime);
}

}  // namespace

void call_pool::bench::begin(time_point now) {
  rusage used{};
  ::getrusage(RUSAGE_THREAD, &used);
  began_ = now;
  waits_ = used.ru_nvcsw;
  forced_ = used.ru_nivcsw;
  busy_ = processor_time(used);
}

bool call_pool::bench::was_interrupted(time_point call_began) const {
  rusage used{};
  ::getrusage(RUSAGE_THREAD, &used);
  const auto busy = processor_time(used) - busy_ - (call_began - began_);
  return used.ru_nvcsw == waits_ && used.ru_nivcsw != forced_ && busy <= short_call;
}

void call_pool::entry::took(duration time) {
  const auto mean = static_cast<std::int64_t>(mean_ns.load(std::memory_order_relaxed));
  const auto ns = std::min<std::int64_t>(time.count(), 1'000'000'000);
  mean_ns.store(static_cast<std::uint32_t>(mean + (ns - mean) / 8), std::memory_order_relaxed);
  const int had = doubts.load(std::memory_order_relaxed);
  if (time > short_call)
    doubts.store(std::min(had + doubt, most_doubts), std::memory_order_relaxed);
  else if (had > 0 && may_be_short)
    doubts.store(had - 1, std::memory_order_relaxed);
}

call_pool::call_pool(unsigned slots, std::vector<method> methods, std::function<void()> wake)
    : wake_(std::move(wake)) {
  for (auto& m : methods) {
    methods_.emplace_back(std::move(m));
    methods_.back().doubts = first_doubts;
    if (methods_.back().open) methods_.back().may_be_short = false;
  }
  for (unsigned i = 0; i < helpers; ++i) helpers_[i].number = slots + i;
  threads_.reserve(slots);
  try {
    for (unsigned number = 0; number < slots; ++number)
      threads_.emplace_back([this, number] { run_slot(number); });
  } catch (...) {  // the system has no more threads for us
    stop();
    throw;
  }
}

call_pool::~call_pool() { stop(); }

// ---- From the loop

bool call_pool::give(std::vector<proto::start_calls> more, bool may_help) {
  const auto now = clock::now();
  const std::lock_guard held(mutex_);
  const bool short_wait = front_of(short_queue_) != nullptr;
  std::uint64_t short_calls = 0;
  std::uint64_t long_calls = 0;
  std::uint64_t estimate = 0;  // of the short ones, in nanoseconds
  for (auto& m : more) {
    auto group = std::make_shared<call_group>();
    group->from = m.from;
    group->calls = std::move(m.calls);
    group->method = m.method;
    group->deadline = m.deadline;
    group->given = now;
    if (group->size() == 0) continue;
    const entry& e = methods_[group->method];
    if (e.is_short()) {
      short_calls += group->size();
      estimate += std::uint64_t{e.mean_ns.load(std::memory_order_relaxed)} * group->size();
    } else {
      long_calls += group->size();
    }
    live_.push_back(group);
    (e.is_short() ? short_queue_ : queue_).push_back(std::move(group));
  }
  if (live_.size() > look_through_) {
    std::erase_if(live_, [](const auto& g) { return g->answered == g->size(); });
    look_through_ = std::max<std::size_t>(64, 2 * live_.size());
  }
  const bool tiny = estimate < short_calls * tiny_call_ns;
  const auto worth = static_cast<std::uint64_t>((tiny ? most_help_tiny : most_help).count());
  // What has been left to the slots before is theirs, and has the first turn.
  const bool help_now = may_help && !short_wait && short_calls > 0 && estimate <= worth;
  const auto for_slots = help_now ? 0 : std::min(short_calls, 1 + 2 * estimate / worth);
  wake_slots(long_calls + for_slots);
  return help_now;
}

bool call_pool::help(unsigned helper, bool last) {
  bench& at = helpers_[helper];
  auto now = clock::now();
  at.begin(now);
  const auto until = now + help_length;
  for (;;) {
    group_ptr group;
    {
      const std::lock_guard held(mutex_);
      group = front_of(short_queue_);
      if (!group) return false;
      const bool is_short = methods_[group->method].is_short();
      if (now >= until && is_short && !last) return true;
      if (now >= until || !is_short) {
        wake_slots(UINT64_MAX);
        return false;
      }
    }
    while (now < until && methods_[group->method].is_short()) {
      const auto index = group->next.fetch_add(1, std::memory_order_relaxed);
      if (index >= group->size()) break;
      now = run_one(group, index, at, now);
    }
  }
}

void call_pool::relieve() {
  const std::lock_guard held(mutex_);
  if (front()) wake_slots(UINT64_MAX);
}

void call_pool::take(call_news& out) {
  woken_.store(false);
  box_.take(out);
}

void call_pool::cancel(const proto::call_key& key) {
  const std::lock_guard held(mutex_);
  for (const auto& g : live_)
    if (g->from == key.from && g->calls.first <= key.call && key.call <= g->calls.last())
      g->stop(static_cast<std::uint32_t>(key.call - g->calls.first));
  if (const auto s = streams_.find(key); s != streams_.end()) resume(s->second);
}

void call_pool::grant(const proto::call_key& key, std::uint64_t until,
                      std::uint64_t until_bytes) {
  const std::lock_guard held(mutex_);
  const auto found = streams_.find(key);
  if (found == streams_.end()) return;
  open_stream& s = *found->second;
  if (s.until >= until && s.until_bytes >= until_bytes) return;
  s.until = std::max(s.until.load(), until);
  s.until_bytes = std::max(s.until_bytes.load(), until_bytes);
  resume(found->second);
}

void call_pool::resume(const std::shared_ptr<open_stream>& s) {
  if (!std::exchange(s->parked, false)) return;
  ready_.push_back(s);
  ++ready_count_;
  work_.notify_one();
}

void call_pool::tick(time_point now) {
  const std::lock_guard held(mutex_);
  if (now < stream_deadline_) return;
  stream_deadline_ = time_point::max();
  for (const auto& [key, s] : streams_) {
    if (s->group->deadline <= now)
      resume(s);
    else
      stream_deadline_ = std::min(stream_deadline_, s->group->deadline);
  }
}

time_point call_pool::next_deadline() const {
  const std::lock_guard held(mutex_);
  return stream_deadline_;
}

void call_pool::stop_all() {
  leaving_ = true;
  const std::lock_guard held(mutex_);
  for (const auto& g : live_) g->stop_all();
  for (const auto& [key, s] : streams_) resume(s);
}

void call_pool::stop() {
  stop_all();
  {
    const std::lock_guard held(mutex_);
    stopping_ = true;
  }
  work_.notify_all();
  for (auto& t : threads_)
    if (t.joinable()) t.join();
}

void call_pool::wake_slots(std::uint64_t calls) {
  if (calls >= idle_) return work_.notify_all();
  for (; calls > 0; --calls) work_.notify_one();
}

call_pool::group_ptr call_pool::front_of(std::deque<group_ptr>& queue) {
  while (!queue.empty()) {
    const auto& g = queue.front();
    if (g->next.load(std::memory_order_relaxed) < g->size()) return g;
    queue.pop_front();
  }
  return {};
}

/// The oldest of all.
call_pool::group_ptr call_pool::front() {
  auto short_one = front_of(short_queue_);
  auto other = front_of(queue_);
  if (!short_one || !other) return short_one ? short_one : other;
  return short_one->given <= other->given ? short_one : other;
}

// ---- To the loop

void call_pool::wake_loop() {
  if (!woken_.exchange(true)) wake_();
}

void call_pool::wake_if_due(time_point now, bool more_to_do) {
  const auto since = waiting_since();
  if (since == time_point::max() || (more_to_do && now - since < gather_length)) return;
  wake_loop();
}

void call_pool::report(const proto::call_key& key, std::uint64_t done, std::uint64_t total,
                       std::string_view text) {
  box_.report(key, done, total, text);
  const auto now = clock::now().time_since_epoch().count();
  auto last = last_report_wake_.load(std::memory_order_relaxed);
  if (now - last < duration(report_interval).count()) return;
  if (last_report_wake_.compare_exchange_strong(last, now)) wake_loop();
}

// ---- Slots

void call_pool::run_slot(unsigned number) {
  // Signals are for the program's own threads, and a child is spawned with none pending.
  sigset_t all;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, nullptr);
  ::pthread_setname_np(::pthread_self(),
                       std::string("weir-call-").append(std::to_string(number)).c_str());
  bench at;
  at.number = number;
  bool stream_had_turn = false;
  std::unique_lock held(mutex_);
  for (;;) {
    const auto group = front();
    if (!ready_.empty() && (!group || !std::exchange(stream_had_turn, true))) {
      const auto s = std::move(ready_.front());
      ready_.pop_front();
      --ready_count_;
      held.unlock();
      run_stream(s, at);
      wake_if_due(clock::now(), false);
      held.lock();
      continue;
    }
    stream_had_turn = false;
    if (group) {
      held.unlock();
      auto now = clock::now();
      work_on(group, at, now);
      held.lock();
      const bool more = front() != nullptr;
      held.unlock();
      wake_if_due(now, more);
      held.lock();
      continue;
    }
    // Streams end before the threads do.
    if (stopping_ && streams_.empty()) return;
    ++idle_;
    work_.wait(held);
    --idle_;
  }
}

void call_pool::work_on(const group_ptr& group, bench& at, time_point& now) {
  entry& m = methods_[group->method];
  if (m.may_be_short) at.begin(now);
  for (;;) {
    // Nothing that is done waits behind what may take long.
    if (!m.is_short()) wake_if_due(now, false);
    const auto index = group->next.fetch_add(1, std::memory_order_relaxed);
    if (index >= group->size()) return;
    now = run_one(group, index, at, now);
    wake_if_due(now, true);
    if (ready_count_.load(std::memory_order_relaxed) > 0) return;
  }
}

time_point call_pool::run_one(const group_ptr& group, std::uint32_t index, bench& at,
                              time_point now) {
  if (group->stopped(index)) {
    if (leaving_.load(std::memory_order_relaxed))
      refuse(*group, index, status::unavailable, "the worker is leaving", now);
    else
      refuse(*group, index, status::cancelled, "cancelled before it started", now);
    return now;
  }
  if (now >= group->deadline) {
    refuse(*group, index, status::deadline_exceeded, "expired before it started", now);
    return now;
  }
  entry& m = methods_[group->method];
  if (m.open) {
    start_stream(group, index, at, now);
    return clock::now();
  }
  call handle(*group, index, *this, at.number);
  call_context context(handle);
  status code = status::ok;
  std::unique_ptr<proto::reply_details> details;
  at.scratch.clear();
  try {
    const call_scope scope(handle);
    m.run(context, handle.arguments(), at.scratch);
    if (at.scratch.size() > proto::limits::payload_bytes)
      throw rpc_error(status::resource_exhausted,
                      "the result has " + std::to_string(at.scratch.size()) +
                          " bytes, and no message carries more than " +
                          std::to_string(proto::limits::payload_bytes));
  } catch (...) {
    details = std::make_unique<proto::reply_details>();
    code = describe_exception(*details);
    at.scratch.clear();
  }
  const auto end = clock::now();
  // A processor that was taken away says nothing about the method.
  if (end - now <= short_call || !m.may_be_short || !at.was_interrupted(now)) m.took(end - now);
  box_.answer(handle.key(), code, at.scratch, std::move(details),
              answer_box::timing::of(now - group->given, end - now), end);
  group->answered.fetch_add(1, std::memory_order_relaxed);
  if (at.scratch.capacity() > kept_scratch) std::string().swap(at.scratch);
  return end;
}

void call_pool::refuse(call_group& group, std::uint32_t index, status code, std::string why,
                       time_point now) {
  auto details = std::make_unique<proto::reply_details>();
  details->message = std::move(why);
  details->never_started = true;
  std::string nothing;
  box_.answer(group.key(index), code, nothing, std::move(details),
              answer_box::timing::of(now - group.given, {}), now);
  group.answered.fetch_add(1, std::memory_order_relaxed);
}

}  // namespace weir::exec
