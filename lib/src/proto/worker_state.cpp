#include "proto/worker_state.hpp"

#include "proto/limits.hpp"
#include "proto/peer_text.hpp"

#include <algorithm>
#include <utility>

namespace weir::proto {
namespace {

/// Work for a ventilator that went without a BYE is kept for so long. It has long taken us for
/// dead by then and given the work to others; and what is kept keeps others' work out.
constexpr duration absence_patience = std::chrono::minutes(1);

}  // namespace

worker_state::held_run worker_state::held_run::slice(std::uint64_t offset,
                                                     std::uint64_t n) const {
  held_run part{{outcome.first + offset, outcome.attempt, outcome.code, {}, {}},
                task_bytes,
                to_ventilator};
  part.outcome.payloads =
      outcome.payloads.slice(static_cast<std::uint32_t>(offset), static_cast<std::uint32_t>(n));
  if (!outcome.details.empty()) {
    const auto from = outcome.details.begin() + static_cast<std::ptrdiff_t>(offset);
    part.outcome.details.assign(from, from + static_cast<std::ptrdiff_t>(n));
  }
  return part;
}

worker_state::worker_state(links::options who, options opts, time_point now)
    : options_(std::move(opts)), links_(std::move(who), now) {
  links_.self().slots = options_.slots;
}

void worker_state::sink_opened(const std::string& endpoint, peer_id peer, time_point now,
                               outbox& out) {
  sink_links_[endpoint] = peer;
  links_.open(peer, now, out);
}

void worker_state::want_sink(const std::string& endpoint, outbox& out) {
  if (endpoint.empty() || endpoint == any_sink) return;
  if (sink_links_.try_emplace(endpoint).second) out.connects.push_back(endpoint);
}

std::string worker_state::missing_sink() const {
  if (!links_.with_role(role::sink).empty()) return {};
  if (!options_.results_to.empty()) return options_.results_to;
  for (const auto& [id, v] : ventilators_)
    if (!v.info.results_to.empty()) return v.info.results_to;
  return {};
}

void worker_state::on_message(peer_id peer, message m, time_point now, outbox& out) {
  std::vector<links::event> events;
  const auto from = links_.receive(peer, m, now, out, events);
  on_events(events, now, out);
  if (!from) return;
  if (auto* t = std::get_if<task_batch>(&m)) {
    on_tasks(*from, std::move(*t), now, out);
  } else if (auto* c = std::get_if<committed>(&m)) {
    on_committed(*from, *c);
  } else if (auto* stop = std::get_if<cancel>(&m)) {
    on_cancel(*from, *stop, now, out);
  } else if (auto* r = std::get_if<resend>(&m)) {
    deliver_all(*from, r->source, now, out);
  } else if (auto* b = std::get_if<bye>(&m)) {
    on_bye(*from, *b, now, out);
  }
}

void worker_state::on_events(std::vector<links::event>& events, time_point now, outbox& out) {
  for (const auto& e : events) {
    if (e.what == links::change::joined)
      on_joined(e, now, out);
    else if (e.what == links::change::met)
      on_met(e, now, out);
    else
      on_left(e, now, out);
  }
  events.clear();
}

void worker_state::on_joined(const links::event& e, time_point now, outbox& out) {
  if (e.info.role == role::sink) {
    on_sink_joined(e, now, out);
    return;
  }
  const auto [it, fresh] = ventilators_.try_emplace(e.who);
  it->second.info = e.info;
  it->second.resynced = false;
  ever_joined_ = true;
  std::erase_if(awaited_, [&](peer_id peer) { return links_.behind(peer) == e.who; });
  missing_.erase(e.who);
  if (fresh) out.info("ventilator " + name_of(e.info) + " joined");
  for (auto& [id, s] : sources_)
    if (s.owner == e.who) s.last_destination = e.info.results_to;
  if (options_.results_to.empty()) want_sink(e.info.results_to, out);
  deliver_all(e.who, std::nullopt, now, out);
  resync(e.who, now, out);
}

/// It matters where a connection leads; but what both ends hold is as it was.
void worker_state::on_met(const links::event& e, time_point now, outbox& out) {
  if (e.info.role == role::sink) on_sink_joined(e, now, out);
  std::erase_if(awaited_, [&](peer_id peer) { return links_.behind(peer) == e.who; });
}

void worker_state::on_sink_joined(const links::event& e, time_point now, outbox& out) {
  std::string where(any_sink);
  for (const auto& [endpoint, peer] : sink_links_)
    if (peer && links_.behind(*peer) == e.who) where = endpoint;
  session_id& known = sink_at_[where];
  const bool another = known != session_id{} && known != e.who;
  if (known != e.who) out.info("sink " + name_of(e.info) + " joined");
  known = e.who;
  deliver_all(e.who, std::nullopt, now, out);
  // The one before may have committed results and told us to forget them, and died before it
  // told their ventilator. Nobody else would ever miss them: begin again with the ventilators,
  // which are told what we hold then.
  if (another)
    for (const auto& [id, v] : ventilators_) links_.renew(id, now, out);
}

void worker_state::on_left(const links::event& e, time_point now, outbox& out) {
  if (e.what == links::change::refused) {
    fatal_ = "refused by the other end: " + e.text;
    return;
  }
  const bool for_good = e.what == links::change::restarted;
  const std::string how = e.what == links::change::expired  ? "has been silent for too long"
                          : e.what == links::change::broken ? "closed its connection"
                                                            : "has restarted";
  out.warn(std::string(to_string(e.info.role)) + " " + name_of(e.info) + " " + how +
           (for_good ? "" : ": waiting for it"));
  if (e.info.role == role::sink) {
    const auto any = sink_at_.find(std::string(any_sink));
    if (any == sink_at_.end() || any->second != e.who) return;
    for (const auto other : links_.with_role(role::sink))
      if (other != e.who)
        return on_sink_joined({links::change::joined, other, *links_.info(other), {}}, now,
                              out);
    return;
  }
  // It may only be cut off or stopped for a while: what it gave us is kept, and compared when
  // it comes back. A new incarnation knows nothing of it.
  ventilators_.erase(e.who);
  if (for_good) {
    missing_.erase(e.who);
    abandon(e.who, out);
  } else {
    missing_[e.who] = {name_of(e.info), now + absence_patience};
  }
}

void worker_state::resync(session_id to, time_point now, outbox& out) {
  ventilator& v = ventilators_.at(to);
  window w;
  w.resync = true;
  v.wanted = draining_ ? 0 : growing(v);
  v.measurements = measurements_;
  const auto [held, held_bytes] = held_for(to);
  v.sent_items = w.items = window_items(v.wanted, held);
  v.sent_bytes = w.bytes = options_.max_bytes + held_bytes;
  for (const auto& [id, s] : sources_) {
    if (s.owner != to) continue;
    seq_set mine;
    for (const auto& range : s.queued.ranges()) mine.insert(range);
    for (const auto& [first, run] : s.running.runs())
      if (!run.unwanted) mine.insert({first, first + run.size() - 1});
    // Failures have just been reported, and are the ventilator's to send again.
    for (const auto& [first, run] : s.holding.runs())
      if (run.outcome.code == status::ok) mine.insert({first, first + run.size() - 1});
    if (!mine.empty()) w.holding.push_back({id, mine.all()});
  }
  v.resynced = true;
  links_.send(to, std::move(w), now, out);
}

seq_set worker_state::in_hand_already(source& s, seq_range range, const task_run& again) {
  seq_set mine;
  if (range.first > s.highest) return mine;  // as nearly always
  // A repetition: from before a broken connection, or of what was lost sight of in it. From now
  // on it is of the attempt that the ventilator has on its books.
  const auto renew = [&](run_map<task_piece>& among) {
    std::vector<std::pair<std::uint64_t, task_piece>> pieces;
    among.extract(range, [&](std::uint64_t first, task_piece&& piece) {
      pieces.emplace_back(first, std::move(piece));
    });
    for (auto& [first, piece] : pieces) {
      if (!piece.unwanted) {
        mine.insert({first, first + piece.size() - 1});
        piece.attempt = again.attempt;
      }
      among.insert(first, std::move(piece));
    }
  };
  renew(s.queued);
  renew(s.running);
  std::vector<std::pair<std::uint64_t, held_run>> results;
  s.holding.extract(range, [&](std::uint64_t first, held_run&& run) {
    // It knows of the failure, or it would not ask again.
    if (run.outcome.code != status::ok) return drop(s, run);
    results.emplace_back(first, std::move(run));
  });
  for (auto& [first, run] : results) {
    mine.insert({first, first + run.size() - 1});
    s.holding.insert(first, std::move(run));
  }
  return mine;
}

void worker_state::on_tasks(session_id from, task_batch batch, time_point now, outbox& out) {
  const auto owner = ventilators_.find(from);
  if (owner == ventilators_.end()) return;
  source& s = sources_[batch.source];
  s.owner = from;
  s.abandoned = false;
  s.last_destination = owner->second.info.results_to;
  seq_ranges refused;
  for (auto& run : batch.runs) {
    const seq_range range{run.first, run.last()};
    const seq_set mine = in_hand_already(s, range, run);
    counts_.received += run.payloads.size();
    s.highest = std::max(s.highest, range.last);
    for (const auto& fresh : mine.missing(range)) {
      // Nobody sends a command to a worker that has not asked for any; who does may keep it.
      if (draining_ || (run.commands && !links_.self().takes_commands)) {
        refused.push_back(fresh);
        continue;
      }
      queued_ += fresh.size();
      s.queued.insert(
          fresh.first,
          task_piece{run.payloads.slice(static_cast<std::uint32_t>(fresh.first - run.first),
                                        static_cast<std::uint32_t>(fresh.size())),
                     run.attempt, run.time_limit_ms, false, run.commands});
    }
  }
  if (!refused.empty()) release_to_owner(batch.source, std::move(refused), now, out);
}

seq_ranges worker_state::unqueue(source& s, seq_range range) {
  seq_ranges taken;
  s.queued.extract(range, [&](std::uint64_t first, task_piece&& piece) {
    queued_ -= piece.size();
    append_range(taken, {first, first + piece.size() - 1});
  });
  return taken;
}

void worker_state::on_cancel(session_id from, const cancel& c, time_point now, outbox& out) {
  const auto it = sources_.find(c.source);
  if (it == sources_.end() || it->second.owner != from) return;
  source& s = it->second;
  seq_ranges back;
  for (const auto& range : c.ranges) {
    for (const auto& part : unqueue(s, range)) back.push_back(part);
    if (c.mode == cancel_mode::give_back) {
      // Handed to the slots, but perhaps not begun: they know.
      s.running.for_overlap(range, [&](seq_range part, const task_piece& piece) {
        if (!piece.unwanted) out.stops.push_back({c.source, part, cancel_mode::give_back});
      });
      continue;
    }
    std::vector<std::pair<std::uint64_t, task_piece>> pieces;
    s.running.extract(range, [&](std::uint64_t first, task_piece&& piece) {
      pieces.emplace_back(first, std::move(piece));
    });
    for (auto& [first, piece] : pieces) {
      if (!piece.unwanted) out.stops.push_back({c.source, {first, first + piece.size() - 1}});
      piece.unwanted = true;
      s.running.insert(first, std::move(piece));
    }
  }
  if (c.mode == cancel_mode::give_back && !back.empty())
    release_to_owner(c.source, std::move(back), now, out);
}

void worker_state::release_to_owner(const source_id& id, seq_ranges ranges, time_point now,
                                    outbox& out) {
  seq_set all;  // ascending and joined, as the wire wants them
  for (const auto& range : ranges) {
    counts_.released += range.size();
    all.insert(range);
  }
  ranges = all.all();
  for (std::size_t i = 0; i < ranges.size(); i += limits::ranges) {
    const auto end = std::min(ranges.size(), i + limits::ranges);
    links_.send(sources_.at(id).owner,
                release{id,
                        {ranges.begin() + static_cast<std::ptrdiff_t>(i),
                         ranges.begin() + static_cast<std::ptrdiff_t>(end)}},
                now, out);
  }
}

void worker_state::on_bye(session_id from, const bye& b, time_point now, outbox& out) {
  if (const introduction* who = links_.info(from))
    out.info(std::string(to_string(who->role)) + " " + name_of(*who) +
             (b.reason == bye_reason::finished ? " is finished" : " left"));
  if (ventilators_.contains(from)) {
    abandon(from, out);
    ventilators_.erase(from);
  }
  links_.drop(from, now, out);
}

void worker_state::abandon(session_id owner, outbox& out) {
  for (auto it = sources_.begin(); it != sources_.end();) {
    source& s = it->second;
    if (s.owner != owner) {
      ++it;
      continue;
    }
    (void)unqueue(s, {1, limits::seq});
    s.holding.extract({1, limits::seq}, [&](std::uint64_t, held_run&& run) { drop(s, run); });
    std::vector<std::pair<std::uint64_t, task_piece>> pieces;
    s.running.extract({1, limits::seq}, [&](std::uint64_t first, task_piece&& piece) {
      pieces.emplace_back(first, std::move(piece));
    });
    for (auto& [first, piece] : pieces) {
      out.stops.push_back({it->first, {first, first + piece.size() - 1}});
      piece.unwanted = true;
      s.running.insert(first, std::move(piece));
    }
    s.abandoned = true;
    // What still runs is waited for; its source goes with the last of it, in on_finished().
    it = s.running.empty() ? sources_.erase(it) : std::next(it);
  }
}

std::uint64_t worker_state::in_hand_for(session_id owner) const {
  std::uint64_t tasks = 0;
  for (const auto& [id, s] : sources_)
    if (s.owner == owner) tasks += s.queued.size() + s.running.size() + s.holding.size();
  return tasks;
}

void worker_state::drop_work_of_the_missing(time_point now, outbox& out) {
  for (auto it = missing_.begin(); it != missing_.end();) {
    auto& [who, gone] = *it;
    if (now < gone.patience_ends) {
      ++it;
      continue;
    }
    if (const auto tasks = in_hand_for(who); tasks > 0)
      out.warn("ventilator " + gone.name + " has been gone for a minute: its " +
               std::to_string(tasks) + (tasks == 1 ? " task is" : " tasks are") + " dropped");
    abandon(who, out);
    gone.patience_ends = time_point::max();
    // Who does not serve came for it, and must not take this for a good end.
    it = options_.serve ? missing_.erase(it) : std::next(it);
  }
}

void worker_state::on_progress(progress p, time_point now, outbox& out) {
  const auto it = sources_.find(p.source);
  if (it != sources_.end()) links_.send(it->second.owner, std::move(p), now, out);
}

void worker_state::drain() { draining_ = true; }

void worker_state::drain_at_once(outbox& out) {
  draining_ = at_once_ = true;
  for (const auto& [id, s] : sources_)
    for (const auto& range : s.running.ranges()) out.stops.push_back({id, range});
}

void worker_state::tick(time_point now, outbox& out) {
  if (!options_.results_to.empty()) want_sink(options_.results_to, out);
  std::vector<links::event> events;
  links_.tick(now, out, events);
  on_events(events, now, out);
  drop_work_of_the_missing(now, out);
  if (draining_ && queued_ > 0)
    for (auto& [id, s] : sources_) release_to_owner(id, unqueue(s, {1, limits::seq}), now, out);
  start(out);
  announce(now, out);
}

time_point worker_state::next_deadline() const {
  auto next = links_.next_deadline();
  for (const auto& [who, gone] : missing_) next = std::min(next, gone.patience_ends);
  return next;
}

bool worker_state::done() const {
  // Leaving at once does not wait for a sink: what it has not committed is done again.
  if (at_once_) return queued_ + running_ == 0;
  if (queued_ + running_ + held_ != 0) return false;
  if (draining_) return true;
  return !options_.serve && ever_joined_ && ventilators_.empty() && missing_.empty() &&
         awaited_.empty();
}

void worker_state::say_bye(time_point now, outbox& out) {
  for (const role r : {role::ventilator, role::sink})
    for (const auto id : links_.with_role(r))
      links_.send(id, bye{bye_reason::leaving}, now, out);
}

worker_state::counts worker_state::stats() const {
  counts c = counts_;
  c.queued = queued_;
  c.running = running_;
  c.held = held_;
  c.held_bytes = held_bytes_;
  c.ventilators = ventilators_.size();
  for (const auto& [id, v] : ventilators_) c.window = std::max(c.window, v.sent_items);
  return c;
}

}  // namespace weir::proto
