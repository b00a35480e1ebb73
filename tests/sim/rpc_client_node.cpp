#include "sim/rpc_roles.hpp"

#include <algorithm>

namespace weir::sim {
using namespace std::chrono_literals;

rpc_client_node::rpc_client_node(rpc_world& w, std::uint32_t index)
    : node(w, "c" + std::to_string(index), proto::role::client),
      world_(w),
      index_(index),
      machine_(
          introduce("", {proto::role::gateway, proto::role::worker}),
          [&] {
            proto::client_state::options o;
            o.introduce = w.plan().introduce;
            o.seed = w.chance().bits();
            return o;
          }(),
          w.now()) {
  const auto& plan = world_.plan();
  for (std::uint32_t i = 0; i < plan.gateways; ++i)
    machine_.link_opened(world_.net().connect(*this, gateway_at(i)), world_.now(), out_);
  if (plan.gateways == 0)
    for (std::uint32_t i = 0; i < plan.workers; ++i)
      machine_.link_opened(world_.net().connect(*this, worker_at(i)), world_.now(), out_);
  // When nothing may fail, everybody is there first.
  next_at_ = world_.now() + (plan.fault_free() ? 5 * plan.heartbeat : 0ms);
  poke(world_.now());
}

bool rpc_client_node::finished() const {
  return next_batch_ == world_.plan().batches[index_].size() && machine_.open() == 0;
}

std::string rpc_client_node::standing() const {
  return name() + ": " + std::to_string(next_batch_) + " batches made, " +
         std::to_string(machine_.open()) + " calls open" + (paused() ? ", stopped" : "");
}

void rpc_client_node::on_input(input in, time_point now) {
  if (in.what == input::kind::up) return machine_.link_up(in.peer, now, out_);
  if (in.what == input::kind::down) return machine_.link_down(in.peer, now);
  if (auto* w = std::get_if<proto::window>(&in.m);
      w && world_.broken(rpc_sabotage::window_ignored))
    w->items *= 10;
  machine_.on_message(in.peer, std::move(in.m), now, out_);
}

void rpc_client_node::make(const rpc_batch& b, time_point now) {
  proto::new_calls calls;
  calls.first = next_number_;
  calls.method = b.method;
  calls.deadline = now + b.deadline;
  calls.retries = b.retries;
  calls.idempotent = b.idempotent;
  calls.hedge_after = b.hedge_after;
  proto::call_options o;
  o.priority = b.priority;
  o.no_reply = b.no_reply;
  o.stream_window = b.stream_window;
  o.stream_bytes = b.stream_bytes;
  if (b.hashed) o.hash_key = "h" + std::to_string(next_number_ % 3);
  proto::pack_builder arguments;
  for (std::uint32_t i = 0; i < b.count; ++i) {
    const rpc_name call{index_, next_number_++};
    world_.books().made(call, calls.deadline);
    arguments.add(argument_of(call, b.size));
    if (!b.keyed) continue;
    // A key is one call's: these travel one by one.
    calls.first = call.number;
    calls.arguments = arguments.take();
    o.idempotency_key = argument_of(call, 0);
    calls.options = std::make_shared<const proto::call_options>(o);
    machine_.call(calls, now, out_);
  }
  const std::uint64_t last = next_number_ - 1;
  if (!b.keyed) {
    calls.arguments = arguments.take();
    if (!o.plain()) calls.options = std::make_shared<const proto::call_options>(o);
    machine_.call(std::move(calls), now, out_);
  }
  if (b.cancel_after == 0ms) return;
  const std::uint64_t first = last - world_.chance().between(0, b.count - 1);
  world_.at(now + b.cancel_after, [this, first, last] {
    if (!runs() || paused()) return;
    for (auto n = first; n <= last; ++n) world_.books().cancel_asked({index_, n});
    machine_.cancel({first, last}, world_.now(), out_);
    poke(world_.now());
  });
}

void rpc_client_node::make_calls(time_point now) {
  const auto& batches = world_.plan().batches[index_];
  while (next_batch_ < batches.size() && now >= next_at_) {
    make(batches[next_batch_++], now);
    if (next_batch_ < batches.size()) next_at_ = now + batches[next_batch_].pause;
    world_.progress();
  }
}

/// What the machine says has become of calls goes into the books.
void rpc_client_node::note(time_point now) {
  for (const auto& p : std::exchange(out_.parts, {})) {
    if (world_.breaks(rpc_sabotage::element_dropped)) continue;
    reader& r = readers_[p.number];
    for (std::uint32_t i = 0; i < p.part.elements.size(); ++i) {
      world_.books().element({index_, p.number}, p.part.first + i, p.part.elements[i]);
      r.waiting.push_back(p.part.elements.length(i));
    }
    r.arrived = p.part.last();
    read(p.number, now);
  }
  for (const auto& o : std::exchange(out_.outcomes, {}))
    for (std::uint32_t i = 0; i < o.reply.results.size(); ++i) {
      rpc_checker::outcome what;
      what.code = o.reply.code;
      const std::string altered = std::string(o.reply.results[i]) + "!";
      what.result = world_.breaks(rpc_sabotage::result_altered) ? altered : o.reply.results[i];
      what.from_elsewhere = o.from != proto::session_id{};
      if (!o.reply.details.empty()) {
        what.never_started = o.reply.details[i].never_started;
        what.message = o.reply.details[i].message;
      }
      const rpc_name call{index_, o.first + i};
      world_.trace(name(), [&] {
        return "call " + std::to_string(call.number) +
               " ends: " + std::string(to_string(what.code)) + " " + what.message;
      });
      readers_.erase(call.number);
      world_.progress();
      if (world_.breaks(rpc_sabotage::outcome_dropped)) continue;
      world_.books().ended(call, what, now, awake_since());
      if (world_.breaks(rpc_sabotage::outcome_doubled))
        world_.books().ended(call, what, now, awake_since());
    }
  out_.reports.clear();
}

void rpc_client_node::reader::take() {
  ++taken;
  if (waiting.empty()) return;  // sabotage
  taken_bytes += waiting.front();
  waiting.pop_front();
}

void rpc_client_node::read(std::uint64_t number, time_point now) {
  reader& r = readers_[number];
  const duration every = world_.plan().batch_of(index_, number).reads_every;
  if (every == 0ms) {
    while (!r.waiting.empty()) r.take();
    machine_.consumed(number, r.taken, r.taken_bytes);
    poke(now);
    return;
  }
  if (r.reading) return;
  r.reading = true;
  world_.at(now + every, [this, number] {
    const auto it = readers_.find(number);
    if (!runs() || it == readers_.end()) return;
    it->second.reading = false;
    it->second.take();
    machine_.consumed(number, it->second.taken, it->second.taken_bytes);
    if (it->second.taken < it->second.arrived) read(number, world_.now());
    world_.progress();
    poke(world_.now());
  });
}

void rpc_client_node::carry_out() {
  for (const auto& endpoint : std::exchange(out_.opens, {}))
    machine_.worker_opened(endpoint, world_.net().connect(*this, endpoint), world_.now(), out_);
  const auto unused = out_.forgets;
  send_all(out_);
  for (const auto peer : unused) world_.net().close(*this, peer);
}

time_point rpc_client_node::round(time_point now) {
  take_inputs(now);
  make_calls(now);
  machine_.tick(now, out_);
  note(now);
  carry_out();
  if (!out_.sends.empty() || !out_.outcomes.empty() || !out_.parts.empty()) return now;
  const bool more = next_batch_ < world_.plan().batches[index_].size();
  return std::min(machine_.next_deadline(), more ? next_at_ : time_point::max());
}

}  // namespace weir::sim
