#include "proto/sink_state.hpp"

#include "proto/peer_text.hpp"

#include <algorithm>
#include <utility>

namespace weir::proto {

sink_state::sink_state(links::options who, time_point now, ending when)
    : links_(std::move(who), now), ending_(when), last_tick_(now) {}

void sink_state::on_message(peer_id peer, message m, time_point now, outbox& out) {
  std::vector<links::event> events;
  const auto from = links_.receive(peer, m, now, out, events);
  on_events(events, now, out);
  if (!from) return;
  if (auto* b = std::get_if<result_batch>(&m)) {
    core_.on_results(*from, std::move(*b), out);
  } else if (auto* r = std::get_if<register_source>(&m)) {
    on_register(*from, *r, now, out);
  } else if (auto* f = std::get_if<finish>(&m)) {
    core_.on_finish(*f);
  } else if (std::holds_alternative<bye>(m)) {
    on_bye(*from, now, out);
  }
}

void sink_state::on_events(std::vector<links::event>& events, time_point now, outbox& out) {
  for (const auto& e : events) {
    if (e.what == links::change::met) continue;
    if (e.what == links::change::refused) {
      fatal_ = "refused by the other end: " + e.text;
      continue;
    }
    if (e.what == links::change::joined) {
      const bool known = std::any_of(sources_.begin(), sources_.end(),
                                     [&](const auto& s) { return s.second.owner == e.who; });
      if (e.info.role == role::ventilator && !known)
        out.info("ventilator " + name_of(e.info) + " joined");
      continue;
    }
    core_.forget_worker(e.who);
    bool left = false;
    for (auto& [id, s] : sources_) {
      if (s.owner != e.who || s.lost) continue;
      left = s.lost = true;
      s.lost_since = now;
    }
    if (left) out.warn("ventilator " + name_of(e.info) + " is gone: waiting for it");
  }
}

void sink_state::on_register(session_id from, const register_source& r, time_point now,
                             outbox& out) {
  const introduction* who = links_.info(from);
  if (!who || who->role != role::ventilator) return;
  const bool core_known = core_.knows(r.source);
  switch (core_.add(r, from)) {
    case sink_core::registration::fenced:
      links_.send(from,
                  error_message{wire_error::fenced,
                                "a newer incarnation of this source has registered"},
                  now, out);
      return;
    case sink_core::registration::too_many:
      links_.send(from,
                  error_message{wire_error::too_many, "this sink serves too many sources"}, now,
                  out);
      return;
    case sink_core::registration::accepted:
      break;
  }
  if (!core_known) out.opened.push_back({r.source, r.low, r.done});
  sources_[r.source] = source{name_of(*who), from, false, {}, false};
  for (auto& m : core_.what_is_done(r.source)) links_.send(from, std::move(m), now, out);
  for (const auto worker : core_.take_waiting(r.source))
    links_.send(worker, resend{r.source}, now, out);
}

void sink_state::on_bye(session_id from, time_point now, outbox& out) {
  for (auto it = sources_.begin(); it != sources_.end();) {
    const source_id id = it->first;
    if (it->second.owner != from) {
      ++it;
      continue;
    }
    const bool whole = core_.complete(id);
    ++(whole ? finished_ : abandoned_);
    for (const auto& s : core_.sources()) {
      if (s.id != id) continue;
      finished_tasks_ += s.total_known ? s.total : s.committed;
      if (!whole)
        out.warn("ventilator " + it->second.ventilator + " has left before all its tasks " +
                 "were done: " + std::to_string(s.committed) + " are committed");
    }
    core_.remove(id);
    out.closed.push_back(id);
    it = sources_.erase(it);
  }
  core_.forget_worker(from);
  links_.drop(from, now, out);
}

void sink_state::tick(time_point now, outbox& out) {
  last_tick_ = now;
  std::vector<links::event> events;
  links_.tick(now, out, events);
  on_events(events, now, out);
  for (auto& [id, s] : sources_) {
    if (!s.lost || s.settled || !core_.complete(id) || now - s.lost_since < bye_patience())
      continue;
    s.settled = true;
    out.info("ventilator " + s.ventilator + " has not come back; all its tasks are committed");
  }
  for (auto& reply : core_.take_replies(now))
    links_.send(reply.to, std::move(reply.what), now, out);
}

time_point sink_state::next_deadline() const {
  time_point next = links_.next_deadline();
  for (const auto& [id, s] : sources_)
    if (s.lost && !s.settled && core_.complete(id))
      next = std::min(next, s.lost_since + bye_patience());
  if (ending_.not_before > last_tick_ && complete()) next = std::min(next, ending_.not_before);
  return next;
}

bool sink_state::complete() const {
  if (finished_ + abandoned_ + sources_.size() < ending_.ventilators) return false;
  return std::all_of(sources_.begin(), sources_.end(),
                     [](const auto& s) { return s.second.settled; });
}

bool sink_state::nothing_missing() const {
  return abandoned_ == 0 && std::all_of(sources_.begin(), sources_.end(),
                                        [&](const auto& s) { return core_.complete(s.first); });
}

std::vector<sink_state::lost_source> sink_state::lost() const {
  std::vector<lost_source> list;
  for (const auto& s : core_.sources()) {
    const auto it = sources_.find(s.id);
    if (it != sources_.end() && it->second.lost && !it->second.settled)
      list.push_back({it->second.ventilator, s.committed, s.total, s.total_known});
  }
  return list;
}

void sink_state::say_bye(time_point now, outbox& out) {
  // A worker that leaves waits for its last COMMITTED.
  for (auto& reply : core_.take_replies())
    links_.send(reply.to, std::move(reply.what), now, out);
  for (const role r : {role::ventilator, role::worker})
    for (const auto id : links_.with_role(r))
      links_.send(id, bye{bye_reason::leaving}, now, out);
}

sink_state::counts sink_state::stats() const {
  counts c;
  static_cast<sink_core::counts&>(c) = core_.stats();
  c.sources = sources_.size();
  c.finished = finished_;
  c.workers = links_.with_role(role::worker).size();
  c.total = finished_tasks_;
  c.all_totals_known = finished_ + c.sources > 0;
  for (const auto& s : core_.sources()) {
    c.total += s.total;
    c.all_totals_known &= s.total_known;
  }
  return c;
}

}  // namespace weir::proto
