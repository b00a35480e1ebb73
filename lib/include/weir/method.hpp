// Methods that a worker offers, beneath the types: bytes in, bytes out.
#pragma once

#include <weir/command.hpp>

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace weir {

namespace exec {
class call;
}

/// What a handler may know of the call that it answers: take `weir::call_context&` as the first
/// parameter.
///
///     w.expose("render", [](weir::call_context& call, scene s) {
///       for (auto& part : s.parts) {
///         if (call.cancelled()) throw weir::rpc_error(weir::status::cancelled, "given up");
///         draw(part);
///       }
///       return s.picture;
///     });
///
/// Threads    The handler's own, or those that it waits for before it returns.
/// Ownership  Valid until the handler has returned; a generator's until that is destroyed.
class call_context {
 public:
  explicit call_context(exec::call& c) noexcept : call_(&c) {}

  [[nodiscard]] const std::string& method() const;
  /// Nobody waits any more after this.
  [[nodiscard]] std::chrono::steady_clock::time_point deadline() const;
  /// Until the deadline; not below zero.
  [[nodiscard]] std::chrono::milliseconds time_left() const;
  /// True once nobody waits for the result: the caller has cancelled or gone, the deadline has
  /// passed, or the worker was told to leave at once. A handler that goes on is not killed.
  /// Costs about as much as reading the clock.
  [[nodiscard]] bool cancelled() const;
  /// What the caller sent along, `traceparent` for example.
  [[nodiscard]] const std::vector<std::pair<std::string, std::string>>& metadata() const;
  [[nodiscard]] std::optional<std::string_view> metadata(std::string_view key) const;
  /// Counts from 1. More than 1: it was sent before, and may have been run.
  [[nodiscard]] std::uint32_t attempt() const;
  /// The caller's own, for a handler that keeps track itself; mostly empty.
  [[nodiscard]] const std::string& idempotency_key() const;
  /// Tells the caller how far this is. The newest report counts; some twenty a second get
  /// there.
  void progress(std::uint64_t done, std::uint64_t total, std::string_view text = {});

 private:
  friend class exec::call;
  exec::call* call_;
};

/// What callers are told of a method, and how its calls are treated.
struct method_options {
  /// Names of the arguments, for people and for callers that name them. Those that are not
  /// named here are called arg1, arg2, ...
  std::vector<std::string> arguments{};
  /// What it does. The first line is shown in lists.
  std::string help{};
  /// Running it twice does no harm: it may be tried again when a worker dies, and hedged.
  bool idempotent = false;
  /// Calls at a time in this worker; 0: as many as it has slots.
  unsigned concurrency = 0;
  /// For callers that state none; 0: theirs.
  std::chrono::milliseconds deadline{0};
  /// How long a gateway may answer equal calls from memory; 0: never.
  std::chrono::milliseconds cacheable{0};
};

/// A method as expose() makes it of a function and its options.
struct method_description {
  std::string name;
  method_options options{};
  std::string signature{};  ///< "(a: int, b: int) -> int"
  /// As docs/protocol.md names types. Without a value: anything may be given.
  struct argument {
    std::string name;
    std::string type;
    bool optional = false;
  };
  std::optional<std::vector<argument>> arguments{};
  std::string result{};  ///< type; of a stream, its elements'
  bool streams = false;
  /// Calls may be run on the thread that receives them, while they have been short lately. For
  /// methods that are never short, or need a thread of their own kind, say false.
  bool may_be_short = true;
};

/// "(a: int, b: int) -> int", from `arguments` and `result`; a stream ends with "-> int...".
[[nodiscard]] std::string signature_text(const method_description& what);

/// A method on MessagePack: takes the arguments as one array, and appends the result, one
/// value, to `result`. What it throws is the call's outcome.
using raw_method =
    std::function<void(call_context& call, std::string_view arguments, std::string& result)>;

/// The elements of a streaming method's answer.
class raw_stream {
 public:
  virtual ~raw_stream() = default;
  /// Appends the next one, a MessagePack value, to `element`; false behind the last.
  virtual bool next(std::string& element) = 0;
};
using raw_stream_method =
    std::function<std::unique_ptr<raw_stream>(call_context& call, std::string_view arguments)>;

/// How a command's standard output becomes a result.
enum class command_result {
  text,   ///< a string, without the newline at its end; must be UTF-8
  json,   ///< the value that it is
  bytes,  ///< as it is
};

/// A command as a method.
///
/// In `command.argv`, every `{1}`, `{2}`, ... becomes that argument, and every `{name}` one
/// that callers know by this name (they take the positions that no number has, in order),
/// within the element that it stands in: nothing is split, and there is no shell. Strings and
/// bytes are put in as they are, numbers and booleans as JSON writes them; nil is the empty
/// string; arrays and maps are JSON. What else was given goes to standard input: one string or
/// bytes as it is, anything else as one JSON array. Without any placeholder that holds for all
/// arguments.
///
/// WEIR_METHOD and WEIR_ATTEMPT are in its environment; WEIR_METADATA is the caller's metadata
/// as a JSON object, if there are any, TRACEPARENT and TRACESTATE those of that name.
///
/// With command_mode::shell, argv[0] is a script and the arguments are its "$1", "$2", ...;
/// standard input is empty. Other modes make no sense here.
///
/// What becomes of the call:
///
///     exit 0                  OK
///     exit 64, 65             INVALID_ARGUMENT   (EX_USAGE, EX_DATAERR of sysexits.h)
///     exit 66, 68             NOT_FOUND          (EX_NOINPUT, EX_NOHOST)
///     exit 69, 75             UNAVAILABLE        (EX_UNAVAILABLE, EX_TEMPFAIL)
///     exit 70                 INTERNAL           (EX_SOFTWARE)
///     exit 77, 126            PERMISSION_DENIED  (EX_NOPERM; may not be executed)
///     exit 127                UNIMPLEMENTED      (no such command)
///     any other exit          UNKNOWN
///     ended by a signal       ABORTED
///     deadline passed         DEADLINE_EXCEEDED
///     cancelled               CANCELLED
///     too much output         RESOURCE_EXHAUSTED
///     output not as declared  DATA_LOSS
///
/// with "exit 3" or the like as the error's type, and the end of standard error as its message.
/// Process groups, limits and the rest are as in weir/command.hpp.
struct command_method {
  command_options command{};
  command_result result = command_result::text;
};

/// Splits a line into words as a shell would ('...', "...", \x), without any expansion.
/// Errors     weir::error `usage` when a quote is not closed.
[[nodiscard]] std::vector<std::string> split_command(std::string_view line);

}  // namespace weir
