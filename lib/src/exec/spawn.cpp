#include "exec/spawn.hpp"

#include <weir/error.hpp>

#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <iterator>
#include <new>
#include <utility>

// ThreadSanitizer replaces clone() by one for children with memory of their own. This is the
// same function by glibc's other name for it, which it does not know.
#if defined(__SANITIZE_THREAD__)
#define WEIR_THREAD_SANITIZER 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define WEIR_THREAD_SANITIZER 1
#endif
#endif
#ifdef WEIR_THREAD_SANITIZER
extern "C" int __clone(int (*)(void*), void*, int, void*, ...);
#define WEIR_CLONE ::__clone
#else
#define WEIR_CLONE ::clone
#endif

namespace weir::exec {
namespace {

// The child calls system calls and nothing else; it has this much for their frames.
constexpr std::size_t stack_bytes = 32 * 1024;

struct child_start {
  const spawn_request* what;
  const int* reset;  // signals, ended by a zero
  pid_t parent;
  int error;
  spawn_step step;
};

/// A sigaction as the kernel has it: zero is SIG_DFL, no flags, empty mask.
struct kernel_sigaction {
  unsigned long words[4];
};

// Runs in our memory and with our thread's storage, while our thread waits. Only bare system
// calls, for libc's wrappers may be replaced by ones that keep books (sanitizers do), and no
// instrumentation for the same reason.
__attribute__((no_sanitize("address", "thread", "undefined"))) int child_main(void* arg) {
  auto& start = *static_cast<child_start*>(arg);
  const spawn_request& what = *start.what;

  ::syscall(SYS_prctl, PR_SET_PDEATHSIG, SIGKILL, 0L, 0L, 0L);
  // Died before we asked to be told?
  if (::syscall(SYS_getppid) != start.parent) ::syscall(SYS_exit_group, 127L);
  ::syscall(SYS_setpgid, 0L, 0L);

  ::syscall(SYS_dup3, what.in, 0L, 0L);
  ::syscall(SYS_dup3, what.out, 1L, 0L);
  ::syscall(SYS_dup3, what.err, 2L, 0L);
  ::syscall(SYS_close_range, 3L, 0xffffffffL, 0L);

  // Also those with a handler: exec would reset these, but a signal that is pending now would
  // run the handler as soon as it is unblocked.
  const kernel_sigaction by_default{};
  for (const int* number = start.reset; *number != 0; ++number)
    ::syscall(SYS_rt_sigaction, static_cast<long>(*number), &by_default, nullptr, 8L);
  const unsigned long none = 0;
  ::syscall(SYS_rt_sigprocmask, static_cast<long>(SIG_SETMASK), &none, nullptr, 8L);

  start.step = spawn_step::chdir;
  if (what.cwd && ::syscall(SYS_chdir, what.cwd) < 0) {
    start.error = errno;
  } else {
    start.step = spawn_step::exec;
    ::syscall(SYS_execve, what.path, what.argv, what.envp);
    start.error = errno;
  }
  ::syscall(SYS_exit_group, 127L);
  return 0;
}

}  // namespace

spawner::spawner()
    : stack_(::mmap(nullptr, stack_bytes, PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0)) {
  if (stack_ == MAP_FAILED) throw std::bad_alloc();
  // Resetting all 64 for each child takes 9 us, a hundredth of what a small command costs. So:
  // those that programs change, now or later, and whatever else has been changed by now.
  constexpr int usual[] = {SIGHUP,  SIGINT,  SIGQUIT, SIGPIPE, SIGALRM,
                           SIGTERM, SIGUSR1, SIGUSR2, SIGCHLD, SIGWINCH};
  std::size_t n = 0;
  for (const int number : usual) reset_[n++] = number;
  for (int number = 1; number < 65; ++number) {
    if (std::find(std::begin(usual), std::end(usual), number) != std::end(usual)) continue;
    kernel_sigaction now{};
    if (::syscall(SYS_rt_sigaction, static_cast<long>(number), nullptr, &now, 8L) != 0)
      continue;
    if (now.words[0] != 0) reset_[n++] = number;
  }

  kernel_sigaction at_end{};
  ::syscall(SYS_rt_sigaction, static_cast<long>(SIGCHLD), nullptr, &at_end, 8L);
  const auto by_handler = reinterpret_cast<void (*)(int)>(at_end.words[0]);
  if (by_handler == SIG_IGN || (at_end.words[1] & SA_NOCLDWAIT) != 0) {
    ::munmap(stack_, stack_bytes);
    throw error(exit_code::software,
                "SIGCHLD is ignored, and with it how commands end: signal(SIGCHLD, SIG_DFL)");
  }
  if (by_handler != SIG_DFL) return;
  // Blocked here, it would not be dropped but wait for a thread that takes it: each child's end
  // would wake one of the program's other threads, and one that reads a signalfd, for nothing.
  sigset_t one;
  sigemptyset(&one);
  sigaddset(&one, SIGCHLD);
  ::pthread_sigmask(SIG_UNBLOCK, &one, nullptr);
}

spawner::~spawner() { ::munmap(stack_, stack_bytes); }

spawned spawner::start(const spawn_request& what) {
  child_start start{&what, reset_.data(), ::getpid(), 0, spawn_step::clone};
  spawned child;
  int pidfd = -1;
  constexpr int flags = CLONE_VM | CLONE_VFORK | CLONE_PIDFD | CLONE_CHILD_SETTID | SIGCHLD;
  child.pid = WEIR_CLONE(child_main, static_cast<char*>(stack_) + stack_bytes, flags, &start,
                         &pidfd, nullptr, what.pid_place);
  if (child.pid < 0) {
    child.error = errno;
    return child;
  }
  child.pidfd = unique_fd(pidfd);
  child.error = start.error;
  child.failed_at = start.step;
  if (child.error == 0) return child;
  if (what.pid_place) __atomic_store_n(what.pid_place, 0, __ATOMIC_RELEASE);
  while (::waitpid(child.pid, nullptr, 0) < 0 && errno == EINTR) {
  }
  return child;
}

}  // namespace weir::exec
