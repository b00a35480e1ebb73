// The ventilator's workers and its sink: who comes, who goes, and what both ends hold then.
#include "proto/peer_text.hpp"
#include "proto/portions.hpp"
#include "proto/ventilator_state.hpp"

#include <utility>

namespace weir::proto {
namespace {

std::string tasks(std::uint64_t n) { return std::to_string(n) + (n == 1 ? " task" : " tasks"); }

}  // namespace

void ventilator_state::on_events(std::vector<links::event>& events, time_point now,
                                 outbox& out) {
  for (const auto& e : events) {
    if (e.what == links::change::joined)
      on_joined(e, now, out);
    else if (e.what != links::change::met)
      on_left(e, now, out);
  }
  events.clear();
}

void ventilator_state::on_joined(const links::event& e, time_point now, outbox& out) {
  if (e.info.role == role::sink) {
    if (over_) return;
    if (options_.collects) {
      fatal_ =
          "the sink " + name_of(e.info) +
          " is connected, but this ventilator collects results itself: start it with --sink";
      return;
    }
    if (sink_joined_ && sink_ != e.who) {
      // Or the same one, restarted, and we have not noticed yet that the old one is gone: then
      // it is taken in lose_sink().
      out.warn("a second sink, " + name_of(e.info) + ", is ignored");
      return;
    }
    take_sink(e.who, now, out);
    return;
  }
  const auto [it, fresh] = workers_.try_emplace(e.who);
  it->second.info = e.info;
  it->second.ready = false;  // until its WINDOW says what it holds
  it->second.idle_since = now;
  it->second.kept_out |= options_.commands_only && !e.info.takes_commands;
  if (fresh && it->second.kept_out)
    out.warn("worker " + name_of(e.info) +
             " gets no tasks: it does not run commands that come with them (--accept-command)");
  else if (fresh)
    out.info("worker " + name_of(e.info) + " joined, " + std::to_string(e.info.slots) +
             (e.info.slots == 1 ? " slot" : " slots"));
}

void ventilator_state::on_left(const links::event& e, time_point now, outbox& out) {
  if (e.what == links::change::refused) {
    if (e.who != session_id{} && e.info.role == role::sink && e.who != sink_)
      return;  // ignored
    fatal_ = "refused by the other end: " + e.text;
    return;
  }
  const std::string how = e.what == links::change::expired  ? "has been silent for too long"
                          : e.what == links::change::broken ? "closed its connection"
                                                            : "has restarted";
  if (e.info.role == role::sink) {
    if (!sink_joined_ || e.who != sink_) return;
    out.warn("sink " + name_of(e.info) + " " + how + ": waiting for it");
    lose_sink(now, out);
    return;
  }
  const auto it = workers_.find(e.who);
  if (it == workers_.end()) return;
  ++counts_.lost_workers;
  const std::uint64_t had = it->second.items;
  out.warn("worker " + name_of(e.info) + " " + how +
           (had ? ": its " + tasks(had) + " will be done again" : std::string()));
  take_back(e.who, true, now, out);
  workers_.erase(e.who);
}

void ventilator_state::take_sink(session_id who, time_point now, outbox& out) {
  if (!sink_joined_ || sink_ != who) out.info("sink " + name_of(*links_.info(who)) + " joined");
  sink_ = who;
  sink_joined_ = true;
  sink_registered_ = false;
  registers_unanswered_ = 0;
  ending_ = ending::not_begun;
  register_with_sink(now, out);
}

void ventilator_state::lose_sink(time_point now, outbox& out) {
  sink_joined_ = sink_registered_ = false;
  sinkless_since_ = now;
  for (const auto other : links_.with_role(role::sink))
    if (other != sink_) return take_sink(other, now, out);
}

void ventilator_state::register_with_sink(time_point now, outbox& out) {
  const register_source all = registration();
  in_portions(all.done, [&](seq_ranges portion) {
    ++registers_unanswered_;
    links_.send(sink_, register_source{all.source, all.epoch, all.low, std::move(portion)}, now,
                out);
  });
}

register_source ventilator_state::registration() const {
  seq_set open;
  for (const auto* queue : {&queued_, &suspects_, &last_chances_, &delayed_})
    for (const auto& range : queue->ranges()) open.insert(range);
  for (const auto& range : leased_.ranges()) open.insert(range);
  for (const auto& range : dying_.ranges()) open.insert(range);
  register_source r{options_.source, options_.epoch, assigned(), {}};
  if (open.empty()) return r;
  const seq_ranges ranges = open.all();
  r.low = ranges.front().first - 1;
  if (r.low + 1 <= assigned()) r.done = open.missing({r.low + 1, assigned()});
  return r;
}

void ventilator_state::on_registered(registered r, time_point now, outbox& out) {
  if (registers_unanswered_ > 0) --registers_unanswered_;
  const bool first = !std::exchange(sink_registered_, true);
  ever_registered_ = true;
  on_ack({r.source, r.epoch, r.low, std::move(r.done)}, now, out);
  if (first) send_outcomes(out, now);
  if (ending_ == ending::confirmation_asked && registers_unanswered_ == 0)
    ending_ = ending::confirmed;
}

void ventilator_state::on_window(session_id from, const window& w, time_point now,
                                 outbox& out) {
  const auto it = workers_.find(from);
  if (it == workers_.end()) return;
  if (!it->second.ready && !w.resync) return;  // from before the connection broke
  it->second.window_items = w.items;
  it->second.window_bytes = w.bytes;
  if (w.resync) resync(from, w, now, out);
}

void ventilator_state::resync(session_id from, const window& w, time_point now, outbox& out) {
  worker& who = workers_.at(from);
  who.ready = true;
  seq_set held;
  for (const auto& part : w.holding)
    if (part.source == options_.source)
      for (const auto& range : part.ranges) held.insert(range);

  // Leased, but the worker does not have it: lost in the pipe, or done and its ACK on the way.
  seq_ranges lost;
  for (const auto& [first, run] : leased_.runs())
    if (run.worker == from)
      for (const auto& part : held.missing({first, first + run.size() - 1}))
        lost.push_back(part);
  for (const auto& range : lost)
    leased_.extract(range, [&](std::uint64_t first, leased_run&& run) {
      unlease(run, now);
      delay(first, std::move(run.task), settle_time, now);
    });

  // Held, but not leased to this worker: adopted if nobody else has it, else stopped.
  seq_ranges unwanted;
  for (const auto& range : held.all()) {
    seq_set known;
    for (auto* queue : {&queued_, &suspects_, &last_chances_, &delayed_})
      queue->extract(range, [&](std::uint64_t first, queued_run&& task) {
        who.items += task.size();
        who.bytes += task.bytes();
        who.alone = false;
        if (task.suspect && task.last_worker == from) {
          // It was blamed for the death of this worker, which is alive.
          task.suspect = false;
          if (task.failures > 0) --task.failures;
        }
        if (task.suspect) who.suspects += task.size();
        task.last_worker = from;
        leased_.insert(first, leased_run{std::move(task), from});
      });
    leased_.for_overlap(range, [&](seq_range part, const leased_run& run) {
      if (run.worker == from) known.insert(part);
    });
    for (const auto& gap : known.missing(range)) unwanted.push_back(gap);
  }
  if (!unwanted.empty())
    in_portions(unwanted, [&](seq_ranges portion) {
      links_.send(from, cancel{options_.source, std::move(portion), cancel_mode::stop}, now,
                  out);
    });
  keep_out(from, now, out);
}

}  // namespace weir::proto
