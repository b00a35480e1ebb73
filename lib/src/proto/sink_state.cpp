#include "proto/sink_state.hpp"

#include "proto/limits.hpp"
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
  if (!core_known) {
    if (std::find(given_up_.begin(), given_up_.end(), r.source) != given_up_.end()) {
      // What was committed of it is not known any more: it would be written again.
      links_.send(from,
                  error_message{wire_error::fenced,
                                "this sink has given this source up: its ventilator was gone, "
                                "and there was no room"},
                  now, out);
      return;
    }
    if (core_.full()) make_room(now, out);
  }
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
  std::vector<source_id> ended;
  for (const auto& [id, s] : sources_)
    if (s.owner == from) ended.push_back(id);
  for (const auto& id : ended) end_source(id, end::left, out);
  core_.forget_worker(from);
  links_.drop(from, now, out);
}

/// Gives up a source that is lost for good, as far as anybody can tell: one that is complete,
/// or else the one that was lost first.
void sink_state::make_room(time_point now, outbox& out) {
  const auto later = [this](const auto& a, const auto& b) {
    const bool whole = core_.complete(a.first);
    if (whole != core_.complete(b.first)) return !whole;
    return a.second.lost_since > b.second.lost_since;
  };
  auto first = sources_.end();
  for (auto it = sources_.begin(); it != sources_.end(); ++it) {
    if (!it->second.lost || now - it->second.lost_since < bye_patience()) continue;
    if (first == sources_.end() || later(*first, *it)) first = it;
  }
  if (first == sources_.end()) return;
  const source_id id = first->first;
  end_source(id, end::given_up, out);
  given_up_.push_back(id);
  if (given_up_.size() > limits::sources) given_up_.pop_front();
}

void sink_state::end_source(const source_id& id, end how, outbox& out) {
  const bool whole = core_.complete(id);
  ++(whole ? finished_ : abandoned_);
  const auto s = core_.standing_of(id);
  finished_tasks_ += s.total_known ? s.total : s.committed;
  const auto it = sources_.find(id);
  if (!whole)
    out.warn("ventilator " + it->second.ventilator +
             (how == end::left ? " has left" : " has not come back, and makes room,") +
             " before all its tasks were done: " + std::to_string(s.committed) +
             " are committed");
  core_.remove(id);
  out.closed.push_back(id);
  sources_.erase(it);
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
