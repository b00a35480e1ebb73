#include "block_reader.hpp"

#include <weir/error.hpp>

#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

namespace weir::cli::run {
namespace {

/// At most what a pipe holds unless somebody has made it longer than anybody may.
constexpr std::size_t chunk_bytes = std::size_t{1} << 20;
/// A larger block gets its memory as it grows: it may never get so large.
constexpr std::size_t most_reserved = std::size_t{16} << 20;

}  // namespace

block_reader::block_reader(int fd, int wake_fd, block_options options)
    : fd_(fd),
      wake_fd_(wake_fd),
      options_(std::move(options)),
      separator_(options_.record_end + options_.record_start),
      separator_end_(options_.record_end.size()),
      chunk_(new char[chunk_bytes]) {
  options_.block = std::max<std::size_t>(options_.block, 1);
}

/// Where the next block ends in the buffer; 0: not known yet.
std::size_t block_reader::cut() {
  if (separator_.empty()) return buffer_.size() < options_.block ? 0 : options_.block;
  // Nothing is looked at twice, however long a record is.
  const auto not_yet = [this] {
    searched_ = buffer_.size() - std::min(buffer_.size(), separator_.size() - 1);
    return 0;
  };
  if (options_.records > 0) {
    for (; records_found_ < options_.records; ++records_found_) {
      // A start where the record begins does not end it.
      const auto from = records_end_ + (separator_end_ == 0 ? 1 : 0);
      const auto hit = buffer_.find(separator_, std::max(from, searched_));
      if (hit == buffer_.npos) return not_yet();
      records_end_ = hit + separator_end_;
    }
    return records_end_;
  }
  if (buffer_.size() < options_.block) return 0;
  auto hit = buffer_.npos;
  if (searched_ < options_.block)
    hit = buffer_.rfind(separator_, options_.block - std::min(options_.block, separator_end_));
  if (hit == buffer_.npos || hit + separator_end_ == 0)
    hit = buffer_.find(separator_, std::max<std::size_t>(searched_, 1));
  return hit == buffer_.npos ? not_yet() : hit + separator_end_;
}

bool block_reader::next(std::string& block) {
  for (;;) {
    auto end = cut();
    if (end == 0 && ended_) end = buffer_.size();
    if (end > 0) {
      // The rest is short, or is cut again from where it is: either way this copies little.
      std::string rest(buffer_, end);
      buffer_.resize(end);
      block.swap(buffer_);
      buffer_ = std::move(rest);
      searched_ = records_end_ = records_found_ = 0;
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
  // No more than the block, so that little is left over, unless it has got longer than that.
  const auto have = buffer_.size();
  const auto room =
      options_.block > have ? std::min(options_.block - have, chunk_bytes) : chunk_bytes;
  ssize_t n = 0;
  do n = ::read(fd_, chunk_.get(), room);
  while (n < 0 && errno == EINTR);
  if (n < 0)
    throw error(exit_code::io, std::string("reading standard input: ") + std::strerror(errno));
  buffer_.reserve(std::min(options_.block, most_reserved));
  buffer_.append(chunk_.get(), static_cast<std::size_t>(n));
  ended_ = n == 0;
  return true;
}

}  // namespace weir::cli::run
