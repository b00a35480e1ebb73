// One call in the hands of a handler: what weir::call_context shows.
#pragma once

#include "exec/claim.hpp"
#include "proto/message.hpp"
#include "proto/rpc/callee.hpp"
#include "proto/time.hpp"

#include <weir/method.hpp>

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace weir::exec {

/// Consecutive calls of one caller and one method, shared by the threads that run them.
struct call_group {
  proto::session_id from{};
  proto::call_run calls;
  std::uint32_t method = 0;  ///< index into the pool's methods
  proto::time_point deadline;
  proto::time_point given;

  std::atomic<std::uint32_t> next = 0;      ///< the first that nobody has claimed
  std::atomic<std::uint32_t> answered = 0;  ///< how many, whichever

  [[nodiscard]] std::uint32_t size() const { return calls.arguments.size(); }
  [[nodiscard]] proto::call_key key(std::uint32_t index) const {
    return {from, calls.first + index};
  }
  /// Marks one as not wanted any more; its handler hears of it.
  void stop(std::uint32_t index);
  void stop_all();
  [[nodiscard]] bool stopped(std::uint32_t index) const {
    return any_stopped_.load(std::memory_order_acquire) && look_up(index);
  }

 private:
  friend class call;
  using listener = std::pair<std::uint32_t, std::function<void()>>;
  [[nodiscard]] bool look_up(std::uint32_t index) const;
  [[nodiscard]] bool stopped_locked(std::uint32_t index) const;

  std::atomic<bool> any_stopped_ = false;
  mutable std::mutex mutex_;  // over the rest
  bool all_stopped_ = false;
  std::vector<bool> stopped_;  // by index; empty: none is
  std::vector<listener> listeners_;
};

/// Where handlers' reports go.
class report_taker {
 public:
  virtual void report(const proto::call_key& key, std::uint64_t done, std::uint64_t total,
                      std::string_view text) = 0;

 protected:
  ~report_taker() = default;
};

/// What a handler has set going and what ends with the call that it answers.
class dependent {
 public:
  virtual ~dependent() = default;
  /// That call was cancelled. On any thread, under locks: must not wait.
  virtual void stop() noexcept = 0;
};

/// A call that is being answered, by the thread of slot `slot` at the moment.
class call {
 public:
  call(call_group& group, std::uint32_t index, report_taker& reports, unsigned slot)
      : group_(group), reports_(reports), index_(index), slot_(slot) {}
  ~call() {
    if (!dependents_.empty()) deaf();
  }
  call(const call&) = delete;
  call& operator=(const call&) = delete;

  [[nodiscard]] static call& of(call_context& shown) { return *shown.call_; }
  [[nodiscard]] const std::string& method() const { return group_.calls.method; }
  [[nodiscard]] std::string_view arguments() const { return group_.calls.arguments[index_]; }
  [[nodiscard]] proto::call_key key() const { return group_.key(index_); }
  [[nodiscard]] proto::time_point deadline() const { return group_.deadline; }
  [[nodiscard]] const proto::call_options& options() const;
  [[nodiscard]] stop_reason why_stop() const {
    if (group_.stopped(index_)) return stop_reason::cancelled;
    return proto::clock::now() >= group_.deadline ? stop_reason::expired : stop_reason::none;
  }
  void report(std::uint64_t done, std::uint64_t total, std::string_view text) {
    reports_.report(key(), done, total, text);
  }
  [[nodiscard]] unsigned slot() const { return slot_; }
  void moved_to(unsigned slot) { slot_ = slot; }

  /// Calls `then` when the call is cancelled, on any thread, at once if it is already; not when
  /// its deadline passes. Until deaf(), which waits for one that is under way.
  void when_cancelled(std::function<void()> then);
  void deaf();
  /// What depends on this call on behalf of `owner`; `make()`, the first time. It is stopped
  /// when the call is cancelled, at once if it is already. By the handler's thread.
  template <class Make>
  dependent& dependent_of(const void* owner, Make&& make) {
    for (const auto& [whose, what] : dependents_)
      if (whose == owner) return *what;
    dependent& fresh = *dependents_.emplace_back(owner, make()).second;
    when_cancelled([&fresh] { fresh.stop(); });
    return fresh;
  }

 private:
  std::vector<std::pair<const void*, std::unique_ptr<dependent>>> dependents_;
  call_group& group_;
  report_taker& reports_;
  std::uint32_t index_;
  unsigned slot_;
};

/// What a handler's exception, the one being handled, means to its caller.
[[nodiscard]] status describe_exception(proto::reply_details& details);

}  // namespace weir::exec
