#include "proto/ventilator_state.hpp"

#include "proto/peer_text.hpp"

#include <algorithm>
#include <utility>

namespace weir::proto {
namespace {

/// Heartbeats. More than a sink waits for a ventilator that is gone when all is committed, so
/// that the sink is the first to leave if both are there and cannot reach each other.
constexpr int sink_patience = 30;

}  // namespace

ventilator_state::queued_run ventilator_state::queued_run::slice(std::uint64_t offset,
                                                                 std::uint64_t n) const {
  queued_run part = *this;
  part.payloads =
      payloads.slice(static_cast<std::uint32_t>(offset), static_cast<std::uint32_t>(n));
  if (!commands.empty())
    part.commands =
        commands.slice(static_cast<std::uint32_t>(offset), static_cast<std::uint32_t>(n));
  return part;
}

void ventilator_state::queued_run::settle() {
  // One slow task must not keep the memory of the thousands that were read with it. An eighth:
  // what is left of a batch in the middle of being acknowledged is not worth a copy.
  for (pack* some : {&payloads, &commands})
    if (some->retained() > 4096 && some->bytes() < some->retained() / 8)
      *some = some->compacted();
}

ventilator_state::leased_run ventilator_state::leased_run::slice(std::uint64_t offset,
                                                                 std::uint64_t n) const {
  return {task.slice(offset, n), worker};
}

ventilator_state::dying_run ventilator_state::dying_run::slice(std::uint64_t offset,
                                                               std::uint64_t n) const {
  dying_run part = *this;  // always of one task: what is left of it is all of it
  part.outcome.first = outcome.first + offset;
  part.outcome.payloads =
      outcome.payloads.slice(static_cast<std::uint32_t>(offset), static_cast<std::uint32_t>(n));
  return part;
}

ventilator_state::ventilator_state(links::options who, options opts, time_point now)
    : options_(opts), links_(std::move(who), now), random_(opts.seed) {}

std::uint64_t ventilator_state::outstanding() const {
  return queued_.size() + suspects_.size() + last_chances_.size() + delayed_.size() +
         leased_.size() + dying_.size();
}

ventilator_state::room ventilator_state::free() const {
  const std::uint64_t tasks_out = outstanding();
  if (tasks_out >= options_.max_tasks || bytes_ >= options_.max_bytes) return {};
  return {options_.max_tasks - tasks_out, options_.max_bytes - bytes_};
}

void ventilator_state::feed(pack payloads, pack commands) {
  if (payloads.empty()) return;
  const std::uint64_t first = next_seq_;
  next_seq_ += payloads.size();
  counts_.read += payloads.size();
  queued_run run;
  run.payloads = std::move(payloads);
  run.commands = std::move(commands);
  bytes_ += run.bytes();
  queued_.insert(first, std::move(run));
}

void ventilator_state::feed_refused(status code, std::string why, outbox& out) {
  const std::uint64_t first = next_seq_++;
  ++counts_.read;
  queued_run task;
  task.payloads = pack::of({});
  result_run outcome{first, 0, code, pack::of({}), {outcome_details{}}};
  outcome.details[0].message = std::move(why);
  give_up(first, task, std::move(outcome), out);
}

std::vector<ventilator_state::collected> ventilator_state::on_message(peer_id peer, message m,
                                                                      time_point now,
                                                                      outbox& out) {
  std::vector<links::event> events;
  std::vector<collected> results;
  const auto from = links_.receive(peer, m, now, out, events);
  on_events(events, now, out);
  if (from) handle(*from, std::move(m), now, out, results);
  return results;
}

void ventilator_state::handle(session_id from, message m, time_point now, outbox& out,
                              std::vector<collected>& results) {
  if (auto* a = std::get_if<ack>(&m)) {
    if (from == sink_) on_ack(*a, now, out);
  } else if (auto* r = std::get_if<registered>(&m)) {
    if (from == sink_ && r->source == options_.source) on_registered(std::move(*r), now, out);
  } else if (auto* w = std::get_if<window>(&m)) {
    on_window(from, *w, now, out);
  } else if (auto* b = std::get_if<result_batch>(&m)) {
    if (b->source == options_.source) on_results(from, std::move(*b), now, out, results);
  } else if (auto* give = std::get_if<release>(&m)) {
    if (give->source == options_.source) on_release(from, *give, now);
  } else if (auto* p = std::get_if<progress>(&m)) {
    if (p->source == options_.source) out.progressed.push_back(std::move(*p));
  } else if (std::holds_alternative<bye>(m)) {
    const introduction* who = links_.info(from);
    if (who) out.info(name_of(*who) + " left");
    take_back(from, false, now, out);
    workers_.erase(from);
    links_.drop(from, now, out);
    if (from != sink_) return;
    lose_sink(now, out);
    // It knows what it has committed, and leaves of its own accord.
    if (!sink_joined_ && input_ended_ && outstanding() == 0) ending_ = ending::confirmed;
  }
}

void ventilator_state::tick(time_point now, outbox& out) {
  last_tick_ = now;
  std::vector<links::event> events;
  links_.tick(now, out, events);
  on_events(events, now, out);
  if (now >= next_ready_) {
    seq_ranges due;
    next_ready_ = time_point::max();
    for (const auto& [first, run] : delayed_.runs()) {
      if (run.ready_at <= now)
        due.push_back({first, first + run.size() - 1});
      else
        next_ready_ = std::min(next_ready_, run.ready_at);
    }
    for (const auto& range : due)
      delayed_.extract(range, [&](std::uint64_t first, queued_run&& task) {
        requeue(first, std::move(task));
      });
  }
  // All is committed, and only the sink's knowing that there is no more is in doubt. A sink
  // that has been gone for so long has drawn its own conclusions.
  if (!options_.collects && !sink_joined_ && ever_registered_ && input_ended_ &&
      outstanding() == 0 && now - sinkless_since_ >= sink_patience * links_.heartbeat())
    ending_ = ending::confirmed;
  if (!options_.collects && sink_registered_) {
    for (auto& batch : take_given_up()) links_.send(sink_, std::move(batch), now, out);
    if (input_ended_ && ending_ == ending::not_begun) {
      ending_ = ending::finish_sent;
      links_.send(sink_, finish{options_.source, options_.epoch, assigned()}, now, out);
    }
    if (ending_ == ending::finish_sent && outstanding() == 0) {
      ending_ = ending::confirmation_asked;
      register_with_sink(now, out);
    }
  }
  dispatch(now, out);
  recall(now, out);
}

bool ventilator_state::complete() const {
  return input_ended_ && outstanding() == 0 &&
         (options_.collects || ending_ == ending::confirmed);
}

void ventilator_state::say_bye(bye_reason reason, time_point now, outbox& out) {
  over_ = true;
  for (const role r : {role::worker, role::sink})
    for (const auto id : links_.with_role(r)) links_.part(id, reason, now, out);
}

ventilator_state::counts ventilator_state::stats() const {
  counts c = counts_;
  c.queued = queued_.size() + suspects_.size() + last_chances_.size() + delayed_.size();
  c.leased = leased_.size();
  c.workers = workers_.size();
  c.bytes = bytes_;
  return c;
}

}  // namespace weir::proto
