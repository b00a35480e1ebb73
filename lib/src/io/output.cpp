#include "io/output.hpp"

#include "io/system_error.hpp"

#include <climits>
#include <fcntl.h>
#include <poll.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <thread>
#include <utility>

namespace weir::io {

namespace {

/// writev() takes at most IOV_MAX pieces: 1024 on Linux, POSIX promises 16.
constexpr std::size_t pieces_per_write =
#ifdef IOV_MAX
    IOV_MAX;
#else
    16;
#endif

bool is_null_device(const struct stat& about) {
  struct stat null {};
  return S_ISCHR(about.st_mode) && ::stat("/dev/null", &null) == 0 &&
         null.st_rdev == about.st_rdev;
}

bool look_at(const std::string& path, int standard, struct stat& about) {
  return (path == "-" ? ::fstat(standard, &about) : ::stat(path.c_str(), &about)) == 0;
}

/// Whoever comes first to a file that some append to has it alone for a moment.
constexpr auto others_are_first = std::chrono::seconds(1);
constexpr auto look_again = std::chrono::milliseconds(5);

/// False: another process has it. Some network file systems have no locks: there it goes
/// without.
bool try_lock(int fd, int kind) {
  return ::flock(fd, kind | LOCK_NB) == 0 || errno != EWOULDBLOCK;
}

enum class place : std::uint8_t { first, among_others };

/// The lock goes when the last descriptor does, so with the process, however it ends.
place claim_file(int fd, const std::string& path, bool shared) {
  const auto end = std::chrono::steady_clock::now() + others_are_first;
  for (;;) {
    if (try_lock(fd, LOCK_EX)) return place::first;
    if (shared && try_lock(fd, LOCK_SH)) return place::among_others;
    if (!shared || std::chrono::steady_clock::now() >= end)
      throw error(exit_code::in_use,
                  path + " is being written by another process (or is given twice)");
    std::this_thread::sleep_for(look_again);
  }
}

}  // namespace

broken_pipe::broken_pipe(const std::string& what)
    : error(static_cast<exit_code>(static_cast<int>(exit_code::signalled) + SIGPIPE), what) {}

output::output(int fd, std::string name, bool owned)
    : fd_(fd), name_(std::move(name)), owned_(owned) {
  struct stat about {};
  if (::fstat(fd_, &about) != 0) return;  // the first write says what is wrong
  if (S_ISREG(about.st_mode) || is_null_device(about)) kind_ = kind::never_blocks;
  if (S_ISFIFO(about.st_mode)) kind_ = kind::pipe;
}

output output::to_fd(int fd, std::string name) { return {fd, std::move(name), false}; }

output output::to_file(const std::string& path, if_exists existing, claim held,
                       const std::function<void(output&)>& first) {
  if (path == "-") return to_fd(STDOUT_FILENO, "standard output");
  int flags = O_WRONLY | O_CREAT | O_CLOEXEC | O_NOCTTY;
  if (existing == if_exists::append) flags |= O_APPEND;
  const int fd = ::open(path.c_str(), flags, 0666);
  if (fd < 0) throw_errno(exit_code::cannot_create, "creating " + path);
  output out(fd, path, true);
  struct stat about {};
  if (::fstat(fd, &about) != 0 || !S_ISREG(about.st_mode)) return out;
  if (existing == if_exists::refuse && about.st_size > 0)
    throw error(
        exit_code::cannot_create,
        path + " exists and is not empty (--append adds to it, --overwrite replaces it)");
  if (held != claim::none) {
    const bool shared = existing == if_exists::append && held == claim::whole_run;
    place ours = claim_file(fd, path, shared);
    if (ours == place::first && existing == if_exists::append && first) first(out);
    // Between one lock and the other there is none: somebody else may have taken it.
    while (ours == place::first && shared && !try_lock(fd, LOCK_SH))
      ours = claim_file(fd, path, shared);
  }
  // Not by O_TRUNC: what another process is writing must still be there when it is refused.
  if (existing == if_exists::overwrite && ::ftruncate(fd, 0) != 0)
    throw_errno(exit_code::cannot_create, "emptying " + path);
  return out;
}

output::output(output&& other) noexcept
    : fd_(std::exchange(other.fd_, -1)),
      name_(std::move(other.name_)),
      owned_(std::exchange(other.owned_, false)),
      kind_(other.kind_) {}

output& output::operator=(output&& other) noexcept {
  std::swap(fd_, other.fd_);
  std::swap(name_, other.name_);
  std::swap(owned_, other.owned_);
  std::swap(kind_, other.kind_);
  return *this;
}

output::~output() {
  if (owned_) ::close(fd_);
}

void output::write(std::string_view bytes) {
  iovec piece{const_cast<char*>(bytes.data()), bytes.size()};
  write({&piece, 1});
}

void output::write(std::span<iovec> pieces) {
  while (!pieces.empty()) {
    if (pieces.front().iov_len == 0) {
      pieces = pieces.subspan(1);
      continue;
    }
    const auto count = static_cast<int>(std::min(pieces.size(), pieces_per_write));
    const ssize_t written = ::writev(fd_, pieces.data(), count);
    if (written < 0) {
      if (errno == EAGAIN)
        wait_writable();
      else if (errno != EINTR)
        fail(errno);
      continue;
    }
    auto left = static_cast<std::size_t>(written);
    while (left > 0) {
      iovec& piece = pieces.front();
      const std::size_t taken = std::min(left, piece.iov_len);
      piece.iov_base = static_cast<char*>(piece.iov_base) + taken;
      piece.iov_len -= taken;
      left -= taken;
      if (piece.iov_len == 0) pieces = pieces.subspan(1);
    }
  }
}

// Whoever shares our standard output may have made it non-blocking, at any time.
void output::wait_writable() const {
  pollfd wait{fd_, POLLOUT, 0};
  while (::poll(&wait, 1, -1) < 0)
    if (errno != EINTR) fail(errno);
}

bool output::can_write_now(std::size_t bytes) const {
  if (kind_ == kind::never_blocks) return true;
  if (kind_ != kind::pipe || bytes > PIPE_BUF) return false;
  pollfd now{fd_, POLLOUT, 0};
  return ::poll(&now, 1, 0) == 1 && (now.revents & POLLOUT) != 0;
}

void output::fail(int number) const {
  if (number == EPIPE) throw broken_pipe("writing " + name_ + ": nobody reads it any more");
  throw_errno(exit_code::io, "writing " + name_, number);
}

void end_last_line(output& file) {
  const int fd = ::open(file.name().c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return;  // it can only be written
  struct stat about {};
  char last = '\n';
  if (::fstat(fd, &about) == 0 && about.st_size > 0 &&
      ::pread(fd, &last, 1, about.st_size - 1) != 1)
    last = '\n';
  ::close(fd);
  if (last != '\n') file.write("\n");
}

bool is_same_file(const std::string& input, const std::string& output) {
  struct stat in {};
  struct stat out {};
  return look_at(input, STDIN_FILENO, in) && look_at(output, STDOUT_FILENO, out) &&
         S_ISREG(in.st_mode) && in.st_dev == out.st_dev && in.st_ino == out.st_ino;
}

}  // namespace weir::io
