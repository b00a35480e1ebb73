#include "proto/rpc/service_state.hpp"

#include "proto/limits.hpp"
#include "proto/peer_text.hpp"
#include "proto/rpc/builtins.hpp"
#include "proto/rpc/reply_batches.hpp"

#include <algorithm>
#include <utility>

namespace weir::proto {
namespace {
/// What is handed to the slots at a time. Beyond it calls stay here, where priorities count.
constexpr duration start_span = std::chrono::milliseconds(5);
/// The queue is looked through for expired calls at most so often.
constexpr duration expiry_interval = std::chrono::milliseconds(2);
/// Gateways hear of direct calls at most so often.
constexpr duration direct_interval = std::chrono::seconds(1);

std::vector<std::uint32_t> at_a_time(const std::vector<method_info>& methods) {
  std::vector<std::uint32_t> limits;
  limits.reserve(methods.size());
  for (const auto& m : methods) limits.push_back(m.concurrency);
  return limits;
}

callee::limits_type limits_of(const service_state::options& o) {
  callee::limits_type limits;
  limits.window_calls = std::max<std::uint64_t>(o.max_window, o.slots);
  limits.window_bytes = o.max_bytes;
  return limits;
}

std::uint32_t microseconds(duration d) {
  const auto us = std::chrono::duration_cast<std::chrono::microseconds>(d).count();
  return static_cast<std::uint32_t>(std::clamp<std::int64_t>(us, 0, UINT32_MAX));
}

bool streams(const call_run& calls) {
  return calls.options && calls.options->stream_window > 0;
}

std::string role_and_name(const introduction& who) {
  return std::string(to_string(who.role)) + " " + name_of(who);
}

/// A failure's way back begins here.
void sign(reply_run& run, const introduction& self) {
  if (run.code == status::ok) return;
  const std::string me = self.host.empty() ? self.name : self.name + "@" + self.host;
  run.details.resize(run.results.size());
  for (auto& d : run.details) d.trace = d.trace.empty() ? me : me + " " + d.trace;
}
}  // namespace

service_state::service_state(links::options l, options o, time_point now)
    : options_(std::move(o)),
      links_(std::move(l), now),
      callee_(limits_of(options_), links_.self().session),
      queue_(at_a_time(options_.methods)),
      aside_(at_a_time(options_.methods)),
      replies_({options_.reply_cache_bytes, options_.reply_cache_ttl}),
      measured_since_(now),
      began_(now) {
  options_.slots = std::max(options_.slots, 1U);
  links_.self().slots = options_.slots;
  offer_.methods = std::move(options_.methods);
  offer_.direct = options_.direct;
  methods_.resize(offer_.methods.size());
  for (std::uint32_t i = 0; i < methods_.size(); ++i) {
    methods_[i].info = offer_.methods[i];
    by_name_.emplace(offer_.methods[i].name, i);
  }
}

void service_state::on_message(peer_id from, message m, time_point now, service_outbox& out) {
  std::vector<links::event> events;
  const auto who = links_.receive(from, m, now, out, events);
  if (!events.empty()) on_events(events, now, out);
  if (!who) return;
  if (auto* calls = std::get_if<call_batch>(&m)) {
    on_calls(*who, std::move(*calls), now, out);
  } else if (const auto* which = std::get_if<cancel_calls>(&m)) {
    stop(*who, *which, callee_.on_cancel(*who, *which), cause::cancelled, now, out);
  } else if (const auto* c = std::get_if<credit>(&m)) {
    for (const auto& g : callee_.on_credit(*who, *c)) out.grants.push_back(g);
  } else if (std::holds_alternative<bye>(m)) {
    if (const introduction* info = links_.info(*who)) out.info(role_and_name(*info) + " left");
    abandon(*who, now, out);
    links_.drop(*who, now, out);
  }
}

// Callers

void service_state::on_events(std::vector<links::event>& events, time_point now,
                              service_outbox& out) {
  for (const auto& e : events) {
    if (e.what == links::change::joined)
      on_joined(e, now, out);
    else if (e.what != links::change::met)
      on_left(e, now, out);
  }
  events.clear();
}

void service_state::on_joined(const links::event& e, time_point now, service_outbox& out) {
  if (e.info.role != role::gateway && e.info.role != role::client) return;
  const auto [it, fresh] = callers_.try_emplace(e.who);
  it->second.info = e.info;
  if (fresh && e.info.role == role::gateway) {
    out.info(role_and_name(e.info) + " joined");
    for (auto& m : methods_) {
      untold_direct_ = untold_direct_ || m.stats.direct > 0;
      m.told_direct = 0;  // the others may hear it again
    }
  }
  links_.send(e.who, offer_, now, out);
  callee_.joined(e.who);
  stalled(e.who, links_.stalled(e.who));
  if (!fresh) return;
  it->second.window = options_.slots;
  callee_.window(e.who, options_.slots, options_.max_bytes);
  share_now_ = true;
}

void service_state::link_stalled(peer_id peer, bool is) {
  if (const auto who = links_.stalled(peer, is)) stalled(*who, is);
}

void service_state::stalled(session_id who, bool is) {
  const auto caller = callers_.find(who);
  if (caller == callers_.end()) return;
  callee_.stalled(who, is);
  if (std::exchange(caller->second.stalled, is) == is) return;
  for (auto& q : (is ? queue_ : aside_).remove(who, {1, limits::seq}))
    wait_for_slot(std::move(q));
}

void service_state::on_left(const links::event& e, time_point now, service_outbox& out) {
  if (e.what == links::change::refused) {
    fatal_ = "refused by the other end: " + e.text;
    return;
  }
  if (!callers_.contains(e.who)) return;
  if (e.info.role == role::gateway)
    out.warn(role_and_name(e.info) +
             (e.what == links::change::expired ? " has been silent for too long: waiting for it"
              : e.what == links::change::broken ? " closed its connection: waiting for it"
                                                : " has restarted"));
  abandon(e.who, now, out);
}

/// Their callers may read on long after this worker meant to end.
void service_state::send_stalled_home(time_point now) {
  for (const auto& [id, caller] : callers_)
    for (const auto& q : aside_.remove(id, {1, limits::seq})) {
      const std::uint64_t n = q.calls.size();
      methods_[q.method].stats.rejected += n;
      counts_.failed += n;
      refuse(id, q.calls.calls.first, n, status::unavailable, "this worker is about to leave",
             now);
    }
}

/// Nobody waits for its calls any more.
void service_state::abandon(session_id who, time_point now, service_outbox& out) {
  if (callers_.erase(who) == 0) return;
  share_now_ = true;
  (void)callee_.lost(who);
  const std::uint64_t joined = leave_joined(who, {1, limits::seq}).size();
  counts_.failed += joined;
  counts_.cancelled += joined;
  for (call_queue* queue : {&queue_, &aside_})
    for (const auto& q : queue->remove(who, {1, limits::seq})) {
      const std::uint64_t n = q.calls.size();
      counts_.failed += n;
      counts_.cancelled += n;
      refuse(who, q.calls.calls.first, n, status::cancelled, "its caller is gone", now);
    }
  const auto runs = in_slots_.find(who);
  if (runs == in_slots_.end()) return;
  if (runs->second.empty()) {
    in_slots_.erase(runs);
    return;
  }
  for (const auto& range : runs->second.ranges())
    for (std::uint64_t n = range.first; n <= range.last; ++n)
      if (!goes_on({who, n}, cause::caller_gone, {})) out.cancels.push_back({who, n});
}

// Calls

void service_state::on_calls(session_id from, call_batch&& batch, time_point now,
                             service_outbox& out) {
  const auto caller = callers_.find(from);
  if (caller == callers_.end()) return;
  if (now - caller->second.last_calls >= idle_after) share_now_ = true;
  caller->second.last_calls = now;
  std::vector<call_key> unwanted;
  auto fresh = callee_.on_calls(from, std::move(batch), now, &unwanted);
  if (!unwanted.empty()) {
    const seq_range range{unwanted.front().call, unwanted.back().call};
    cancel_calls which{{range}, "given up by the caller"};
    stop(from, which, unwanted, cause::caller_gone, now, out);
  }
  for (auto& t : fresh) {
    const std::uint64_t n = t.calls.arguments.size();
    const auto method = by_name_.find(t.calls.method);
    if (method == by_name_.end()) {
      if (t.calls.method.starts_with(builtin_prefix))
        answer_builtin(std::move(t), now, out);
      else
        refuse(from, t.calls.first, n, status::not_found,
               "this worker offers no method " + t.calls.method, now);
      continue;
    }
    counts_.received += n;
    methods_[method->second].stats.calls += n;
    if (caller->second.info.role == role::client) {
      methods_[method->second].stats.direct += n;
      untold_direct_ = true;
    }
    if (draining()) {
      counts_.failed += n;
      methods_[method->second].stats.rejected += n;
      refuse(from, t.calls.first, n, status::unavailable, "this worker is about to leave", now);
      continue;
    }
    call_queue::waiting calls{from, std::move(t.calls), t.deadline, now};
    if (!call_options::shared_key(calls.calls.options.get()).empty()) {
      for (std::uint64_t i = 0; i < n; ++i)
        accept_with_key({method->second, calls.slice(i, 1)}, now);
      continue;
    }
    const bool stream = streams(calls.calls);
    const std::uint64_t target = paced(start_span);
    if (caller->second.stalled) {
      aside_.push(method->second, std::move(calls));
    } else if (queue_.may_pass(method->second) >= n && (stream || busy() + n <= target)) {
      queue_.passed(method->second, n);
      give(method->second, std::move(calls), now, out);
    } else {
      queue_.push(method->second, std::move(calls));
    }
  }
}

void service_state::give(std::uint32_t method, call_queue::waiting calls, time_point now,
                         service_outbox& out) {
  const std::uint64_t n = calls.size();
  const bool stream = streams(calls.calls);
  running_ += n;
  if (stream) {
    streaming_ += n;
    if (const auto c = callers_.find(calls.from); c != callers_.end()) c->second.streams += n;
    share_now_ = true;
  }
  in_slots_[calls.from].insert(calls.calls.first, {n, method, stream, calls.arrived, now});
  out.calls.push_back({calls.from, std::move(calls.calls), method, calls.deadline});
}

void service_state::start(time_point now, service_outbox& out) {
  if (queue_.empty()) return;
  const std::uint64_t target = paced(start_span);
  while (busy() < target) {
    auto next = queue_.pop(target - busy());
    if (!next) return;
    if (next->calls.deadline > now) {
      give(next->method, std::move(next->calls), now, out);
    } else {
      queue_.finished(next->method, next->calls.size());
      answer_expired(*next, now);
    }
  }
}

void service_state::expire(time_point now) {
  if (now < std::min(queue_.next_expiry(), aside_.next_expiry()) ||
      now - expired_ < expiry_interval)
    return;
  expired_ = now;
  for (call_queue* queue : {&queue_, &aside_})
    for (const auto& late : queue->expire(now)) answer_expired(late, now);
}

void service_state::answer_expired(const call_queue::taken& late, time_point now) {
  const std::uint64_t n = late.calls.size();
  method_stats& m = methods_[late.method].stats;
  m.errors += n;
  m.expired += n;
  counts_.failed += n;
  counts_.expired += n;
  refuse(late.calls.from, late.calls.calls.first, n, status::deadline_exceeded,
         "no slot was free before its deadline", now);
}

void service_state::stop(session_id from, const cancel_calls& which,
                         const std::vector<call_key>& stops, cause why, time_point now,
                         service_outbox& out) {
  if (stops.empty()) return;
  const std::string reason = which.reason.empty() ? "cancelled" : which.reason;
  const auto refuse_those = [&](std::uint32_t method, std::uint64_t first, std::uint64_t n) {
    methods_[method].stats.errors += n;
    counts_.failed += n;
    counts_.cancelled += n;
    refuse(from, first, n, status::cancelled, reason, now);
  };
  for (const auto& range : which.calls) {
    for (const auto& [call, method] : leave_joined(from, range))
      refuse_those(method, call.call, 1);
    for (call_queue* queue : {&queue_, &aside_})
      for (const auto& q : queue->remove(from, range))
        refuse_those(q.method, q.calls.calls.first, q.calls.size());
  }
  for (const auto& key : stops)
    if (callee_.is_open(key) && !goes_on(key, why, reason)) out.cancels.push_back(key);
}

reply_run service_state::failed(std::uint64_t first, std::uint64_t count, status code,
                                const std::string& why, bool never_started) const {
  reply_run run;
  run.first = first;
  run.code = code;
  run.results = pack({}, static_cast<std::uint32_t>(count), 0);
  reply_details details;
  details.message = why;
  details.never_started = never_started;
  run.details.assign(count, details);
  sign(run, links_.self());
  return run;
}

void service_state::refuse(session_id to, std::uint64_t first, std::uint64_t count, status code,
                           const std::string& why, time_point now) {
  reply_run run = failed(first, count, code, why, true);
  if (!leaders_.empty()) share_replies(to, run, now);
  callee_.reply(to, std::move(run));
}

// Answers

void service_state::on_replied(session_id to, reply_run outcomes, time_point now,
                               service_outbox&) {
  const auto runs = in_slots_.find(to);
  if (runs == in_slots_.end() || outcomes.results.empty()) return;
  sign(outcomes, links_.self());
  const seq_range whole{outcomes.first, outcomes.last()};
  std::vector<std::pair<std::uint64_t, running_run>>& pieces = pieces_;
  pieces.clear();
  runs->second.extract(whole, [&](std::uint64_t first, running_run&& run) {
    pieces.emplace_back(first, std::move(run));
  });
  if (runs->second.empty() && !callers_.contains(to)) in_slots_.erase(runs);
  for (const auto& [first, run] : pieces) {
    running_ -= run.count;
    if (run.streams) {
      streaming_ -= run.count;
      if (const auto c = callers_.find(to); c != callers_.end())
        c->second.streams -= std::min(c->second.streams, run.count);
      share_now_ = true;
    }
    queue_.finished(run.method, run.count);
    reply_run part = run.count == whole.size()
                         ? std::move(outcomes)
                         : part_of_run(outcomes, first - whole.first, run.count);
    account(run, part, now);
    if (!leaders_.empty()) share_replies(to, part, now);
    callee_.reply(to, std::move(part));
  }
}

void service_state::account(const running_run& run, reply_run& outcomes, time_point now) {
  const std::uint64_t n = run.count;
  const std::uint64_t queued =
      std::uint64_t{outcomes.queued_us} + microseconds(run.given - run.arrived);
  outcomes.queued_us = static_cast<std::uint32_t>(std::min<std::uint64_t>(queued, UINT32_MAX));
  outcomes.received_us = static_cast<std::uint64_t>(
      std::chrono::duration_cast<std::chrono::microseconds>(run.arrived.time_since_epoch())
          .count());
  method_stats& m = methods_[run.method].stats;
  m.answered.add(n, now);
  (outcomes.code == status::ok ? counts_.done : counts_.failed) += n;
  if (outcomes.code != status::ok) m.errors += n;
  if (outcomes.code == status::cancelled) counts_.cancelled += n;
  std::uint64_t unstarted = 0;
  for (const auto& d : outcomes.details) unstarted += d.never_started;
  if (outcomes.code == status::deadline_exceeded) {
    m.expired += unstarted;
    counts_.expired += unstarted;
  }
  if (unstarted >= n) return;
  const auto service = std::chrono::microseconds(outcomes.service_us);
  const auto waited = std::chrono::microseconds(outcomes.queued_us);
  m.latency.queue.record(waited, n - unstarted);
  m.latency.service.record(service, n - unstarted);
  m.latency.total.record(waited + service, n - unstarted);
  // A stream takes as long as its reader lets it.
  if (!run.streams)
    measure(n - unstarted,
            std::chrono::duration<double>(service).count() * static_cast<double>(n - unstarted),
            now);
}

std::int64_t service_state::on_part(const call_key& key, pack elements, time_point,
                                    service_outbox&) {
  return callee_.part(key, std::move(elements));
}

void service_state::on_progress(const call_key& key, std::uint64_t done, std::uint64_t total,
                                std::string text) {
  callee_.progress(key, done, total, std::move(text));
}

// The node

void service_state::tick(time_point now, service_outbox& out) {
  std::vector<links::event> events;
  links_.tick(now, out, events);
  if (!events.empty()) on_events(events, now, out);
  expire(now);
  if (draining()) send_stalled_home(now);
  start(now, out);
  share_windows(now);
  if (untold_direct_ && now >= tell_direct_) tell_direct_calls(now, out);
  callee_.flush(now, links_, out);
}

/// To all gateways. What is lost on the way is part of the next figure.
void service_state::tell_direct_calls(time_point now, service_outbox& out) {
  const bool any = std::any_of(callers_.begin(), callers_.end(), [](const auto& c) {
    return c.second.info.role == role::gateway;
  });
  untold_direct_ = false;
  tell_direct_ = now + direct_interval;
  if (!any) return;  // whoever joins is told
  direct_calls news;
  for (auto& m : methods_)
    if (m.stats.direct > std::exchange(m.told_direct, m.stats.direct))
      news.entries.push_back({m.info.name, m.stats.direct});
  for (const auto& [id, c] : callers_)
    if (c.info.role == role::gateway) links_.send(id, news, now, out);
}

time_point service_state::next_deadline() const {
  time_point links = links_.next_deadline();
  if (untold_direct_) links = std::min(links, tell_direct_);
  if (queue_.empty() && aside_.empty()) return links;
  const time_point expiry = std::min(queue_.next_expiry(), aside_.next_expiry());
  return std::min(links, std::max(expiry, expired_ + expiry_interval));
}

void service_state::drain(time_point now, service_outbox& out) {
  callee_.drain();
  callee_.flush(now, links_, out);
}

bool service_state::done() const {
  return draining() && running_ == 0 && queue_.empty() && aside_.empty() && !callee_.busy();
}

void service_state::say_bye(time_point now, service_outbox& out) {
  for (const auto& [id, c] : callers_)
    links_.send(id, bye{bye_reason::leaving, callee_.seen_of(id)}, now, out);
}

service_state::counts service_state::stats() const {
  counts c = counts_;
  c.queued = queue_.size() + aside_.size();
  c.running = running_;
  for (const auto& [id, caller] : callers_) {
    c.window += draining() ? 0 : caller.window;
    (caller.info.role == role::gateway ? c.gateways : c.clients) += 1;
  }
  return c;
}

}  // namespace weir::proto
