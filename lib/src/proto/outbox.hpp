// What the state machines ask for.
#pragma once

#include "proto/message.hpp"
#include "proto/time.hpp"

#include <cstdint>
#include <string>
#include <vector>

namespace weir::proto {

/// One connection as the transport numbers it. A peer that reconnects to a bound socket comes
/// back under another number and proves who it is with HELLO.
enum class peer_id : std::uint32_t {};

struct outgoing {
  peer_id to{};
  message what;
};

/// Worker: run these on the slots.
struct start_tasks {
  source_id source;
  std::uint64_t first = 0;
  std::uint32_t attempt = 0;
  pack payloads;
  std::uint32_t time_limit_ms = 0;
  bool commands = false;  ///< see task_run
};

/// Worker: nobody wants these any more, or (give_back) somebody else could do those that no
/// slot has begun.
struct stop_tasks {
  source_id source;
  seq_range range;
  cancel_mode mode = cancel_mode::stop;
};

/// Sink: put this where it belongs, then tell the machine with on_committed().
struct commit_run {
  source_id source;
  result_run run;
};

/// Sink: a source is new here; everything up to `low` is done already.
struct opened_source {
  source_id source;
  std::uint64_t low = 0;
  seq_ranges done;  ///< and these above it
};

/// Ventilator: these tasks have failed for good.
struct given_up {
  std::uint64_t first = 0;
  pack payloads;
  status code = status::unknown;
  std::string why;
  std::uint32_t attempts = 0;  ///< 0: it was refused, and has no payload
};

enum class severity : std::uint8_t { info, warning };

/// Something an operator wants to know.
struct notice {
  severity level = severity::info;
  std::string text;
};

/// The only way out of a state machine: the pump carries it out, tests and the simulator look
/// at it. In order within each list.
struct outbox {
  std::vector<outgoing> sends;
  std::vector<peer_id> forgets;       ///< connections that are of no more use
  std::vector<std::string> connects;  ///< worker: open a link to this sink
  std::vector<start_tasks> starts;
  std::vector<stop_tasks> stops;
  std::vector<commit_run> commits;
  std::vector<opened_source> opened;  ///< before the commits of that source
  std::vector<source_id> closed;      ///< sink: nothing more comes of this source
  std::vector<given_up> failures;
  std::vector<progress> progressed;
  std::vector<notice> notices;

  void send(peer_id to, message what) { sends.push_back({to, std::move(what)}); }
  void info(std::string text) { notices.push_back({severity::info, std::move(text)}); }
  void warn(std::string text) { notices.push_back({severity::warning, std::move(text)}); }
  [[nodiscard]] bool empty() const {
    return sends.empty() && forgets.empty() && connects.empty() && starts.empty() &&
           stops.empty() && commits.empty() && opened.empty() && closed.empty() &&
           failures.empty() && progressed.empty() && notices.empty();
  }
};

}  // namespace weir::proto
