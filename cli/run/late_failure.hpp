// What went wrong where nobody could be told at once.
#pragma once

#include <exception>
#include <mutex>
#include <utility>

namespace weir::cli::run {

/// The first failure of any slot, for who ends the run.
///
/// Threads    Any.
class late_failure {
 public:
  void keep(std::exception_ptr what) {
    const std::lock_guard lock(mutex_);
    if (!first_) first_ = std::move(what);
  }
  /// Throws it, if there is one.
  void rethrow() const {
    const std::lock_guard lock(mutex_);
    if (first_) std::rethrow_exception(first_);
  }

 private:
  mutable std::mutex mutex_;
  std::exception_ptr first_;
};

}  // namespace weir::cli::run
