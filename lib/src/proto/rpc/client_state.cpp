// Peers and calls come and go. See client_dispatch.cpp, client_outcomes.cpp and
// client_routes.cpp for the rest.
#include "proto/rpc/client_state.hpp"

#include "proto/limits.hpp"
#include "proto/rpc/builtins.hpp"
#include "proto/rpc/client_numbers.hpp"
#include "proto/seq_set.hpp"

#include <algorithm>
#include <utility>

namespace weir::proto {
namespace {
/// How often what is not used any more is looked for.
constexpr duration sweep_interval = std::chrono::seconds(10);
/// A method that was not called for so long is forgotten.
constexpr duration method_memory = std::chrono::minutes(1);
}  // namespace

client_state::client_state(links::options l, options o, time_point now)
    : options_(o),
      self_(l.self.host.empty() ? l.self.name : l.self.name + "@" + l.self.host),
      links_(std::move(l), now),
      random_(o.seed),
      turn_(static_cast<std::size_t>(random_.next() % 64)),
      next_sweep_(now + sweep_interval) {}

void client_state::link_opened(peer_id peer, time_point now, client_outbox& out) {
  wanted_.insert(peer);
  links_.open(peer, now, out);
}

void client_state::on_message(peer_id from, message m, time_point now, client_outbox& out) {
  if (const auto* w = std::get_if<welcome>(&m); w && somebody_else(from, *w, now, out)) return;
  std::vector<links::event> events;
  const auto who = links_.receive(from, m, now, out, events);
  on_events(events, from, now, out);
  if (!who || !peers_.contains(*who)) return;
  if (auto* replies = std::get_if<reply_batch>(&m)) {
    caller_.on_reply(*who, std::move(*replies), in_);
  } else if (auto* parts = std::get_if<part_batch>(&m)) {
    caller_.on_parts(*who, std::move(*parts), in_);
  } else if (auto* report = std::get_if<call_progress>(&m)) {
    caller_.on_progress(*who, std::move(*report), in_);
  } else if (const auto* w = std::get_if<window>(&m)) {
    caller_.on_window(*who, *w);
  } else if (auto* o = std::get_if<offer>(&m)) {
    on_offer(*who, std::move(*o));
  } else if (const auto* left = std::get_if<bye>(&m)) {
    lose(*who, "has left", now, out, left->seen);
    links_.drop(*who, now, out);
    if (const auto peer = direct_.forget(*who)) links_.close(*peer, out);
  }
  on_arrivals(now, out);
}

// Peers

void client_state::on_events(std::vector<links::event>& events, peer_id from, time_point now,
                             client_outbox& out) {
  for (const auto& e : events) {
    switch (e.what) {
      case links::change::joined:
      case links::change::met:
        on_joined(e, from, now, out);
        break;
      case links::change::refused:
        on_refused(e, from, now, out);
        break;
      case links::change::broken:
        lose(e.who, "closed its connection", now, out);
        break;
      case links::change::expired:
        lose(e.who, "has been silent for too long", now, out);
        break;
      case links::change::restarted:
        lose(e.who, "has restarted", now, out);
        break;
    }
  }
  events.clear();
}

void client_state::on_joined(const links::event& e, peer_id from, time_point now,
                             client_outbox& out) {
  if (!links_.info(e.who)) return;  // its connection was closed for what came before
  if (const auto expected = direct_.expected_at(from)) {
    if (!direct_.joined(from, e.who)) {
      // Another machine's address, or another worker's by now.
      leave_endpoint(from, *expected, now, out);
      return;
    }
  }
  const auto [it, fresh] = peers_.try_emplace(e.who);
  peer_state& p = it->second;
  p.info = e.info;
  p.gateway = e.info.role == role::gateway;
  p.used = now;
  if (e.what == links::change::met) return;
  caller_.joined(e.who);
  if (!fresh) return;
  if (peers_.size() == 1) complete_by_ = now + links_.heartbeat();
  if (p.gateway) gateways_.push_back(e.who);
  out.info(name_of(e.who) + " joined");
}

void client_state::on_refused(const links::event& e, peer_id from, time_point now,
                              client_outbox& out) {
  if (const auto expected = direct_.expected_at(from)) {
    leave_endpoint(from, *expected, now, out);
    return;
  }
  out.warn("refused by the other end: " + e.text);
  if (!wanted_.contains(from)) return;
  refused_.insert(from);
  if (refused_.size() < wanted_.size()) return;
  fatal_ = "refused by the other end: " + e.text;
  for (auto& [name, m] : methods_) fail_waiting(m, status::unavailable, fatal_, out);
}

void client_state::lose(session_id who, const std::string& how, time_point now,
                        client_outbox& out, std::optional<std::uint64_t> seen) {
  const auto it = peers_.find(who);
  if (it == peers_.end()) return;
  const std::string name = name_of(who);
  std::vector<caller::flight> had = caller_.lost(who, seen);
  std::uint64_t calls = 0;
  for (const auto& f : had) calls += f.size();
  const std::string text = name + " " + how;
  if (calls == 0)
    out.info(text);
  else
    out.warn(text + " with " + std::to_string(calls) + (calls == 1 ? " call" : " calls"));
  peers_.erase(it);
  std::erase(gateways_, who);
  for (auto& [method_name, m] : methods_) {
    const auto gone = std::erase_if(m.workers, [&](const offering& o) { return o.who == who; });
    if (gone > 0) m.stale = true;
  }
  // The next attempt to reach it starts from what a gateway says then.
  if (direct_.knows(who)) {
    const auto dropped = direct_.failed(who, now);
    if (dropped.peer) links_.close(*dropped.peer, out);
  }
  for (auto& f : had) on_lost(std::move(f), who, name, how, now, out);
}

void client_state::on_offer(session_id from, offer o) {
  peer_state& p = peers_.at(from);
  if (p.gateway) return;
  p.offered = true;
  p.methods.clear();
  for (auto& info : o.methods) {
    std::string name = info.name;
    p.methods.insert_or_assign(std::move(name), std::move(info));
  }
  for (auto& [name, m] : methods_) {
    const auto known = std::find_if(m.workers.begin(), m.workers.end(),
                                    [&](const offering& w) { return w.who == from; });
    const auto offered = p.methods.find(name);
    if (offered == p.methods.end()) {
      if (known != m.workers.end()) m.workers.erase(known);
      continue;
    }
    m.idempotent = offered->second.idempotent;
    m.declared_ms = offered->second.deadline_ms;
    m.cacheable = offered->second.cache_ms > 0;
    if (known == m.workers.end()) m.workers.push_back({from, 0});
  }
}

std::string client_state::name_of(session_id who) const {
  if (who == session_id{}) return self_;
  const auto it = peers_.find(who);
  if (it == peers_.end()) return "?";
  const introduction& info = it->second.info;
  std::string name = info.name.empty() ? std::string(to_string(info.role)) : info.name;
  if (!info.host.empty()) name += "@" + info.host;
  return name;
}

// Calls

client_state::method_state& client_state::method(std::string_view name, time_point now) {
  auto it = methods_.find(name);
  if (it == methods_.end()) {
    it = methods_.emplace(std::string(name), method_state{}).first;
    method_state& fresh = it->second;
    fresh.name = name;
    fresh.builtin = name.starts_with(builtin_prefix);
    fresh.first = turn_;  // not the same one for all clients
    for (const auto& [id, p] : peers_) {
      const auto offered = p.methods.find(name);
      if (offered == p.methods.end()) continue;
      fresh.workers.push_back({id, 0});
      fresh.idempotent = offered->second.idempotent;
      fresh.declared_ms = offered->second.deadline_ms;
      fresh.cacheable = offered->second.cache_ms > 0;
    }
  }
  it->second.used = now;
  return it->second;
}

/// Why no peer would take these calls; null: nothing is wrong.
const char* client_state::objection(const new_calls& calls) const {
  if (calls.method.empty()) return "the name of the method is empty";
  if (calls.method.size() > limits::method_bytes) return "the name of the method is too long";
  // Only whole packs that are this large can hold one that is.
  if (calls.arguments.bytes() > limits::payload_bytes)
    for (std::uint32_t i = 0; i < calls.arguments.size(); ++i)
      if (calls.arguments.length(i) > limits::payload_bytes)
        return "the arguments are longer than 16 MiB";
  if (!calls.options) return nullptr;
  const call_options& o = *calls.options;
  if (o.hash_key.size() > limits::key_bytes) return "the hash key is longer than 256 bytes";
  if (o.idempotency_key.size() > limits::key_bytes)
    return "the idempotency key is longer than 256 bytes";
  if (o.metadata.size() > limits::map_entries) return "there are more than 32 metadata entries";
  std::size_t bytes = 0;
  for (const auto& [key, value] : o.metadata) bytes += key.size() + value.size();
  if (bytes > limits::metadata_bytes) return "the metadata are longer than 8 KiB";
  return nullptr;
}

void client_state::call(new_calls calls, time_point now, client_outbox& out) {
  const std::uint32_t n = calls.arguments.size();
  if (n == 0) return;
  record r;
  r.count = n;
  r.deadline = calls.deadline;
  r.retries = calls.retries;
  // With a key it is run once.
  const bool keyed = calls.options && !calls.options->idempotency_key.empty();
  r.idempotent = calls.idempotent || keyed;
  // Elements of two attempts would mix.
  const bool streams = calls.options && calls.options->stream_window > 0;
  r.hedge_after = streams || keyed ? duration{} : calls.hedge_after;
  if (const char* wrong = objection(calls))
    return fail(calls.first, r, status::invalid_argument, wrong, true, out);
  if (!fatal_.empty()) return fail(calls.first, r, status::unavailable, fatal_, true, out);
  method_state& m = method(calls.method, now);
  const bool waits = calls.unstated_since && !m.builtin && !m.declared_ms;
  if (calls.unstated_since && m.declared_ms.value_or(0) > 0)
    calls.deadline = r.deadline = std::min(
        *calls.unstated_since + std::chrono::milliseconds(*m.declared_ms), calls.latest);
  const seq_range range{calls.first, calls.first + n - 1};
  calls_.insert(range.first, r);
  deadlines_.add(calls.deadline, range);
  caller::flight f;
  f.number = calls.first;
  f.method = std::move(calls.method);
  f.arguments = std::move(calls.arguments);
  f.deadline = calls.deadline;
  f.options = std::move(calls.options);
  if (!waits) return enqueue(m, std::move(f));
  m.unstated.push_back({std::move(f), *calls.unstated_since, calls.latest});
  begin(m);
}

void client_state::cancel(seq_range numbers, time_point now, client_outbox& out) {
  (void)now;
  std::vector<std::pair<std::uint64_t, record>> open;
  calls_.extract(numbers,
                 [&](std::uint64_t first, record&& r) { open.emplace_back(first, r); });
  for (auto& [first, r] : open) {
    const seq_range range{first, first + r.count - 1};
    r.cancelled = true;
    calls_.insert(first, r);
    stop_copies(range, r.hedged, "cancelled by the caller");
    // Those that nobody has.
    seq_set held;
    for (const auto& h : caller_.in_flight(range))
      held.insert({h.calls.number, h.calls.last()});
    for (const auto& h : caller_.in_flight(hedge_of(range)))
      held.insert({call_of(h.calls.number), call_of(h.calls.last())});
    for (const auto& part : held.missing(range))
      calls_.extract(part, [&](std::uint64_t number, record&& gone) {
        fail(number, gone, status::cancelled, "cancelled by the caller", gone.attempts == 1,
             out);
      });
  }
  on_arrivals(now, out);
}

void client_state::consumed(std::uint64_t number, std::uint64_t got, std::uint64_t bytes) {
  const auto it = streams_.find(number);
  if (it == streams_.end()) return;
  stream& s = it->second;
  const std::uint64_t until = got + s.window;
  // Half a window at a time: a credit for each element would cost as much as the element.
  const bool many = until >= s.until + (s.window + 1) / 2;
  const bool long_ones = s.window_bytes > 0 && bytes - s.credited_bytes >= s.window_bytes / 2;
  // What it lets come is as much again as may be on its way.
  const bool room = s.window_bytes == 0 ||
                    s.arrived_bytes - std::min(bytes, s.arrived_bytes) <= s.window_bytes;
  if (!(many || long_ones) || !room) return;
  s.until = std::max(s.until, until);
  s.credited_bytes = bytes;
  caller_.grant(number, s.until);
}

// What callees said

void client_state::on_arrivals(time_point now, client_outbox& out) {
  if (in_.empty()) return;
  on_parts(out);
  // Answers may lead to more of them.
  std::vector<caller::answered> answers;
  answers.swap(in_.answers);
  for (auto& report : in_.reports)
    if (!settled({report.number, report.number})) out.reports.push_back(std::move(report));
  in_.clear();
  for (auto& a : answers) {
    if (is_question(a.calls.number))
      on_routes(a, now, out);
    else
      on_answered(std::move(a), now, out);
  }
  if (!in_.answers.empty()) return on_arrivals(now, out);
  answers.clear();
  answers.swap(in_.answers);  // its memory is used again
}

void client_state::on_parts(client_outbox& out) {
  for (auto& part : in_.parts) {
    bool wanted = false;
    calls_.for_overlap({part.number, part.number},
                       [&](seq_range, const record& r) { wanted = !r.cancelled; });
    if (!wanted) continue;
    const auto [it, fresh] = streams_.try_emplace(part.number);
    if (fresh) {
      it->second.window = it->second.until = part.options->stream_window;
      it->second.window_bytes = part.options->stream_bytes;
    }
    it->second.arrived_bytes += part.part.elements.bytes();
    out.parts.push_back(std::move(part));
  }
}

// Time passes

void client_state::tick(time_point now, client_outbox& out) {
  std::vector<links::event> events;
  links_.tick(now, out, events);
  on_events(events, peer_id{UINT32_MAX}, now, out);
  if (complete_by_ && now >= *complete_by_) complete_by_.reset();
  deadlines_.due(now, [&](seq_range range) { expire(range, now, out); });
  hedges_.due(now, [&](seq_range range) { hedge(range, now, out); });
  const auto dead = [this](seq_range range) { return settled(range); };
  deadlines_.trim(dead);
  hedges_.trim(dead);
  if (deadlines_.entries() > 4096 + 4 * calls_.runs().size()) {
    // A few long ones in front of many that are over.
    deadlines_.clear();
    for (const auto& [first, r] : calls_.runs())
      deadlines_.add(r.deadline, {first, first + r.count - 1});
  }
  while (!delayed_.empty() && delayed_.begin()->first <= now) {
    caller::flight f = std::move(delayed_.begin()->second);
    delayed_.erase(delayed_.begin());
    if (settled({f.number, f.last()})) continue;
    method_state& m = method(f.method, now);
    enqueue(m, std::move(f));
  }
  for (const auto late : direct_.overdue(now)) {
    const auto dropped = direct_.failed(late, now);
    if (dropped.peer) links_.close(*dropped.peer, out);
    if (dropped.instead) out.opens.push_back(*dropped.instead);
  }
  on_arrivals(now, out);  // of what was stopped because it is late
  dispatch(now, out);
  if (now >= next_sweep_) sweep(now, out);
  caller_.flush(now, links_, out);
}

time_point client_state::next_deadline() const {
  time_point next = std::min(
      {links_.next_deadline(), deadlines_.next(), hedges_.next(), direct_.next_deadline()});
  if (!delayed_.empty()) next = std::min(next, delayed_.begin()->first);
  if (complete_by_) next = std::min(next, *complete_by_);
  return next;
}

/// Lets go of what is not used any more.
void client_state::sweep(time_point now, client_outbox& out) {
  next_sweep_ = now + sweep_interval;
  direct_.sweep(now);
  leave_idle_workers(now, out);
  std::erase_if(methods_, [now](const auto& entry) {
    const method_state& m = entry.second;
    return !m.busy && !m.asking && now - m.used >= method_memory;
  });
}

void client_state::say_bye(time_point now, client_outbox& out) {
  for (const auto& [id, p] : peers_) links_.send(id, bye{}, now, out);
}

}  // namespace weir::proto
