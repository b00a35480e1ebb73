// Calling methods, beneath the types: bytes out, bytes in. weir/client.hpp is what most want.
#pragma once

#include <weir/call_settings.hpp>
#include <weir/node.hpp>
#include <weir/rpc_error.hpp>
#include <weir/status.hpp>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace weir {

struct client_options : node_options {
  /// For calls that state no deadline.
  std::chrono::milliseconds deadline{5000};
  /// Call workers directly when a gateway can introduce them; see docs/rpc.md.
  bool introduce = true;
  /// Calls on their way. Further ones wait in the client, in order.
  std::uint64_t max_in_flight = 65'536;
};

struct client_stats {
  std::uint64_t started = 0;
  std::uint64_t succeeded = 0;
  std::uint64_t failed = 0;
  std::uint64_t in_flight = 0;  ///< without an outcome
  std::uint64_t rejected = 0;   ///< messages that could not be read
  bool connected = false;       ///< to a gateway or a worker at least
  bool refused = false;         ///< by all that it was to connect to: calls fail at once
};

/// What became of a call, as it came in. Views: valid while they are handed over.
struct reply_view {
  status code = status::ok;
  std::string_view result{};   ///< one MessagePack value; empty unless OK
  std::string_view message{};  ///< one line for people: why it failed
  std::string_view type{};     ///< the exception's type at the other end, "exit 3", ...
  std::string_view details{};  ///< MessagePack; whatever the handler attached
  std::string_view path{};     ///< nodes that the answer came through, the last first
  std::chrono::milliseconds retry_after{0};
  bool never_started = false;
  /// As the worker measured them, means over the calls that were answered together.
  std::chrono::microseconds queued{0};
  std::chrono::microseconds service{0};

  /// Requires that it did not succeed.
  [[nodiscard]] rpc_error error() const;
};

/// What became of a call.
struct raw_outcome {
  status code = status::ok;
  std::string result{};    ///< one MessagePack value; empty unless OK
  std::string message{};   ///< one line for people: why it failed
  rpc_error::more more{};  ///< the rest of the error, and the path
  std::chrono::microseconds queued{0};
  std::chrono::microseconds service{0};

  raw_outcome() = default;
  explicit raw_outcome(const reply_view& reply);
  [[nodiscard]] bool ok() const noexcept { return code == status::ok; }
  /// Requires that it did not succeed.
  [[nodiscard]] rpc_error error() const { return {code, message, more}; }
};

/// Settings, ready for use by any number of calls of any client. Cheap to copy.
class prepared_settings {
 public:
  /// The defaults.
  prepared_settings() = default;
  /// Errors     weir::error `usage` for what is over a limit.
  explicit prepared_settings(call_settings settings);

  struct impl;  ///< weir's own
  [[nodiscard]] const impl* inner() const noexcept { return impl_.get(); }
  [[nodiscard]] const std::shared_ptr<const impl>& shared() const noexcept { return impl_; }

 private:
  std::shared_ptr<const impl> impl_;
};

/// Something to be run on a client's loop thread, once, without an allocation.
class loop_work {
 public:
  virtual void run() noexcept = 0;

 protected:
  virtual ~loop_work() = default;

 private:
  friend class raw_client;
  loop_work* next_ = nullptr;
};

/// Takes the outcomes of calls that were started together.
class reply_receiver {
 public:
  /// Call number `index` of them has ended; each does once. On whichever thread happens to read
  /// the sockets, maybe under locks: note it and return. For user code there is
  /// raw_client::post().
  virtual void on_reply(std::uint32_t index, const reply_view& reply) noexcept = 0;

 protected:
  ~reply_receiver() = default;
};

/// Set once, and can be waited for: with raw_client::wait() and complete() if what sets it is a
/// reply, with these if not.
class completion {
 public:
  [[nodiscard]] bool done() const noexcept {
    return state_.load(std::memory_order_acquire) == state::done;
  }
  /// Any thread. Who has waited for it may have destroyed it when this returns.
  void complete() noexcept;
  /// Returns whether it is complete.
  bool wait(std::chrono::steady_clock::time_point until);

 private:
  friend class raw_client;
  enum class state : int { open, awaited, done };
  std::atomic<state> state_{state::open};
};

namespace detail {

/// So long from now; a hundred years at most, for the clock does not go on for ever.
template <class Rep, class Period>
[[nodiscard]] std::chrono::steady_clock::time_point from_now(
    std::chrono::duration<Rep, Period> span) {
  using clock = std::chrono::steady_clock;
  constexpr std::chrono::hours most(24 * 36'500);
  return clock::now() +
         (span < most ? std::chrono::ceil<clock::duration>(span) : clock::duration(most));
}

}  // namespace detail

/// Calls on their way: for raw_client::cancel().
struct call_handle {
  std::uint64_t first = 0;
  std::uint32_t count = 0;
};

/// One of several calls that are started together.
struct raw_call {
  std::string_view method;
  std::string_view arguments;
  reply_receiver* to = nullptr;   ///< called with index 0
  call_handle* handle = nullptr;  ///< if given, known before the reply can come
};

/// The elements of a streaming method's answer, packed.
///
/// Threads    One at a time. cancel() from any.
/// Ownership  Must go before its client. Destroying it cancels the call.
class raw_reader {
 public:
  raw_reader(raw_reader&&) noexcept;
  raw_reader& operator=(raw_reader&&) noexcept;
  ~raw_reader();

  /// Waits for the next element, one MessagePack value; nothing behind the last. Valid until
  /// the next call of next().
  /// Errors     rpc_error: the stream ended with an error; elements before it come first.
  [[nodiscard]] std::optional<std::string_view> next();
  /// Ends it: what has arrived can still be read, then next() throws `cancelled`.
  void cancel() noexcept;
  /// The method's result behind its elements, nil mostly. Requires that next() gave nothing.
  [[nodiscard]] const raw_outcome& outcome() const;

  struct impl;  ///< weir's own
  explicit raw_reader(std::shared_ptr<impl> i) noexcept;

 private:
  std::shared_ptr<impl> impl_;
};

/// Calls methods of workers, through gateways or directly, with arguments and results as bytes.
///
///     weir::raw_client c{{{.connect = {"tcp://127.0.0.1:5555"}}}};
///     const weir::raw_outcome sum = c.call("add", "\x92\x01\x02");  // [1, 2]
///     if (!sum.ok()) throw sum.error();
///
/// `arguments` is always one MessagePack array.
///
/// Delivery   Every call ends exactly once, at its deadline at the latest, whatever dies.
/// Threads    Any, all at once. There is a loop thread; posted work and callbacks run on it,
///            one at a time. They may call anything here, wait for other calls too, but while
///            they do, no other callback runs.
/// Ownership  Copies arguments. Calls that are open when this is destroyed end as `cancelled`.
///            A callback may destroy it.
/// Errors     The constructor throws weir::error for what the caller can mend: a malformed
///            endpoint, an address in use. What becomes of a call is a value.
class raw_client {
 public:
  explicit raw_client(client_options options);
  ~raw_client();
  raw_client(const raw_client&) = delete;
  raw_client& operator=(const raw_client&) = delete;

  /// Waits for the outcome.
  [[nodiscard]] raw_outcome call(std::string_view method, std::string_view arguments,
                                 const prepared_settings& settings = {});
  /// Returns at once; `then` is called on the loop thread.
  call_handle call(std::string_view method, std::string_view arguments,
                   const prepared_settings& settings,
                   std::function<void(const raw_outcome&)> then);
  /// No answer, and no word on whether anybody was there.
  void notify(std::string_view method, std::string_view arguments,
              const prepared_settings& settings = {});
  [[nodiscard]] raw_reader stream(std::string_view method, std::string_view arguments,
                                  const prepared_settings& settings = {});
  /// The outcome comes all the same: `cancelled`, unless the reply was faster.
  void cancel(call_handle calls) noexcept;

  /// Cancels all calls that are open, and tells whoever has them. They have ended as
  /// `cancelled` when it returns, and so does whatever is called later. Not from a callback.
  void close() noexcept;

  /// Waits for a gateway or worker; false: there was none for so long. Calls may be made
  /// before.
  [[nodiscard]] bool wait_connected(std::chrono::milliseconds limit);
  /// The endpoints, for messages to people: "tcp://127.0.0.1:5555, ...".
  [[nodiscard]] const std::string& peers() const noexcept;
  /// How many these are.
  [[nodiscard]] std::size_t peer_count() const noexcept;
  /// The endpoints as they are bound, ports filled in.
  [[nodiscard]] const std::vector<std::string>& endpoints() const noexcept;
  [[nodiscard]] client_stats stats() const;

  // What the typed client is made of.

  /// `to` must live until it has had the outcome.
  call_handle start(std::string_view method, std::string_view arguments,
                    const prepared_settings& settings, reply_receiver& to);
  /// Many of one method, as few messages: all arguments in `packed`, `ends` being where each of
  /// them ends.
  call_handle start(std::string_view method, std::string_view packed,
                    std::span<const std::uint32_t> ends, const prepared_settings& settings,
                    reply_receiver& to);
  /// Many of any methods.
  void start(std::span<const raw_call> calls, const prepared_settings& settings);
  /// Waits for the completion, or `until`. Returns whether it is complete.
  bool wait(completion& what, std::chrono::steady_clock::time_point until =
                                  std::chrono::steady_clock::time_point::max());
  /// Any thread; the last that on_reply() does with a completion, which may be gone after it.
  void complete(completion& what) noexcept;
  /// Nobody waits, but somebody cares: outcomes are to be noticed as they come.
  void attend() noexcept;
  /// Runs it on the loop thread: at once, if this is it and it runs nothing else.
  void post(loop_work& what) noexcept;

  struct impl;  ///< weir's own

 private:
  std::unique_ptr<impl> impl_;
};

}  // namespace weir
