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
#include <memory>
#include <string>
#include <utility>
#include <variant>
#include <vector>

namespace weir::proto {

/// One incarnation of a peer: 8 random bytes, new at each start.
enum class session_id : std::uint64_t {};

enum class role : std::uint8_t { unknown, ventilator, worker, sink, gateway, client };
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
  /// Worker: runs the command that comes with a task, if one does, in place of its own.
  bool takes_commands = false;
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
  bool commands = false;            ///< each payload is a task_command, see there
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

/// How much a worker, or any callee of RPC, will hold: absolute, so a repeated or late one does
/// no harm.
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
  /// From a callee: the highest number of a call that has reached it. What is beyond crossed
  /// this on the way, and was never started.
  std::optional<std::uint64_t> seen{};
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

/// What a worker says of one method that it offers. Everything but the name may be empty.
struct method_info {
  std::string name{};
  std::string doc{};        ///< help, may have several lines
  std::string signature{};  ///< e.g. "(a: int, b: int) -> int"; for people
  /// The types of the arguments and of the result, as docs/protocol.md names them ("int",
  /// "[str]", "any", ...), for callers that check before they send. `arguments_known` false:
  /// anything may be given.
  struct argument {
    std::string name{};
    std::string type{};
    bool optional = false;
    [[nodiscard]] bool operator==(const argument&) const = default;
  };
  bool arguments_known = false;
  std::vector<argument> arguments{};
  std::string result{};     ///< type; empty: not known
  bool streams = false;     ///< answers with elements before its reply
  bool idempotent = false;  ///< running it twice does no harm: may be tried again, or hedged
  std::uint32_t concurrency = 0;  ///< calls at a time in one worker; 0: as many as it has slots
  std::uint32_t deadline_ms = 0;  ///< for callers that state none; 0: theirs
  std::uint32_t cache_ms = 0;     ///< a gateway may answer from memory for so long; 0: never
  [[nodiscard]] bool operator==(const method_info&) const = default;
};

/// Worker to gateway or client: all methods that it offers. A later one replaces it.
struct offer {
  std::vector<method_info> methods;
  /// Endpoints at which clients may reach this worker themselves ("introduction").
  std::vector<std::string> direct;
  [[nodiscard]] bool operator==(const offer&) const = default;
};

/// What a caller may ask for beside method and deadline. Shared by all calls of a run.
struct call_options {
  std::uint8_t priority = default_priority;  ///< 0 to 9, 9 first
  bool no_reply = false;                     ///< notify: nobody waits
  std::uint32_t attempt = 1;
  std::uint32_t stream_window = 0;  ///< elements it takes before the first CREDIT; 0: no stream
  /// Of a stream: no element is sent while those beyond the last CREDIT's `got` come to as many
  /// bytes; 0: no limit.
  std::uint32_t stream_bytes = 0;
  std::string hash_key{};         ///< bin; calls with the same go to the same worker
  std::string idempotency_key{};  ///< bin; calls with the same are run once
  std::vector<std::pair<std::string, std::string>> metadata{};  ///< traceparent among them
  static constexpr std::uint8_t default_priority = 5;
  [[nodiscard]] bool plain() const { return *this == call_options{}; }
  [[nodiscard]] bool operator==(const call_options&) const = default;
  /// The idempotency key, if calls with these options (null: the defaults) share a reply with
  /// others of the same key: who wants none cannot, and elements of a stream are not kept.
  [[nodiscard]] static const std::string& shared_key(const call_options* options) {
    static const std::string none;
    if (!options || options->no_reply || options->stream_window > 0) return none;
    return options->idempotency_key;
  }
};

/// Consecutive calls of one method.
struct call_run {
  std::uint64_t first = 0;  ///< the caller's number for it: dense from 1 in one session
  std::string method;
  std::uint32_t ttl_ms = 0;  ///< time left until nobody waits any more; at least 1
  pack arguments;            ///< each a MessagePack array
  /// Null: the defaults.
  std::shared_ptr<const call_options> options;
  [[nodiscard]] std::uint64_t last() const { return first + arguments.size() - 1; }
};

/// Caller to callee. Repeated after a reconnect for everything that is not answered: the callee
/// tells a repetition by its number.
struct call_batch {
  std::uint64_t low = 0;  ///< the caller has the outcome of every call up to here
  std::vector<call_run> runs;
};

/// Why a call failed, and where.
struct reply_details {
  std::string message{};  ///< one line for people
  std::string type{};     ///< the exception's type, "exit 3", ...
  std::string data{};     ///< bin: what the handler attached, MessagePack
  /// Nodes that it came through, the last first: "gateway-2@host worker-7@host".
  std::string trace{};
  std::uint32_t retry_ms = 0;  ///< overload: not before
  bool never_started = false;  ///< no handler has seen it: safe to send elsewhere
  std::uint64_t parts = 0;     ///< elements in the stream that ends here
  [[nodiscard]] bool plain() const { return *this == reply_details{}; }
  [[nodiscard]] bool operator==(const reply_details&) const = default;
};

/// Consecutive outcomes with one status. Payloads are MessagePack values, empty unless OK.
struct reply_run {
  std::uint64_t first = 0;
  status code = status::ok;
  pack results;
  std::vector<reply_details> details;  ///< empty, or one for each result
  /// Means over this run, for statistics; microseconds.
  std::uint32_t queued_us = 0;   ///< waited at the worker for a slot
  std::uint32_t service_us = 0;  ///< in the handler
  /// When the calls arrived, by the callee's own clock; only differences mean anything. 0:
  /// unknown.
  std::uint64_t received_us = 0;
  [[nodiscard]] std::uint64_t last() const { return first + results.size() - 1; }
};

/// Callee to caller.
struct reply_batch {
  std::vector<reply_run> runs;
};

/// Elements of a stream, numbered from 1 within their call.
struct part_run {
  std::uint64_t call = 0;
  std::uint64_t first = 0;
  pack elements;  ///< each a MessagePack value
  [[nodiscard]] std::uint64_t last() const { return first + elements.size() - 1; }
};

/// Callee to caller, before the reply to the same call.
struct part_batch {
  std::vector<part_run> runs;
  /// Not on the wire: their streams have windows in bytes, which bound what waits of them.
  bool bounded = false;
};

/// Caller to callee: elements up to `got` have been taken, those up to `until` may be sent.
/// Entries ascend by call, each call once.
struct credit {
  struct entry {
    std::uint64_t call = 0;
    std::uint64_t got = 0;
    std::uint64_t until = 0;
    [[nodiscard]] bool operator==(const entry&) const = default;
  };
  std::vector<entry> entries;
  [[nodiscard]] bool operator==(const credit&) const = default;
};

/// Caller to callee: nobody waits for these any more. Answered with REPLY `cancelled`, or with
/// the reply that was under way.
struct cancel_calls {
  seq_ranges calls;
  std::string reason;
  [[nodiscard]] bool operator==(const cancel_calls&) const = default;
};

/// Callee to caller: how far a running call has got.
struct call_progress {
  std::uint64_t call = 0;
  std::uint64_t done = 0;
  std::uint64_t total = 0;
  std::string text;
  [[nodiscard]] bool operator==(const call_progress&) const = default;
};

/// Worker to gateway: how many calls of these methods clients have made of it directly, since
/// it started. Said now and then, of those of which there are more.
struct direct_calls {
  struct entry {
    std::string method;
    std::uint64_t calls = 0;
    [[nodiscard]] bool operator==(const entry&) const = default;
  };
  std::vector<entry> entries;
  [[nodiscard]] bool operator==(const direct_calls&) const = default;
};

using message =
    std::variant<hello, welcome, task_batch, result_batch, window, cancel, release,
                 register_source, registered, ack, committed, resend, finish, progress, alive,
                 bye, error_message, offer, call_batch, reply_batch, part_batch, credit,
                 cancel_calls, call_progress, direct_calls>;

}  // namespace weir::proto
