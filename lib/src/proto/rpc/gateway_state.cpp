#include "proto/rpc/gateway_state.hpp"

#include "proto/peer_text.hpp"
#include "proto/rpc/builtins.hpp"

#include <algorithm>
#include <utility>

namespace weir::proto {

gateway_state::gateway_state(links::options l, options o, time_point now)
    : options_(std::move(o)),
      links_(std::move(l), now),
      clients_({}, links_.self().session),
      directory_({options_.queue_calls, options_.queue_bytes}),
      replies_({options_.reply_cache_bytes, options_.reply_cache_ttl}),
      results_(options_.result_cache_bytes),
      started_(now) {}

std::string gateway_state::my_name() const { return name_of(links_.self()); }

// Who is there

void gateway_state::link_opened(peer_id peer, time_point now, gateway_outbox& out) {
  links_.open(peer, now, out);
}

void gateway_state::link_up(peer_id peer, time_point now, gateway_outbox& out) {
  links_.up(peer, now, out);
}

void gateway_state::link_down(peer_id peer, time_point now) { links_.down(peer, now); }

void gateway_state::link_stalled(peer_id peer, bool is) {
  if (const auto who = links_.stalled(peer, is)) client_stalled(*who, is);
}

void gateway_state::client_stalled(session_id who, bool is) {
  clients_.stalled(who, is);
  if (reply_room* room = slots_.taking(who)) room->stalled = is;
}

void gateway_state::on_message(peer_id peer, message m, time_point now, gateway_outbox& out) {
  std::vector<links::event> events;
  const auto from = links_.receive(peer, m, now, out, events);
  if (!events.empty()) on_events(events, now, out);
  if (!from) return;
  if (auto* batch = std::get_if<call_batch>(&m)) {
    on_calls(*from, std::move(*batch), now, out);
  } else if (auto* replies = std::get_if<reply_batch>(&m)) {
    workers_.on_reply(*from, std::move(*replies), in_);
    settle_arrivals(now);
  } else if (auto* parts = std::get_if<part_batch>(&m)) {
    workers_.on_parts(*from, std::move(*parts), in_);
    settle_arrivals(now);
  } else if (auto* report = std::get_if<call_progress>(&m)) {
    workers_.on_progress(*from, std::move(*report), in_);
    settle_arrivals(now);
  } else if (auto* grants = std::get_if<credit>(&m)) {
    for (const auto& g : clients_.on_credit(*from, *grants)) {
      const auto number = slots_.find(g.key);
      if (!number) continue;
      if (g.stop)
        cancel({*number, *number}, "its elements were lost", cause::cancelled, now);
      else
        workers_.grant(*number, g.until);
    }
  } else if (auto* stop = std::get_if<cancel_calls>(&m)) {
    cancel_all(clients_.on_cancel(*from, *stop), stop->reason, cause::cancelled, now);
  } else if (auto* room = std::get_if<window>(&m)) {
    on_window(*from, *room, now);
  } else if (auto* what = std::get_if<offer>(&m)) {
    if (worker_record* known = directory_.worker(*from)) {
      directory_.offered(*known, *what, now);
      sort_ = true;
    }
  } else if (const auto* direct = std::get_if<direct_calls>(&m)) {
    if (worker_record* known = directory_.worker(*from))
      directory::called_directly(*known, *direct);
  } else if (const auto* left = std::get_if<bye>(&m)) {
    links_.drop(*from, now, out);
    if (const worker_record* gone = directory_.worker(*from)) {
      out.info("worker " + name_of(gone->info) + " has left");
      worker_left(*from, "has left", now, left->seen);
    } else {
      client_left(*from, now);
    }
  }
}

void gateway_state::on_events(std::vector<links::event>& events, time_point now,
                              gateway_outbox& out) {
  for (const auto& e : events) {
    if (e.what == links::change::met) continue;
    const bool is_worker = e.info.role == role::worker;
    if (e.what == links::change::joined) {
      if (!is_worker) {
        clients_.joined(e.who);
        client_stalled(e.who, links_.stalled(e.who));
        continue;
      }
      if (!directory_.worker(e.who)) out.info("worker " + name_of(e.info) + " joined");
      directory_.joined(e.who, e.info);
      workers_.joined(e.who);
      continue;
    }
    if (e.what == links::change::refused) {
      out.warn("a peer refuses this gateway: " + e.text);
      continue;
    }
    if (!is_worker) {
      client_left(e.who, now);
      continue;
    }
    const std::string how = e.what == links::change::expired  ? "has been silent for too long"
                            : e.what == links::change::broken ? "closed its connection"
                                                              : "has restarted";
    if (directory_.worker(e.who)) out.warn("worker " + name_of(e.info) + " " + how);
    worker_left(e.who, how, now);
  }
  events.clear();
}

void gateway_state::client_left(session_id who, time_point now) {
  cancel_all(clients_.lost(who), "its client is gone", cause::client_gone, now);
  slots_.lost(who);
}

void gateway_state::worker_left(session_id who, const std::string& how, time_point now,
                                std::optional<std::uint64_t> seen) {
  const worker_record* w = directory_.worker(who);
  if (!w) return;
  const std::string name = name_of(w->info);
  // Gone from the directory first: what is sent again must not be sent to it.
  std::vector<caller::flight> had = workers_.lost(who, seen);
  directory_.left(who, now);
  sort_ = true;
  // Each goes to the front of its queue: the oldest last, so that it is first in the end.
  for (auto it = had.rbegin(); it != had.rend(); ++it) {
    const bool never_sent = it->sent == time_point{};
    if (it->method.starts_with(builtin_prefix)) continue;  // our own
    calls all = calls_of(std::move(*it), now);
    if (all.no_reply()) {
      // Its client has been told to expect nothing, and its number may be somebody else's now.
      all.number = last_placed_ + 1;
      last_placed_ += all.size();
      slots_.open_own(all.size());
      retry(std::move(all), now);
      continue;
    }
    came_back(*all.method, all.number, all.size());
    const std::uint64_t step = uniform(all) ? all.size() : 1;
    for (std::uint64_t left = all.size(); left > 0; left -= step) {
      calls c = all.slice(left - step, step);
      if (may_retry(c, never_sent, now))
        retry(std::move(c), now);
      else
        fail(c,
             {status::unavailable, "worker " + name + " " + how + " during the call",
              never_sent, 0},
             now);
    }
  }
}

void gateway_state::on_window(session_id from, const window& w, time_point now) {
  workers_.on_window(from, w);
  worker_record* who = directory_.worker(from);
  if (!who) return;
  who->window = w.items;
  sort_ = sort_ || who->draining != (w.items == 0);
  directory_.drains(*who, w.items == 0, now);
}

// Calls of its own

void gateway_state::place(std::uint64_t tag, std::string method, pack argument,
                          time_point deadline, std::shared_ptr<const call_options> how,
                          time_point now) {
  const std::uint64_t number = ++last_placed_;
  slots_.open_own(1);
  placed_[number] = {tag, deadline};
  tags_[tag] = number;
  placed_until_.emplace(deadline, number);
  calls c{nullptr, number, {std::move(argument), deadline, now, std::move(how)}};
  if (method.starts_with(builtin_prefix)) {
    answer(number, 1,
           failed(1, {status::invalid_argument,
                      "weir's own methods cannot be called from a queue", true, 0}));
    return;
  }
  c.method = &directory_.method(method, now);
  ++c.method->stats.calls;
  ++counts_.received;
  accept(std::move(c), now);
}

void gateway_state::unplace(std::uint64_t tag, time_point now) {
  const auto it = tags_.find(tag);
  if (it != tags_.end()) cancel({it->second, it->second}, "cancelled", cause::cancelled, now);
}

void gateway_state::expire_placed(time_point now) {
  while (!placed_until_.empty() && placed_until_.begin()->first <= now) {
    const std::uint64_t number = placed_until_.begin()->second;
    const placed p = placed_.at(number);
    // Its outcome is this, whatever the worker still says.
    reply_run late = failed(1, {status::deadline_exceeded, "not done in time", false, 0});
    late.first = p.tag;
    outcomes_.push_back({p.tag, std::move(late)});
    placed_until_.erase(placed_until_.begin());
    tags_.erase(p.tag);
    placed_.erase(number);
    cancel({number, number}, "not done in time", cause::cancelled, now);
  }
}

gateway_state::openings gateway_state::openings_of(const std::string& method) const {
  openings found;
  const auto it = directory_.methods().find(method);
  if (it == directory_.methods().end()) return found;
  const method_record& m = it->second;
  for (const worker_record* w : m.workers) found.calls += workers_.room_of(w->id).calls;
  found.calls -= std::min(found.calls, m.queue.ready());
  found.idempotent = m.idempotent();
  found.deadline_ms = m.info.deadline_ms;
  return found;
}

void gateway_state::on_answered(const call_key& key, status code, pack result,
                                std::string why) {
  const auto it = admin_.find(key);
  if (it == admin_.end()) return;
  const std::uint64_t number = it->second.number;
  admin_.erase(it);
  reply_run reply =
      code == status::ok ? reply_run{} : failed(1, {code, std::move(why), false, 0});
  if (code == status::ok) reply.results = std::move(result);
  answer(number, 1, std::move(reply));
}

// Time

void gateway_state::tick(time_point now, gateway_outbox& out) {
  ++round_;
  std::vector<links::event> events;
  links_.tick(now, out, events);
  on_events(events, now, out);
  if (drains_pending_) pass_on_drain(now);
  if (sort_) sort_queues(now);
  if (!aside_.empty()) look_aside();
  serve_queues(now);
  if (draining_ && !aside_.empty()) send_stalled_home(now);
  expire_placed(now);
  if (draining_) send_waiting_home();
  workers_.flush(now, links_, out);
  clients_.flush(now, links_, out);
  std::move(outcomes_.begin(), outcomes_.end(), std::back_inserter(out.placed));
  outcomes_.clear();
  std::move(abandoned_.begin(), abandoned_.end(), std::back_inserter(out.abandoned));
  abandoned_.clear();
}

time_point gateway_state::next_deadline() {
  time_point next = links_.next_deadline();
  if (!stranded_.empty()) next = std::min(next, look_at_);
  for (const method_record* m : waiting_) next = std::min(next, m->queue.next_expiry());
  if (!placed_until_.empty()) next = std::min(next, placed_until_.begin()->first);
  return next;
}

// The end

void gateway_state::drain(time_point now, gateway_outbox& out) {
  draining_ = true;
  clients_.drain();
  clients_.flush(now, links_, out);
}

/// Everything else is done: the end of calls that are only in the spool may be hours away.
void gateway_state::send_waiting_home() {
  if (admin_.empty() || !placed_.empty() || clients_.open() != admin_.size()) return;
  const bool all_wait = std::all_of(admin_.begin(), admin_.end(),
                                    [](const auto& entry) { return entry.second.waits; });
  if (!all_wait) return;
  for (const auto& [key, call] : std::exchange(admin_, {})) {
    abandoned_.push_back(key);
    answer(call.number, 1, failed(1, {status::unavailable, "the gateway is leaving", true, 0}));
  }
}

bool gateway_state::done() const {
  return draining_ && clients_.open() == 0 && placed_.empty() && outcomes_.empty();
}

void gateway_state::say_bye(time_point now, gateway_outbox& out) {
  for (const session_id id : links_.with_role(role::client))
    links_.send(id, bye{bye_reason::leaving, clients_.seen_of(id)}, now, out);
  for (const session_id id : links_.with_role(role::worker)) links_.send(id, bye{}, now, out);
}

gateway_state::counts gateway_state::stats() const {
  counts c = counts_;
  for (const auto* some : {&waiting_, &stranded_})
    for (const method_record* m : *some) c.queued += m->queue.size();
  c.workers = directory_.workers().size();
  c.clients = clients_.callers().size();
  return c;
}

}  // namespace weir::proto
