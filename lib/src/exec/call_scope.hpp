// What a handler's own calls take over from the call that it answers.
#pragma once

#include "proto/message.hpp"
#include "proto/time.hpp"

namespace weir::exec {

/// The call that this thread is answering. Whoever runs a handler has one while it does; a
/// client that is used meanwhile caps the deadline of its calls and adds the metadata.
///
///     const call_scope scope(call.deadline(), call.options());
///     handler(...);
///
/// Threads    Its own. Scopes nest.
/// Ownership  Refers to the options.
class call_scope {
 public:
  call_scope(proto::time_point deadline, const proto::call_options& options) noexcept
      : deadline_(deadline), options_(options), outer_(current_) {
    current_ = this;
  }
  ~call_scope() { current_ = outer_; }
  call_scope(const call_scope&) = delete;
  call_scope& operator=(const call_scope&) = delete;

  /// Null: this thread runs no handler.
  [[nodiscard]] static const call_scope* current() noexcept { return current_; }
  [[nodiscard]] proto::time_point deadline() const noexcept { return deadline_; }
  [[nodiscard]] const proto::call_options& options() const noexcept { return options_; }

 private:
  static inline thread_local const call_scope* current_ = nullptr;
  proto::time_point deadline_;
  const proto::call_options& options_;
  const call_scope* outer_;
};

}  // namespace weir::exec
