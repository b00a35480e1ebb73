// A worker that offers methods, as a state machine.
#pragma once

#include "proto/links.hpp"
#include "proto/outbox.hpp"
#include "proto/rpc/callee.hpp"
#include "proto/time.hpp"

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace weir::proto {

/// Run these calls; all of one method, not started, not expired.
struct start_calls {
  session_id from{};
  call_run calls;
  std::uint32_t method = 0;  ///< index into the offered methods
  time_point deadline;
};

struct service_outbox : outbox {
  std::vector<start_calls> calls;
  std::vector<call_key> cancels;            ///< tell the handler, if it runs
  std::vector<callee::granted> grants;      ///< streams that may go on
};

/// Offers methods to gateways and clients, takes their calls within its window, answers.
///
/// It binds, connects, or both. Calls wait in here, by priority, until a slot (and the method's
/// concurrency limit) is free; expired and cancelled ones are answered without being started.
/// The built-in methods `weir.ping`, `weir.services` and `weir.stats` are answered in here.
///
/// Pure: see links. Drive it like worker_state.
class service_state {
 public:
  struct options {
    std::vector<method_info> methods;
    std::vector<std::string> direct;  ///< endpoints to introduce clients to
    unsigned slots = 1;
    std::uint64_t max_window = 16'384;  ///< calls in hand, over all callers
    std::uint64_t max_bytes = 64 * 1024 * 1024;
  };
  service_state(links::options l, options o, time_point now);

  void link_opened(peer_id peer, time_point now, service_outbox& out);
  void link_up(peer_id peer, time_point now, service_outbox& out);
  void link_down(peer_id peer, time_point now);
  void on_message(peer_id from, message m, time_point now, service_outbox& out);

  /// From the slots: consecutive calls of one caller, started in here, are answered.
  void on_replied(session_id to, reply_run outcomes, time_point now, service_outbox& out);
  /// Returns how many more elements the stream may send; negative: it should pause.
  std::int64_t on_part(const call_key& key, pack elements, time_point now, service_outbox& out);
  void on_progress(const call_key& key, std::uint64_t done, std::uint64_t total,
                   std::string text);

  void tick(time_point now, service_outbox& out);
  [[nodiscard]] time_point next_deadline() const;

  /// No more calls; what is in hand is finished. done() when it is.
  void drain(time_point now, service_outbox& out);
  void say_bye(time_point now, service_outbox& out);
  [[nodiscard]] bool done() const;
  [[nodiscard]] const std::string& fatal() const;
  [[nodiscard]] bool has_caller() const;  ///< a gateway or a client has joined

  struct counts {
    std::uint64_t received = 0;
    std::uint64_t done = 0;
    std::uint64_t failed = 0;
    std::uint64_t expired = 0;   ///< answered without being started
    std::uint64_t cancelled = 0;
    std::uint64_t queued = 0;
    std::uint64_t running = 0;
    std::uint64_t gateways = 0;
    std::uint64_t clients = 0;
  };
  [[nodiscard]] counts stats() const;

 private:
  links links_;
  callee callee_;
  options options_;
  // ... as the implementation needs
};

}  // namespace weir::proto
