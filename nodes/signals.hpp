// The signals that end a node, as something its loop can poll.
#pragma once

#include <chrono>
#include <initializer_list>

namespace weir::nodes {

/// From its construction on, SIGINT, SIGTERM and SIGHUP do not interrupt anything: they wait
/// behind a file descriptor until the loop takes them. SIGPIPE is ignored, so that a write to a
/// reader that has gone fails with EPIPE. A signal that was ignored when the process started
/// (nohup, a shell's background job) stays ignored.
///
///   int main() {
///     signals ends;                     // first: threads inherit what is blocked
///     loop.watch(ends.fd(), [&] {
///       while (const int signal = ends.take()) drain_or_stop(signal);
///     });
///   }                                   // exit with 128 + signal if work was left
///
/// One per process. Blocked and ignored signals are inherited across exec: whoever starts
/// children must give them an empty mask and the default actions, SIGPIPE's too.
///
/// Threads    Construct it before the first thread is started; then from one thread.
class signals {
 public:
  /// `more`: further signals to wait for, e.g. SIGUSR1.
  explicit signals(std::initializer_list<int> more = {});
  ~signals();
  signals(const signals&) = delete;
  signals& operator=(const signals&) = delete;

  /// Readable while a signal waits.
  [[nodiscard]] int fd() const { return fd_; }
  /// The next signal's number; 0: none waits. Never blocks. The same signal may come again
  /// later: the first SIGTERM asks a node to drain, the second to stop at once.
  [[nodiscard]] int take();
  /// The same, but waits for one, no longer than `limit`.
  [[nodiscard]] int take_within(std::chrono::milliseconds limit);

 private:
  int fd_ = -1;
};

/// Ends the process with `code` in two seconds, unless it has ended by then: a thread that
/// writes to a pipe which nobody reads cannot be waited for.
void leave_soon(int code);

}  // namespace weir::nodes
