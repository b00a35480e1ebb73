// A simulated process: one state machine and the pump that drives it.
#pragma once

#include "proto/links.hpp"
#include "proto/message.hpp"
#include "proto/outbox.hpp"
#include "sim/surroundings.hpp"

#include <cstdint>
#include <deque>
#include <memory>
#include <string>

namespace weir::sim {

/// What all nodes have in common: an inbox, being woken, being stopped and being killed.
class node {
 public:
  enum class state { running, exited, killed };

  node(surroundings& s, std::string name, proto::role role);
  virtual ~node() = default;
  node(const node&) = delete;
  node& operator=(const node&) = delete;

  [[nodiscard]] const std::string& name() const { return name_; }
  [[nodiscard]] state now() const { return state_; }
  [[nodiscard]] bool runs() const { return state_ == state::running; }
  [[nodiscard]] bool paused() const;
  void pause_until(time_point when);
  /// Since then it has not been stopped.
  [[nodiscard]] time_point awake_since() const { return paused_until_; }
  void kill();
  /// A number for a new connection.
  [[nodiscard]] proto::peer_id next_peer() { return proto::peer_id{++last_peer_}; }

  // From the network.
  void deliver(proto::peer_id from, proto::message m);
  void told_up(proto::peer_id peer);
  void told_down(proto::peer_id peer);
  /// Has the node's loop go round at `when` at the latest.
  void poke(time_point when);

  /// One line on what the machine believes, for a stuck world.
  [[nodiscard]] virtual std::string standing() const = 0;

 protected:
  struct input {
    enum class kind { message, up, down } what;
    proto::peer_id peer;
    proto::message m;
  };
  /// One round of the loop; returns when the next is due.
  virtual time_point round(time_point now) = 0;
  virtual void on_input(input in, time_point now) = 0;
  virtual void died() {}
  [[nodiscard]] virtual bool reads() const { return true; }
  void take_inputs(time_point now);
  void send_all(proto::outbox& out);
  void exit();
  [[nodiscard]] proto::links::options introduce(std::string results_to,
                                                std::vector<proto::role> accepts) const;

  surroundings& around_;

 private:
  void wake(time_point when);

  std::string name_;
  proto::role role_;
  proto::session_id session_;
  state state_ = state::running;
  std::uint32_t last_peer_ = 0;
  std::deque<input> inbox_;
  time_point paused_until_{};
  time_point wake_at_ = time_point::max();
  std::uint32_t spins_ = 0;
  time_point last_round_{};
};

}  // namespace weir::sim
