// What becomes of the ventilator's leased tasks: done, failed, handed back, or their worker
// died.
#include "proto/portions.hpp"
#include "proto/ventilator_state.hpp"

#include <algorithm>
#include <utility>

namespace weir::proto {
namespace {

/// Waits for retries end on multiples of this, so that many of them are looked at together.
constexpr duration retry_grid = std::chrono::milliseconds(10);

}  // namespace

void ventilator_state::on_results(session_id from, result_batch batch, time_point now,
                                  outbox& out, std::vector<collected>& results) {
  seq_ranges noted;
  result_batch good{batch.source, {}};
  for (auto& run : batch.runs) {
    if (run.code == status::ok) {
      good.runs.push_back(std::move(run));
      continue;
    }
    append_range(noted, {run.first, run.last()});
    std::vector<std::pair<std::uint64_t, leased_run>> others;
    std::vector<std::pair<std::uint64_t, leased_run>> failed;
    leased_.extract({run.first, run.last()}, [&](std::uint64_t first, leased_run&& lease) {
      (lease.worker == from ? failed : others).emplace_back(first, std::move(lease));
    });
    for (auto& [first, lease] : others) leased_.insert(first, std::move(lease));
    for (auto& [first, lease] : failed) {
      unlease(lease, now);
      if (lease.task.attempts != run.attempt) {
        // Of an attempt before the one on the books: a task that was adopted in a resync. With
        // our COMMITTED the worker lets go of it, so nobody else will ever report it.
        delay(first, std::move(lease.task), settle_time, now);
        continue;
      }
      for (std::uint64_t i = 0; i < lease.size(); ++i)
        on_failure(first + i, lease.task.slice(i, 1), run.code, &run, first + i - run.first,
                   now, out);
    }
  }
  if (!noted.empty()) links_.send(from, committed{batch.source, std::move(noted)}, now, out);
  if (options_.collects && !good.runs.empty()) results.push_back({from, std::move(good)});
}

void ventilator_state::on_failure(std::uint64_t first, queued_run task, status code,
                                  const result_run* report, std::uint64_t offset,
                                  time_point now, outbox& out) {
  // Its own failures, and the deaths that it may have caused, can have a limit each.
  const bool apart = report && options_.max_failures > 0;
  const std::uint32_t failures = apart ? ++task.reported : ++task.failures;
  const std::uint32_t most = apart ? options_.max_failures : options_.max_attempts;
  task.suspect = false;
  const outcome_details* details =
      report && offset < report->details.size() ? &report->details[offset] : nullptr;
  if (failures < most && (!details || details->retryable)) {
    ++counts_.retried;
    delay(first, std::move(task), options_.retry.after(failures, random_), now);
    return;
  }
  result_run outcome{first, task.attempts, code, pack::of({}), {outcome_details{}}};
  if (report)
    outcome.payloads =
        report->payloads.slice(static_cast<std::uint32_t>(offset), 1).compacted();
  if (details) outcome.details[0] = *details;
  if (!report)
    outcome.details[0].message = "took " + std::to_string(task.failures) +
                                 " workers down with it, or was in hand when they died";
  give_up(first, task, std::move(outcome), out);
}

void ventilator_state::give_up(std::uint64_t first, const queued_run& task, result_run outcome,
                               outbox& out) {
  ++counts_.failed;
  out.failures.push_back(
      {first, task.payloads, outcome.code, outcome.details[0].message, outcome.attempt});
  const std::uint64_t held = outcome.payloads.bytes();
  bytes_ += held;
  bytes_ -= task.bytes();
  given_up_unsent_.push_back({options_.source, {outcome}});
  dying_.insert(first, dying_run{std::move(outcome), held});
}

std::vector<result_batch> ventilator_state::take_given_up() {
  return std::exchange(given_up_unsent_, {});
}

void ventilator_state::send_outcomes(outbox& out, time_point now) {
  given_up_unsent_.clear();
  for (const auto& [first, run] : dying_.runs())
    links_.send(sink_, result_batch{options_.source, {run.outcome}}, now, out);
}

void ventilator_state::on_release(session_id from, const release& r, time_point now) {
  for (const auto& range : r.ranges) {
    std::vector<std::pair<std::uint64_t, leased_run>> others;
    leased_.extract(range, [&](std::uint64_t first, leased_run&& lease) {
      if (lease.worker != from) return others.emplace_back(first, std::move(lease)), void();
      unlease(lease, now);
      requeue(first, std::move(lease.task));
    });
    for (auto& [first, lease] : others) leased_.insert(first, std::move(lease));
  }
}

bool ventilator_state::withdraw(peer_id keeper, cancel_mode how, time_point now, outbox& out) {
  const auto who = links_.on(keeper);
  if (!who) return false;
  withdrawn_ = {*who, how};
  for (const auto& [id, w] : workers_) keep_out(id, now, out);
  return true;
}

/// Again whenever it joins: what it holds then may be news.
void ventilator_state::keep_out(session_id who, time_point now, outbox& out) {
  if (!withdrawn_ || who == withdrawn_->keeper) return;
  workers_.at(who).kept_out = true;
  const auto ranges = leased_to(who);
  if (ranges.empty()) return;
  in_portions(ranges, [&](seq_ranges portion) {
    links_.send(who, cancel{options_.source, std::move(portion), withdrawn_->how}, now, out);
  });
  if (withdrawn_->how == cancel_mode::give_back) return;  // RELEASE says which
  std::vector<std::pair<std::uint64_t, queued_run>> back;
  for (const auto& range : ranges)
    leased_.extract(range, [&](std::uint64_t first, leased_run&& run) {
      unlease(run, now);
      back.emplace_back(first, std::move(run.task));
    });
  for (auto& [first, task] : back) requeue(first, std::move(task));
}

seq_ranges ventilator_state::leased_to(session_id who) const {
  seq_ranges ranges;
  for (const auto& [first, run] : leased_.runs())
    if (run.worker == who) append_range(ranges, {first, first + run.size() - 1});
  return ranges;
}

void ventilator_state::take_back(session_id from, bool died, time_point now, outbox& out) {
  const auto ranges = leased_to(from);
  const auto who = workers_.find(from);
  const bool alone = who != workers_.end() && who->second.alone;
  std::vector<std::pair<std::uint64_t, leased_run>> back;
  for (const auto& range : ranges)
    leased_.extract(range, [&](std::uint64_t first, leased_run&& run) {
      unlease(run, now);
      back.emplace_back(first, std::move(run));
    });
  for (auto& [first, run] : back) {
    queued_run& task = run.task;
    if (!died) {
      // Handed over in good order, so it is not here any more or done, with its ACK on the way.
      delay(first, std::move(task), settle_time, now);
      continue;
    }
    // Which of its tasks killed it nobody knows. All become suspects, which are tried one at a
    // time per worker, beside tasks that are not suspected. The last chance of a suspect is to
    // have a worker for itself: only then is it known to be guilty.
    if (!alone && options_.max_attempts > 1) {
      task.failures = std::min(task.failures + 1, options_.max_attempts - 1);
      task.suspect = true;
      requeue(first, std::move(task));
      continue;
    }
    for (std::uint64_t i = 0; i < task.size(); ++i)
      on_failure(first + i, task.slice(i, 1), status::unavailable, nullptr, 0, now, out);
  }
}

void ventilator_state::requeue(std::uint64_t first, queued_run task) {
  if (!task.suspect)
    queued_.insert(first, std::move(task));
  else if (task.failures + 1 < options_.max_attempts)
    suspects_.insert(first, std::move(task));
  else
    last_chances_.insert(first, std::move(task));
}

void ventilator_state::delay(std::uint64_t first, queued_run task, duration wait,
                             time_point now) {
  const auto ready = (now + wait).time_since_epoch();
  task.ready_at = time_point(((ready + retry_grid) / retry_grid) * retry_grid);
  next_ready_ = std::min(next_ready_, task.ready_at);
  delayed_.insert(first, std::move(task));
}

void ventilator_state::unlease(const leased_run& run, time_point now) {
  const auto it = workers_.find(run.worker);
  if (it == workers_.end()) return;
  it->second.items -= run.size();
  it->second.bytes -= run.task.bytes();
  if (run.task.suspect) it->second.suspects -= run.size();
  if (it->second.items > 0) return;
  it->second.idle_since = now;
  if (std::exchange(it->second.alone, false)) it->second.set_aside = false;
}

void ventilator_state::on_ack(const ack& a, time_point now, outbox& out) {
  if (a.source != options_.source || a.epoch != options_.epoch) return;
  if (a.low > assigned() || (!a.done.empty() && a.done.back().last > assigned())) {
    out.warn("an ACK for tasks that were never sent is ignored");
    return;
  }
  std::map<session_id, seq_ranges> running;
  if (a.low > acked_low_) {
    forget({acked_low_ + 1, a.low}, now, running);
    acked_low_ = a.low;
  }
  for (const auto& range : a.done) forget(range, now, running);
  for (const auto& [who, ranges] : running)
    in_portions(ranges, [&, to = who](seq_ranges portion) {
      links_.send(to, cancel{options_.source, std::move(portion), cancel_mode::stop}, now, out);
    });
}

void ventilator_state::forget(seq_range range, time_point now,
                              std::map<session_id, seq_ranges>& running) {
  const auto gone = [&](const queued_run& task) {
    counts_.done += task.size();
    bytes_ -= task.bytes();
  };
  leased_.extract(range, [&](std::uint64_t first, leased_run&& run) {
    unlease(run, now);
    gone(run.task);
    // Perhaps an earlier attempt has won: then this one may stop.
    if (run.task.attempts > 1)
      append_range(running[run.worker], {first, first + run.size() - 1});
  });
  const auto drop = [&](std::uint64_t, queued_run&& task) { gone(task); };
  if (!queued_.empty()) queued_.extract(range, drop);
  if (!suspects_.empty()) suspects_.extract(range, drop);
  if (!last_chances_.empty()) last_chances_.extract(range, drop);
  if (!delayed_.empty()) delayed_.extract(range, drop);
  if (!dying_.empty())
    dying_.extract(range, [&](std::uint64_t, dying_run&& run) {
      counts_.done += run.size();
      bytes_ -= run.bytes;
    });
}

}  // namespace weir::proto
