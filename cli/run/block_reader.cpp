#include "block_reader.hpp"

#include <weir/error.hpp>

#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

namespace weir::cli::run {

block_reader::block_reader(int fd, int wake_fd, block_options options)
    : fd_(fd),
      wake_fd_(wake_fd),
      options_(std::move(options)),
      separator_(options_.record_end + options_.record_start),
      separator_end_(options_.record_end.size()) {
  options_.block = std::max<std::size_t>(options_.block, 1);
}

/// Where the next block ends in the buffer; 0: not known yet.
std::size_t block_reader::cut() const {
  if (separator_.empty()) return buffer_.size() < options_.block ? 0 : options_.block;
  if (options_.records > 0) {
    std::size_t at = 0;
    // A start at the very beginning ends nothing.
    for (std::uint64_t n = 0; n < options_.records; ++n) {
      const auto from = at == 0 && separator_end_ == 0 ? 1 : at;
      const auto hit = buffer_.find(separator_, from);
      if (hit == buffer_.npos) return 0;
      at = hit + separator_end_;
    }
    return at;
  }
  if (buffer_.size() < options_.block) return 0;
  auto hit =
      buffer_.rfind(separator_, options_.block - std::min(options_.block, separator_end_));
  if (hit == buffer_.npos || hit + separator_end_ == 0) hit = buffer_.find(separator_, 1);
  return hit == buffer_.npos ? 0 : hit + separator_end_;
}

bool block_reader::next(std::string& block) {
  for (;;) {
    const auto end = ended_ && cut() == 0 ? buffer_.size() : cut();
    if (end > 0) {
      // The rest is short, or is cut again from where it is: either way this copies little.
      std::string rest(buffer_, end);
      buffer_.resize(end);
      block.swap(buffer_);
      buffer_ = std::move(rest);
      return true;
    }
    if (ended_ || !read_more()) return false;
  }
}

std::string block_reader::first_line() {
  std::size_t newline = buffer_.npos;
  while ((newline = buffer_.find('\n')) == buffer_.npos && !ended_)
    if (!read_more()) return {};
  if (newline == buffer_.npos) return std::exchange(buffer_, {});
  std::string line(buffer_, 0, newline + 1);
  buffer_.erase(0, newline + 1);
  return line;
}

bool block_reader::read_more() {
  if (wake_fd_ >= 0) {
    pollfd either[] = {{fd_, POLLIN, 0}, {wake_fd_, POLLIN, 0}};
    while (::poll(either, 2, -1) < 0 && errno == EINTR) {
    }
    if (either[1].revents != 0) return false;
  }
  // A whole block at a time, if the input has it.
  const auto before = buffer_.size();
  const auto room = std::max<std::size_t>(options_.block > before ? options_.block - before : 0,
                                          std::size_t{64} * 1024);
  buffer_.resize(before + room);
  ssize_t n = 0;
  do n = ::read(fd_, buffer_.data() + before, room);
  while (n < 0 && errno == EINTR);
  const int why = errno;
  buffer_.resize(before + static_cast<std::size_t>(std::max<ssize_t>(n, 0)));
  if (n < 0)
    throw error(exit_code::io, std::string("reading standard input: ") + std::strerror(why));
  ended_ = n == 0;
  return true;
}

}  // namespace weir::cli::run
