// The link protocol's messages as values. docs/protocol.md says what each is for.
//
// To change one: change docs/protocol.md, its golden frames and wire.cpp together; new fields
// go to the end of an array or into a map, and are optional for the reader (see "Growth"
// there).
#pragma once

#include "proto/pack.hpp"

#include <weir/status.hpp>
#include <weir/task.hpp>

#include <cstdint>
#include <string>
#include <variant>
#include <vector>

namespace weir::proto {

/// One incarnation of a peer: 8 random bytes, new at each start.
enum class session_id : std::uint64_t {};

enum class role : std::uint8_t { unknown, ventilator, worker, sink };
[[nodiscard]] std::string_view to_string(role r) noexcept;

/// Sequence numbers first to last, both included.
struct seq_range {
  std::uint64_t first = 0;
  std::uint64_t last = 0;
  [[nodiscard]] std::uint64_t size() const { return last - first + 1; }
  [[nodiscard]] bool operator==(const seq_range&) const = default;
};
using seq_ranges = std::vector<seq_range>;

/// What both ends say of themselves in HELLO and WELCOME.
struct introduction {
  proto::role role = role::unknown;
  std::string name;
  session_id session{};
  std::string host;
  /// Worker: how many tasks it runs at a time. 0 from the others.
  std::uint32_t slots = 0;
  /// Ventilator: where results go, as an endpoint; empty: back to the ventilator; any_sink: to
  /// whatever sink is connected to the worker.
  std::string results_to;
  /// The largest payload it accepts, in bytes.
  std::uint64_t max_payload = 0;
  [[nodiscard]] bool operator==(const introduction&) const = default;
};

/// In `results_to`: any sink that is connected to the worker, wherever it is.
inline constexpr std::string_view any_sink = "any";

struct hello {
  std::uint64_t version = 0;
  introduction self;
  [[nodiscard]] bool operator==(const hello&) const = default;
};

struct welcome {
  std::uint64_t version = 0;
  introduction self;
  std::uint32_t heartbeat_ms = 0;
  [[nodiscard]] bool operator==(const welcome&) const = default;
};

/// Consecutive tasks of one attempt.
struct task_run {
  std::uint64_t first = 0;
  std::uint32_t attempt = 0;
  pack payloads;
  std::uint32_t time_limit_ms = 0;  ///< 0: none
  [[nodiscard]] std::uint64_t last() const { return first + payloads.size() - 1; }
};

struct task_batch {
  source_id source;
  std::vector<task_run> runs;
};

/// Consecutive outcomes of one attempt with one status.
struct result_run {
  std::uint64_t first = 0;
  std::uint32_t attempt = 0;
  status code = status::ok;
  pack payloads;
  /// Empty, or one for each payload.
  std::vector<outcome_details> details;
  [[nodiscard]] std::uint64_t last() const { return first + payloads.size() - 1; }
};

struct result_batch {
  source_id source;
  std::vector<result_run> runs;
};

/// What a worker holds of one source: queued, running, or done and not yet committed.
struct in_hand {
  source_id source;
  seq_ranges ranges;
  [[nodiscard]] bool operator==(const in_hand&) const = default;
};

/// How much a worker will hold: absolute, so a repeated or late one does no harm.
struct window {
  std::uint64_t items = 0;
  std::uint64_t bytes = 0;
  /// Set in the first WINDOW after HELLO and WELCOME: everything that the worker holds.
  bool resync = false;
  std::vector<in_hand> holding;
  [[nodiscard]] bool operator==(const window&) const = default;
};

enum class cancel_mode : std::uint8_t {
  stop = 0,       ///< stop it, nobody wants the result
  give_back = 1,  ///< RELEASE it if it has not been started
};

struct cancel {
  source_id source;
  seq_ranges ranges;
  cancel_mode mode = cancel_mode::stop;
  [[nodiscard]] bool operator==(const cancel&) const = default;
};

/// Worker to ventilator: not started, and yours again.
struct release {
  source_id source;
  seq_ranges ranges;
  [[nodiscard]] bool operator==(const release&) const = default;
};

struct register_source {
  source_id source;
  std::uint64_t epoch = 0;
  std::uint64_t low = 0;  ///< every seq up to here is done
  seq_ranges done;        ///< and these above it
  [[nodiscard]] bool operator==(const register_source&) const = default;
};

struct registered {
  source_id source;
  std::uint64_t epoch = 0;
  std::uint64_t low = 0;  ///< committed up to here
  seq_ranges done;        ///< and these above it
  [[nodiscard]] bool operator==(const registered&) const = default;
};

struct ack {
  source_id source;
  std::uint64_t epoch = 0;
  std::uint64_t low = 0;
  seq_ranges done;
  [[nodiscard]] bool operator==(const ack&) const = default;
};

struct committed {
  source_id source;
  seq_ranges ranges;
  [[nodiscard]] bool operator==(const committed&) const = default;
};

/// Sink to worker: send what you hold of this source again, it is known now.
struct resend {
  source_id source;
  [[nodiscard]] bool operator==(const resend&) const = default;
};

struct finish {
  source_id source;
  std::uint64_t epoch = 0;
  std::uint64_t total = 0;
  [[nodiscard]] bool operator==(const finish&) const = default;
};

/// Worker to ventilator: how far a running task has got.
struct progress {
  source_id source;
  std::uint64_t seq = 0;
  std::uint32_t attempt = 0;
  std::uint64_t done = 0;
  std::uint64_t total = 0;
  std::string text;
  [[nodiscard]] bool operator==(const progress&) const = default;
};

struct alive {
  [[nodiscard]] bool operator==(const alive&) const = default;
};

enum class bye_reason : std::uint8_t {
  leaving = 0,   ///< going away; what it held has been handed back or delivered
  finished = 1,  ///< ventilator: all its tasks are committed
};

struct bye {
  bye_reason reason = bye_reason::leaving;
  [[nodiscard]] bool operator==(const bye&) const = default;
};

/// docs/protocol.md, "Errors": the same numbers.
enum class wire_error : std::uint8_t {
  say_hello = 1,  ///< no session on this connection: say HELLO
  version = 2,    ///< another protocol version
  malformed = 3,  ///< a frame that cannot be read
  role = 4,       ///< this node has no use for that role
  fenced = 5,     ///< a newer incarnation of the source has registered
  too_many = 6,   ///< a limit on peers or sources is reached
};

struct error_message {
  wire_error code = wire_error::malformed;
  std::string text;
  [[nodiscard]] bool operator==(const error_message&) const = default;
};

using message = std::variant<hello, welcome, task_batch, result_batch, window, cancel, release,
                             register_source, registered, ack, committed, resend, finish,
                             progress, alive, bye, error_message>;

}  // namespace weir::proto
