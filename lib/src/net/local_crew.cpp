#include "net/local_crew.hpp"

#include "exec/command.hpp"
#include "net/function_runner.hpp"
#include "net/node_loop.hpp"

#include <algorithm>
#include <chrono>
#include <utility>

namespace weir {

local_slots::local_slots(unsigned slots, command_options command)
    : local_slots(slots, exec::command_runner_factory(std::move(command))) {}

local_slots::local_slots(unsigned slots, std::function<void(exec::claim&)> each)
    : local_slots(slots, factory([each = std::move(each)](unsigned) {
                    return std::make_unique<net::function_runner>(each);
                  })) {}

namespace net {
namespace {

/// The worker's own number for its end of the link.
constexpr proto::peer_id ventilator{1};

proto::links::options who(unsigned slots, bool takes_commands) {
  node_options local;
  local.name = "local";
  auto links = introduce(proto::role::worker, local, {proto::role::ventilator});
  links.self.slots = slots;
  links.self.takes_commands = takes_commands;
  return links;
}

proto::worker_state::options how_much(unsigned slots) {
  proto::worker_state::options o;
  o.slots = slots;
  o.max_window = std::max<std::uint64_t>(o.max_window, slots);
  return o;
}

}  // namespace

local_crew::local_crew(const local_slots& how, bool takes_commands, std::function<void()> wake)
    : machine_(who(slots_of(how.slots()), takes_commands), how_much(slots_of(how.slots())),
               proto::clock::now()),
      pool_(slots_of(how.slots()), how.runners(), std::move(wake)) {
  const auto now = proto::clock::now();
  machine_.link_opened(ventilator, now, out_);
  machine_.link_up(ventilator, now, out_);
}

void local_crew::collect(proto::time_point now) {
  finished_.clear();
  pool_.take(finished_);
  for (auto& f : finished_)
    machine_.on_finished(
        {f.source, f.first, f.last, std::move(f.runs), std::move(f.released), f.busy}, now,
        out_);
}

bool local_crew::exchange(proto::outbox& of_ventilator, proto::time_point now,
                          const deliver& to) {
  auto& sends = of_ventilator.sends;
  const auto mine = std::stable_partition(sends.begin(), sends.end(),
                                          [](const auto& s) { return s.to != peer; });
  bool said = mine != sends.end();
  for (auto it = mine; it != sends.end(); ++it)
    machine_.on_message(ventilator, std::move(it->what), now, out_);
  sends.erase(mine, sends.end());
  // The link cannot break, so there is never a reason to forget it.
  std::erase(of_ventilator.forgets, peer);

  machine_.tick(now, out_);
  carry_out();
  said |= !out_.sends.empty();
  for (auto& s : std::exchange(out_.sends, {})) to(std::move(s.what));
  return said;
}

void local_crew::carry_out() {
  std::vector<exec::work> starts;
  starts.reserve(out_.starts.size());
  for (auto& s : out_.starts)
    starts.push_back({s.source, s.first, s.attempt, std::move(s.payloads),
                      std::chrono::milliseconds(s.time_limit_ms), s.commands});
  out_.starts.clear();
  if (!starts.empty()) pool_.give(std::move(starts));
  for (const auto& s : out_.stops) pool_.cancel(s.source, s.range, s.mode);
  out_.stops.clear();
  out_.connects.clear();
  out_.forgets.clear();
  out_.notices.clear();
}

}  // namespace net
}  // namespace weir
