// What a handler's own calls take over from the call that it answers.
#pragma once

#include "exec/call.hpp"
#include "proto/message.hpp"
#include "proto/time.hpp"

namespace weir::exec {

/// The call that this thread is answering. Whoever runs a handler has one while it does; a
/// client that is used meanwhile caps the deadline of its calls, adds the metadata, and cancels
/// them when this call is cancelled.
///
///     const call_scope scope(call);
///     handler(...);
///
/// Threads    Its own. Scopes nest.
/// Ownership  Refers to the call.
class call_scope {
 public:
  explicit call_scope(call& answered) noexcept : answered_(answered), outer_(current_) {
    current_ = this;
  }
  ~call_scope() { current_ = outer_; }
  call_scope(const call_scope&) = delete;
  call_scope& operator=(const call_scope&) = delete;

  /// Null: this thread runs no handler.
  [[nodiscard]] static const call_scope* current() noexcept { return current_; }
  [[nodiscard]] proto::time_point deadline() const noexcept { return answered_.deadline(); }
  [[nodiscard]] const proto::call_options& options() const noexcept {
    return answered_.options();
  }
  [[nodiscard]] call& answered() const noexcept { return answered_; }

 private:
  static inline thread_local const call_scope* current_ = nullptr;
  call& answered_;
  const call_scope* outer_;
};

}  // namespace weir::exec
