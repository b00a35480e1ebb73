#include "exec/child.hpp"

#include <climits>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

namespace weir::exec {

child::~child() {
  if (running()) end();
}

void child::started(spawned process) {
  pid_ = process.pid;
  pidfd_ = std::move(process.pidfd);
  asked_ = false;
  kill_due_ = proto::time_point::max();
}

void child::ask_to_end(proto::time_point now, proto::duration grace) {
  if (std::exchange(asked_, true)) return;
  kill_due_ = now + grace;
  send(SIGTERM);
}

void child::send(int signal) {
  ::kill(-pid_, signal);
  ::kill(-pid_, SIGCONT);
}

void child::kill() {
  kill_due_ = proto::time_point::max();
  ::kill(-pid_, SIGKILL);
}

void child::kill_if_due(proto::time_point now) {
  if (now >= kill_due_) kill();
}

int child::end() {
  // Its id, and so its group's, is ours until it has been waited for: hence this order.
  ::kill(-pid_, SIGKILL);
  entry_.clear();
  int exit_status = unknown_exit;
  while (::waitpid(pid_, &exit_status, 0) < 0 && errno == EINTR) {
  }
  pid_ = -1;
  pidfd_.reset();
  return exit_status;
}

read_result read_some(int fd, std::string& to) {
  constexpr std::size_t most = 64 * 1024;
  static thread_local char buffer[most];
  ssize_t n = 0;
  do n = ::read(fd, buffer, most);
  while (n < 0 && errno == EINTR);
  if (n < 0) return read_result::nothing_now;
  if (n == 0) return read_result::end;
  to.append(buffer, static_cast<std::size_t>(n));
  return read_result::some;
}

int poll_timeout(proto::time_point until, proto::time_point now) {
  if (until == proto::time_point::max()) return -1;
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(until - now).count();
  return static_cast<int>(std::clamp<decltype(left)>(left, 0, INT_MAX));
}

}  // namespace weir::exec
