// A temporary file without a name, which disappears with the process however it ends.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace weir::io {

/// Created by the first write.
///
/// Errors     weir::error io: names the directory, and says that TMPDIR can name another.
class spill_file {
 public:
  /// `directory` may be empty: $TMPDIR, or /tmp.
  explicit spill_file(std::string directory);
  ~spill_file();
  spill_file(const spill_file&) = delete;
  spill_file& operator=(const spill_file&) = delete;

  /// Appends, and returns where.
  std::uint64_t append(std::string_view bytes);
  /// Fills `to`, all of it.
  void read(std::uint64_t offset, char* to, std::size_t bytes);
  /// Gives the space of these bytes back, as far as the file system can; they are not read
  /// again.
  void discard(std::uint64_t offset, std::uint64_t bytes);
  /// Gives all space back; the next append is at 0 again.
  void clear();
  [[nodiscard]] std::uint64_t size() const { return size_; }

 private:
  void open();
  [[noreturn]] void fail(const std::string& doing, int number) const;

  std::string directory_;
  int fd_ = -1;
  std::uint64_t size_ = 0;
};

}  // namespace weir::io
