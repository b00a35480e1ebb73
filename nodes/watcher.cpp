#include "watcher.hpp"

#include <weir/error.hpp>

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstring>
#include <utility>

namespace weir::nodes {
namespace {
constexpr int tick_ms = 100;
}

watcher::watcher(signals& from, std::function<void(int)> on_signal,
                 std::function<void()> on_tick)
    : from_(from), on_signal_(std::move(on_signal)), on_tick_(std::move(on_tick)) {
  stop_fd_ = eventfd(0, EFD_CLOEXEC);
  if (stop_fd_ < 0) throw error(exit_code::io, std::string("eventfd: ") + std::strerror(errno));
  thread_ = std::thread([this] { watch(); });
}

watcher::~watcher() {
  const std::uint64_t one = 1;
  [[maybe_unused]] const auto n = ::write(stop_fd_, &one, sizeof one);
  thread_.join();
  ::close(stop_fd_);
}

void watcher::watch() {
  pollfd fds[2] = {{stop_fd_, POLLIN, 0}, {from_.fd(), POLLIN, 0}};
  for (;;) {
    const int ready = ::poll(fds, 2, tick_ms);
    if (ready < 0 && errno != EINTR) return;
    if (fds[0].revents != 0) return;
    while (const int signal = from_.take()) on_signal_(signal);
    on_tick_();
  }
}

}  // namespace weir::nodes
