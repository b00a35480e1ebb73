#include "exec/unique_fd.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <cstdint>

namespace weir::exec {

unique_fd above_stdio(unique_fd fd) {
  if (!fd || fd.get() > 2) return fd;
  return unique_fd(::fcntl(fd.get(), F_DUPFD_CLOEXEC, 3));
}

pipe_ends open_pipe() {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) < 0) return {};
  pipe_ends both{above_stdio(unique_fd(ends[0])), above_stdio(unique_fd(ends[1]))};
  if (!both.read || !both.write) return {};
  return both;
}

void set_nonblocking(const unique_fd& fd) { ::fcntl(fd.get(), F_SETFL, O_NONBLOCK); }

void read_empty(int eventfd) {
  std::uint64_t count = 0;
  [[maybe_unused]] const auto bytes = ::read(eventfd, &count, sizeof count);
}

}  // namespace weir::exec
