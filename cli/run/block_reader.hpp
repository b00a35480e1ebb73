// --pipe: input cut into blocks of whole records.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

namespace weir::cli::run {

struct block_options {
  std::size_t block = std::size_t{1} << 20;  ///< about so many bytes
  std::string record_end = "\n";             ///< may be empty
  std::string record_start;                  ///< may be empty; with both, they meet
  std::uint64_t records = 0;                 ///< in a block; 0: as many as fit
  /// Bytes of the longest block, unless `block` is more: input that no record ends must not
  /// take all memory.
  std::size_t longest = std::size_t{1} << 30;
};

/// Reads a descriptor block by block. A record that is longer than a block is a block by
/// itself. What follows the last record's end is one more. A block has no more than twice the
/// memory that it needs.
///
///   block_reader blocks(STDIN_FILENO, stop_fd, {});
///   for (std::string block; blocks.next(block);) submit(block);
///
/// Errors     weir::error io; `data` for a block that would be longer than the longest.
class block_reader {
 public:
  /// next() says false when `wake_fd` is readable, unless it is -1.
  block_reader(int fd, int wake_fd, block_options options);
  [[nodiscard]] bool next(std::string& block);
  /// Takes a line with its newline off the front, for --header; before the first next().
  [[nodiscard]] std::string first_line();

 private:
  [[nodiscard]] std::string_view left() const {
    return std::string_view(buffer_).substr(begin_);
  }
  [[nodiscard]] std::size_t cut();
  void take(std::size_t size, std::string& block);
  [[nodiscard]] bool read_more();
  void check_length() const;

  int fd_;
  int wake_fd_;
  block_options options_;
  std::string separator_;
  std::size_t separator_end_ = 0;  // how much of it belongs to the record before
  std::string buffer_;
  std::size_t begin_ = 0;          // what is before it in buffer_ was handed out
  std::unique_ptr<char[]> chunk_;  // read into: a string would be filled with zeros first
  // How far the search for the end of the block has come, from begin_:
  std::size_t searched_ = 0;
  std::size_t records_end_ = 0;
  std::uint64_t records_found_ = 0;
  bool ended_ = false;
};

}  // namespace weir::cli::run
