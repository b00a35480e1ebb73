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

/// Where the next block ends in what is not taken yet; 0: not known yet.
std::size_t block_reader::cut() {
  const auto left = this->left();
  if (separator_.empty()) {  // each byte is a record
    const auto size = options_.records > 0 ? options_.records : options_.block;
    return left.size() < size ? 0 : size;
  }
  // Nothing is looked at twice, however long a record is.
  const auto not_yet = [&] {
    searched_ = left.size() - std::min(left.size(), separator_.size() - 1);
    return 0;
  };
  if (options_.records > 0) {
    for (; records_found_ < options_.records; ++records_found_) {
      // A start where the record begins does not end it.
      const auto from = records_end_ + (separator_end_ == 0 ? 1 : 0);
      const auto hit = left.find(separator_, std::max(from, searched_));
      if (hit == left.npos) return not_yet();
      records_end_ = hit + separator_end_;
    }
    return records_end_;
  }
  if (left.size() < options_.block) return 0;
  auto hit = left.npos;
  if (searched_ < options_.block)
    hit = left.rfind(separator_, options_.block - std::min(options_.block, separator_end_));
  if (hit == left.npos || hit + separator_end_ == 0)
    hit = left.find(separator_, std::max<std::size_t>(searched_, 1));
  return hit == left.npos ? not_yet() : hit + separator_end_;
}

bool block_reader::next(std::string& block) {
  for (;;) {
    auto end = cut();
    if (end == 0 && ended_) end = left().size();
    if (end > 0) {
      take(end, block);
      searched_ = records_end_ = records_found_ = 0;
      return true;
    }
    check_length();
    if (ended_ || !read_more()) return false;
  }
}

void block_reader::check_length() const {
  if (left().size() <= std::max(options_.longest, options_.block)) return;
  const auto bytes = std::to_string(left().size());
  if (options_.records > 0 && (records_found_ > 0 || separator_.empty()))
    throw error(exit_code::data, "standard input has less than " +
                                     std::to_string(options_.records) + " records in " + bytes +
                                     " bytes: use a smaller -N, or a larger --block");
  throw error(exit_code::data,
              "standard input has no end of a record in " + bytes +
                  " bytes: say what ends one with --recend, or '' for any byte, or use a "
                  "larger --block");
}

/// A block that fills half of the buffer gets it, so that most are never copied. A smaller one
/// gets memory of its size: thousands of them may be kept.
void block_reader::take(std::size_t size, std::string& block) {
  if (begin_ == 0 && size >= buffer_.capacity() / 2) {
    std::string rest(buffer_, size);
    buffer_.resize(size);
    block.swap(buffer_);
    buffer_ = std::move(rest);
  } else {
    block = std::string(buffer_, begin_, size);
    begin_ += size;
  }
}

std::string block_reader::first_line() {
  std::size_t newline = buffer_.npos;
  for (std::size_t looked_at = 0;
       (newline = buffer_.find('\n', looked_at)) == buffer_.npos && !ended_;) {
    check_length();
    looked_at = buffer_.size();
    if (!read_more()) return {};
  }
  if (newline == buffer_.npos) return std::exchange(buffer_, {});
  begin_ = newline + 1;
  return buffer_.substr(0, begin_);
}

bool block_reader::read_more() {
  if (wake_fd_ >= 0) {
    pollfd either[] = {{fd_, POLLIN, 0}, {wake_fd_, POLLIN, 0}};
    while (::poll(either, 2, -1) < 0 && errno == EINTR) {
    }
    if (either[1].revents != 0) return false;
  }
  // Only now is the rest moved to the front: once for all blocks that were in the buffer.
  buffer_.erase(0, std::exchange(begin_, 0));
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
