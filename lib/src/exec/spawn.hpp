// Starting processes, fast: the one place that knows how a child comes to be.
#pragma once

#include "exec/unique_fd.hpp"

#include <sys/types.h>

#include <array>
#include <cstddef>

namespace weir::exec {

/// What a child shall be. Pointers are borrowed for the duration of the call.
struct spawn_request {
  const char* path = nullptr;
  char* const* argv = nullptr;
  char* const* envp = nullptr;
  const char* cwd = nullptr;        ///< null: ours
  int in = -1, out = -1, err = -1;  ///< its descriptors 0 to 2; above 2 in this process
  pid_t* pid_place = nullptr;  ///< gets its id before its first instruction; see reaper_entry
};

enum class spawn_step { clone, chdir, exec };

struct spawned {
  pid_t pid = -1;
  unique_fd pidfd;  ///< readable when it has exited
  int error = 0;    ///< errno; 0: it runs
  spawn_step failed_at = spawn_step::clone;
};

/// Starts children that share our memory until they exec (as vfork does): no page tables are
/// copied, and a failed exec is reported without a pipe. A child leads a process group of its
/// own, is killed when the thread that spawned it ends, has default signal dispositions with
/// none blocked, and no descriptors but the three.
///
/// Linux only (clone with a pidfd, PDEATHSIG). For another system, this and reaper.cpp are what
/// to replace.
///
/// Threads    One spawner for each thread, made there. The thread has to have all signals
///            blocked: a handler of ours that ran in the child would do so in our memory. The
///            spawner unblocks SIGCHLD if that has no handler.
/// Errors     Throws weir::error if SIGCHLD is ignored: nobody would learn how a child ended.
class spawner {
 public:
  spawner();
  ~spawner();
  spawner(const spawner&) = delete;
  spawner& operator=(const spawner&) = delete;

  [[nodiscard]] spawned start(const spawn_request& what);

 private:
  void* stack_;
  std::array<int, 65> reset_{};  // signals that a child resets, then a zero
};

}  // namespace weir::exec
