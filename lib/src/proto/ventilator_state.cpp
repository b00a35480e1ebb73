#include "proto/ventilator_state.hpp"

#include "proto/limits.hpp"

#include <algorithm>
#include <tuple>
#include <utility>

namespace weir::proto {
namespace {
/// Tasks in one message at most: enough to make the message's cost vanish, few enough that
/// several workers can be served from one moment's queue.
constexpr std::uint64_t batch_items = 4096;
/// Below this many payload bytes, runs from different packs share a message (and are copied
/// together); above it, a run travels alone and is not copied.
constexpr std::size_t gather_bytes = 8 * 1024;
/// A task that a worker lost track of may have its ACK under way: wait this long first.
constexpr duration settle_time = std::chrono::milliseconds(100);
/// A worker that has been idle this long is reason to ask the others for what they have not
/// begun. Also how often one worker is asked.
constexpr duration recall_interval = std::chrono::milliseconds(50);
/// How long the oldest task waits to have a worker for itself.
constexpr duration alone_patience = std::chrono::seconds(5);
/// With at least this many tasks under way, a quarter of max_bytes is enough: what is in flight
/// should fit into the processors' caches. With 1 KiB tasks, 4 MiB moves a quarter more tasks
/// per second than 16 MiB does, and more latency is not there to be hidden.
/// (docs/performance.md)
constexpr std::uint64_t cache_tasks = 256;
/// Heartbeats. More than a sink waits for a ventilator that is gone when all is committed, so
/// that the sink is the first to leave if both are there and cannot reach each other.
constexpr int sink_patience = 30;
/// Waits for retries end on multiples of this, so that many of them are looked at together.
constexpr duration retry_grid = std::chrono::milliseconds(10);

std::string name_of(const introduction& who) {
  std::string name = who.name.empty() ? "?" : who.name;
  if (!who.host.empty()) name += "@" + who.host;
  return name;
}

std::string tasks(std::uint64_t n) { return std::to_string(n) + (n == 1 ? " task" : " tasks"); }

/// The parts of `range` in messages of at most limits::ranges each.
template <class Send>
void in_portions(const seq_ranges& ranges, Send&& send) {
  for (std::size_t i = 0; i == 0 || i < ranges.size(); i += limits::ranges) {
    const auto end = std::min(ranges.size(), i + limits::ranges);
    send(seq_ranges(ranges.begin() + static_cast<std::ptrdiff_t>(i),
                    ranges.begin() + static_cast<std::ptrdiff_t>(end)));
  }
}
}  // namespace

ventilator_state::queued_run ventilator_state::queued_run::slice(std::uint64_t offset,
                                                                 std::uint64_t n) const {
  queued_run part = *this;
  part.payloads =
      payloads.slice(static_cast<std::uint32_t>(offset), static_cast<std::uint32_t>(n));
  return part;
}

void ventilator_state::queued_run::settle() {
  // One slow task must not keep the memory of the thousands that were read with it. An eighth:
  // what is left of a batch in the middle of being acknowledged is not worth a copy.
  if (payloads.retained() > 4096 && payloads.bytes() < payloads.retained() / 8)
    payloads = payloads.compacted();
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
  const std::uint64_t most =
      tasks_out < cache_tasks ? options_.max_bytes : options_.max_bytes / 4;
  if (tasks_out >= options_.max_tasks || bytes_ >= most) return {};
  return {options_.max_tasks - tasks_out, most - bytes_};
}

void ventilator_state::feed(pack payloads) {
  if (payloads.empty()) return;
  const std::uint64_t first = next_seq_;
  next_seq_ += payloads.size();
  counts_.read += payloads.size();
  bytes_ += payloads.bytes();
  queued_run run;
  run.payloads = std::move(payloads);
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

void ventilator_state::on_registered(registered r, time_point now, outbox& out) {
  if (registers_unanswered_ > 0) --registers_unanswered_;
  const bool first = !std::exchange(sink_registered_, true);
  ever_registered_ = true;
  on_ack({r.source, r.epoch, r.low, std::move(r.done)}, now, out);
  if (first) send_outcomes(out, now);
  if (ending_ == ending::confirmation_asked && registers_unanswered_ == 0)
    ending_ = ending::confirmed;
}

void ventilator_state::on_events(std::vector<links::event>& events, time_point now,
                                 outbox& out) {
  for (const auto& e : events) {
    if (e.what == links::change::joined)
      on_joined(e, now, out);
    else
      on_left(e, now, out);
  }
  events.clear();
}

void ventilator_state::on_joined(const links::event& e, time_point now, outbox& out) {
  if (e.info.role == role::sink) {
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
  if (fresh)
    out.info("worker " + name_of(e.info) + " joined, " + std::to_string(e.info.slots) +
             (e.info.slots == 1 ? " slot" : " slots"));
}

void ventilator_state::on_left(const links::event& e, time_point now, outbox& out) {
  if (e.what == links::change::refused) {
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
        who.bytes += task.payloads.bytes();
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
}

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
  ++task.failures;
  task.suspect = false;
  const outcome_details* details =
      report && offset < report->details.size() ? &report->details[offset] : nullptr;
  if (task.failures < options_.max_attempts && (!details || details->retryable)) {
    ++counts_.retried;
    const std::uint32_t failures = task.failures;
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
  out.failures.push_back({first, task.payloads, outcome.code, outcome.details[0].message});
  const std::uint64_t held = outcome.payloads.bytes();
  bytes_ += held;
  bytes_ -= task.payloads.bytes();
  given_up_unsent_.push_back({options_.source, {outcome}});
  dying_.insert(first, dying_run{std::move(outcome), held});
}

std::vector<result_batch> ventilator_state::take_given_up() {
  return std::exchange(given_up_unsent_, {});
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

void ventilator_state::take_back(session_id from, bool died, time_point now, outbox& out) {
  seq_ranges ranges;
  for (const auto& [first, run] : leased_.runs())
    if (run.worker == from) append_range(ranges, {first, first + run.size() - 1});
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
  it->second.bytes -= run.task.payloads.bytes();
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
    bytes_ -= task.payloads.bytes();
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

void ventilator_state::send_outcomes(outbox& out, time_point now) {
  given_up_unsent_.clear();
  for (const auto& [first, run] : dying_.runs())
    links_.send(sink_, result_batch{options_.source, {run.outcome}}, now, out);
}

std::uint32_t ventilator_state::time_limit_ms() const {
  return static_cast<std::uint32_t>(
      std::chrono::duration_cast<std::chrono::milliseconds>(options_.task_timeout).count());
}

std::pair<session_id, ventilator_state::worker*> ventilator_state::least_loaded(
    std::uint64_t next_bytes, bool for_suspect, session_id avoid) {
  std::pair<session_id, worker*> best{};
  bool best_avoided = true;
  double best_load = 0;
  for (auto& [id, w] : workers_) {
    if (!w.has_room(next_bytes) || (for_suspect && w.suspects > 0)) continue;
    const double load = static_cast<double>(w.items) / static_cast<double>(w.window_items);
    const bool avoided = id == avoid;
    if (best.second &&
        (avoided > best_avoided || (avoided == best_avoided && load >= best_load)))
      continue;
    best = {id, &w};
    best_load = load;
    best_avoided = avoided;
  }
  return best;
}

std::pair<session_id, ventilator_state::worker*> ventilator_state::taker_of_oldest() {
  std::pair<session_id, worker*> best{};
  for (auto& [id, w] : workers_) {
    if (!w.usable()) continue;
    if (best.second && std::pair(w.set_aside, w.items) >=
                           std::pair(best.second->set_aside, best.second->items))
      continue;
    best = {id, &w};
  }
  return best;
}

void ventilator_state::lease(std::uint64_t first, queued_run task, session_id to, worker& w,
                             bool alone, task_batch& batch) {
  ++task.attempts;
  task.last_worker = to;
  counts_.dispatched += task.size();
  if (task.attempts > 1) counts_.redelivered += task.size();
  w.items += task.size();
  w.bytes += task.payloads.bytes();
  if (task.suspect) w.suspects += task.size();
  w.alone = alone;
  if (alone) w.set_aside = true;
  batch.runs.push_back({first, task.attempts, task.payloads, time_limit_ms()});
  leased_.insert(first, leased_run{std::move(task), to});
}

bool ventilator_state::keeps_one_free() {
  if (leased_.empty() || leased_.runs().begin()->first != acked_low_ + 1) return false;
  const leased_run& head = leased_.runs().begin()->second;
  if (!head.task.suspect || head.task.failures + 1 < options_.max_attempts) return false;
  const auto holder = workers_.find(head.worker);
  if (holder == workers_.end() || holder->second.alone) return false;
  for (auto& [id, w] : workers_) {
    if (!w.usable() || w.items > 0) continue;
    w.set_aside = true;
    w.set_aside_since = last_tick_;
    return true;
  }
  return false;
}

void ventilator_state::dispatch_last_chances(time_point now, outbox& out) {
  // The oldest task has its last chance, and not alone: see below. If the worker dies of it, an
  // empty one has to be there, and not to fill up meanwhile with results that wait for it.
  if (keeps_one_free()) return;
  while (!last_chances_.empty()) {
    const session_id avoid = last_chances_.runs().begin()->second.last_worker;
    std::pair<session_id, worker*> best{};
    bool somebody_set_aside = false;
    for (auto& [id, w] : workers_) {
      if (!w.usable()) continue;
      somebody_set_aside |= w.set_aside;
      if (w.set_aside && w.items > 0) continue;  // not yet, or it has another one
      const bool better = !best.second || w.items < best.second->items ||
                          (w.items == best.second->items && best.first == avoid);
      if (better) best = {id, &w};
    }
    if (!best.second) break;
    if (best.second->items > 0) {
      // One worker is kept from getting more until it is empty.
      if (!somebody_set_aside) {
        best.second->set_aside = true;
        best.second->set_aside_since = now;
      }
      break;
    }
    auto [first, task] = last_chances_.pop_front(1);
    task_batch batch{options_.source, {}};
    lease(first, std::move(task), best.first, *best.second, true, batch);
    links_.send(best.first, std::move(batch), now, out);
  }
  if (!last_chances_.empty() && oldest(last_chances_)) {
    // Results that wait for this very task may be all that the worker has left. Then it has to
    // do without being alone; if it is guilty, the worker's successor will be empty.
    for (auto& [id, w] : workers_) {
      if (!w.usable() || !w.set_aside || now - w.set_aside_since < alone_patience) continue;
      auto [first, task] = last_chances_.pop_front(1);
      task_batch batch{options_.source, {}};
      lease(first, std::move(task), id, w, false, batch);
      links_.send(id, std::move(batch), now, out);
      return;
    }
  }
  if (!last_chances_.empty()) return;
  // Whoever was to have the next one is not needed for that any more.
  for (auto& [id, w] : workers_)
    if (w.set_aside && w.suspects == 0) w.set_aside = false;
}

void ventilator_state::dispatch_suspects(time_point now, outbox& out) {
  while (!suspects_.empty()) {
    const queued_run& head = suspects_.runs().begin()->second;
    auto [to, w] = least_loaded(head.payloads.length(0), true, head.last_worker);
    if (!w && oldest(suspects_)) std::tie(to, w) = taker_of_oldest();
    if (!w) return;
    auto [first, task] = suspects_.pop_front(1);
    task_batch batch{options_.source, {}};
    lease(first, std::move(task), to, *w, false, batch);
    links_.send(to, std::move(batch), now, out);
  }
}

void ventilator_state::dispatch(time_point now, outbox& out) {
  if (!has_sink()) return;
  if (queued_.empty() && suspects_.empty() && last_chances_.empty()) return;
  for (auto& [id, w] : workers_) w.reachable = links_.reachable(id);
  dispatch_last_chances(now, out);
  dispatch_suspects(now, out);
  // What is there is shared among those who can take some; none gets it all for being first.
  // Once for all: shares of what is left would be halves, quarters and so on, a message each.
  std::uint64_t takers = 0;
  for (const auto& [id, each] : workers_) takers += each.has_room(0);
  takers = std::max<std::uint64_t>(takers, 1);
  const std::uint64_t share =
      std::max<std::uint64_t>((queued_.size() + takers - 1) / takers, 1);
  while (!queued_.empty()) {
    const auto& head = queued_.runs().begin()->second;
    auto [to, w] = least_loaded(head.payloads.length(0), false, head.last_worker);
    if (!w) {
      if (!oldest(queued_)) return;
      std::tie(to, w) = taker_of_oldest();
      if (!w) return;
      auto [first, task] = queued_.pop_front(1);
      task_batch batch{options_.source, {}};
      lease(first, std::move(task), to, *w, false, batch);
      links_.send(to, std::move(batch), now, out);
      return;
    }
    const std::uint64_t most =
        std::min({w->window_items - w->items, share, std::uint64_t{batch_items}});
    task_batch batch{options_.source, {}};
    std::uint64_t items = 0;
    std::size_t bytes = 0;
    while (items < most && !queued_.empty() && batch.runs.size() < limits::ranges) {
      const pack& next = queued_.runs().begin()->second.payloads;
      const std::uint64_t in_window =
          w->window_bytes > w->bytes ? w->window_bytes - w->bytes : 0;
      const std::size_t space = std::min<std::size_t>(
          bytes == 0 ? limits::batch_bytes
                     : (bytes < gather_bytes ? gather_bytes * 2 - bytes : 0),
          in_window);
      std::uint64_t n = std::min<std::uint64_t>(next.count_within(space), most - items);
      if (n == 0 && items == 0 && (w->items == 0 || next.length(0) <= in_window)) n = 1;
      if (n == 0) break;
      auto [first, task] = queued_.pop_front(n);
      items += n;
      bytes += task.payloads.bytes();
      lease(first, std::move(task), to, *w, false, batch);
      if (bytes >= gather_bytes) break;
    }
    if (batch.runs.empty()) return;
    links_.send(to, std::move(batch), now, out);
  }
}

void ventilator_state::recall(time_point now, outbox& out) {
  if (!queued_.empty() || leased_.empty() || workers_.size() < 2) return;
  bool somebody_idle = false;
  session_id victim{};
  std::uint64_t most = 0;
  for (const auto& [id, w] : workers_) {
    if (!w.ready || w.window_items == 0) continue;
    if (w.items == 0 && now - w.idle_since >= recall_interval) somebody_idle = true;
    const std::uint64_t slots = std::max<std::uint32_t>(w.info.slots, 1);
    if (w.items > slots && now >= w.recall_after && w.items - slots > most) {
      most = w.items - slots;
      victim = id;
    }
  }
  if (!somebody_idle || most == 0) return;
  workers_.at(victim).recall_after = now + recall_interval;
  std::uint64_t wanted = (most + 1) / 2;
  cancel back{options_.source, {}, cancel_mode::give_back};
  // The newest: those it is least likely to have begun.
  for (auto it = leased_.runs().rbegin(); it != leased_.runs().rend() && wanted > 0; ++it) {
    if (it->second.worker != victim) continue;
    const std::uint64_t n = std::min(wanted, it->second.size());
    const std::uint64_t last = it->first + it->second.size() - 1;
    back.ranges.insert(back.ranges.begin(), {last - n + 1, last});
    wanted -= n;
    if (back.ranges.size() == limits::ranges) break;
  }
  links_.send(victim, std::move(back), now, out);
}

time_point ventilator_state::next_deadline() const {
  time_point next = std::min(links_.next_deadline(), next_ready_);
  if (queued_.empty() && !leased_.empty() && workers_.size() > 1) {
    bool idle = false;
    bool busy = false;
    for (const auto& [id, w] : workers_) {
      idle |= w.ready && w.items == 0;
      busy |= w.items > std::max<std::uint32_t>(w.info.slots, 1);
    }
    if (idle && busy) next = std::min(next, last_tick_ + recall_interval);
  }
  if (!last_chances_.empty())
    for (const auto& [id, w] : workers_)
      if (w.set_aside && w.set_aside_since + alone_patience > last_tick_)
        next = std::min(next, w.set_aside_since + alone_patience);
  return next;
}

bool ventilator_state::complete() const {
  return input_ended_ && outstanding() == 0 &&
         (options_.collects || ending_ == ending::confirmed);
}

void ventilator_state::say_bye(bye_reason reason, time_point now, outbox& out) {
  for (const role r : {role::worker, role::sink})
    for (const auto id : links_.with_role(r)) links_.send(id, bye{reason}, now, out);
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
