#include "sim/rpc_roles.hpp"

#include <algorithm>

namespace weir::sim {
using namespace std::chrono_literals;

namespace {
std::vector<proto::method_info> offered() {
  std::vector<proto::method_info> all;
  for (const rpc_method& m : rpc_methods) {
    proto::method_info& info = all.emplace_back();
    info.name = m.name;
    info.idempotent = m.idempotent;
    info.streams = m.streams;
    info.concurrency = m.at_a_time;
  }
  return all;
}
}  // namespace

rpc_worker_node::rpc_worker_node(rpc_world& w, std::uint32_t slot, std::uint32_t incarnation)
    : node(w, worker_at(slot) + std::string(incarnation, '\''), proto::role::worker),
      world_(w),
      slot_(slot),
      slots_(static_cast<std::uint32_t>(w.chance().between(1, w.plan().max_slots))),
      machine_(
          introduce("", {proto::role::gateway, proto::role::client}),
          [&] {
            proto::service_state::options o;
            o.methods = offered();
            o.slots = slots_;
            o.max_window = std::max<std::uint64_t>(w.plan().max_window, slots_);
            if (w.plan().introduce) o.direct = {worker_at(slot)};
            return o;
          }(),
          w.now()) {
  world_.net().bind(*this, worker_at(slot));
  for (std::uint32_t i = 0; i < world_.plan().gateways; ++i)
    machine_.link_opened(world_.net().connect(*this, gateway_at(i)), world_.now(), out_);
  poke(world_.now());
}

void rpc_worker_node::terminate() {
  if (terminated_) return;
  world_.trace(name(), [] { return "is told to stop"; });
  terminated_ = true;
  machine_.drain(world_.now(), out_);
  leave_by_ = world_.now() + world_.plan().longest_deadline + 60s;
  poke(world_.now());
}

bool rpc_worker_node::idle() const {
  const auto c = machine_.stats();
  return c.queued == 0 && c.running == 0 && running_.empty() && pool_.empty();
}

std::string rpc_worker_node::standing() const {
  const auto c = machine_.stats();
  return name() + ": " + std::to_string(c.queued) + " queued, " + std::to_string(c.running) +
         " running, slots have " + std::to_string(running_.size()) + " and " +
         std::to_string(pool_.size()) + (terminated_ ? ", draining" : "") +
         (paused() ? ", stopped" : "");
}

void rpc_worker_node::on_input(input in, time_point now) {
  if (in.what == input::kind::up) return machine_.link_up(in.peer, now, out_);
  if (in.what == input::kind::down) return machine_.link_down(in.peer, now);
  if (world_.broken(rpc_sabotage::credit_swallowed) &&
      std::holds_alternative<proto::credit>(in.m))
    return;
  machine_.on_message(in.peer, std::move(in.m), now, out_);
}

// The slots

void rpc_worker_node::take_calls(time_point now) {
  for (const auto& s : std::exchange(out_.calls, {})) {
    if (s.deadline <= now)
      world_.violation("R4 " + name() + " hands out calls that have expired");
    for (std::uint32_t i = 0; i < s.calls.arguments.size(); ++i) {
      job j;
      j.key = {s.from, s.calls.first + i};
      j.argument = std::string(s.calls.arguments[i]);
      j.name = name_of(j.argument);
      j.method = s.method;
      j.deadline = s.deadline;
      j.given = now;
      j.allowed = s.calls.options ? s.calls.options->stream_window : 0;
      if (!seen_.insert(j.key).second)
        world_.violation("R2 " + name() + " hands out a request for the second time");
      if (rpc_methods[s.method].name != s.calls.method)
        world_.violation("R3 " + name() + " takes one method for another");
      if (world_.breaks(rpc_sabotage::run_twice)) {
        world_.books().started(j.name, now);
        world_.books().ran(j.name, true);
      }
      pool_.push_back(std::move(j));
    }
  }
}

void rpc_worker_node::begin_calls(time_point now) {
  while (busy_ < slots_ && !pool_.empty()) {
    job next = std::move(pool_.front());
    pool_.pop_front();
    const bool expired = next.deadline <= now;
    if (!expired && world_.breaks(rpc_sabotage::run_late)) {
      world_.at(next.deadline + 1ms, [this, next] {
        if (runs() && !paused()) begin(next, world_.now());
      });
      continue;
    }
    if (next.cancelled || expired) {
      answer(next, next.cancelled ? status::cancelled : status::deadline_exceeded, {}, true,
             now);
      if (world_.broken(rpc_sabotage::run_cancelled)) world_.books().started(next.name, now);
      continue;
    }
    begin(std::move(next), now);
  }
}

void rpc_worker_node::begin(job j, time_point now) {
  if (j.deadline <= now) world_.violation("R4 " + name() + " begins a call that has expired");
  world_.books().started(j.name, now);
  j.began = now;
  ++busy_;
  const proto::call_key key = j.key;
  const rpc_call& spec = world_.plan().call_of(j.name.client, j.name.number);
  running_.emplace(key, std::move(j));
  world_.at(now + spec.runs + 5us, [this, key, streams = spec.elements > 0] {
    if (streams)
      stream(key);
    else
      end(key);
  });
}

/// One element after the other, until there is no credit.
void rpc_worker_node::stream(proto::call_key key) {
  if (!runs()) return;
  const auto now = world_.now();
  if (paused()) {
    world_.at(now + 50ms, [this, key] { stream(key); });
    return;
  }
  const auto it = running_.find(key);
  if (it == running_.end()) return;
  job& j = it->second;
  const rpc_call& spec = world_.plan().call_of(j.name.client, j.name.number);
  while (j.produced < spec.elements && !j.cancelled) {
    if (j.produced >= j.allowed) {  // its slot does something else meanwhile
      if (!j.no_slot) --busy_;
      j.no_slot = true;
      poke(now);
      return;
    }
    const auto left = machine_.on_part(
        key, proto::pack::of(element_of(j.argument, j.produced + 1)), now, out_);
    if (left == proto::callee::not_wanted) {
      j.cancelled = true;
      break;
    }
    ++j.produced;
    j.allowed = left > 0 ? j.produced + static_cast<std::uint64_t>(left) : j.produced;
    if (!world_.chance().chance(0.2)) continue;
    poke(now);
    world_.at(now + world_.chance().between(1us, 500us), [this, key] { stream(key); });
    return;
  }
  end(key);
}

void rpc_worker_node::end(proto::call_key key) {
  if (!runs()) return;
  const auto now = world_.now();
  if (paused()) {
    world_.at(now + 50ms, [this, key] { end(key); });
    return;
  }
  const auto it = running_.find(key);
  if (it == running_.end()) return;
  const job j = std::move(it->second);
  running_.erase(it);
  if (!j.no_slot) --busy_;
  const rpc_call& spec = world_.plan().call_of(j.name.client, j.name.number);
  const bool stopped = j.cancelled && j.produced < std::max(spec.elements, 1U);
  const auto code = !stopped    ? (spec.fails ? status::unknown : status::ok)
                    : j.expired ? status::deadline_exceeded
                                : status::cancelled;
  if (!stopped) world_.books().ran(j.name, code == status::ok);
  world_.progress();
  if (!world_.breaks(rpc_sabotage::answer_forgotten))
    answer(j, code, code == status::ok ? result_of(j.argument) : std::string(), false, now);
  poke(now);
}

void rpc_worker_node::answer(const job& j, status code, std::string result, bool never_started,
                             time_point now) {
  proto::reply_run run;
  run.first = j.key.call;
  run.code = code;
  run.results = proto::pack::of(std::move(result));
  const auto us = [](duration d) {
    return static_cast<std::uint32_t>(
        std::chrono::duration_cast<std::chrono::microseconds>(d).count());
  };
  if (!never_started) {
    run.queued_us = us(j.began - j.given);
    run.service_us = us(now - j.began);
  }
  if (code != status::ok) {
    run.details.resize(1);
    run.details[0].message = "as the plan has it";
    run.details[0].never_started = never_started;
  }
  machine_.on_replied(j.key.from, std::move(run), now, out_);
}

void rpc_worker_node::cancel(const proto::call_key& key, time_point now) {
  for (auto& j : pool_)
    if (j.key == key) j.cancelled = true;
  const auto it = running_.find(key);
  if (it == running_.end()) return;
  // A handler may look whether it is cancelled, or not.
  if (it->second.produced > 0 || it->second.allowed > 0 || world_.chance().chance(0.6)) {
    it->second.cancelled = true;
    world_.at(now + world_.chance().between(0ms, 50ms), [this, key] { end(key); });
  }
}

// The loop

void rpc_worker_node::check_limits(time_point now) {
  for (const auto& o : out_.sends)
    if (const auto* w = std::get_if<proto::window>(&o.what)) {
      auto& most = most_announced_[o.to];
      most = std::max(most, w->items);
    }
  std::uint64_t most = 0;
  for (const auto& [peer, items] : most_announced_) most += items;
  const auto c = machine_.stats();
  std::uint64_t unbounded = 0;  // notifications need no room
  for (const auto& batches : world_.plan().batches)
    for (const auto& b : batches) unbounded += b.no_reply ? b.count : 0;
  // Whoever took it for dead has given up what it still runs, and calls again.
  if (!world_.plan().fault_free()) most *= 2;
  if (c.queued + c.running > most + unbounded)
    world_.violation("R7 " + name() + " has " + std::to_string(c.queued + c.running) +
                     " calls in hand, and announced " + std::to_string(most));
  if (machine_.next_deadline() < now - 1s)
    world_.violation("R8 " + name() + " is due for long");
}

time_point rpc_worker_node::round(time_point now) {
  take_inputs(now);
  take_calls(now);
  begin_calls(now);
  machine_.tick(now, out_);
  take_calls(now);
  for (const auto& key : std::exchange(out_.cancels, {})) cancel(key, now);
  for (const auto& g : std::exchange(out_.grants, {})) {
    const auto it = running_.find(g.key);
    if (it == running_.end()) continue;
    job& j = it->second;
    j.allowed = std::max(j.allowed, g.until);
    j.cancelled |= g.stop;
    if (!j.no_slot || (j.allowed <= j.produced && !g.stop)) continue;
    j.no_slot = false;
    ++busy_;
    world_.at(now + 5us, [this, key = g.key] { stream(key); });
  }
  // Streams that wait for readers who do not come.
  std::vector<proto::call_key> late;
  time_point next_late = time_point::max();
  for (const auto& [key, j] : running_) {
    if (!j.no_slot || j.cancelled) continue;
    if (j.deadline <= now)
      late.push_back(key);
    else
      next_late = std::min(next_late, j.deadline);
  }
  for (const auto& key : late) {
    running_.at(key).expired = true;
    cancel(key, now);
  }
  begin_calls(now);
  machine_.tick(now, out_);
  check_limits(now);
  send_all(out_);
  if (terminated_ && (machine_.done() || now > leave_by_)) {
    if (now > leave_by_) world_.violation("R8 " + standing() + " does not leave");
    machine_.say_bye(now, out_);
    send_all(out_);
    exit();
    return time_point::max();
  }
  const bool more = !out_.calls.empty() || (busy_ < slots_ && !pool_.empty());
  return more ? now : std::min(next_late, machine_.next_deadline());
}

}  // namespace weir::sim
