#include "sim/roles.hpp"

#include <algorithm>

namespace weir::sim {

sink_node::sink_node(world& w, std::uint32_t incarnation)
    : node(w, "s" + std::string(incarnation, '\''), proto::role::sink),
      world_(w),
      machine_(introduce("", {proto::role::worker, proto::role::ventilator}), w.now()),
      output_(w, [this] { poke(world_.now()); }) {
  world_.net().bind(*this, "s");
  if (world_.plan().ventilators_bind_sink)
    for (const auto& e : world_.ventilator_endpoints())
      machine_.link_opened(world_.net().connect(*this, e), world_.now(), out_);
  if (world_.plan().workers_bind_results)
    for (const auto& e : world_.worker_endpoints())
      machine_.link_opened(world_.net().connect(*this, e), world_.now(), out_);
  poke(world_.now());
}

void sink_node::died() {
  output_.stop();
  world_.books().sink_killed();
}

bool sink_node::reads() const {
  return machine_.stats().staged_bytes < world_.plan().most_staged || world_.plan().keep_order;
}

void sink_node::on_input(input in, time_point now) {
  if (in.what == input::kind::up) return machine_.link_up(in.peer, now, out_);
  if (in.what == input::kind::down) return machine_.link_down(in.peer, now);
  const auto* r = std::get_if<proto::register_source>(&in.m);
  const auto index = r ? index_of(r->source) : 0;
  const bool registers = r != nullptr;
  const auto before = machine_.stats().sources;
  machine_.on_message(in.peer, std::move(in.m), now, out_);
  if (registers && machine_.stats().sources > before) registered_.insert(index);
}

time_point sink_node::round(time_point now) {
  if (!reads()) machine_.not_listening(now);
  take_inputs(now);
  for (const auto& source : std::exchange(out_.opened, {})) output_.open(source);
  output_.give(std::exchange(out_.commits, {}));
  for (const auto& [id, range] : output_.take()) machine_.on_committed(id, range);
  machine_.tick(now, out_);
  out_.closed.clear();
  send_all(out_);
  if (!machine_.fatal().empty())
    world_.books().violation("C7 " + name() + " gives up: " + machine_.fatal());
  if (machine_.complete())
    for (const auto i : registered_) world_.books().says_complete(i, "sink");
  // One that is told of several ventilators serves until the last one is gone.
  if (machine_.complete() && world_.last_ventilator_is_known_to(registered_)) {
    machine_.say_bye(now, out_);
    send_all(out_);
    output_.stop();
    exit();
    return now;
  }
  return machine_.next_deadline();
}

std::string sink_node::standing() const {
  const auto c = machine_.stats();
  return name() + (runs() ? "" : " (gone)") + ": committed " + std::to_string(c.committed) +
         ", duplicates " + std::to_string(c.duplicates) + ", staged " +
         std::to_string(c.staged) + ", unregistered " + std::to_string(c.unregistered) +
         ", sources " + std::to_string(c.sources) + ", lost " +
         std::to_string(machine_.lost().size()) + ", workers " + std::to_string(c.workers) +
         ", to write " + std::to_string(output_.waiting());
}

}  // namespace weir::sim
