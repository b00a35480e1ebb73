// What start_reaper() (weir/command.hpp) started, as the rest of exec sees it.
#pragma once

#include <sys/types.h>

#include <string>

namespace weir::exec {

/// The environment variable, "NAME=value", that marks our commands for the reaper; empty when
/// no reaper was started. A worker that is itself somebody's command adds its mark to theirs.
[[nodiscard]] const std::string& reaper_mark();

/// A place in memory shared with the reaper. While it holds a process id, the reaper will kill
/// that process's group. Without a reaper, or when all places are taken, it is merely a place.
class reaper_entry {
 public:
  reaper_entry();
  ~reaper_entry();
  reaper_entry(const reaper_entry&) = delete;
  reaper_entry& operator=(const reaper_entry&) = delete;

  /// Where the kernel stores the child's id before the child's first instruction.
  [[nodiscard]] pid_t* pid() { return place_; }
  /// Call before the process is waited for: afterwards its id may be somebody else's.
  void clear() { __atomic_store_n(place_, 0, __ATOMIC_RELEASE); }

 private:
  pid_t private_ = 0;
  pid_t* place_ = &private_;
};

}  // namespace weir::exec
