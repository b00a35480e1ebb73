// INT, TERM and HUP while calls are on their way.
#pragma once

#include "signals.hpp"
#include "watcher.hpp"

#include <weir/raw_client.hpp>

#include <atomic>
#include <memory>

namespace weir::cli {

/// Cancels a client's calls when such a signal comes, so that their handlers hear of it at
/// once, and ends the process by that signal: for whoever started it, it is as if nobody had
/// been asked. What the calls still bring is of no interest then.
///
///     interruption ends;  // before the client: its threads inherit what is blocked
///     raw_client client(...);
///     const auto watch = ends.watch(client);
///
/// Threads    Any, behind the constructor.
class interruption {
 public:
  /// Until what it returns is gone, which has to be before the client is, and waits for the
  /// end if a signal has come.
  [[nodiscard]] std::unique_ptr<nodes::watcher> watch(raw_client& client);
  /// Nothing should be said any more.
  [[nodiscard]] bool has_come() const { return come_; }

 private:
  nodes::signals ends_;
  std::atomic<bool> come_ = false;
};

}  // namespace weir::cli
