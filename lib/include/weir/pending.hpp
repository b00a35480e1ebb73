// A call that has been started: to be waited for, awaited, given a callback, or cancelled.
#pragma once

#include <weir/outcome.hpp>

#include <atomic>
#include <chrono>
#include <concepts>
#include <coroutine>
#include <cstdint>
#include <exception>
#include <functional>
#include <future>
#include <memory>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

namespace weir {

template <class R>
class pending;

namespace detail {

/// What a pending and whoever fulfils it share.
template <class R>
class pending_state : public loop_work {
 public:
  struct callback {
    virtual void run(outcome<R> what) = 0;
    virtual ~callback() = default;
  };

  /// `client`: null if a coroutine fulfils it.
  explicit pending_state(raw_client* client) : client_(client) {}
  pending_state(const pending_state&) = delete;
  pending_state& operator=(const pending_state&) = delete;

  void keep() noexcept { owners_.fetch_add(1, std::memory_order_relaxed); }
  void release() noexcept {
    if (owners_.fetch_sub(1, std::memory_order_acq_rel) == 1) delete this;
  }

  /// Once, behind setting `result`. Takes over one ownership.
  void fulfil() noexcept {
    if (progress_.fetch_or(fulfilled, std::memory_order_acq_rel) & continued) {
      if (client_)
        client_->post(*this);  // run() releases
      else
        run();
      return;
    }
    if (client_)
      client_->complete(done);
    else
      done.complete();
    release();
  }
  /// Once, instead of waiting: on the loop thread. False: it is fulfilled already, and will not
  /// be resumed.
  [[nodiscard]] bool continue_with(std::coroutine_handle<> coroutine) {
    resumed_ = coroutine;
    return continues();
  }
  /// If it is fulfilled already, on this thread.
  void continue_with(std::unique_ptr<callback> called) {
    called_ = std::move(called);
    if (!continues()) call();
  }
  bool wait_until(std::chrono::steady_clock::time_point until) {
    if (done.done()) return true;  // and the client may have gone
    return client_ ? client_->wait(done, until) : done.wait(until);
  }
  [[nodiscard]] bool is_fulfilled() const noexcept {
    return (progress_.load(std::memory_order_acquire) & fulfilled) != 0;
  }
  void attend() noexcept {
    if (client_) client_->attend();
  }
  void cancel() noexcept {
    if (client_ && handle.count > 0 && !is_fulfilled()) client_->cancel(handle);
  }
  [[nodiscard]] typename outcome<R>::value_type take() {
    if (foreign) std::rethrow_exception(std::move(foreign));
    return std::move(result).value();
  }
  [[nodiscard]] outcome<R> take_outcome() noexcept {
    if (!foreign) return std::move(result);
    try {
      std::rethrow_exception(std::move(foreign));
    } catch (const std::exception& e) {
      return rpc_error(status::unknown, e.what());
    } catch (...) {
      return rpc_error(status::unknown, "something that is no std::exception was thrown");
    }
  }

  outcome<R> result;
  std::exception_ptr foreign;  // a coroutine's, when it is no rpc_error
  call_handle handle;
  completion done;

 protected:
  ~pending_state() override = default;

 private:
  enum : unsigned { fulfilled = 1, continued = 2 };

  bool continues() noexcept {
    if (progress_.fetch_or(continued, std::memory_order_acq_rel) & fulfilled) return false;
    if (client_) client_->attend();
    return true;
  }
  void run() noexcept final {
    if (called_)
      call();
    else
      resumed_.resume();
    release();
  }
  void call() {
    // Not in place: it may destroy everything, and what it holds must not be held on.
    const auto called = std::move(called_);
    called->run(take_outcome());
  }

  raw_client* client_;
  std::atomic<unsigned> owners_{2};  // the pending, and whoever fulfils it
  std::atomic<unsigned> progress_{0};
  std::coroutine_handle<> resumed_;  // one of the two:
  std::unique_ptr<callback> called_;
};

template <class R, class F>
struct callback_of final : pending_state<R>::callback {
  explicit callback_of(F f) : call(std::move(f)) {}
  void run(outcome<R> what) override { std::invoke(call, std::move(what)); }
  F call;
};

/// One call.
template <class R>
class call_state final : public pending_state<R>, public reply_receiver {
 public:
  using pending_state<R>::pending_state;
  void on_reply(std::uint32_t, const reply_view& reply) noexcept override {
    this->result = outcome<R>::from(reply);
    this->fulfil();
  }
};

/// Many, whose outcomes are wanted together.
template <class R>
class batch_state final : public pending_state<std::vector<outcome<R>>>, public reply_receiver {
 public:
  batch_state(raw_client* client, std::uint32_t calls)
      : pending_state<std::vector<outcome<R>>>(client), outcomes_(calls), open_(calls) {}
  void on_reply(std::uint32_t index, const reply_view& reply) noexcept override {
    outcomes_[index] = outcome<R>::from(reply);
    if (--open_ == 0) finish();
  }
  void finish() noexcept {
    this->result = std::move(outcomes_);
    this->fulfil();
  }

 private:
  std::vector<outcome<R>> outcomes_;
  std::uint32_t open_;
};

template <class R>
struct promise_base {
  pending_state<R>* state = new pending_state_of_coroutine;
  struct pending_state_of_coroutine final : pending_state<R> {
    pending_state_of_coroutine() : pending_state<R>(nullptr) {}
  };
  std::suspend_never initial_suspend() noexcept { return {}; }
  std::suspend_never final_suspend() noexcept {
    std::exchange(state, nullptr)->fulfil();
    return {};
  }
  void unhandled_exception() noexcept {
    try {
      throw;
    } catch (const rpc_error& e) {
      state->result = e;
    } catch (...) {
      state->foreign = std::current_exception();
    }
  }
};

template <class R>
struct promise : promise_base<R> {
  pending<R> get_return_object();
  template <class V = R>
  void return_value(V&& value) {
    this->state->result = outcome<R>(R(std::forward<V>(value)));
  }
};
template <>
struct promise<void> : promise_base<void> {
  inline pending<void> get_return_object();
  void return_void() { state->result = outcome<void>(std::monostate{}); }
};

}  // namespace detail

/// The outcome of a call that has been started, once it is there. Use it once, in one of these
/// ways:
///
///     auto sum = client.start<int>("add", 1, 2);
///     int n = sum.get();                                             // waits
///     sum.then([](weir::outcome<int> o) { if (o) show(*o); });       // a callback
///     int n = co_await std::move(sum);                               // in a coroutine
///     std::future<int> f = std::move(sum);
///
/// Callbacks, and coroutines that had to wait, run on the client's loop thread, one at a time:
/// they should be short, and must not throw. If the outcome is there already, they run at once
/// on this thread.
///
/// It is a coroutine's return type, too:
///
///     weir::pending<int> sum3(weir::client& c, int x, int y, int z) {
///       co_return co_await c.start<int>("add", co_await c.start<int>("add", x, y), z);
///     }
///
/// A callback may wait for other calls, but must not for a coroutine: that may need the thread
/// which the callback is on. Cancel what a coroutine has called, not the coroutine.
///
/// Threads    One at a time; cancel() from any, while another waits and afterwards too.
/// Ownership  Must not be used beyond the client's end. Destroying it changes nothing for the
///            call, whose outcome then is dropped.
template <class R>
class [[nodiscard]] pending {
  /// One more, for what may go on beyond the pending's end.
  struct owner {
    explicit owner(detail::pending_state<R>* s) noexcept : state(s) { state->keep(); }
    owner(const owner&) = delete;
    owner& operator=(const owner&) = delete;
    ~owner() { state->release(); }
    detail::pending_state<R>* state;
  };

 public:
  using promise_type = detail::promise<R>;

  pending(pending&& other) noexcept : state_(std::exchange(other.state_, nullptr)) {}
  pending& operator=(pending&& other) noexcept {
    std::swap(state_, other.state_);
    return *this;
  }
  ~pending() {
    if (state_) state_->release();
  }

  /// Waits for the result.
  /// Errors     rpc_error; what a coroutine threw.
  R get() {
    wait();
    if constexpr (std::is_void_v<R>)
      (void)state_->take();
    else
      return state_->take();
  }
  /// The same with errors as values.
  [[nodiscard]] outcome<R> get_outcome() {
    wait();
    return state_->take_outcome();
  }
  void wait() { state_->wait_until(std::chrono::steady_clock::time_point::max()); }
  /// Whether the outcome is there now.
  template <class Rep, class Period>
  [[nodiscard]] bool wait_for(std::chrono::duration<Rep, Period> limit) {
    return state_->wait_until(detail::from_now(limit));
  }
  [[nodiscard]] bool done() const noexcept {
    if (state_->is_fulfilled()) return true;
    state_->attend();
    return false;
  }
  /// Asks for the call to be stopped, wherever it is. The outcome comes all the same.
  void cancel() noexcept { state_->cancel(); }

  /// Calls `callback(outcome<R>)`.
  template <std::invocable<outcome<R>> F>
  void then(F callback) {
    using wrapped = detail::callback_of<R, F>;
    auto boxed = std::unique_ptr<typename detail::pending_state<R>::callback>(
        std::make_unique<wrapped>(std::move(callback)));
    const owner mine(state_);
    mine.state->continue_with(std::move(boxed));
  }

  struct awaiter {
    owner mine;
    explicit awaiter(detail::pending_state<R>* s) noexcept : mine(s) {}
    [[nodiscard]] bool await_ready() const noexcept { return mine.state->is_fulfilled(); }
    [[nodiscard]] bool await_suspend(std::coroutine_handle<> waiting) noexcept {
      // Resumed elsewhere, the coroutine may be through before this returns, and this with it.
      const owner until_then(mine.state);
      return until_then.state->continue_with(waiting);
    }
    R await_resume() {
      if constexpr (std::is_void_v<R>)
        (void)mine.state->take();
      else
        return mine.state->take();
    }
  };
  awaiter operator co_await() const noexcept { return awaiter(state_); }

  operator std::future<R>() && {
    std::promise<R> promise;
    auto future = promise.get_future();
    std::move(*this).then([promise = std::move(promise)](outcome<R> what) mutable {
      if (!what)
        promise.set_exception(std::make_exception_ptr(what.error()));
      else if constexpr (std::is_void_v<R>)
        promise.set_value();
      else
        promise.set_value(std::move(*what));
    });
    return future;
  }

  /// weir's own: takes over one ownership.
  explicit pending(detail::pending_state<R>* state) noexcept : state_(state) {}

 private:
  detail::pending_state<R>* state_;
};

template <class R>
pending<R> detail::promise<R>::get_return_object() {
  return pending<R>(this->state);
}
inline pending<void> detail::promise<void>::get_return_object() { return pending<void>(state); }

}  // namespace weir
