#include "sim/rpc_roles.hpp"

namespace weir::sim {

rpc_gateway_node::rpc_gateway_node(rpc_world& w, std::uint32_t slot, std::uint32_t incarnation)
    : node(w, gateway_at(slot) + std::string(incarnation, '\''), proto::role::gateway),
      world_(w),
      slot_(slot),
      machine_(
          introduce("", {proto::role::client, proto::role::worker}),
          [&] {
            proto::gateway_state::options o;
            o.queue_calls = w.plan().queue_calls;
            o.wait = w.plan().wait;
            return o;
          }(),
          w.now()) {
  world_.net().bind(*this, gateway_at(slot));
  poke(world_.now());
}

bool rpc_gateway_node::idle() const {
  const auto c = machine_.stats();
  return c.queued == 0 && c.running == 0;
}

std::string rpc_gateway_node::standing() const {
  const auto c = machine_.stats();
  return name() + ": " + std::to_string(c.queued) + " queued, " + std::to_string(c.running) +
         " running, " + std::to_string(c.workers) + " workers, " + std::to_string(c.clients) +
         " clients" + (paused() ? ", stopped" : "");
}

void rpc_gateway_node::on_input(input in, time_point now) {
  if (in.what == input::kind::up) return machine_.link_up(in.peer, now, out_);
  if (in.what == input::kind::down) return machine_.link_down(in.peer, now);
  if (auto* w = std::get_if<proto::window>(&in.m);
      w && world_.broken(rpc_sabotage::window_ignored))
    w->items *= 10;
  machine_.on_message(in.peer, std::move(in.m), now, out_);
}

time_point rpc_gateway_node::round(time_point now) {
  take_inputs(now);
  machine_.tick(now, out_);
  send_all(out_);
  if (!out_.admin.empty() || !out_.placed.empty())
    world_.violation("R8 " + name() + " asks for what it has not got");
  return machine_.next_deadline();
}

}  // namespace weir::sim
