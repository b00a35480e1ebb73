#include "sim/roles.hpp"

#include <algorithm>

namespace weir::sim {
using namespace std::chrono_literals;

namespace {
constexpr duration commit_patience = 10s;
}  // namespace

worker_node::worker_node(world& w, std::uint32_t slot, std::uint32_t incarnation)
    : node(w, "w" + std::to_string(slot) + std::string(incarnation, '\''), proto::role::worker),
      world_(w),
      slot_(slot),
      slots_(static_cast<std::uint32_t>(w.chance().between(1, w.plan().max_slots))),
      machine_(
          introduce("", {proto::role::ventilator, proto::role::sink}),
          [&] {
            proto::worker_state::options o;
            o.slots = slots_;
            o.max_window = std::max<std::uint64_t>(w.plan().max_window, slots_);
            o.max_held_bytes = w.plan().max_held_bytes;
            return o;
          }(),
          w.now()) {
  world_.net().bind(*this, "w" + std::to_string(slot));
  if (!world_.plan().workers_bind_tasks)
    for (const auto& e : world_.ventilator_endpoints())
      machine_.link_opened(world_.net().connect(*this, e), world_.now(), out_);
  poke(world_.now());
}

void worker_node::terminate() {
  world_.trace(name(), [] { return "is told to stop"; });
  ++terminations_;
  poke(world_.now());
}

void worker_node::died() {
  pool_.clear();
  running_.clear();
}

void worker_node::on_input(input in, time_point now) {
  if (in.what == input::kind::up) return machine_.link_up(in.peer, now, out_);
  if (in.what == input::kind::down) return machine_.link_down(in.peer, now);
  if (world_.broken(sabotage::resend_swallowed) && std::holds_alternative<proto::resend>(in.m))
    return;
  if (std::holds_alternative<proto::task_batch>(in.m)) met_.insert(in.peer);
  if (std::holds_alternative<proto::bye>(in.m)) met_.erase(in.peer);
  if (const auto* c = std::get_if<proto::committed>(&in.m))
    world_.books().told_committed(index_of(c->source), c->ranges);
  machine_.on_message(in.peer, std::move(in.m), now, out_);
}

void worker_node::begin_tasks() {
  while (running_.size() < slots_ && !pool_.empty() && runs()) {
    job next = std::move(pool_.front());
    pool_.pop_front();
    run(std::move(next));
  }
}

void worker_node::run(job j) {
  const auto& spec = world_.plan().work[j.source][j.seq - 1];
  world_.books().started(j.source, j.seq);
  if (spec.poison) {
    world_.at(world_.now() + spec.runs, [this] { kill(); });
  } else if (spec.runs == 0ms) {
    const auto count = world_.books().executions(j.source, j.seq);
    const bool ok = count > spec.fails;
    world_.books().ended(j.source, j.seq, ok, spec.final);
    ended_.push_back(
        {std::move(j), ok ? status::ok : status::internal, !ok && spec.final, false, 5us});
    poke(world_.now() + 5us);
    return;
  } else {
    world_.at(world_.now() + spec.runs, [this, id = last_run_ + 1] { end(id, false); });
  }
  running_.emplace(++last_run_, std::move(j));
}

void worker_node::end(std::uint64_t id, bool stopped) {
  if (!runs()) return;
  if (paused()) {
    world_.at(world_.now() + 50ms, [this, id, stopped] { end(id, stopped); });
    return;
  }
  const auto it = running_.find(id);
  if (it == running_.end()) return;
  job j = std::move(it->second);
  running_.erase(it);
  const auto& spec = world_.plan().work[j.source][j.seq - 1];
  const bool ok = !stopped && world_.books().executions(j.source, j.seq) > spec.fails;
  const bool final = !ok && !stopped && spec.final;
  world_.books().ended(j.source, j.seq, ok, final);
  const auto code = ok ? status::ok : (stopped ? status::cancelled : status::internal);
  ended_.push_back({std::move(j), code, final, false, spec.runs});
  world_.progress();
  begin_tasks();
  poke(world_.now());
}

void worker_node::stop(const proto::stop_tasks& s) {
  const auto source = index_of(s.source);
  const auto hit = [&](const job& j) {
    return j.source == source && j.seq >= s.range.first && j.seq <= s.range.last;
  };
  std::deque<job> kept;
  for (auto& j : pool_) {
    if (!hit(j)) {
      kept.push_back(std::move(j));
      continue;
    }
    const bool released = seen_ > 1 || s.mode == proto::cancel_mode::give_back;
    ended_.push_back({std::move(j), status::cancelled, false, released, 0ms});
    poke(world_.now() + 1us);
  }
  pool_ = std::move(kept);
  if (s.mode == proto::cancel_mode::give_back) return;
  for (auto& [id, j] : running_)
    if (hit(j)) {
      j.unwanted = true;
      if (j.stopped || !world_.chance().chance(0.7)) continue;
      j.stopped = true;
      world_.at(world_.now() + world_.chance().between(0ms, 50ms),
                [this, id = id] { end(id, true); });
    }
}

void worker_node::report(time_point now) {
  auto all = std::exchange(ended_, {});
  if (all.empty()) return;
  std::stable_sort(all.begin(), all.end(), [](const ended& a, const ended& b) {
    return std::pair(a.what.source, a.what.seq) < std::pair(b.what.source, b.what.seq);
  });
  for (std::size_t i = 0; i < all.size();) {
    std::size_t end = i + 1;
    while (end < all.size() && all[end].what.source == all[i].what.source &&
           all[end].what.seq == all[end - 1].what.seq + 1)
      ++end;
    proto::finished_tasks done;
    done.source = source_of(all[i].what.source);
    done.first = all[i].what.seq;
    done.last = all[end - 1].what.seq;
    while (i < end) {
      const auto& head = all[i];
      const auto same = [&](const ended& e) {
        return e.code == head.code && e.final == head.final && e.released == head.released &&
               e.what.attempt == head.what.attempt;
      };
      proto::result_run run{head.what.seq, head.what.attempt, head.code, {}, {}};
      proto::pack_builder payloads;
      for (; i < end && same(all[i]); ++i) {
        done.busy += all[i].took;
        payloads.add(head.code == status::ok ? outcome_of(all[i].what.payload[0]) : "failed");
        if (head.code != status::ok) run.details.emplace_back().retryable = !all[i].final;
        if (&all[i] == &head) continue;
      }
      run.payloads = payloads.take();
      if (all[i - 1].released)
        proto::append_range(done.released, {run.first, run.last()});
      else
        done.runs.push_back(std::move(run));
    }
    machine_.on_finished(std::move(done), now, out_);
  }
}

void worker_node::carry_out(time_point now) {
  for (const auto& where : std::exchange(out_.connects, {}))
    machine_.sink_opened(where, world_.net().connect(*this, where), now, out_);
  for (auto& s : std::exchange(out_.starts, {}))
    for (std::uint32_t i = 0; i < s.payloads.size(); ++i)
      pool_.push_back({index_of(s.source), s.first + i, s.attempt, s.payloads.slice(i, 1)});
  for (const auto& s : std::exchange(out_.stops, {})) stop(s);
  std::vector<proto::outgoing> forgotten;
  for (auto& o : out_.sends) {
    if (const auto* w = std::get_if<proto::window>(&o.what))
      most_announced_ = std::max(most_announced_, w->items);
    const auto* r = std::get_if<proto::result_batch>(&o.what);
    if (!r || !world_.broken(sabotage::results_forgotten)) continue;
    proto::committed c{r->source, {}};
    for (const auto& run : r->runs) c.ranges.push_back({run.first, run.last()});
    forgotten.push_back({o.to, c});
  }
  send_all(out_);
  for (auto& f : forgotten) machine_.on_message(f.to, std::move(f.what), now, out_);
  begin_tasks();
}

void worker_node::check_limits() {
  const auto c = machine_.stats();
  // What a ventilator takes for lost on the way and is not may be sent besides.
  const auto& plan = world_.plan();
  if (plan.cuts || plan.long_delays || plan.pauses) return;
  // Of each ventilator, and its oldest task besides. Results do not count here: what its
  // ventilator knows to be committed may still be held. Nor does what is being stopped.
  auto most = (most_announced_ + 1) * plan.ventilators + ended_.size();
  for (const auto& [id, j] : running_) most += j.unwanted;
  if (c.queued + c.running > most)
    world_.books().violation("C8 " + name() + " has " + std::to_string(c.queued + c.running) +
                             " tasks to do, having asked for " + std::to_string(most));
}

time_point worker_node::round(time_point now) {
  take_inputs(now);
  report(now);
  while (seen_ < terminations_)
    if (++seen_ == 1)
      machine_.drain();
    else
      machine_.drain_at_once(out_);
  machine_.tick(now, out_);
  carry_out(now);
  if (!runs()) return now;
  check_limits();
  if (!machine_.fatal().empty())
    world_.books().violation("C7 " + name() + " gives up: " + machine_.fatal());
  // As the real pump: what is done and not committed is waited for, but not for ever.
  const auto c = machine_.stats();
  if (seen_ == 0 || c.queued + c.running > 0) leave_by_ = now + commit_patience;
  if (machine_.done() || now >= leave_by_) {
    machine_.say_bye(now, out_);
    send_all(out_);
    exit();
    return now;
  }
  return seen_ == 0 ? machine_.next_deadline() : std::min(machine_.next_deadline(), leave_by_);
}

std::string worker_node::standing() const {
  const auto c = machine_.stats();
  return name() + (runs() ? "" : " (gone)") + ": received " + std::to_string(c.received) +
         ", queued " + std::to_string(c.queued) + ", running " + std::to_string(c.running) +
         ", held " + std::to_string(c.held) + ", window " + std::to_string(c.window) +
         ", ventilators " + std::to_string(c.ventilators) + ", pool " +
         std::to_string(pool_.size()) + "+" + std::to_string(running_.size()) +
         (machine_.lacks_sink() ? ", no sink" : "") + (draining() ? ", draining" : "");
}

}  // namespace weir::sim
