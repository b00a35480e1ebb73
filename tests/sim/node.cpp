#include "sim/node.hpp"

#include "proto/wire.hpp"

#include <utility>

namespace weir::sim {
using namespace std::chrono_literals;

node::node(surroundings& s, std::string name, proto::role role)
    : around_(s),
      name_(std::move(name)),
      role_(role),
      session_(proto::session_id{s.chance().bits() | 1U}) {}

bool node::paused() const { return around_.now() < paused_until_; }

void node::pause_until(time_point when) {
  around_.trace(name_, [] { return "is stopped"; });
  paused_until_ = std::max(paused_until_, when);
}

void node::kill() {
  if (!runs()) return;
  around_.trace(name_, [] { return "is killed"; });
  state_ = state::killed;
  inbox_.clear();
  around_.net().die(*this);
  died();
  around_.killed(*this);
}

void node::exit() {
  around_.trace(name_, [] { return "exits"; });
  state_ = state::exited;
  inbox_.clear();
  around_.net().leave(*this);
  around_.left(*this);
}

void node::deliver(proto::peer_id from, proto::message m) {
  inbox_.push_back({input::kind::message, from, std::move(m)});
  poke(around_.now() + around_.chance().between(0us, 200us));
}

void node::told_up(proto::peer_id peer) {
  inbox_.push_back({input::kind::up, peer, {}});
  poke(around_.now() + 10us);
}

void node::told_down(proto::peer_id peer) {
  inbox_.push_back({input::kind::down, peer, {}});
  poke(around_.now() + 10us);
}

void node::poke(time_point when) {
  if (when >= wake_at_) return;
  wake_at_ = when;
  around_.at(when, [this, when] { wake(when); });
}

void node::wake(time_point when) {
  if (!runs() || wake_at_ != when) return;  // dead, or there is an earlier one
  if (paused()) {
    wake_at_ = paused_until_;
    around_.at(paused_until_, [this, at = paused_until_] { wake(at); });
    return;
  }
  wake_at_ = time_point::max();
  const auto now = around_.now();
  const auto next = round(now);
  if (!runs()) return;
  spins_ = next <= now ? spins_ + 1 : 0;
  if (spins_ > 100) around_.violation("C8 " + name_ + " goes round without waiting");
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
      around_.mix(static_cast<std::uint64_t>(now.time_since_epoch().count()));
      around_.mix(in.m.index() + 31 * static_cast<std::uint64_t>(in.peer));
      around_.trace(name_, [&] {
        return "<- " + std::to_string(static_cast<std::uint32_t>(in.peer)) + " " +
               describe(in.m);
      });
    } else {
      around_.trace(name_, [&] {
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
      around_.violation("C3 " + name_ + " sends what nobody can read (" +
                        std::string(to_string(*why)) + "): " + describe(o.what));
      return;
    }
    around_.net().send(*this, o.to, std::get<proto::message>(std::move(m)));
  }
  out.forgets.clear();
  for (const auto& n : std::exchange(out.notices, {}))
    around_.trace(name_, [&] { return "says: " + n.text; });
}

proto::links::options node::introduce(std::string results_to,
                                      std::vector<proto::role> accepts) const {
  proto::links::options o;
  o.self.role = role_;
  o.self.name = name_;
  o.self.session = session_;
  o.self.results_to = std::move(results_to);
  o.self.max_payload = 1024 * 1024;
  o.heartbeat = around_.climate().heartbeat;
  o.accepts = std::move(accepts);
  return o;
}

}  // namespace weir::sim
