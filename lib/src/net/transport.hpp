// ZeroMQ, as the state machines want to see it. The only code that knows sockets.
#pragma once

#include "net/spinner.hpp"
#include "net/unsent.hpp"
#include "proto/message.hpp"
#include "proto/outbox.hpp"
#include "proto/time.hpp"
#include "proto/wire.hpp"

#include <weir/endpoint.hpp>

#include <poll.h>
#include <zmq.hpp>

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

namespace weir::net {

/// Numbers connections, moves messages, and notices when connections come and go.
///
/// Bound endpoints are ROUTERs, connected ones DEALERs of their own (never one DEALER for two
/// endpoints: it would deal messages to whichever is there). What a peer sends never throws: a
/// message that cannot be read is counted, and answered with ERROR `malformed`.
///
/// Threads    One at a time, except wake(). wait() can let go of the caller's lock while it
///            sleeps, so that another thread may send meanwhile; that thread calls nudge() when
///            it is done.
/// Errors     bind() and connect() throw weir::error.
class transport {
 public:
  static constexpr std::size_t stall_bytes = 16 * 1024 * 1024;
  struct event {
    /// `stalled`: more waits to be sent to this peer than `stall_bytes`, for it does not read,
    /// or not fast enough; `flowing`: half of that at most, again. Elements of streams with
    /// windows in bytes do not count: they are bounded already, and may wait there for long.
    enum class kind { message, up, down, stalled, flowing };
    kind what = kind::message;
    proto::peer_id peer{};
    proto::message message;
  };
  struct counts {
    std::uint64_t rejected = 0;  ///< messages that could not be read
    std::uint64_t reconnects = 0;
    std::string last_reject;
  };

  transport();
  ~transport();
  transport(const transport&) = delete;
  transport& operator=(const transport&) = delete;

  /// Returns the endpoint as it is bound, with the port filled in. `insecure` allows addresses
  /// that other machines can reach.
  std::string bind(const endpoint& where, bool insecure);
  /// Returns the number of the one peer at the other end.
  proto::peer_id connect(const endpoint& where, bool insecure);

  /// Blocks until something may be there, wake(), or the deadline. With `reading` false it does
  /// not look for messages, so that they wait where they are. `held`, if given, is let go of
  /// while it sleeps.
  void wait(proto::time_point deadline, bool reading,
            std::unique_lock<std::mutex>* held = nullptr);
  /// After another thread has used the sockets: wakes the one that sleeps in wait() if there is
  /// something that it would otherwise not hear of (sending swallows ZeroMQ's edge-triggered
  /// notices), or if it should look at `deadline` before it meant to.
  void nudge(proto::time_point deadline);
  /// Fetches what is there, at most `most` messages.
  void receive(std::vector<event>& events, std::size_t most);
  /// Encodes and sends; never blocks. What cannot be sent because the peer is gone shows up as
  /// a `down` event; what the peer has no room for waits here.
  void send(proto::peer_id to, const proto::message& m);
  void forget(proto::peer_id peer);
  /// Any thread: makes wait() return.
  void wake() noexcept;
  /// Sends what is queued for at most `linger`, and closes everything. Does not wait for those
  /// that are gone, nor for those that go meanwhile.
  void close(std::chrono::milliseconds linger);

  [[nodiscard]] const counts& stats() const { return counts_; }

 private:
  struct socket {
    zmq::socket_t zmq;
    zmq::socket_t monitor;
    int fd = -1;  // ZMQ_FD of both: edge-triggered, only says that ZMQ_EVENTS is worth a look
    int monitor_fd = -1;
    bool bound = false;
    bool up = false;  // connected ones only
    // ZMQ_EVENTS is worth a look: the descriptor said so, or sending has swallowed its notice.
    bool check = true;
    bool monitor_check = true;
    std::string endpoint;
    std::unordered_map<std::string, proto::peer_id> ids;  // bound: routing id -> peer
    // What still waits for those that were forgotten, and may be heard again.
    std::unordered_map<std::string, std::weak_ptr<unsent>> forgotten;
    proto::peer_id only{};  // connected: the one peer
    int probes = 0;         // looks for dead peers still to do
    proto::time_point probe_at{};
  };
  struct outgoing {
    proto::frames f;
    bool bounded = false;  // by a window in bytes: does not count in whether a peer is stalled
    bool last = false;     // BYE: close() waits until it has left
  };
  struct peer {
    socket* via = nullptr;
    std::string routing_id;
    std::deque<outgoing> waiting;  // the peer's pipe is full
    std::size_t waiting_bytes = 0;
    std::shared_ptr<unsent> in_pipe;
    std::shared_ptr<unsent> uncounted;  // what is bounded
    bool gone = false;                  // in gone_
    bool stalled = false;               // and has been announced as such
    [[nodiscard]] std::size_t owed() const { return in_pipe->bytes() + waiting_bytes; }
  };
  enum class sent { yes, full, gone };

  socket& open(zmq::socket_type type, const endpoint& where, bool insecure, const char* verb);
  [[nodiscard]] int sleep(proto::time_point now, proto::time_point deadline, int timeout);
  void drain_wake();
  [[nodiscard]] bool readable(bool reading);
  [[nodiscard]] sent try_send(peer& to, const outgoing& what);
  peer& add_peer(proto::peer_id id, socket& via);
  void lose(proto::peer_id id);
  void drop_waiting(peer& p);
  bool receive_one(socket& s, std::vector<event>& events);
  void watch(socket& s, std::vector<event>& events);
  void probe(socket& s, proto::time_point now);
  void flush_waiting();
  void look_for_flow();
  void let_go_of_last_words(proto::time_point end);

  // Since the first socket: it takes a millisecond or two, and libzmq looks for half of the
  // system's libraries (getprotobyname() for PGM). A ventilator may do with its own slots.
  std::optional<zmq::context_t> context_;
  std::deque<socket> sockets_;  // stable addresses
  std::map<proto::peer_id, peer> peers_;
  std::vector<event> pending_;  // noticed while sending
  /// Peers of bound sockets that could not be sent to: to be announced as down when everything
  /// that they had said before has been read, a last BYE not least.
  std::vector<proto::peer_id> gone_;
  std::vector<pollfd> fds_;
  std::vector<socket*> watched_;        // two of fds_ each, behind the first
  proto::time_point sleeping_until_{};  // while in wait()
  bool reading_ = true;
  spinner spinner_{std::thread::hardware_concurrency()};
  bool spin_ = false;  // while in wait()
  std::uint32_t next_peer_ = 1;
  std::size_t turn_ = 0;
  std::size_t waiting_peers_ = 0;
  std::vector<proto::peer_id> stalled_;  // may name some that are not any more
  int wake_fd_ = -1;
  counts counts_;
};

}  // namespace weir::net
