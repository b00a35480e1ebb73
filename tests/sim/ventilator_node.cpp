#include "sim/roles.hpp"

#include <algorithm>

namespace weir::sim {
using namespace std::chrono_literals;

namespace {
/// Longer than this and the ventilator refuses it.
constexpr std::uint32_t refused_size = 64 * 1024;
}  // namespace

ventilator_node::ventilator_node(world& w, std::uint32_t index)
    : node(w, "v" + std::to_string(index), proto::role::ventilator),
      world_(w),
      index_(index),
      machine_(
          introduce(!w.plan().sink                  ? ""
                    : w.plan().workers_bind_results ? std::string(proto::any_sink)
                                                    : "s",
                    {proto::role::worker, proto::role::sink}),
          [&] {
            proto::ventilator_state::options o;
            o.source = source_of(index);
            o.max_attempts = w.plan().max_attempts;
            o.retry = {w.plan().retry_base, w.plan().retry_most};
            o.max_tasks = w.plan().max_tasks;
            o.max_bytes = w.plan().max_bytes;
            o.collects = !w.plan().sink;
            o.seed = w.plan().seed;
            return o;
          }(),
          w.now()),
      collects_(!w.plan().sink),
      output_(w, [this] { poke(world_.now()); }) {
  world_.net().bind(*this, name());
  if (world_.plan().workers_bind_tasks)
    for (const auto& e : world_.worker_endpoints())
      machine_.link_opened(world_.net().connect(*this, e), world_.now(), out_);
  if (!collects_ && !world_.plan().ventilators_bind_sink)
    machine_.link_opened(world_.net().connect(*this, "s"), world_.now(), out_);
  if (collects_) {
    (void)core_.add(machine_.registration(), {});
    output_.open({source_of(index), 0, {}});
  }
  poke(world_.now());
}

void ventilator_node::abandon() {
  stopping_ = true;
  poke(world_.now());
}

void ventilator_node::died() { output_.stop(); }

bool ventilator_node::filtered(proto::peer_id peer, proto::message& m) {
  if (world_.broken(sabotage::death_ignored) &&
      std::find(heard_.begin(), heard_.end(), peer) == heard_.end())
    heard_.push_back(peer);
  if (world_.broken(sabotage::release_swallowed) && std::holds_alternative<proto::release>(m))
    return true;
  if (auto* w = std::get_if<proto::window>(&m)) {
    if (world_.broken(sabotage::resync_swallowed) && !w->holding.empty()) w->holding.clear();
    if (world_.broken(sabotage::window_ignored)) w->items = w->items * 10 + 20;
  }
  if (auto* r = std::get_if<proto::result_batch>(&m);
      r && world_.broken(sabotage::failure_made_retryable))
    for (auto& run : r->runs)
      for (auto& d : run.details) d.retryable = true;
  return false;
}

void ventilator_node::on_input(input in, time_point now) {
  if (in.what == input::kind::up) return machine_.link_up(in.peer, now, out_);
  if (in.what == input::kind::down) {
    if (!world_.broken(sabotage::death_ignored)) machine_.link_down(in.peer, now);
    return;
  }
  if (filtered(in.peer, in.m)) return;
  // What it says is checked in any case; whether the ventilator listens, or has given up the
  // session meanwhile, shows in its counts.
  proto::ack told;
  if (const auto* a = std::get_if<proto::ack>(&in.m)) told = *a;
  if (const auto* r = std::get_if<proto::registered>(&in.m))
    told = {r->source, r->epoch, r->low, r->done};
  if (told.epoch > 0) world_.books().check_acked(index_of(told.source), told.low, told.done);
  const auto before = machine_.stats().done;
  for (auto& some : machine_.on_message(in.peer, std::move(in.m), now, out_))
    core_.on_results(some.from, std::move(some.results), out_);
  if (machine_.stats().done != before)
    world_.books().acked(index_of(told.source), told.low, told.done);
}

void ventilator_node::feed(time_point now) {
  const auto& work = world_.plan().work[index_];
  if (next_ > work.size()) return machine_.end_input();
  if (now < next_feed_) return;
  auto room = machine_.free();
  room.tasks = std::min(room.tasks, world_.plan().feed_most);
  proto::pack_builder some;
  while (next_ <= work.size() && room.tasks > 0 && room.bytes > 0) {
    const auto& spec = work[next_ - 1];
    if (spec.refused) {
      machine_.feed(some.take());
      world_.books().fed(index_, next_);
      machine_.feed_refused(status::resource_exhausted, "too long", out_);
    } else {
      const auto payload = payload_of(index_, next_, spec);
      world_.books().fed(index_, next_);
      if (!(world_.broken(sabotage::task_never_fed) && next_ == work.size())) some.add(payload);
      room.bytes -= std::min<std::uint64_t>(room.bytes, payload.size());
    }
    ++next_;
    --room.tasks;
    // One pack is often all there is, and sometimes many small ones.
    if (world_.chance().chance(0.01)) machine_.feed(some.take());
  }
  machine_.feed(some.take());
  if (next_ > work.size()) machine_.end_input();
  if (world_.plan().feed_pause > 0ms)
    next_feed_ = now + world_.chance().between(0ms, world_.plan().feed_pause);
}

void ventilator_node::collect(time_point now) {
  for (auto& some : machine_.take_given_up()) core_.on_results({}, std::move(some), out_);
  output_.give(std::exchange(out_.commits, {}));
  for (const auto& [id, range] : output_.take()) core_.on_committed(id, range);
  for (auto& reply : core_.take_replies()) {
    if (const auto* a = std::get_if<proto::ack>(&reply.what)) {
      world_.books().check_acked(index_, a->low, a->done);
      world_.books().acked(index_, a->low, a->done);
      machine_.on_ack(*a, now, out_);
    } else {
      machine_.send(reply.to, std::move(reply.what), now, out_);
    }
  }
}

void ventilator_node::carry_out() {
  for (auto& o : out_.sends) {
    if (const auto* t = std::get_if<proto::task_batch>(&o.what))
      for (const auto& run : t->runs)
        world_.books().dispatched(index_, {run.first, run.last()});
    if (auto* r = std::get_if<proto::register_source>(&o.what);
        r && world_.broken(sabotage::register_empty)) {
      r->low = 0;
      r->done.clear();
    }
  }
  send_all(out_);
  out_.failures.clear();
  out_.progressed.clear();
}

void ventilator_node::check_limits() {
  if (machine_.outstanding() > world_.plan().max_tasks)
    world_.books().violation("C8 " + name() + " has " + std::to_string(machine_.outstanding()) +
                             " tasks outstanding");
  const auto c = machine_.stats();
  if (c.bytes > world_.plan().max_bytes + refused_size + 4096)
    world_.books().violation("C8 " + name() + " has " + std::to_string(c.bytes) +
                             " bytes outstanding");
  if (c.queued + c.leased > machine_.outstanding() || c.workers > 64)
    world_.books().violation("C8 the books of " + name() + " do not add up");
}

time_point ventilator_node::round(time_point now) {
  const auto done_before = machine_.stats().done;
  if (world_.broken(sabotage::death_ignored))
    for (const auto peer : heard_) (void)machine_.on_message(peer, proto::alive{}, now, out_);
  if (world_.broken(sabotage::ack_forged) && next_ > 5) {
    world_.books().check_acked(index_, 3, {});
    machine_.on_ack({source_of(index_), 1, 3, {}}, now, out_);
  }
  take_inputs(now);
  feed(now);
  if (collects_) collect(now);
  machine_.tick(now, out_);
  carry_out();
  check_limits();
  if (machine_.stats().done != done_before) world_.progress();
  if (!machine_.fatal().empty())
    world_.books().violation("C7 " + name() + " gives up: " + machine_.fatal());
  const bool complete = machine_.complete();
  if (complete) world_.books().says_complete(index_, "ventilator");
  if (complete || stopping_) {
    machine_.say_bye(complete ? proto::bye_reason::finished : proto::bye_reason::leaving, now,
                     out_);
    carry_out();
    if (!complete) world_.books().abandoned(index_);
    output_.stop();
    exit();
    return now;
  }
  auto next = machine_.next_deadline();
  if (next_ <= world_.plan().work[index_].size() && machine_.free().tasks > 0)
    next = std::min(next, std::max(next_feed_, now + 1us));
  return next;
}

std::string ventilator_node::standing() const {
  const auto c = machine_.stats();
  return name() + (runs() ? "" : " (gone)") + ": fed " + std::to_string(c.read) + ", done " +
         std::to_string(c.done) + ", queued " + std::to_string(c.queued) + ", leased " +
         std::to_string(c.leased) + ", outstanding " + std::to_string(machine_.outstanding()) +
         ", workers " + std::to_string(c.workers) + (machine_.has_sink() ? "" : ", no sink");
}

}  // namespace weir::sim
