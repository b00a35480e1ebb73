// A client of RPC, as a state machine.
#pragma once

#include "proto/backoff.hpp"
#include "proto/links.hpp"
#include "proto/outbox.hpp"
#include "proto/rpc/caller.hpp"
#include "proto/time.hpp"

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace weir::proto {

/// Consecutive calls of one method, as a user makes them.
struct new_calls {
  std::uint64_t first = 0;  ///< numbers of the client's own choice: dense, ascending
  std::string method;
  pack arguments;
  time_point deadline;
  std::shared_ptr<const call_options> options;
  std::uint32_t retries = 0;       ///< more attempts, where safe: idempotent, keyed, or never started
  bool idempotent = false;         ///< the caller says so, whatever the method's declaration
  duration hedge_after{};          ///< 0: never; a second attempt elsewhere, the first answer counts
};

/// Outcomes of consecutive calls.
struct call_outcomes {
  std::uint64_t first = 0;
  reply_run reply;  ///< its `first` is the same
};

struct client_outbox : outbox {
  std::vector<call_outcomes> outcomes;  ///< each call exactly once
  std::vector<caller::stream_part> parts;
  std::vector<caller::progressed> reports;
  std::vector<std::string> opens;  ///< introduction: connect to this worker, tell link_opened()
};

/// Calls methods of workers, through gateways or directly.
///
/// Delivery   Every call ends exactly once: with its reply, or with an error at its deadline at
///            the latest, whatever dies. A call that may have run is sent again only if its method
///            is declared idempotent, or the caller said so or gave an idempotency key.
///
/// Chooses among gateways and direct workers by least load; a hash key chooses by consistent
/// hashing among direct workers (a gateway does its own). Asks a gateway once (`weir.route`) for
/// each method called, and calls the workers that it is introduced to directly, while they are
/// reachable and have room.
///
/// Pure: see links.
class client_state {
 public:
  struct options {
    bool introduce = true;
    backoff retry{std::chrono::milliseconds(20), std::chrono::seconds(1)};
    std::uint64_t seed = 0;
    std::uint64_t max_in_flight = 65'536;  ///< further calls wait in here
  };
  client_state(links::options l, options o, time_point now);

  void link_opened(peer_id peer, time_point now, client_outbox& out);
  /// The answer to `opens`.
  void worker_opened(const std::string& endpoint, peer_id peer, time_point now,
                     client_outbox& out);
  void link_up(peer_id peer, time_point now, client_outbox& out);
  void link_down(peer_id peer, time_point now);
  void on_message(peer_id from, message m, time_point now, client_outbox& out);

  void call(new_calls calls, time_point now, client_outbox& out);
  /// The outcome comes all the same: `cancelled`, unless the reply was faster.
  void cancel(seq_range numbers, time_point now, client_outbox& out);
  /// A stream's reader has taken `got` elements; the window slides.
  void consumed(std::uint64_t number, std::uint64_t got, time_point now, client_outbox& out);

  void tick(time_point now, client_outbox& out);
  [[nodiscard]] time_point next_deadline() const;
  void say_bye(time_point now, client_outbox& out);
  [[nodiscard]] bool connected() const;  ///< to a gateway or worker at least
  [[nodiscard]] const std::string& fatal() const;
  [[nodiscard]] std::uint64_t open() const;  ///< calls without an outcome

 private:
  links links_;
  caller caller_;
  options options_;
  // ... as the implementation needs
};

}  // namespace weir::proto
