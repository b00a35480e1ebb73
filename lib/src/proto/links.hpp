// Who is at the other end: HELLO, WELCOME, ALIVE, and telling the dead from the silent.
#pragma once

#include "proto/message.hpp"
#include "proto/outbox.hpp"
#include "proto/time.hpp"

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace weir::proto {

/// All sessions of one node, over all its sockets.
///
/// A session outlives its connection: a peer that reconnects within one heartbeat is the same
/// peer, has lost whatever was in the pipe, and is announced as joined again so that both ends
/// compare what they hold. Silence for five heartbeats, or a closed connection for one, ends
/// it.
///
/// Pure: time enters as `now` only. If the gaps between calls to tick() show that this node
/// itself was stopped, everybody gets a fresh heartbeat of patience before being given up.
class links {
 public:
  struct options {
    introduction self;
    duration heartbeat = std::chrono::seconds(1);
    /// Roles that this node has a use for; others are refused with ERROR `role`.
    std::vector<role> accepts;
    /// Those of them that may come to this node, rather than be found where it connects to.
    /// Empty: all of them.
    std::vector<role> admits = {};
  };

  enum class change : std::uint8_t {
    joined,   ///< new, or back after a broken connection: compare what both ends hold
    met,      ///< where we connected is somebody whose session another connection carries, and
              ///< goes on to: see behind()
    broken,   ///< its connection closed and it has not come back: treat it as dead
    expired,  ///< silent for too long: treat it as dead
    restarted,  ///< the same endpoint answers with another session: this one is dead for good
    refused,    ///< where we connected, or a ventilator's sink, sent an ERROR that will not go
                ///< away
  };
  struct event {
    change what;
    session_id who;
    introduction info;
    std::string text;
  };

  links(options opts, time_point now);

  /// This node connects: greet until WELCOME.
  void open(peer_id peer, time_point now, outbox& out);
  /// The transport has (re-)established a connection that this node opened.
  void up(peer_id peer, time_point now, outbox& out);
  /// The transport says that this connection is closed.
  void down(peer_id peer, time_point now);
  /// It says that more waits to be sent on this connection than the peer takes, or not any
  /// more. Returns whose it is; see also stalled() below.
  std::optional<session_id> stalled(peer_id peer, bool is);

  /// Takes a message from the transport. Returns the session it belongs to if it is for the
  /// role's own logic; otherwise it has been dealt with. Sessions that change are added to
  /// `events`, before the message that revealed it is handed over.
  [[nodiscard]] std::optional<session_id> receive(peer_id peer, const message& m,
                                                  time_point now, outbox& out,
                                                  std::vector<event>& events);
  void tick(time_point now, outbox& out, std::vector<event>& events);
  [[nodiscard]] time_point next_deadline() const;

  /// For a node that is not reading, because it cannot take more: call this instead of letting
  /// the silence count against the peers.
  void not_listening(time_point now);

  /// Sends to a session; dropped if it cannot be reached (it will join again and be resynced).
  void send(session_id to, message what, time_point now, outbox& out);
  /// Says BYE, once, and no more after it: this node has nothing to do with that session any
  /// more, unless it comes again.
  void part(session_id who, bye_reason reason, time_point now, outbox& out);
  /// Ends a session without an event, e.g. after BYE. A connection that this node opened goes
  /// on greeting, so that the next peer at that endpoint is found.
  void drop(session_id who, time_point now, outbox& out);
  /// Has both ends of a session that stands go through joined again, and compare what they
  /// hold: HELLO from whoever connected.
  void renew(session_id who, time_point now, outbox& out);
  /// Stops greeting and forgets a connection altogether.
  void close(peer_id peer, outbox& out);

  [[nodiscard]] const introduction* info(session_id who) const;
  /// Whether what is sent now has a chance to arrive: its connection stands, and neither end is
  /// about to begin again.
  [[nodiscard]] bool reachable(session_id who) const;
  /// Whether more waits on its connection than it takes.
  [[nodiscard]] bool stalled(session_id who) const;
  /// The session on a connection, if it has joined.
  [[nodiscard]] std::optional<session_id> on(peer_id peer) const;
  /// Whom a connection leads to, also while another one carries the session.
  [[nodiscard]] std::optional<session_id> behind(peer_id peer) const;
  [[nodiscard]] std::vector<session_id> with_role(role r) const;
  /// Whether whoever this node connects to has answered, and has not left.
  [[nodiscard]] bool met_all() const;
  [[nodiscard]] std::size_t size() const { return sessions_.size(); }
  /// Connections that are remembered, with a session or without.
  [[nodiscard]] std::size_t connections() const { return connections_.size(); }
  [[nodiscard]] introduction& self() { return options_.self; }
  [[nodiscard]] const introduction& self() const { return options_.self; }
  [[nodiscard]] duration heartbeat() const { return options_.heartbeat; }

 private:
  struct connection {
    bool ours = false;      // this node opened it
    bool greeting = false;  // HELLO until WELCOME, and nothing else
    // Accepted: something came after the last HELLO. Then the next HELLO is no repetition for
    // want of a WELCOME, but a peer that has lost the session and begins again.
    bool spoken = false;
    bool stalled = false;
    session_id session{};  // the last one that joined here
    bool joined = false;
    time_point next_hello;
    duration hello_interval{};
  };
  struct session {
    introduction info;
    peer_id via{};
    bool connected = true;
    time_point last_heard, last_sent, down_since;
    duration heartbeat{};
    bool spoken = false;  // we have sent something since it joined
    bool parted = false;  // our BYE not least
  };

  [[nodiscard]] time_point earliest() const;
  void greet(peer_id peer, connection& c, time_point now, outbox& out);
  void start_greeting(peer_id peer, connection& c, time_point now, outbox& out);
  void on_hello(peer_id peer, const hello& h, time_point now, outbox& out,
                std::vector<event>& events);
  void on_welcome(peer_id peer, const welcome& w, time_point now, outbox& out,
                  std::vector<event>& events);
  void on_error(peer_id peer, const error_message& e, time_point now, outbox& out,
                std::vector<event>& events);
  /// Whether `who` is reached by another connection that works, and that goes before this one.
  /// Of two connections, one opened by each end, that one carries everything whose opener has
  /// the smaller session: so both ends choose the same, in whatever order they hear of them.
  [[nodiscard]] bool is_second(peer_id peer, session_id who) const;
  /// The session has ended: whatever else this node opened to the same peer says HELLO again.
  void greet_elsewhere(session_id who, time_point now, outbox& out);
  /// The same endpoint, another incarnation: nothing of the old one will ever come, whether it
  /// was given up already or not.
  void end_predecessor(peer_id peer, const introduction& who, std::vector<event>& events);
  void join(peer_id peer, const introduction& who, duration heartbeat, time_point now,
            outbox& out, std::vector<event>& events);
  void refuse(peer_id peer, wire_error code, std::string text, outbox& out);
  [[nodiscard]] bool accepts(role r) const;
  [[nodiscard]] bool admits(role r) const;
  [[nodiscard]] bool reachable(const session& s) const;

  options options_;
  std::map<peer_id, connection> connections_;
  std::map<session_id, session> sessions_;
  duration shortest_heartbeat_;
  time_point last_tick_;
  // Before this nothing is due: what was heard and sent since can only have put it off. Empty:
  // something has changed, look. So a round without news costs no look at every peer.
  std::optional<time_point> look_at_;
};

}  // namespace weir::proto
