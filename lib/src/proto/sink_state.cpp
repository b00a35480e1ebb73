#include "proto/sink_state.hpp"

#include <utility>

namespace weir::proto {
namespace {
std::string name_of(const introduction& who) {
  std::string name = who.name.empty() ? "?" : who.name;
  if (!who.host.empty()) name += "@" + who.host;
  return name;
}
}  // namespace

sink_state::sink_state(links::options who, time_point now) : links_(std::move(who), now) {}

void sink_state::on_message(peer_id peer, message m, time_point now, outbox& out) {
  std::vector<links::event> events;
  const auto from = links_.receive(peer, m, now, out, events);
  on_events(events, out);
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

void sink_state::on_events(std::vector<links::event>& events, outbox& out) {
  for (const auto& e : events) {
    if (e.what == links::change::refused) {
      fatal_ = "refused by the other end: " + e.text;
      continue;
    }
    if (e.what == links::change::joined) {
      if (e.info.role == role::ventilator && !owned_.contains(e.who))
        out.info("ventilator " + name_of(e.info) + " joined");
      continue;
    }
    const auto owned = owned_.find(e.who);
    if (owned == owned_.end()) continue;  // a worker: nothing depends on it here
    std::uint64_t left = 0;
    for (const auto& id : owned->second)
      if (auto open = open_.extract(id)) {
        lost_.insert(std::move(open));
        ++left;
      }
    owned_.erase(owned);
    if (left > 0) out.warn("ventilator " + name_of(e.info) + " is gone: waiting for it");
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
  if (open_.try_emplace(r.source, name_of(*who)).second) owned_[from].push_back(r.source);
  lost_.erase(r.source);
  for (auto& m : core_.what_is_done(r.source)) links_.send(from, std::move(m), now, out);
  for (const auto worker : core_.take_waiting(r.source))
    links_.send(worker, resend{r.source}, now, out);
}

void sink_state::on_bye(session_id from, time_point now, outbox& out) {
  const auto owned = owned_.find(from);
  if (owned != owned_.end()) {
    for (const auto& id : owned->second) {
      open_.erase(id);
      if (core_.complete(id))
        ++finished_;
      else
        ++abandoned_;
      for (const auto& s : core_.sources())
        if (s.id == id) finished_tasks_ += s.total_known ? s.total : s.committed;
      core_.remove(id);
      out.closed.push_back(id);
    }
    owned_.erase(owned);
  }
  links_.drop(from, now, out);
}

void sink_state::tick(time_point now, outbox& out) {
  std::vector<links::event> events;
  links_.tick(now, out, events);
  on_events(events, out);
  for (auto& reply : core_.take_replies())
    links_.send(reply.to, std::move(reply.what), now, out);
}

std::vector<sink_state::lost_source> sink_state::lost() const {
  std::vector<lost_source> list;
  for (const auto& s : core_.sources()) {
    const auto it = lost_.find(s.id);
    if (it != lost_.end()) list.push_back({it->second, s.committed, s.total, s.total_known});
  }
  return list;
}

void sink_state::say_bye(time_point now, outbox& out) {
  for (const role r : {role::ventilator, role::worker})
    for (const auto id : links_.with_role(r))
      links_.send(id, bye{bye_reason::leaving}, now, out);
}

sink_state::counts sink_state::stats() const {
  counts c;
  static_cast<sink_core::counts&>(c) = core_.stats();
  c.sources = open_.size() + lost_.size();
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
