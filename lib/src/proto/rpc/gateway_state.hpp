// The gateway between clients and workers, as a state machine.
#pragma once

#include "proto/links.hpp"
#include "proto/outbox.hpp"
#include "proto/rpc/callee.hpp"
#include "proto/rpc/caller.hpp"
#include "proto/time.hpp"

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace weir::proto {

/// A call to a `weir.` method that needs more than this machine knows (the spool): answer with
/// on_answered(). Never more than one call in each.
struct admin_call {
  call_key key;
  std::string method;
  pack arguments;
  time_point deadline;
};

/// The outcome of a call that this node made itself (place()).
struct placed_outcome {
  std::uint64_t tag = 0;
  reply_run reply;  ///< one result
};

struct gateway_outbox : outbox {
  std::vector<admin_call> admin;
  std::vector<placed_outcome> placed;
};

/// Takes calls from clients, queues them by method and priority, hands each to the worker with
/// the most room, and passes the replies back. Never reads a payload, except of its own methods
/// (`weir.*`); re-batches by slicing.
///
/// Delivery   A call is sent to one worker at a time. When that one dies, calls that may be run
///            twice (method declared idempotent, or an idempotency key) or that were certainly
///            not started are sent to another, the others fail `unavailable`. Exactly one reply
///            goes to the client for each call.
///
/// Holds nothing that matters beyond the calls in flight. Pure: see links.
class gateway_state {
 public:
  struct options {
    std::uint64_t queue_calls = 100'000;  ///< waiting, for each method
    std::size_t queue_bytes = 32 * 1024 * 1024;
    duration wait{};                 ///< how long a call may wait for a first worker of its method
    std::size_t reply_cache_bytes = 8 * 1024 * 1024;  ///< idempotency keys
    duration reply_cache_ttl = std::chrono::minutes(5);
    std::size_t result_cache_bytes = 8 * 1024 * 1024;  ///< methods declared cacheable
    std::uint32_t max_attempts = 3;
    std::uint64_t seed = 0;
  };
  gateway_state(links::options l, options o, time_point now);

  void link_opened(peer_id peer, time_point now, gateway_outbox& out);
  void link_up(peer_id peer, time_point now, gateway_outbox& out);
  void link_down(peer_id peer, time_point now);
  void on_message(peer_id from, message m, time_point now, gateway_outbox& out);
  void on_answered(const call_key& key, status code, std::string result, std::string why);

  /// A call of this node's own, e.g. from the spool: its outcome comes as placed_outcome.
  void place(std::uint64_t tag, std::string method, pack argument, time_point deadline,
             std::shared_ptr<const call_options> options, time_point now);
  void unplace(std::uint64_t tag);  ///< cancel it; the outcome comes all the same
  /// What a placed call would find, so that the spool places no more than can run: it marks them
  /// as running, on disk, before.
  struct openings {
    std::uint64_t calls = 0;  ///< so many would go to a worker at once, by windows and queue
    bool idempotent = false;  ///< declared by all workers that offer the method
    std::uint32_t deadline_ms = 0;  ///< declared; 0: none
  };
  [[nodiscard]] openings openings_of(const std::string& method) const;

  void tick(time_point now, gateway_outbox& out);
  [[nodiscard]] time_point next_deadline() const;

  /// No more calls from clients; done() when those in hand are answered.
  void drain(time_point now, gateway_outbox& out);
  void say_bye(time_point now, gateway_outbox& out);
  [[nodiscard]] bool done() const;
  [[nodiscard]] const std::string& fatal() const;

  struct counts {
    std::uint64_t received = 0;
    std::uint64_t answered = 0;  ///< with OK
    std::uint64_t failed = 0;
    std::uint64_t rejected = 0;  ///< of those: overload
    std::uint64_t expired = 0;
    std::uint64_t retried = 0;
    std::uint64_t queued = 0;
    std::uint64_t running = 0;
    std::uint64_t workers = 0;
    std::uint64_t clients = 0;
  };
  [[nodiscard]] counts stats() const;

 private:
  links links_;
  callee clients_;
  caller workers_;
  options options_;
  // ... as the implementation needs
};

}  // namespace weir::proto
