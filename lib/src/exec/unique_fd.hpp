// A file descriptor that is closed when its owner goes.
#pragma once

#include <unistd.h>

#include <utility>

namespace weir::exec {

class unique_fd {
 public:
  unique_fd() = default;
  explicit unique_fd(int fd) : fd_(fd) {}
  unique_fd(unique_fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  unique_fd& operator=(unique_fd&& other) noexcept {
    std::swap(fd_, other.fd_);
    other.reset();
    return *this;
  }
  ~unique_fd() { reset(); }

  [[nodiscard]] int get() const { return fd_; }
  [[nodiscard]] explicit operator bool() const { return fd_ >= 0; }
  void reset() {
    if (fd_ >= 0) ::close(std::exchange(fd_, -1));
  }

 private:
  int fd_ = -1;
};

/// Both ends close-on-exec, and above 2, so that a child's 0 to 2 can be made of them whatever
/// this process has done to its own. Both are invalid, and errno set, when there is none.
struct pipe_ends {
  unique_fd read, write;
};
[[nodiscard]] pipe_ends open_pipe();
void set_nonblocking(const unique_fd& fd);
/// Takes what an eventfd has counted, so that it is not readable until it is told again.
void read_empty(int eventfd);
/// Moves a descriptor above 2 if it is not there already.
[[nodiscard]] unique_fd above_stdio(unique_fd fd);

}  // namespace weir::exec
