// Reads tasks from files and pipes, in bounded memory.
#pragma once

#include "io/record_format.hpp"
#include "proto/limits.hpp"
#include "proto/pack.hpp"

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace weir::io {

/// Cuts a list of inputs into records, one after the other, as fast as they come.
///
///   record_reader reader({"-"}, {framing::lines}, stop_fd);
///   proto::pack_builder tasks;
///   for (;;) {
///     const fill got = reader.read_into(tasks, 4096, proto::limits::batch_bytes);
///     dispatch(tasks.take());                                      // may be empty
///     if (got == fill::oversize) fail_next_task(reader.refused());  // comes right after those
///     if (got == fill::end || got == fill::woken) break;
///   }
///
/// A record never spans two inputs: what follows the last delimiter of a file is a record too.
/// A block is handed out when it is full or its input ends, so the same input is always cut at
/// the same places; every other record as soon as its end has been read.
///
/// Memory     The read buffer, 256 KiB, or the longest record that came by.
/// Threads    One at a time. It blocks, so it has a thread of its own.
/// Errors     weir::error: no_input (cannot be opened, a directory), io (reading failed), data
///            (not MessagePack bin or str). What was read before is handed out first.
class record_reader {
 public:
  enum class fill : std::uint8_t {
    some,      ///< at least one record was added
    oversize,  ///< after the records added, if any, comes one that is too long: see refused()
    woken,     ///< wake_fd was readable when the reader would have had to read on; call again
               ///< to go on
    end,       ///< nothing was added, and there is nothing more
  };

  /// A record longer than the limit. It was skipped, not kept.
  struct refused_record {
    std::uint64_t number = 0;  ///< its place among all records, from 1, over all inputs
    std::uint64_t bytes = 0;   ///< its length
    std::string input;         ///< the file it is in
  };

  /// `inputs`: paths, "-" is standard input, none is standard input too. Files are looked at
  /// here, so that the last of many is not found missing after hours, and opened when their
  /// turn comes. `wake_fd`, if not -1, interrupts a blocked read_into() for as long as it is
  /// readable; the reader never reads from it.
  record_reader(std::vector<std::string> inputs, record_format format, int wake_fd = -1,
                std::size_t max_record = proto::limits::payload_bytes);
  ~record_reader();
  record_reader(const record_reader&) = delete;
  record_reader& operator=(const record_reader&) = delete;

  /// Adds to `out` what is complete now, at most `max_records` and at most `max_bytes` of
  /// payload, though always one; blocks only while that is nothing. Never waits to fill a
  /// batch: a line that arrives on a slow pipe is handed out at once.
  [[nodiscard]] fill read_into(proto::pack_builder& out, std::uint32_t max_records,
                               std::size_t max_bytes);

  /// After fill::oversize.
  [[nodiscard]] const refused_record& refused() const { return refused_; }

  [[nodiscard]] std::uint64_t records() const { return records_; }  ///< refused ones included
  [[nodiscard]] std::uint64_t bytes() const { return bytes_; }      ///< read from the inputs

 private:
  enum class cut : std::uint8_t { full, need_more, too_long };
  struct batch {
    proto::pack_builder& out;
    std::uint32_t records_left;
    std::size_t bytes_left;
    bool empty = true;
  };

  cut cut_delimited(batch& to);
  cut cut_blocks(batch& to);
  cut cut_fixed(batch& to);
  cut cut_msgpack(batch& to);
  cut cut_records(batch& to);
  [[nodiscard]] bool add(batch& to, std::size_t length, std::size_t consumed);
  cut skip_rest();
  cut refuse(std::uint64_t length);
  [[noreturn]] void not_a_record(unsigned char type) const;

  void open_next();
  void close_input();
  [[nodiscard]] bool wait_readable();  // false: woken
  void read_more();
  void make_room();

  [[nodiscard]] std::string_view unread() const {
    return {buffer_.get() + begin_, end_ - begin_};
  }
  [[nodiscard]] std::uint64_t offset() const { return input_bytes_ - (end_ - begin_); }

  std::vector<std::string> inputs_;
  record_format format_;
  int wake_fd_;
  std::size_t max_record_;

  std::size_t next_input_ = 0;
  int fd_ = -1;
  std::string name_;      // of the open input, for messages
  bool regular_ = false;  // always readable: no poll needed unless there is a wake_fd_
  bool at_end_ = false;   // the open input has ended; the buffer holds the rest

  std::unique_ptr<char[]> buffer_;
  std::size_t capacity_ = 0;
  std::size_t begin_ = 0, end_ = 0;
  std::size_t scanned_ = 0;  // bytes after begin_ known to hold no delimiter

  bool skipping_ = false;          // in the middle of a record that is too long
  std::uint64_t skipped_ = 0;      // how much of it has been dropped
  std::uint64_t skip_length_ = 0;  // msgpack: how much of it is still to come

  refused_record refused_;
  std::uint64_t records_ = 0, bytes_ = 0;
  std::uint64_t input_bytes_ = 0;  // read from the open input
};

using fill = record_reader::fill;

}  // namespace weir::io
