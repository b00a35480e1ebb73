// Calls on their way to the workers.
#include "proto/rpc/builtins.hpp"
#include "proto/rpc/gateway_state.hpp"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <utility>

namespace weir::proto {
namespace {
/// What is worth handing to another worker: about as much work as a message costs.
constexpr double piece_us = 50;
constexpr std::uint64_t largest_piece = 64;
/// Calls stay with one worker while it has no more to do than this: about what it takes to wake
/// another. In calls, for those that take next to nothing: a row that long costs its message
/// nothing any more.
constexpr double stay_us = 100;
constexpr std::uint64_t largest_stay = 256;
/// With something in hand and nothing answered for so long it hangs, or is slower than it was.
constexpr duration hangs_after = std::chrono::milliseconds(1);
/// A call that would wait for longer than this part of its time is refused: what comes up with
/// no time left to run would only keep those behind it waiting.
constexpr int part_for_waiting = 2;
constexpr std::uint32_t longest_retry_ms = 60'000;
constexpr std::uint32_t unknown_retry_ms = 100;

std::uint64_t piece_of(const method_record& m) {
  const histogram& service = m.stats.latency.service;
  if (service.count() == 0) return 1;
  const double calls = piece_us / std::max(service.mean(), 0.1);
  return static_cast<std::uint64_t>(std::clamp(calls, 1.0, static_cast<double>(largest_piece)));
}

/// How many more calls of this method may stay with this worker.
std::uint64_t stay_of(const method_record& m, const worker_record& w, std::uint64_t in_hand,
                      time_point now) {
  if (in_hand > 0 && now - w.moved > hangs_after) return 0;
  const histogram& service = m.stats.latency.service;
  if (service.count() == 0 || in_hand >= largest_stay || w.work_us >= stay_us) return 0;
  const double calls = (stay_us - w.work_us) / std::max(service.mean(), 0.1);
  return static_cast<std::uint64_t>(
      std::min(calls, static_cast<double>(largest_stay - in_hand)));
}

std::uint32_t retry_after(double seconds) {
  return static_cast<std::uint32_t>(
      std::clamp(std::ceil(seconds * 1e3), 1.0, static_cast<double>(longest_retry_ms)));
}
}  // namespace

void gateway_state::on_calls(session_id from, call_batch&& batch, time_point now,
                             gateway_outbox& out) {
  std::vector<call_key> unwanted;
  auto fresh = clients_.on_calls(from, std::move(batch), now, &unwanted);
  // It may call again elsewhere: what it has a key for goes on, and so do notifications.
  if (!unwanted.empty()) cancel_all(unwanted, "given up", cause::client_gone, now);
  const bool stalled = !fresh.empty() && links_.stalled(from);
  for (auto& t : fresh) {
    call_run& run = t.calls;
    const std::uint64_t n = run.arguments.size();
    const auto number = slots_.open(from, run.first, n);
    if (!number) {
      reply_run refusal = failed(n, {status::resource_exhausted, "too many calls", true, 0});
      refusal.first = run.first;
      clients_.reply(from, std::move(refusal));
      continue;
    }
    slots_.taking(*number).stalled = stalled;  // it may have been so before its first call
    if (run.method.starts_with(builtin_prefix)) {
      answer_builtin(from, std::move(run), *number, t.deadline, now, out);
      continue;
    }
    calls c{&directory_.method(run.method, now),
            *number,
            {std::move(run.arguments), t.deadline, now, std::move(run.options)}};
    c.method->stats.calls += n;
    counts_.received += n;
    if (draining_)
      fail(c, {status::unavailable, "the gateway is leaving", true, 0}, now);
    else
      accept(std::move(c), now);
  }
}

void gateway_state::accept(calls c, time_point now) {
  if (c.what.options && !c.key().empty()) {
    for (std::uint64_t i = 0; i < c.size(); ++i) accept_with_key(c.slice(i, 1), now);
  } else if (c.method->info.cache_ms > 0 && !c.streams() && !c.no_reply()) {
    accept_cacheable(std::move(c), now);
  } else {
    hand_over(std::move(c), now);
  }
}

void gateway_state::accept_with_key(calls c, time_point now) {
  using state = reply_cache<std::uint64_t>::state;
  const auto found = replies_.look(c.method->name, c.key(), c.what.arguments[0], c.number,
                                   c.what.options->attempt, now);
  switch (found.what) {
    case state::fresh:
      hand_over(std::move(c), now);
      break;
    case state::joined:
      // It waits for one that must not wait for its own client.
      c.method->queue.resume_call(found.leader);
      joined_.emplace(c.number, std::move(c));
      break;
    case state::answered:
      answer_known(c, *found.reply);
      break;
    case state::misused:
      fail(c,
           {status::failed_precondition, "the idempotency key was used with other arguments",
            true, 0},
           now);
      break;
  }
}

void gateway_state::accept_cacheable(calls c, time_point now) {
  // Runs of those that are known, and of those that are not, one after the other.
  pack_builder known;
  std::uint64_t from = 0;
  const auto answer_known = [&](std::uint64_t past) {
    if (known.empty()) return;
    reply_run reply;
    reply.results = known.take();
    const std::uint64_t n = reply.results.size();
    c.method->stats.cached += n;
    counts_.cached += n;
    counts_.answered += n;
    answer(c.number + past - n, n, std::move(reply));
  };
  for (std::uint64_t i = 0; i <= c.size(); ++i) {
    const pack* result =
        i < c.size() ? results_.find(c.method->name,
                                     c.what.arguments[static_cast<std::uint32_t>(i)], now)
                     : nullptr;
    // What is too much goes the way of those that are not known: that has bounds.
    if (result && slots_.taking(c.number).takes_known(round_, result->bytes())) {
      if (known.bytes() + result->bytes() > limits::batch_bytes) answer_known(i);
      if (known.empty() && i > from) hand_over(c.slice(from, i - from), now);
      known.add((*result)[0]);
      from = i + 1;
    } else {
      answer_known(i);
      if (i == c.size() && i > from) hand_over(c.slice(from, i - from), now);
    }
  }
}

gateway_state::failure gateway_state::no_worker(const method_record& m) const {
  if (m.known) return {status::unavailable, "no worker offers " + m.name + " now", true, 0};
  return {status::not_found, "no worker has ever offered " + m.name, true, 0};
}

void gateway_state::hand_over(calls c, time_point now) {
  method_record& m = *c.method;
  if (m.workers.empty() && options_.wait <= duration{}) return fail(c, no_worker(m), now);
  if (m.workers.empty() && !m.known && !m.waiting && stranded_.size() >= most_stranded)
    return fail(c,
                {status::resource_exhausted,
                 "too many methods that no worker has ever offered are waited for", true,
                 unknown_retry_ms},
                now);
  if (m.queue.ready() == 0 && !m.workers.empty()) {
    const std::uint64_t may = aside_.contains(call_slots::place_of(c.number)) ? 0 : may_go(c);
    const std::uint64_t sent = may == c.size() ? give(c, now)
                               : may == 0      ? 0
                                               : give(c.slice(0, may), now);
    if (sent == c.size()) return;
    if (sent > 0) c = c.slice(sent, c.size() - sent);
  }
  enqueue(std::move(c), now);
}

std::optional<gateway_state::failure> gateway_state::overload(const calls& c,
                                                              time_point now) const {
  const method_queue& queue = c.method->queue;
  if (queue.capacity() <= 0) return std::nullopt;
  const double wait = static_cast<double>(queue.ahead_of(c.what.priority())) / queue.capacity();
  const double time = std::chrono::duration<double>(c.what.deadline - now).count();
  if (wait <= time / part_for_waiting) return std::nullopt;
  return failure{status::resource_exhausted, "overloaded", true, retry_after(wait)};
}

void gateway_state::enqueue(calls c, time_point now) {
  method_record& m = *c.method;
  const auto reject = [&](const calls& those, const failure& why) {
    m.stats.rejected += those.size();
    counts_.rejected += those.size();
    fail(those, why, now);
  };
  if (const auto why = overload(c, now)) return reject(c, *why);
  std::uint64_t fits = m.queue.fits(c.what.arguments);
  if (fits < c.size()) {
    const double rate =
        m.queue.capacity() > 0 ? m.queue.capacity() : m.stats.answered.per_second(now);
    const failure full{
        status::resource_exhausted, "the queue is full", true,
        rate > 0 ? retry_after(static_cast<double>(m.queue.ready()) / rate) : unknown_retry_ms};
    for (auto& [first, less_urgent] :
         m.queue.displace(c.what.priority(), c.size(), c.what.arguments.bytes()))
      reject({&m, first, std::move(less_urgent)}, full);
    fits = m.queue.fits(c.what.arguments);
    if (fits < c.size()) reject(c.slice(fits, c.size() - fits), full);
    if (fits == 0) return;
    if (fits < c.size()) c = c.slice(0, fits);
  }
  queue(std::move(c), method_queue::end::back, now);
}

void gateway_state::queue(calls c, method_queue::end where, time_point now) {
  method_record& m = *c.method;
  m.queue.push(c.number, std::move(c.what), now, where);
  if (!std::exchange(m.waiting, true)) (m.workers.empty() ? stranded_ : waiting_).push_back(&m);
  if (m.workers.empty()) look_at_ = std::min(look_at_, look_at(m));
}

std::uint64_t gateway_state::give(const calls& c, time_point now) {
  method_record& m = *c.method;
  if (c.what.deadline <= now) return 0;
  if (m.workers.size() == 1) {
    const std::uint64_t n = workers_.fits(m.workers[0]->id, c.what.arguments);
    if (n > 0) send(*m.workers[0], n == c.size() ? c : c.slice(0, n), now);
    return n;
  }
  std::vector<candidate> able;
  able.reserve(m.workers.size());
  for (const worker_record* w : m.workers)
    able.push_back({w->id, workers_.in_hand(w->id), std::max<std::uint64_t>(1, w->window),
                    workers_.fits(w->id, c.what.arguments),
                    std::max<std::uint32_t>(1, w->info.slots)});
  candidate& first = able[m.first % able.size()];
  first.stay = stay_of(m, *m.workers[m.first % able.size()], first.in_hand, now);
  // One that has just refused calls has the most room of all, and would get them all again.
  const auto refuses = [&](std::size_t i) { return now < m.workers[i]->shunned_until; };
  bool others = false;
  for (std::size_t i = 0; i < able.size(); ++i)
    others = others || (able[i].room > 0 && !refuses(i));
  for (std::size_t i = 0; others && i < able.size(); ++i)
    if (refuses(i)) able[i].room = 0;  // nor does anything stay with it
  const bool keyed = c.what.options && !c.what.options->hash_key.empty();
  const std::vector<share> shares = keyed
                                        ? share_by_key(able, c.size(), c.what.options->hash_key)
                                        : share_out(able, c.size(), piece_of(m), m.first);
  std::uint64_t sent = 0;
  for (const share& s : shares) {
    worker_record& w = *m.workers[s.to];
    const calls piece = s.calls == c.size() ? c : c.slice(sent, s.calls);
    // What was said to fit was the first calls of all; these may be longer.
    const std::uint64_t n = workers_.fits(w.id, piece.what.arguments);
    if (n > 0) send(w, n == piece.size() ? piece : piece.slice(0, n), now);
    sent += n;
    m.first = s.to;
  }
  return sent;
}

void gateway_state::send(worker_record& to, const calls& c, time_point now) {
  if (workers_.in_hand(to.id) == 0) to.moved = now;
  const std::uint64_t n = c.size();
  caller::flight f;
  f.number = c.number;
  f.method = c.method->name;
  f.arguments = c.what.arguments;
  f.deadline = c.what.deadline;
  f.options = c.what.options;
  f.arrived = c.what.arrived;
  workers_.send(to.id, std::move(f));
  if (c.no_reply()) {
    // Nothing more is heard of it.
    reply_run none;
    none.results = pack({}, static_cast<std::uint32_t>(n), 0);
    answer(c.number, n, std::move(none));
    return;
  }
  c.method->running += n;
  counts_.running += n;
  to.work_us += c.method->expected_us(n);
  slots_.taking(c.number).away += n;
  if (!c.key().empty()) leaders_[c.number] = c.key();
}

void gateway_state::dispatch(method_record& m, time_point now) {
  while (!m.queue.empty()) {
    std::uint64_t room = 0;
    for (const worker_record* w : m.workers) {
      room += workers_.room_of(w->id).calls;
      if (room >= m.queue.size()) break;
    }
    auto next = pop_aside(m, room);
    const bool was_aside = next.has_value();
    if (!next) next = m.queue.pop(room);
    if (!next) return;
    calls c{&m, next->first, std::move(next->second)};
    if (const std::uint64_t may = may_go(c); may < c.size()) {
      set_aside(c.slice(may, c.size() - may));
      if (may == 0) continue;
      c = c.slice(0, may);
    }
    const std::uint64_t sent = give(c, now);
    m.queue.served(sent, now);
    if (sent == c.size()) continue;
    calls rest = c.slice(sent, c.size() - sent);
    if (was_aside)
      set_aside(std::move(rest));
    else
      m.queue.push(rest.number, rest.what, now, method_queue::end::front);
    return;
  }
}

/// How many of these, from the front, have replies that their client can be expected to take.
/// With a key it may be others that wait for it.
std::uint64_t gateway_state::may_go(const calls& c) const {
  if (c.no_reply() || call_slots::is_own(c.number)) return c.size();
  if (!c.key().empty() && replies_.followers(c.method->name, c.key()) > 0) return c.size();
  return std::min(c.size(), slots_.taking(c.number).calls(c.method->reply_bytes));
}

void gateway_state::set_aside(calls c) {
  const std::uint64_t place = call_slots::place_of(c.number);
  aside_.insert(place);
  c.method->queue.set_aside(place, c.number, std::move(c.what));
}

/// Calls whose client has read what it was sent. Clients take turns.
std::optional<method_queue::run> gateway_state::pop_aside(method_record& m,
                                                          std::uint64_t room) {
  auto next = aside_.upper_bound(aside_turn_);
  for (std::size_t left = aside_.size(); left > 0; --left, ++next) {
    if (next == aside_.end()) next = aside_.begin();
    const std::uint64_t may = slots_.taking_at(*next).calls(m.reply_bytes);
    if (auto run = m.queue.pop_aside(*next, std::min(room, may))) {
      aside_turn_ = *next;
      return run;
    }
  }
  return std::nullopt;
}

/// Their clients may read on long after the gateway meant to end.
void gateway_state::send_stalled_home(time_point now) {
  const failure leaving{status::unavailable, "the gateway is leaving", true, 0};
  for (const std::uint64_t place : aside_) {
    if (!slots_.taking_at(place).stalled) continue;
    for (std::size_t i = 0; i < waiting_.size(); ++i)
      for (auto& [first, run] : waiting_[i]->queue.take_aside(place))
        fail({waiting_[i], first, std::move(run)}, leaving, now);
  }
}

void gateway_state::look_aside() {
  std::erase_if(aside_, [this](std::uint64_t place) {
    return std::none_of(waiting_.begin(), waiting_.end(),
                        [place](const auto* m) { return m->queue.has_aside(place); });
  });
}

void gateway_state::came_back(method_record& m, std::uint64_t number, std::uint64_t count) {
  m.running -= count;
  counts_.running -= count;
  slots_.taking(number).away -= count;
}

void gateway_state::give_up_waiting(method_record& m, time_point now) {
  if (!m.workers.empty() || now < m.without_since + options_.wait) return;
  // Again and again: a call that fails makes those with the same key take its place.
  for (auto late = m.queue.arrived_by(now - options_.wait); !late.empty();
       late = m.queue.arrived_by(now - options_.wait))
    for (auto& [first, run] : late) fail({&m, first, std::move(run)}, no_worker(m), now);
}

void gateway_state::expire(method_record& m, time_point now) {
  if (m.queue.next_expiry() > now) return;
  for (auto& [first, run] : m.queue.expire(now)) {
    m.stats.expired += run.size();
    counts_.expired += run.size();
    fail({&m, first, std::move(run)},
         {status::deadline_exceeded, "no worker was free in time", true, 0}, now);
  }
}

/// Workers have come or gone.
void gateway_state::sort_queues(time_point now) {
  sort_ = false;
  waiting_.insert(waiting_.end(), stranded_.begin(), stranded_.end());
  const auto served = std::stable_partition(waiting_.begin(), waiting_.end(),
                                            [](const auto* m) { return !m->workers.empty(); });
  stranded_.assign(served, waiting_.end());
  waiting_.erase(served, waiting_.end());
  // Without a worker it is not for their client that calls wait.
  for (method_record* m : stranded_)
    for (const std::uint64_t place : aside_)
      if (m->queue.has_aside(place)) m->queue.resume(place, m->queue.size());
  look_at_ = now;
}

/// When something is to be done about a method without workers, at the earliest.
time_point gateway_state::look_at(method_record& m) const {
  const time_point expiry = m.queue.next_expiry();
  if (m.queue.ready() == 0) return expiry;
  return std::min(expiry, std::max(m.queue.oldest(), m.without_since) + options_.wait);
}

void gateway_state::look_at_stranded(time_point now) {
  for (std::size_t i = 0; i < stranded_.size(); ++i) {
    expire(*stranded_[i], now);
    give_up_waiting(*stranded_[i], now);
  }
  look_at_ = time_point::max();
  std::erase_if(stranded_, [this](method_record* m) {
    m->waiting = !m->queue.empty();
    if (m->waiting) look_at_ = std::min(look_at_, look_at(*m));
    return !m->waiting;
  });
}

void gateway_state::serve_queues(time_point now) {
  if (sort_) sort_queues(now);
  if (look_at_ <= now) look_at_stranded(now);
  for (std::size_t i = 0; i < waiting_.size(); ++i) expire(*waiting_[i], now);
  std::erase_if(waiting_, [](method_record* m) {
    m->waiting = !m->queue.empty();
    return !m->waiting;
  });
  // Methods take turns at the room of workers that they share, the more urgent calls first.
  std::vector<method_record*> order = waiting_;
  if (order.size() > 1) {
    std::rotate(order.begin(),
                order.begin() + static_cast<std::ptrdiff_t>(turn_++ % order.size()),
                order.end());
    std::stable_sort(order.begin(), order.end(), [](const auto* a, const auto* b) {
      return a->queue.top_priority() > b->queue.top_priority();
    });
  }
  for (method_record* m : order) dispatch(*m, now);
}

}  // namespace weir::proto
