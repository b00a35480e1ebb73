#include "sim/node.hpp"

#include "proto/wire.hpp"

#include <utility>

namespace weir::sim {
using namespace std::chrono_literals;

node::node(world& w, std::string name, proto::role role)
    : world_(w),
      name_(std::move(name)),
      role_(role),
      session_(proto::session_id{w.chance().bits() | 1U}) {}

bool node::paused() const { return world_.now() < paused_until_; }

void node::pause_until(time_point when) {
  world_.trace(name_, [] { return "is stopped"; });
  paused_until_ = std::max(paused_until_, when);
}

void node::kill() {
  if (!runs()) return;
  world_.trace(name_, [] { return "is killed"; });
  state_ = state::killed;
  inbox_.clear();
  world_.net().die(*this);
  died();
  world_.killed(*this);
}

void node::exit() {
  world_.trace(name_, [] { return "exits"; });
  state_ = state::exited;
  inbox_.clear();
  world_.net().leave(*this);
  world_.left(*this);
}

void node::deliver(proto::peer_id from, proto::message m) {
  inbox_.push_back({input::kind::message, from, std::move(m)});
  poke(world_.now() + world_.chance().between(0us, 200us));
}

void node::told_up(proto::peer_id peer) {
  inbox_.push_back({input::kind::up, peer, {}});
  poke(world_.now() + 10us);
}

void node::told_down(proto::peer_id peer) {
  inbox_.push_back({input::kind::down, peer, {}});
  poke(world_.now() + 10us);
}

void node::poke(time_point when) {
  if (when >= wake_at_) return;
  wake_at_ = when;
  world_.at(when, [this, when] { wake(when); });
}

void node::wake(time_point when) {
  if (!runs() || wake_at_ != when) return;  // dead, or there is an earlier one
  if (paused()) {
    wake_at_ = paused_until_;
    world_.at(paused_until_, [this, at = paused_until_] { wake(at); });
    return;
  }
  wake_at_ = time_point::max();
  const auto now = world_.now();
  const auto next = round(now);
  if (!runs()) return;
  spins_ = next <= now ? spins_ + 1 : 0;
  if (spins_ > 100) world_.books().violation("C8 " + name_ + " goes round without waiting");
  poke(std::max(next, now + 1us));
}

void node::take_inputs(time_point now) {
  if (!reads()) {
    // Messages wait in the sockets; what the transport notices does not.
    std::deque<input> messages;
    for (auto& in : std::exchange(inbox_, {}))
      if (in.what == input::kind::message)
        messages.push_back(std::move(in));
      else
        on_input(std::move(in), now);
    inbox_ = std::move(messages);
    return;
  }
  for (auto& in : std::exchange(inbox_, {})) {
    if (in.what == input::kind::message) {
      world_.mix(static_cast<std::uint64_t>(now.time_since_epoch().count()));
      world_.mix(in.m.index() + 31 * static_cast<std::uint64_t>(in.peer));
      world_.trace(name_, [&] {
        return "<- " + std::to_string(static_cast<std::uint32_t>(in.peer)) + " " +
               describe(in.m);
      });
    } else {
      world_.trace(name_, [&] {
        return std::string(in.what == input::kind::up ? "up " : "down ") +
               std::to_string(static_cast<std::uint32_t>(in.peer));
      });
    }
    on_input(std::move(in), now);
  }
}

void node::send_all(proto::outbox& out) {
  for (auto& o : std::exchange(out.sends, {})) {
    const auto f = proto::encode(o.what);
    auto m = proto::decode(f.header, f.body);
    if (const auto* why = std::get_if<proto::reject>(&m)) {
      world_.books().violation("C3 " + name_ + " sends what nobody can read (" +
                               std::string(to_string(*why)) + "): " + describe(o.what));
      return;
    }
    world_.net().send(*this, o.to, std::get<proto::message>(std::move(m)));
  }
  out.forgets.clear();
  for (const auto& n : std::exchange(out.notices, {}))
    world_.trace(name_, [&] { return "says: " + n.text; });
}

proto::links::options node::introduce(std::string results_to,
                                      std::vector<proto::role> accepts) const {
  proto::links::options o;
  o.self.role = role_;
  o.self.name = name_;
  o.self.session = session_;
  o.self.results_to = std::move(results_to);
  o.self.max_payload = 1024 * 1024;
  o.heartbeat = world_.plan().heartbeat;
  o.accepts = std::move(accepts);
  return o;
}

}  // namespace weir::sim
