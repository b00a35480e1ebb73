// Replies on their way to the clients; calls that end otherwise.
#include "proto/rpc/builtins.hpp"
#include "proto/rpc/gateway_state.hpp"
#include "proto/rpc/reply_batches.hpp"

#include <algorithm>
#include <utility>

namespace weir::proto {
namespace {
bool never_started(const reply_run& reply, std::uint64_t i) {
  return !reply.details.empty() && reply.details[i].never_started;
}

/// Whether another worker may take what this one has refused. A mistake is one everywhere: a
/// key that only this one knows to be of something else would be run by the others.
bool may_be_taken(const reply_run& reply, std::uint64_t i) {
  return never_started(reply, i) && reply.code != status::invalid_argument &&
         reply.code != status::failed_precondition;
}

/// For how long a worker that has refused calls is asked last.
constexpr duration shunned = std::chrono::milliseconds(100);
}  // namespace

// What workers say

void gateway_state::settle_arrivals(time_point now) {
  if (in_.empty()) return;
  caller::arrivals news = std::exchange(in_, {});
  for (auto& p : news.parts) {
    begun_.insert(p.number);
    if (clients_.part(slots_.key_of(p.number), std::move(p.part.elements)) ==
        callee::not_wanted)
      cancel({p.number, p.number}, "its elements are not wanted", cause::cancelled, now);
  }
  for (auto& r : news.reports)
    clients_.progress(slots_.key_of(r.number), r.report.done, r.report.total,
                      std::move(r.report.text));
  for (auto& a : news.answers) on_answers(a, now);
}

gateway_state::calls gateway_state::calls_of(caller::flight f, time_point now) {
  return {&directory_.method(f.method, now),
          f.number,
          {std::move(f.arguments), f.deadline, f.arrived, std::move(f.options)}};
}

void gateway_state::on_answers(caller::answered& a, time_point now) {
  if (a.calls.method.starts_with(builtin_prefix)) return;  // our own, nobody waits for it
  method_record& m = directory_.method(a.calls.method, now);
  const std::uint64_t n = a.calls.size();
  came_back(m, a.calls.number, n);
  worker_record* const w = directory_.worker(a.from);
  // What it was reckoned at when it was sent is not known any more: wrong by how the mean has
  // moved, and put right whenever nothing is left.
  if (w) {
    w->work_us =
        workers_.in_hand(w->id) == 0 ? 0 : std::max(0.0, w->work_us - m.expected_us(n));
    w->moved = now;
  }
  if (a.reply.code == status::ok) {
    const std::size_t each = a.reply.results.bytes() / n;
    slots_.taking(a.calls.number).answered(each);
    m.reply_bytes += (static_cast<double>(each) - m.reply_bytes) / 8;
  }
  if (!never_started(a.reply, 0)) {
    m.stats.answered.add(n, now);
    measure(a, m, now);
    if (better_elsewhere(a.reply)) ++m.first;
  } else if (w && may_be_taken(a.reply, 0)) {
    w->shunned_until = now + shunned;
  }
  if (a.reply.code == status::ok) {
    conclude(calls_of(std::move(a.calls), now), std::move(a.reply), now);
    return;
  }
  const calls all = calls_of(std::move(a.calls), now);
  const bool together = uniform(all);
  for (std::uint64_t i = 0; i < n;) {
    std::uint64_t past = i + 1;
    while (together && past < n && never_started(a.reply, past) == never_started(a.reply, i))
      ++past;
    const calls c = all.slice(i, past - i);
    if (may_be_taken(a.reply, i) && may_retry(c, true, now))
      retry(c, now);
    else
      conclude(c, part_of_run(a.reply, i, past - i), now);
    i = past;
  }
}

void gateway_state::measure(const caller::answered& a, method_record& m, time_point now) {
  using std::chrono::microseconds;
  const std::uint64_t n = a.calls.size();
  const duration queued = microseconds(a.reply.queued_us);
  const duration service = microseconds(a.reply.service_us);
  auto& latency = m.stats.latency;
  latency.queue.record(a.calls.sent - a.calls.arrived + queued, n);
  latency.service.record(service, n);
  latency.total.record(now - a.calls.arrived, n);
  worker_record* w = directory_.worker(a.from);
  if (!w || a.reply.received_us == 0) return;
  const duration received = microseconds(a.reply.received_us);
  const auto legs = w->clock.sample(a.calls.sent, received, received + queued + service, now);
  latency.request.record(legs.request, n);
  latency.response.record(legs.response, n);
}

// Again, or the end

/// Whether these calls have one fate: none is cancelled, none is a stream with a state.
bool gateway_state::uniform(const calls& c) const {
  if (c.streams()) return c.size() == 1;
  const auto first = cancelled_.lower_bound(c.number);
  return c.size() == 1 || first == cancelled_.end() || *first >= c.number + c.size();
}

bool gateway_state::may_retry(const calls& c, bool never_started, time_point now) const {
  const std::uint32_t attempt = c.what.options ? c.what.options->attempt : 1;
  if (attempt >= options_.max_attempts || c.what.deadline <= now) return false;
  if (cancelled_.contains(c.number) || begun_.contains(c.number)) return false;
  return never_started || c.method->idempotent() ||
         (c.what.options && !c.what.options->idempotency_key.empty());
}

void gateway_state::retry(calls c, time_point now) {
  method_record& m = *c.method;
  if (m.workers.empty() && options_.wait <= duration{}) return fail(c, no_worker(m), now);
  auto again =
      std::make_shared<call_options>(c.what.options ? *c.what.options : call_options{});
  ++again->attempt;
  c.what.options = std::move(again);
  m.stats.retried += c.size();
  counts_.retried += c.size();
  leaders_.erase(c.number);
  queue(std::move(c), method_queue::end::front, now);
}

reply_run gateway_state::failed(std::uint64_t count, const failure& why) const {
  reply_run reply;
  reply.code = why.code;
  reply.results = pack({}, static_cast<std::uint32_t>(count), 0);
  reply_details details;
  details.message = why.message;
  details.never_started = why.never_started;
  details.retry_ms = why.retry_ms;
  reply.details.assign(count, details);
  return reply;
}

void gateway_state::fail(const calls& c, const failure& why, time_point now) {
  conclude(c, failed(c.size(), why), now);
}

void gateway_state::conclude(const calls& c, reply_run reply, time_point now) {
  const std::uint64_t n = c.size();
  if (!cancelled_.empty())
    cancelled_.erase(cancelled_.lower_bound(c.number), cancelled_.lower_bound(c.number + n));
  if (!begun_.empty())
    begun_.erase(begun_.lower_bound(c.number), begun_.lower_bound(c.number + n));
  if (reply.code == status::ok) {
    counts_.answered += n;
    const auto cache_ms = c.method->info.cache_ms;
    if (cache_ms > 0 && !c.streams())
      for (std::uint32_t i = 0; i < n; ++i)
        results_.keep(c.method->name, c.what.arguments[i], reply.results[i],
                      std::chrono::milliseconds(cache_ms), now);
  } else {
    counts_.failed += n;
    c.method->stats.errors += n;
    const std::string me = my_name();
    reply.details.resize(n);
    for (reply_details& d : reply.details) d.trace = d.trace.empty() ? me : me + " " + d.trace;
  }
  if (!c.key().empty()) {
    leaders_.erase(c.number);
    share_reply(c, reply, now);
  }
  answer(c.number, n, std::move(reply));
}

void gateway_state::share_reply(const calls& c, const reply_run& reply, time_point now) {
  const auto others = replies_.settle(c.method->name, c.key(), c.number, reply, now);
  for (const std::uint64_t number : others.calls) {
    const auto it = joined_.find(number);
    if (it == joined_.end()) continue;
    calls follower = std::move(it->second);
    joined_.erase(it);
    if (others.run_next && follower.what.deadline > now) {
      accept(std::move(follower), now);
      continue;
    }
    answer_known(follower, reply);
  }
}

/// With the reply that another call of the same key has got.
void gateway_state::answer_known(const calls& c, const reply_run& reply) {
  ++c.method->stats.cached;
  ++counts_.cached;
  if (reply.code == status::ok) {
    ++counts_.answered;
  } else {
    ++counts_.failed;
    ++c.method->stats.errors;
  }
  answer(c.number, 1, reply);
}

void gateway_state::answer(std::uint64_t number, std::uint64_t count, reply_run reply) {
  const call_key key = slots_.key_of(number);
  slots_.close(number, count);
  if (!call_slots::is_own(number)) {
    reply.first = key.call;
    clients_.reply(key.from, std::move(reply));
    return;
  }
  const auto it = placed_.find(number);
  if (it == placed_.end()) return;
  const placed p = it->second;
  placed_.erase(it);
  tags_.erase(p.tag);
  placed_until_.erase({p.deadline, number});
  reply.first = p.tag;
  outcomes_.push_back({p.tag, std::move(reply)});
}

// Cancelling

void gateway_state::cancel_all(const std::vector<call_key>& keys, const std::string& reason,
                               cause why, time_point now) {
  for (std::size_t i = 0; i < keys.size();) {
    std::size_t past = i + 1;
    while (past < keys.size() && keys[past].from == keys[i].from &&
           keys[past].call == keys[past - 1].call + 1)
      ++past;
    const std::uint64_t n = past - i;
    const auto first = slots_.find(keys[i]);
    if (first) {
      const auto last = admin_.upper_bound(keys[past - 1]);
      for (auto it = admin_.lower_bound(keys[i]); it != last;) {
        abandoned_.push_back(it->first);
        const std::uint64_t number = it->second.number;
        it = admin_.erase(it);
        answer(number, 1, failed(1, {status::cancelled, reason, false, 0}));
      }
      cancel({*first, *first + n - 1}, reason, why, now);
    }
    i = past;
  }
}

void gateway_state::cancel(seq_range numbers, const std::string& reason, cause why,
                           time_point now) {
  const failure stopped{status::cancelled, reason, true, 0};
  // A client that leaves has told of its notifications all that it had to.
  const auto which =
      why == cause::client_gone ? method_queue::which::awaited : method_queue::which::all;
  for (auto* some : {&waiting_, &stranded_})
    for (std::size_t i = 0; i < some->size(); ++i)
      for (auto& [first, run] : (*some)[i]->queue.take(numbers, which)) {
        if (some == &stranded_) look_at_ = now;  // its queue may be empty now
        fail({(*some)[i], first, std::move(run)}, stopped, now);
      }
  for (auto it = joined_.lower_bound(numbers.first);
       it != joined_.end() && it->first <= numbers.last;) {
    const calls c = std::move(it->second);
    it = joined_.erase(it);
    replies_.leave(c.method->name, c.key(), c.number);
    fail(c, stopped, now);
  }
  // A call with a key goes on while others wait for its reply, or its client may come back for
  // it.
  std::uint64_t next = numbers.first;
  for (auto it = leaders_.lower_bound(numbers.first);
       it != leaders_.end() && it->first <= numbers.last; ++it) {
    const std::uint64_t number = it->first;
    if (why == cause::cancelled) {
      const auto here = workers_.in_flight({number, number});
      const std::string method = here.empty() ? std::string() : here[0].calls.method;
      if (replies_.followers(method, it->second) == 0) continue;
      const call_key key = slots_.key_of(number);
      reply_run reply = failed(1, {status::cancelled, reason, false, 0});
      reply.first = key.call;
      clients_.reply(key.from, std::move(reply));
    }
    if (number > next) cancel_at_workers({next, number - 1}, reason, now);
    next = number + 1;
  }
  if (next <= numbers.last) cancel_at_workers({next, numbers.last}, reason, now);
}

void gateway_state::cancel_at_workers(seq_range numbers, const std::string& reason,
                                      time_point now) {
  for (auto& f : workers_.cancel(numbers, reason, in_)) {
    if (f.no_reply()) continue;
    const calls c = calls_of(std::move(f), now);
    came_back(*c.method, c.number, c.size());
    fail(c, {status::cancelled, reason, true, 0}, now);
  }
  for (const auto& h : workers_.in_flight(numbers))
    for (std::uint64_t n = h.calls.number; n <= h.calls.last(); ++n) cancelled_.insert(n);
  settle_arrivals(now);
}

}  // namespace weir::proto
