#include "io/record_reader.hpp"

#include "io/system_error.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstring>
#include <utility>

namespace weir::io {

namespace {

constexpr std::size_t read_bytes = 256 * 1024;
/// With less room than this, make more rather than ask for a few bytes.
constexpr std::size_t least_read = 64 * 1024;
/// A buffer that a long record has made larger than this is given back when it is empty.
constexpr std::size_t keep_bytes = 1024 * 1024;

/// Where `delimiter` is, after `from` bytes that hold none; but it may begin in those.
const char* find_delimiter(const char* start, std::size_t size, std::size_t from,
                           std::string_view delimiter) {
  if (delimiter.size() == 1)
    return static_cast<const char*>(std::memchr(start + from, delimiter[0], size - from));
  from -= std::min(from, delimiter.size() - 1);
  const auto at = std::string_view(start, size).find(delimiter, from);
  return at == std::string_view::npos ? nullptr : start + at;
}

bool is_stdin(const std::string& input) { return input == "-"; }

void check_input(const std::string& path) {
  struct stat about {};
  if (::stat(path.c_str(), &about) != 0) throw_errno(exit_code::no_input, "opening " + path);
  if (S_ISDIR(about.st_mode))
    throw_errno(exit_code::no_input, "reading tasks from " + path, EISDIR);
  if (::access(path.c_str(), R_OK) != 0) throw_errno(exit_code::no_input, "opening " + path);
}

}  // namespace

record_reader::record_reader(std::vector<std::string> inputs, record_format format, int wake_fd,
                             std::size_t max_record)
    : inputs_(std::move(inputs)), format_(format), wake_fd_(wake_fd), max_record_(max_record) {
  if (inputs_.empty()) inputs_.emplace_back("-");
  const bool sized = format_.how == framing::block || format_.how == framing::fixed;
  if (sized && (format_.size == 0 || format_.size > max_record_))
    throw error(exit_code::usage, "a task's size must be between 1 and " +
                                      std::to_string(max_record_) + " bytes, not " +
                                      std::to_string(format_.size));
  if (format_.how == framing::lines || format_.how == framing::block) format_.delimiter = '\n';
  if (format_.how == framing::nul) format_.delimiter = '\0';
  if (format_.how == framing::delimited && format_.delimiter.empty())
    throw error(exit_code::usage, "what separates tasks cannot be empty");
  for (const auto& input : inputs_)
    if (!is_stdin(input)) check_input(input);
}

record_reader::~record_reader() { close_input(); }

fill record_reader::read_into(proto::pack_builder& out, std::uint32_t max_records,
                              std::size_t max_bytes) {
  batch to{out, std::max(max_records, 1U), max_bytes};
  if (const std::size_t waiting = unread().size(); waiting >= 4096) {
    // As many as there would be if they were as long as those before. Without this, every
    // batch would grow its memory from nothing.
    const std::uint64_t guess =
        records_ == 0 ? 0 : waiting * records_ / std::max(bytes_, records_);
    out.reserve(out.size() + std::min<std::uint64_t>(guess + 16, to.records_left),
                out.bytes() + std::min(waiting, max_bytes));
  }
  for (;;) {
    switch (cut_records(to)) {
      case cut::full:
        return fill::some;
      case cut::too_long:
        return fill::oversize;
      case cut::need_more:
        break;
    }
    if (!to.empty) return fill::some;
    if (fd_ < 0) {
      if (next_input_ == inputs_.size()) return fill::end;
      open_next();
    } else if (at_end_) {
      close_input();
    } else if (wait_readable()) {
      read_more();
    } else {
      return fill::woken;
    }
  }
}

record_reader::cut record_reader::cut_records(batch& to) {
  if (skipping_) return skip_rest();
  switch (format_.how) {
    case framing::lines:
    case framing::nul:
    case framing::delimited:
      return cut_delimited(to);
    case framing::msgpack:
      return cut_msgpack(to);
    case framing::block:
      return cut_blocks(to);
    case framing::fixed:
      return cut_fixed(to);
  }
  return cut::need_more;
}

// Hands out the next `length` bytes and passes over `consumed`. False: the batch is full.
inline bool record_reader::add(batch& to, std::size_t length, std::size_t consumed) {
  if (to.records_left == 0 || (length > to.bytes_left && !to.empty)) return false;
  to.out.add({buffer_.get() + begin_, length});
  to.empty = false;
  --to.records_left;
  to.bytes_left -= std::min(length, to.bytes_left);
  begin_ += consumed;
  scanned_ = 0;
  ++records_;
  return true;
}

record_reader::cut record_reader::cut_delimited(batch& to) {
  const std::string_view delimiter = format_.delimiter;
  for (;;) {
    const char* const start = buffer_.get() + begin_;
    const std::size_t size = end_ - begin_;
    if (size == 0) return cut::need_more;
    if (to.records_left == 0) return cut::full;
    const char* const hit = find_delimiter(start, size, scanned_, delimiter);
    std::size_t length = size;
    std::size_t consumed = size;
    if (hit != nullptr) {
      length = static_cast<std::size_t>(hit - start);
      consumed = length + delimiter.size();
    } else if (!at_end_) {
      scanned_ = size;
      if (size > max_record_) return skip_rest();
      return cut::need_more;
    }
    if (length > max_record_) {
      begin_ += consumed;
      return refuse(length);
    }
    if (!add(to, length, consumed)) return cut::full;
  }
}

record_reader::cut record_reader::cut_blocks(batch& to) {
  for (;;) {
    const std::string_view rest = unread();
    if (rest.empty()) return cut::need_more;
    std::size_t length = rest.size();
    if (rest.size() >= format_.size) {
      std::size_t newline =
          scanned_ < format_.size ? rest.rfind('\n', format_.size - 1) : std::string_view::npos;
      // A line longer than a block is a block of its own.
      if (newline == std::string_view::npos)
        newline = rest.find('\n', std::max(scanned_, format_.size));
      if (newline != std::string_view::npos) {
        length = newline + 1;
      } else if (!at_end_) {
        scanned_ = rest.size();
        if (rest.size() > max_record_) return skip_rest();
        return cut::need_more;
      }
    } else if (!at_end_) {
      return cut::need_more;
    }
    if (length > max_record_) {
      begin_ += length;
      return refuse(length);
    }
    if (!add(to, length, length)) return cut::full;
  }
}

record_reader::cut record_reader::cut_fixed(batch& to) {
  for (;;) {
    const std::size_t size = end_ - begin_;
    if (size == 0 || (size < format_.size && !at_end_)) return cut::need_more;
    const std::size_t length = std::min(size, format_.size);
    if (!add(to, length, length)) return cut::full;
  }
}

record_reader::cut record_reader::cut_msgpack(batch& to) {
  for (;;) {
    const std::string_view rest = unread();
    if (rest.empty()) return cut::need_more;
    const auto type = static_cast<unsigned char>(rest[0]);
    std::size_t header = 1;
    std::size_t length = type & 0x1fU;
    if ((type & 0xe0U) != 0xa0) {
      switch (type) {
        case 0xc4:
        case 0xd9:
          header = 2;
          break;
        case 0xc5:
        case 0xda:
          header = 3;
          break;
        case 0xc6:
        case 0xdb:
          header = 5;
          break;
        default:
          if (!to.empty) return cut::full;
          not_a_record(type);
      }
      length = 0;
      for (std::size_t i = 1; i < std::min(header, rest.size()); ++i)
        length = length << 8 | static_cast<unsigned char>(rest[i]);
    }
    if (rest.size() >= header && length > max_record_) {
      begin_ += header;
      skip_length_ = length;
      return skip_rest();
    }
    if (rest.size() < header || rest.size() - header < length) {
      if (!at_end_) return cut::need_more;
      if (!to.empty) return cut::full;
      throw error(exit_code::data, name_ + " ends in the middle of the record at byte " +
                                       std::to_string(offset()));
    }
    if (to.records_left == 0 || (length > to.bytes_left && !to.empty)) return cut::full;
    begin_ += header;
    if (!add(to, length, length)) return cut::full;
  }
}

void record_reader::not_a_record(unsigned char type) const {
  std::array<char, 8> hex{};
  std::snprintf(hex.data(), hex.size(), "0x%02x", type);
  throw error(exit_code::data, name_ + ": byte " + std::to_string(offset()) + ", " +
                                   hex.data() +
                                   ", does not begin a MessagePack bin or str, and a task "
                                   "must be one (is it another --format?)");
}

// Drops what is left of a record that is too long, as far as it has been read.
record_reader::cut record_reader::skip_rest() {
  skipping_ = true;
  const std::string_view rest = unread();
  if (format_.how == framing::msgpack) {
    const auto drop =
        static_cast<std::size_t>(std::min<std::uint64_t>(rest.size(), skip_length_));
    begin_ += drop;
    skipped_ += drop;
    skip_length_ -= drop;
    if (skip_length_ > 0 && at_end_)
      throw error(exit_code::data, name_ + " ends in the middle of a record of " +
                                       std::to_string(skipped_ + skip_length_) + " bytes");
    return skip_length_ > 0 ? cut::need_more : refuse(skipped_);
  }
  const std::string_view delimiter = format_.delimiter;
  const char* const hit = find_delimiter(rest.data(), rest.size(), scanned_, delimiter);
  scanned_ = 0;
  if (hit == nullptr) {
    // The last bytes may be the beginning of a delimiter.
    const std::size_t keep = at_end_ ? 0 : std::min(rest.size(), delimiter.size() - 1);
    begin_ = end_ - keep;
    skipped_ += rest.size() - keep;
    return at_end_ ? refuse(skipped_) : cut::need_more;
  }
  const auto length = static_cast<std::size_t>(hit - rest.data());
  begin_ += length + delimiter.size();
  return refuse(skipped_ + length + (format_.how == framing::block ? 1 : 0));
}

record_reader::cut record_reader::refuse(std::uint64_t length) {
  skipping_ = false;
  skipped_ = 0;
  scanned_ = 0;
  refused_ = {++records_, length, name_};
  return cut::too_long;
}

void record_reader::open_next() {
  const std::string& input = inputs_[next_input_++];
  at_end_ = false;
  input_bytes_ = 0;
  if (is_stdin(input)) {
    fd_ = STDIN_FILENO;
    name_ = "standard input";
  } else {
    // Non-blocking: otherwise opening a FIFO would wait for its writer, deaf to wake_fd_.
    fd_ = ::open(input.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd_ < 0) throw_errno(exit_code::no_input, "opening " + input);
    name_ = input;
  }
  struct stat about {};
  if (::fstat(fd_, &about) != 0) throw_errno(exit_code::no_input, "reading " + name_);
  if (S_ISDIR(about.st_mode))
    throw_errno(exit_code::no_input, "reading tasks from " + name_, EISDIR);
  regular_ = S_ISREG(about.st_mode);
#ifdef POSIX_FADV_SEQUENTIAL
  if (regular_) ::posix_fadvise(fd_, 0, 0, POSIX_FADV_SEQUENTIAL);
#endif
}

void record_reader::close_input() {
  if (fd_ > STDIN_FILENO) ::close(fd_);
  fd_ = -1;
}

bool record_reader::wait_readable() {
  if (regular_ && wake_fd_ < 0) return true;
  std::array<pollfd, 2> fds{{{fd_, POLLIN, 0}, {wake_fd_, POLLIN, 0}}};
  while (::poll(fds.data(), fds.size(), -1) < 0)
    if (errno != EINTR) throw_errno(exit_code::io, "waiting for " + name_);
  return fds[1].revents == 0;
}

void record_reader::read_more() {
  make_room();
  const ssize_t got = ::read(fd_, buffer_.get() + end_, std::min(capacity_ - end_, read_bytes));
  if (got < 0) {
    if (errno == EINTR || errno == EAGAIN) return;
    throw_errno(exit_code::io, "reading " + name_);
  }
  at_end_ = got == 0;
  end_ += static_cast<std::size_t>(got);
  bytes_ += static_cast<std::uint64_t>(got);
  input_bytes_ += static_cast<std::uint64_t>(got);
}

void record_reader::make_room() {
  const std::size_t size = end_ - begin_;
  if (size == 0 && capacity_ > keep_bytes) capacity_ = 0;
  if (capacity_ - size < least_read || capacity_ == 0) {
    // A record is never kept beyond max_record_, and its msgpack header is 5 bytes.
    const std::size_t most = max_record_ + 5 + read_bytes;
    const std::size_t grown = std::min(std::max(capacity_ * 2, read_bytes), most);
    auto larger = std::make_unique_for_overwrite<char[]>(grown);
    if (size > 0) std::memcpy(larger.get(), buffer_.get() + begin_, size);
    buffer_ = std::move(larger);
    capacity_ = grown;
  } else if (begin_ > 0 && size > 0) {
    std::memmove(buffer_.get(), buffer_.get() + begin_, size);
  }
  begin_ = 0;
  end_ = size;
}

}  // namespace weir::io
