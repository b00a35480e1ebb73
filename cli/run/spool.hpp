// The output of commands until it can be printed: of any size, in bounded memory.
#pragma once

#include "io/spill_file.hpp"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace weir::cli::run {

/// Room for output, shared by all tasks: some memory, and one file without a name beyond it,
/// which disappears with the process however that ends.
///
/// Threads    Any.
/// Errors     weir::error io when the file cannot be made or written, see io::spill_file.
class spool {
 public:
  /// Of finished tasks, `memory` bytes at most wait in memory.
  explicit spool(std::size_t memory = std::size_t{16} * 1024 * 1024)
      : memory_(memory), file_({}) {}

 private:
  friend class kept_output;
  struct extent {
    std::uint64_t offset = 0;
    std::uint64_t length = 0;
  };

  [[nodiscard]] bool reserve(std::size_t bytes);
  void unreserve(std::size_t bytes);
  [[nodiscard]] extent put(std::string_view bytes);
  void read(std::uint64_t offset, char* to, std::size_t bytes);
  void release(const extent& which);

  const std::size_t memory_;
  std::mutex mutex_;  // over everything below
  std::size_t reserved_ = 0;
  io::spill_file file_;
  std::uint64_t in_file_ = 0;
};

/// What one stream of one task has said so far.
///
///   kept_output out(shared);
///   while (read_some(fd, out.buffer())) out.settle();
///   out.finish();                                    // nothing more will come
///   out.for_each_piece([](std::string_view bytes) { print(bytes); });
///
/// Threads    One at a time.
/// Ownership  Holds its part of the spool, which has to outlive it.
class kept_output {
 public:
  explicit kept_output(spool& in) : spool_(&in) {}
  kept_output(kept_output&& other) noexcept;
  kept_output& operator=(kept_output&& other) noexcept;
  ~kept_output() { clear(); }

  /// To append to; call settle() afterwards.
  [[nodiscard]] std::string& buffer() { return tail_; }
  /// Moves what is too much for memory to the file.
  void settle();
  void append(std::string_view bytes) {
    tail_.append(bytes);
    settle();
  }
  void finish();
  void clear();

  [[nodiscard]] std::uint64_t size() const { return in_file_ + tail_.size(); }
  [[nodiscard]] bool empty() const { return size() == 0; }
  void for_each_piece(const std::function<void(std::string_view)>& take) const;

 private:
  void to_file();

  spool* spool_;
  std::vector<spool::extent> extents_;
  std::uint64_t in_file_ = 0;
  std::string tail_;
  std::size_t reserved_ = 0;
};

}  // namespace weir::cli::run
