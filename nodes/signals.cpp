#include "signals.hpp"

#include <weir/error.hpp>

#include <climits>
#include <poll.h>
#include <pthread.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <system_error>
#include <thread>

namespace weir::nodes {

namespace {

bool is_ignored(int signal) {
  struct sigaction action {};
  return ::sigaction(signal, nullptr, &action) == 0 && action.sa_handler == SIG_IGN;
}

}  // namespace

// A signalfd, not a handler that writes to a pipe: with a handler, poll() and sem_wait() of
// every thread, libzmq's among them, would now and then return EINTR. The price is that this
// file is for Linux alone.
signals::signals(std::initializer_list<int> more) {
  std::signal(SIGPIPE, SIG_IGN);
  sigset_t waited;
  sigemptyset(&waited);
  for (const int signal : {SIGINT, SIGTERM, SIGHUP})
    if (!is_ignored(signal)) sigaddset(&waited, signal);
  for (const int signal : more) sigaddset(&waited, signal);
  ::pthread_sigmask(SIG_BLOCK, &waited, nullptr);
  fd_ = ::signalfd(-1, &waited, SFD_CLOEXEC | SFD_NONBLOCK);
  if (fd_ < 0)
    throw error(exit_code::software,
                "cannot wait for signals: " + std::generic_category().message(errno));
}

signals::~signals() { ::close(fd_); }

int signals::take() {
  signalfd_siginfo info{};
  return ::read(fd_, &info, sizeof info) == sizeof info ? static_cast<int>(info.ssi_signo) : 0;
}

int signals::take_within(std::chrono::milliseconds limit) {
  pollfd waiting{fd_, POLLIN, 0};
  constexpr std::chrono::milliseconds longest{INT_MAX};  // poll()'s; 24 days
  (void)::poll(&waiting, 1, static_cast<int>(std::min(limit, longest).count()));
  return take();
}

void leave_soon(int code) {
  std::thread([code] {
    std::this_thread::sleep_for(std::chrono::seconds(2));
    std::_Exit(code);
  }).detach();
}

}  // namespace weir::nodes
