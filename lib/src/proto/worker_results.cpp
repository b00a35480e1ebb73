// What a worker's slots have done: held, delivered, and forgotten when it is committed.
#include "proto/wire.hpp"
#include "proto/worker_state.hpp"

#include <algorithm>
#include <utility>

namespace weir::proto {

std::string worker_state::destination(const source& s) const {
  if (!options_.results_to.empty()) return options_.results_to;
  const auto owner = ventilators_.find(s.owner);
  return owner == ventilators_.end() ? s.last_destination : owner->second.info.results_to;
}

std::optional<session_id> worker_state::receiver(const source& s, bool to_ventilator) const {
  const std::string endpoint = destination(s);
  if (to_ventilator || endpoint.empty()) return s.owner;
  if (endpoint == any_sink) {
    const auto newest = sink_at_.find(endpoint);
    if (newest == sink_at_.end() || !links_.info(newest->second)) return std::nullopt;
    return newest->second;
  }
  const auto link = sink_links_.find(endpoint);
  if (link == sink_links_.end() || !link->second) return std::nullopt;
  return links_.behind(*link->second);
}

void worker_state::on_finished(finished_tasks done, time_point now, outbox& out) {
  const auto it = sources_.find(done.source);
  if (it == sources_.end()) return;
  source& s = it->second;
  std::vector<std::pair<seq_range, std::uint32_t>> wanted;  // and the attempt on the books
  std::uint64_t bytes = 0;
  std::uint64_t count = 0;
  s.running.extract({done.first, done.last}, [&](std::uint64_t first, task_piece&& piece) {
    bytes += piece.payloads.bytes();
    count += piece.size();
    if (!piece.unwanted) wanted.push_back({{first, first + piece.size() - 1}, piece.attempt});
  });
  if (count == 0) return;
  running_ -= count;
  std::uint64_t run_count = 0;
  for (const auto& run : done.runs) run_count += run.payloads.size();
  if (run_count > 0) {
    std::uint64_t result_bytes = 0;
    for (const auto& run : done.runs) result_bytes += run.payloads.bytes();
    measure(done.busy, result_bytes, run_count);
  }
  seq_ranges back;
  for (auto& run : done.runs) {
    const seq_range whole{run.first, run.last()};
    for (const auto& [range, attempt] : wanted) {
      const seq_range part{std::max(whole.first, range.first),
                           std::min(whole.last, range.last)};
      if (part.first > part.last) continue;
      result_run piece =
          part == whole
              ? std::move(run)
              : held_run{run, 0, false}.slice(part.first - whole.first, part.size()).outcome;
      piece.attempt = attempt;
      hold(done.source, s, std::move(piece), bytes / count, now, out);
      if (part == whole) break;
    }
  }
  for (const auto& range : done.released)
    for (const auto& [wanted_range, attempt] : wanted) {
      const seq_range part{std::max(range.first, wanted_range.first),
                           std::min(range.last, wanted_range.last)};
      if (part.first <= part.last) back.push_back(part);
    }
  if (!back.empty()) release_to_owner(done.source, std::move(back), now, out);
  if (s.abandoned && s.running.empty()) sources_.erase(it);
}

void worker_state::hold(const source_id& id, source& s, result_run run,
                        std::uint64_t task_bytes, time_point now, outbox& out) {
  const bool failed = run.code != status::ok;
  if (failed && at_once_) {
    // Stopped because we are leaving at once: not the task's fault, so not an attempt.
    release_to_owner(id, {{run.first, run.last()}}, now, out);
    return;
  }
  (failed ? counts_.failed : counts_.done) += run.payloads.size();
  held_ += run.payloads.size();
  held_bytes_ += run.payloads.bytes();
  if (!failed) {
    s.held_ok += run.payloads.size();
    s.held_task_bytes += task_bytes * run.payloads.size();
  }
  deliver(id, s, run, failed, now, out);
  const std::uint64_t first = run.first;
  s.holding.insert(first, held_run{std::move(run), task_bytes, failed});
}

void worker_state::drop(source& s, const held_run& run) {
  held_ -= run.size();
  held_bytes_ -= run.outcome.payloads.bytes();
  if (run.outcome.code != status::ok) return;
  s.held_ok -= run.size();
  s.held_task_bytes -= run.task_bytes * run.size();
}

void worker_state::deliver(const source_id& id, const source& s, const result_run& run,
                           bool to_ventilator, time_point now, outbox& out) {
  const auto to = receiver(s, to_ventilator);
  if (!to) return;
  if (fitting_results(run) == run.payloads.size()) {
    links_.send(*to, result_batch{id, {run}}, now, out);
    return;
  }
  held_run rest{run, 0, to_ventilator};
  while (rest.size() > 0) {
    const auto n = fitting_results(rest.outcome);
    links_.send(*to, result_batch{id, {rest.slice(0, n).outcome}}, now, out);
    rest = rest.slice(n, rest.size() - n);
  }
}

void worker_state::deliver_all(session_id to, std::optional<source_id> only, time_point now,
                               outbox& out) {
  for (const auto& [id, s] : sources_) {
    if (only && *only != id) continue;
    for (const auto& [first, run] : s.holding.runs())
      if (receiver(s, run.to_ventilator) == to)
        deliver(id, s, run.outcome, run.to_ventilator, now, out);
  }
}

void worker_state::on_committed(session_id from, const committed& c) {
  const auto it = sources_.find(c.source);
  if (it == sources_.end()) return;
  source& s = it->second;
  for (const auto& range : c.ranges) {
    std::vector<std::pair<std::uint64_t, held_run>> others;
    s.holding.extract(range, [&](std::uint64_t first, held_run&& run) {
      // Late words of a sink that has since been replaced do not count: see on_sink_joined().
      if (receiver(s, run.to_ventilator) == from)
        drop(s, run);
      else
        others.emplace_back(first, std::move(run));
    });
    for (auto& [first, run] : others) s.holding.insert(first, std::move(run));
  }
}

}  // namespace weir::proto
