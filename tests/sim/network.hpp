// Connections that break, as ZeroMQ shows them.
#pragma once

#include "proto/message.hpp"
#include "proto/outbox.hpp"
#include "sim/clockwork.hpp"

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace weir::sim {

class node;
class surroundings;

/// What the transports of all nodes amount to.
///
/// The connecting side (a DEALER) knows its connection by one number for ever; the binding side
/// (a ROUTER) gets a new one for each, and first hears of it by a message. A cut loses a suffix
/// of what is under way in each direction. The connecting side is told when the connection is
/// there again: at once, late, or never. The binding side learns that one is closed when it
/// sends to it, perhaps only some time later. What was under way to the binding side may arrive
/// after the first messages of the next connection.
class network {
 public:
  explicit network(surroundings& s) : around_(s) {}

  void bind(node& n, const std::string& endpoint);
  [[nodiscard]] proto::peer_id connect(node& n, const std::string& endpoint);
  void send(node& from, proto::peer_id to, proto::message m);

  /// kill -9: what had left may still arrive, nothing else.
  void die(node& n);
  /// A clean exit: everything that was sent still arrives.
  void leave(node& n);
  /// Gives up a connection that this node opened: what was sent still arrives.
  void close(node& n, proto::peer_id peer);
  /// Breaks one connection that stands; false if there is none.
  bool cut_one();

 private:
  struct flight {
    proto::message what;
    bool ready = false;
    bool lost = false;
    time_point not_before{};
  };
  using flights = std::deque<std::shared_ptr<flight>>;
  struct lane;
  struct connection {
    lane* of = nullptr;
    node* binder = nullptr;
    proto::peer_id at_binder{};
    bool alive = true;
    bool down_told = false;
    time_point noticed{};  // when the binding side can know that it is closed
    flights to_binder, to_connector;
    time_point last_to_binder{};
  };
  struct lane {  // one connect()
    node* connector = nullptr;
    proto::peer_id at_connector{};
    std::string endpoint;
    std::shared_ptr<connection> now;
    std::vector<proto::message> waiting;  // sent while disconnected
    time_point last_to_connector{};       // DEALERs keep order over connections
    bool closed = false;
  };

  void try_connect(lane& l);
  void launch(const std::shared_ptr<connection>& c, bool up, proto::message m);
  void land(const std::shared_ptr<connection>& c, bool up);
  void cut(connection& c, bool lossless);
  void lose(flights& list, bool shift);

  surroundings& around_;
  std::map<std::string, node*> bound_;
  std::deque<lane> lanes_;
  std::vector<std::shared_ptr<connection>> standing_;
  std::map<std::pair<node*, proto::peer_id>, lane*> opened_;
  std::map<std::pair<node*, proto::peer_id>, std::shared_ptr<connection>> accepted_;
};

}  // namespace weir::sim
