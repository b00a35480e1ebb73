#include "io/spill_file.hpp"

#include "io/system_error.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <cstdlib>
#include <utility>

namespace weir::io {

spill_file::spill_file(std::string directory) : directory_(std::move(directory)) {
  if (!directory_.empty()) return;
  const char* const tmpdir = std::getenv("TMPDIR");
  directory_ = tmpdir != nullptr && *tmpdir != '\0' ? tmpdir : "/tmp";
}

spill_file::~spill_file() {
  if (fd_ >= 0) ::close(fd_);
}

void spill_file::open() {
#ifdef O_TMPFILE
  fd_ = ::open(directory_.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
  if (fd_ >= 0) return;
#endif
  // Not every file system can do without a name (overlayfs before Linux 6.1, NFS).
  std::string name = directory_ + "/weir-XXXXXX";
  fd_ = ::mkostemp(name.data(), O_CLOEXEC);
  if (fd_ < 0) fail("creating", errno);
  ::unlink(name.c_str());
}

std::uint64_t spill_file::append(std::string_view bytes) {
  if (fd_ < 0) open();
  const std::uint64_t at = size_;
  while (!bytes.empty()) {
    const ssize_t written =
        ::pwrite(fd_, bytes.data(), bytes.size(), static_cast<off_t>(size_));
    if (written < 0) {
      if (errno == EINTR) continue;
      fail("writing", errno);
    }
    size_ += static_cast<std::uint64_t>(written);
    bytes.remove_prefix(static_cast<std::size_t>(written));
  }
  return at;
}

void spill_file::read(std::uint64_t offset, char* to, std::size_t bytes) {
  while (bytes > 0) {
    const ssize_t got = ::pread(fd_, to, bytes, static_cast<off_t>(offset));
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) fail("reading", got < 0 ? errno : EIO);
    to += got;
    offset += static_cast<std::uint64_t>(got);
    bytes -= static_cast<std::size_t>(got);
  }
}

void spill_file::discard(std::uint64_t offset, std::uint64_t bytes) {
#ifdef FALLOC_FL_PUNCH_HOLE
  // Where that is not possible, clear() does it in the end.
  if (fd_ >= 0)
    (void)::fallocate(fd_, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                      static_cast<off_t>(offset), static_cast<off_t>(bytes));
#endif
}

void spill_file::clear() {
  if (fd_ >= 0 && ::ftruncate(fd_, 0) != 0) fail("emptying", errno);
  size_ = 0;
}

void spill_file::fail(const std::string& doing, int number) const {
  const char* const advice =
      number == ENOSPC || number == EDQUOT
          ? "results that wait to be written do not fit there; "
            "set TMPDIR to a directory with more room"
          : "it holds results that wait to be written; TMPDIR can name another directory";
  throw_errno(exit_code::io, doing + " a temporary file in " + directory_ + " (" + advice + ")",
              number);
}

}  // namespace weir::io
