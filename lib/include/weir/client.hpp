// Calling methods by type.
#pragma once

#include <weir/codec.hpp>
#include <weir/outcome.hpp>
#include <weir/pending.hpp>
#include <weir/raw_client.hpp>
#include <weir/stream.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <ranges>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

namespace weir {

class mixed_batch;
struct submit_settings;
template <class R>
class submitted;

/// A client, seen with certain settings; what client.with() returns. Cheap to copy and to keep.
///
/// Ownership  Must not be used beyond the client's end.
class client_view {
 public:
  client_view(raw_client& raw, prepared_settings settings)
      : raw_(&raw), settings_(std::move(settings)) {}

  /// Waits for the result.
  /// Errors     rpc_error.
  template <class R = void, class... Args>
  R call(std::string_view method, const Args&... args) const {
    struct answer final : reply_receiver {
      explicit answer(raw_client& c) : client(c) {}
      void on_reply(std::uint32_t, const reply_view& reply) noexcept override {
        result = outcome<R>::from(reply);
        client.complete(done);
      }
      raw_client& client;
      outcome<R> result;
      completion done;
    } answer(*raw_);
    raw_->start(method, pack(args...), settings_, answer);
    raw_->wait(answer.done);
    if constexpr (std::is_void_v<R>)
      (void)answer.result.value();
    else
      return std::move(answer.result).value();
  }

  /// Returns at once.
  template <class R = void, class... Args>
  pending<R> start(std::string_view method, const Args&... args) const {
    const std::string_view packed = pack(args...);
    auto* state = new detail::call_state<R>(raw_);
    pending<R> result(state);
    state->handle = raw_->start(method, packed, settings_, *state);
    return result;
  }

  /// `callback(outcome<R>)` is called on the loop thread; see pending::then().
  template <class R = void, class F, class... Args>
  void call_then(F callback, std::string_view method, const Args&... args) const {
    start<R>(method, args...).then(std::move(callback));
  }

  /// Nobody waits for the end, and nobody hears of failures.
  template <class... Args>
  void notify(std::string_view method, const Args&... args) const {
    raw_->notify(method, pack(args...), settings_);
  }

  /// The elements of a streaming method's answer, as they come:
  ///
  ///     for (int i : client.stream<int>("count", 10)) std::cout << i << '\n';
  template <class T, class... Args>
  [[nodiscard]] weir::stream<T> stream(std::string_view method, const Args&... args) const {
    return weir::stream<T>(raw_->stream(method, pack(args...), settings_));
  }

  /// Many calls of one method as one message: a tuple of arguments, or the one argument, for
  /// each. Waits for all; an outcome each, in order.
  template <class R = void, std::ranges::input_range Each>
  [[nodiscard]] std::vector<outcome<R>> batch(std::string_view method, Each&& each) const {
    return start_batch<R>(method, std::forward<Each>(each)).get();
  }
  template <class R = void, class One>
  [[nodiscard]] std::vector<outcome<R>> batch(std::string_view method,
                                              std::initializer_list<One> each) const {
    return start_batch<R>(method, each).get();
  }
  template <class R = void, std::ranges::input_range Each>
  [[nodiscard]] pending<std::vector<outcome<R>>> start_batch(std::string_view method,
                                                             Each&& each) const {
    std::string packed;  // its own: `each` may make calls itself while it is read
    std::vector<std::uint32_t> ends;
    for (const auto& one : each) {
      put_one(packed, one);
      if (packed.size() > UINT32_MAX) throw std::length_error("a batch of 4 GiB and more");
      ends.push_back(static_cast<std::uint32_t>(packed.size()));
    }
    auto* state = new detail::batch_state<R>(raw_, static_cast<std::uint32_t>(ends.size()));
    pending<std::vector<outcome<R>>> result(state);
    if (ends.empty())
      state->finish();
    else
      state->handle = raw_->start(method, packed, ends, settings_, *state);
    return result;
  }
  template <class R = void, class One>
  [[nodiscard]] pending<std::vector<outcome<R>>> start_batch(
      std::string_view method, std::initializer_list<One> each) const {
    return start_batch<R>(method, std::span<const One>(each.begin(), each.size()));
  }
  /// Calls of different methods, together.
  [[nodiscard]] mixed_batch batch() const;

  /// Hands it over to the spool of a gateway, which makes it as soon as there is a worker.
  /// Takes <weir/submit.hpp>.
  template <class R = void, class... Args>
  submitted<R> submit(std::string_view method, const Args&... args) const;
  template <class R = void, class... Args>
  submitted<R> submit(const submit_settings& how, std::string_view method,
                      const Args&... args) const;

  [[nodiscard]] raw_client& raw() const noexcept { return *raw_; }
  [[nodiscard]] const prepared_settings& settings() const noexcept { return settings_; }

 private:
  /// Valid until this thread packs again.
  template <class... Args>
  [[nodiscard]] static std::string_view pack(const Args&... args) {
    thread_local std::string packed;
    if (packed.capacity() > 64 * 1024) packed = {};  // once large is not always large
    packed.clear();
    codec::put_arguments(packed, args...);
    return packed;
  }
  template <class One>
  static void put_one(std::string& packed, const One& one) {
    if constexpr (codec::is_a<One, std::tuple>)
      std::apply([&](const auto&... args) { codec::put_arguments(packed, args...); }, one);
    else
      codec::put_arguments(packed, one);
  }

  raw_client* raw_;
  prepared_settings settings_;
};

/// Calls of different methods that are sent together.
///
///     auto both = client.batch();
///     auto sum = both.add<int>("add", 1, 2);
///     auto digest = both.add<std::string>("hash", text);
///     both.send();
///     use(sum.get(), digest.get());
///
/// Threads    One at a time.
/// Ownership  What has not been sent when it goes ends as `cancelled`.
class mixed_batch {
 public:
  explicit mixed_batch(client_view with) : with_(std::move(with)) {}
  mixed_batch(mixed_batch&&) = default;
  mixed_batch& operator=(mixed_batch&&) = delete;
  ~mixed_batch() {
    reply_view never;
    never.code = status::cancelled;
    never.message = "the batch was not sent";
    never.never_started = true;
    for (const auto& c : calls_) c.to->on_reply(0, never);
  }

  template <class R = void, class... Args>
  pending<R> add(std::string_view method, const Args&... args) {
    std::string arguments;
    codec::put_arguments(arguments, args...);  // may throw: then nothing is added
    auto* state = new detail::call_state<R>(&with_.raw());
    pending<R> result(state);
    calls_.push_back({std::string(method), std::move(arguments), state, &state->handle});
    return result;
  }
  [[nodiscard]] std::size_t size() const noexcept { return calls_.size(); }
  void send() {
    std::vector<raw_call> views;
    views.reserve(calls_.size());
    for (const auto& c : calls_) views.push_back({c.method, c.arguments, c.to, c.handle});
    with_.raw().start(views, with_.settings());
    calls_.clear();
  }

 private:
  struct one {
    std::string method;
    std::string arguments;
    reply_receiver* to;
    call_handle* handle;
  };
  client_view with_;
  std::vector<one> calls_;
};

inline mixed_batch client_view::batch() const { return mixed_batch(*this); }

/// Calls methods of workers, through gateways or directly.
///
///     weir::client c{{{.connect = {"tcp://127.0.0.1:5555"}}}};
///     int sum = c.call<int>("add", 1, 2);
///
///     auto later = c.start<int>("add", 1, 2);             // see pending
///     for (int i : c.stream<int>("count", 10)) use(i);    // see stream
///     c.notify("log", "nobody waits for this");
///     auto all = c.batch<int>("add", {std::tuple(1, 2), std::tuple(3, 4)});
///     c.with({.deadline = 200ms, .priority = 7}).call("tidy");
///
/// Arguments are whatever MessagePack can carry: numbers, text, containers, your own structs by
/// MSGPACK_DEFINE. Nothing is generated.
///
/// Delivery   Every call ends exactly once, at its deadline at the latest (5 s if none is
///            given), whatever dies. A method is run at most once, and again only where it is
///            declared idempotent, or call_settings say that it does no harm.
/// Threads    Any, all at once.
/// Ownership  Copies arguments. Calls that are open when this is destroyed end as `cancelled`.
///            A callback or a coroutine may destroy it, its own calls' too.
/// Errors     The constructor throws weir::error for what the caller can mend. Calls that fail
///            give weir::rpc_error.
class client : public client_view {
 public:
  explicit client(client_options options) : client(new raw_client(std::move(options))) {}
  client(const client&) = delete;
  client& operator=(const client&) = delete;

  /// Errors     weir::error `usage` for what is over a limit.
  [[nodiscard]] client_view with(call_settings settings) {
    return {*own_, prepared_settings(std::move(settings))};
  }
  [[nodiscard]] client_view with(prepared_settings settings) {
    return {*own_, std::move(settings)};
  }

  /// Waits for a gateway or worker; false: there was none for so long. Calls may be made
  /// before.
  [[nodiscard]] bool wait_connected(std::chrono::milliseconds limit) {
    return own_->wait_connected(limit);
  }
  [[nodiscard]] const std::vector<std::string>& endpoints() const noexcept {
    return own_->endpoints();
  }
  [[nodiscard]] client_stats stats() const { return own_->stats(); }
  /// Cancels all calls that are open, also those with an idempotency key, which would go on
  /// without their client. Whatever is called later ends as `cancelled`. Not from a callback.
  void close() noexcept { own_->close(); }

 private:
  explicit client(raw_client* own) : client_view(*own, {}), own_(own) {}

  std::unique_ptr<raw_client> own_;
};

}  // namespace weir
