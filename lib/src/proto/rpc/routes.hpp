// Workers that a gateway has introduced, and the connections to them.
#pragma once

#include "proto/message.hpp"
#include "proto/outbox.hpp"
#include "proto/time.hpp"

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace weir::proto {

/// A worker in the answer to `weir.route`.
struct route_entry {
  std::vector<std::string> endpoints;
  std::string name;
  double load = 0;
  session_id session{};
};
struct route_answer {
  std::vector<route_entry> workers;  ///< that can be called directly
  bool others = false;               ///< there are some that cannot
  std::optional<bool> idempotent;    ///< whether the method is declared so, if the gateway says
  std::optional<std::uint32_t> deadline_ms;  ///< that it declares; 0: none
};
/// Nothing if it is no such answer. At most a thousand workers are read.
[[nodiscard]] std::optional<route_answer> read_routes(std::string_view packed);
/// The arguments of `weir.route(method)`.
[[nodiscard]] std::string route_arguments(std::string_view method);

/// Which endpoints to try for which worker, and for how long. Keeps no links itself.
class introductions {
 public:
  /// The endpoint to connect to for this worker now; nothing if there is a connection, or an
  /// attempt, or all its endpoints have failed lately.
  [[nodiscard]] std::optional<std::string> introduce(const route_entry& worker, time_point now);
  /// A connection to the endpoint exists. False: it is not wanted any more.
  [[nodiscard]] bool opened(const std::string& endpoint, peer_id peer);
  /// Somebody has answered there. False: not who was expected, so the connection is of no use.
  [[nodiscard]] bool joined(peer_id peer, session_id who);
  [[nodiscard]] bool made(peer_id peer) const;  ///< by introduction
  [[nodiscard]] bool knows(session_id worker) const { return links_.contains(worker); }

  struct dropped {
    std::optional<peer_id> peer;         ///< to be closed
    std::optional<std::string> instead;  ///< another endpoint of the same worker, to be tried
  };
  /// Nobody is there, or somebody else: the endpoint is left alone for a while.
  [[nodiscard]] dropped failed(session_id worker, time_point now);
  /// No fault of the endpoint's.
  [[nodiscard]] std::optional<peer_id> forget(session_id worker);
  /// Those who have not answered in time.
  [[nodiscard]] std::vector<session_id> overdue(time_point now) const;
  [[nodiscard]] std::optional<session_id> expected_at(peer_id peer) const;
  [[nodiscard]] time_point next_deadline() const;
  [[nodiscard]] std::size_t size() const { return links_.size(); }
  /// Forgets old failures.
  void sweep(time_point now);

 private:
  struct link {
    std::vector<std::string> endpoints;  // still to be tried, the present one last
    std::optional<peer_id> peer;
    bool joined = false;
    time_point give_up;
  };
  struct failure {
    time_point until;
    duration wait{};
  };
  [[nodiscard]] bool shunned(const std::string& endpoint, time_point now) const;

  std::map<session_id, link> links_;
  std::map<std::string, failure> failures_;
};

}  // namespace weir::proto
