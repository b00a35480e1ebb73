// A bare PUSH or PULL socket that knows whether anybody is at the other end.
#pragma once

#include "proto/time.hpp"

#include <weir/node.hpp>

#include <zmq.hpp>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace weir::net {

/// One socket on all its endpoints: ZeroMQ deals what is pushed to the connections in turn, and
/// takes what is pulled from them in turn.
///
/// Threads    One.
/// Errors     The constructor throws weir::error. What a peer sends cannot throw.
class plain_socket {
 public:
  enum class kind { push, pull };

  /// Binds and connects to what `options` say.
  plain_socket(zmq::context_t& context, kind what, const node_options& options);

  /// False: nobody has room.
  [[nodiscard]] bool try_send(std::string_view payload);
  /// False: there is nothing.
  [[nodiscard]] bool try_receive(zmq::message_t& into);
  /// Takes note of connections that came and went.
  void watch();
  [[nodiscard]] std::uint64_t peers() const { return peers_; }
  /// Whether anybody was ever there.
  [[nodiscard]] bool ever_met() const { return ever_met_; }
  /// Messages of several frames, which were dropped.
  [[nodiscard]] std::uint64_t refused() const { return refused_; }
  [[nodiscard]] const std::vector<std::string>& endpoints() const { return endpoints_; }
  /// The first address, for messages.
  [[nodiscard]] const std::string& where() const { return where_; }
  /// Whether a peer on this machine has not read yet what was sent over its ipc connection. If
  /// that peer's buffers are full, libzmq 4.3.4 throws it away when the connection closes (over
  /// TCP it does not: stream_engine_base_t::in_event_internal, _input_stopped).
  [[nodiscard]] bool unread_over_ipc() const;
  /// What is queued has this long to leave (negative: for ever) while the context closes.
  void close(std::chrono::milliseconds linger);

 private:
  friend class plain_wait;
  zmq::socket_t zmq_;
  zmq::socket_t monitor_;
  std::vector<std::string> endpoints_;
  std::string where_;
  std::vector<int> connections_;  // libzmq's descriptors: to look at, never to use
  std::uint64_t peers_ = 0;
  std::uint64_t broken_handshakes_ = 0;
  std::uint64_t refused_ = 0;
  bool ever_met_ = false;
};

/// What a loop of plain sockets sleeps on.
///
/// Threads    wake() any, the rest one.
class plain_wait {
 public:
  plain_wait();
  ~plain_wait();
  plain_wait(const plain_wait&) = delete;
  plain_wait& operator=(const plain_wait&) = delete;

  void wake() noexcept;
  /// Looks after the connections of `socket` in the next sleep(), and, if `ready`, wakes when
  /// it can be used.
  void add(plain_socket& socket, bool ready);
  /// Until the deadline at most; then add() starts anew.
  void sleep(proto::time_point deadline);

 private:
  int wake_fd_ = -1;
  std::vector<zmq::pollitem_t> items_;
  std::vector<plain_socket*> sockets_;
};

}  // namespace weir::net
