// What the loops of all nodes have in common.
#pragma once

#include "net/transport.hpp"
#include "proto/links.hpp"
#include "proto/outbox.hpp"

#include <weir/error.hpp>
#include <weir/node.hpp>

#include <mutex>
#include <string>
#include <vector>

namespace weir::net {

/// Messages taken in one round. Enough that a burst is answered as one; few enough that time is
/// looked at in between.
inline constexpr std::size_t round_messages = 256;
/// A node to which others connect, or that has not met all it connects to, is there for so long
/// at least, to tell those that are started with it that all is done: they try again every 270
/// ms at the latest, and one that missed it would wait for the whole of its --connect-timeout.
inline constexpr std::chrono::milliseconds shortest_life{400};
/// How long a node that is done waits for its last messages to leave.
inline constexpr std::chrono::milliseconds last_words{2000};

/// 64 random bits from the system.
[[nodiscard]] std::uint64_t entropy();
[[nodiscard]] std::string host_name();

/// Checks the options that all nodes share; throws weir::error `usage`.
/// `alone`: it needs nobody else.
void check(const node_options& options, const char* role, bool alone = false);

/// What this node says of itself, and whom it talks to.
[[nodiscard]] proto::links::options introduce(proto::role role, const node_options& options,
                                              std::vector<proto::role> accepts);

/// Carries out the part of an outbox that is the same for all: sends, forgets, notices.
void carry_out(proto::outbox& out, transport& net, const node_options& options);

/// Gives up when something has been missing for too long.
class patience {
 public:
  explicit patience(std::chrono::milliseconds limit) : limit_(proto::limited(limit)) {}
  /// Throws weir::error `unavailable` with `what` if it has been lacking for the limit. `hint`:
  /// what may be the reason.
  void check(bool lacking, proto::time_point now, const std::string& what,
             const std::string& hint = {}) {
    if (!lacking) {
      since_ = {};
      return;
    }
    if (since_ == proto::time_point{}) since_ = now;
    if (limit_.count() > 0 && now - since_ >= limit_)
      throw error(exit_code::unavailable, what + " for " + text() +
                                              " (--connect-timeout; 0 waits for ever)" +
                                              (hint.empty() ? "" : ": " + hint));
  }
  [[nodiscard]] proto::time_point deadline() const {
    if (since_ == proto::time_point{} || limit_.count() == 0) return proto::time_point::max();
    return since_ + limit_;
  }

 private:
  [[nodiscard]] std::string text() const;
  std::chrono::milliseconds limit_;
  proto::time_point since_{};
};

/// One round of a node's loop: waits, without `held` if there is such a lock, and feeds what
/// came to the machine.
template <class Machine, class Outbox, class OnMessage>
void round(transport& net, Machine& machine, Outbox& out, std::vector<transport::event>& events,
           proto::time_point deadline, bool reading, OnMessage&& on_message,
           std::unique_lock<std::mutex>* held = nullptr) {
  net.wait(deadline, reading, held);
  events.clear();
  net.receive(events, reading ? round_messages : 0);
  const auto now = proto::clock::now();
  for (auto& e : events) {
    switch (e.what) {
      case transport::event::kind::message:
        on_message(e.peer, std::move(e.message), now);
        break;
      case transport::event::kind::up:
        machine.link_up(e.peer, now, out);
        break;
      case transport::event::kind::down:
        machine.link_down(e.peer, now);
        break;
      case transport::event::kind::stalled:
      case transport::event::kind::flowing:
        // Who sends within windows of bytes need not know.
        if constexpr (requires { machine.link_stalled(e.peer, true); })
          machine.link_stalled(e.peer, e.what == transport::event::kind::stalled);
        break;
    }
  }
}

}  // namespace weir::net
