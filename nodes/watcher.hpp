// A thread beside the node: signals, and ten times a second the status line.
#pragma once

#include "signals.hpp"

#include <functional>
#include <thread>

namespace weir::nodes {

/// Calls `on_signal` for each signal that asks the program to end, and `on_tick` about ten
/// times a second. Both on a thread of its own, which ends with the object.
///
///   signals ends;                                    // before any thread
///   watcher watch(ends, [&](int) { node.stop(); }, [&] { show(node.stats()); });
///   node.run();
class watcher {
 public:
  watcher(signals& from, std::function<void(int)> on_signal, std::function<void()> on_tick);
  ~watcher();
  watcher(const watcher&) = delete;
  watcher& operator=(const watcher&) = delete;

 private:
  void watch();

  signals& from_;
  std::function<void(int)> on_signal_;
  std::function<void()> on_tick_;
  int stop_fd_ = -1;
  std::thread thread_;
};

}  // namespace weir::nodes
