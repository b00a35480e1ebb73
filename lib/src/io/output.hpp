// Where results go: a file, a pipe, standard output.
#pragma once

#include <weir/error.hpp>

#include <sys/uio.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>

namespace weir::io {

/// What to do with a file that exists and is not empty.
enum class if_exists : std::uint8_t { refuse, append, overwrite };

/// Whether others may have the file open meanwhile.
enum class claim : std::uint8_t {
  none,
  whole_run,  ///< it is not touched if another process has claimed it; some may append together
  alone,      ///< nobody appends together with us, either
};

/// Whoever read our output has gone. Its code() is 141, as a shell reports SIGPIPE, so that
/// `weir-sink | head` ends as other filters do; it is no error worth a message.
class broken_pipe : public error {
 public:
  explicit broken_pipe(const std::string& what);
};

/// A file descriptor that is written to whole, however little it takes at a time.
///
///   output out = output::to_file("results.txt", if_exists::refuse);   // "-": standard output
///   out.write("hello\n");
///
/// Threads    One at a time. write() blocks until all is written; see can_write_now().
/// Errors     to_file: cannot_create, saying which option helps; in_use, if another one has
///            claimed it. write: broken_pipe, or io with the path and the reason. How much was
///            written before a failure is unknown.
class output {
 public:
  /// `-` is standard output. What is not a regular file (a FIFO, /dev/null) is written to
  /// whatever `existing` says. `first` is done to a file that is claimed and appended to,
  /// unless others append to it already.
  [[nodiscard]] static output to_file(const std::string& path, if_exists existing,
                                      claim held = claim::none,
                                      const std::function<void(output&)>& first = {});
  /// Borrows `fd`; `name` is for messages.
  [[nodiscard]] static output to_fd(int fd, std::string name);
  ~output();
  output(output&& other) noexcept;
  output& operator=(output&& other) noexcept;

  void write(std::string_view bytes);
  /// All of them, one after the other; any number. The array is used up.
  void write(std::span<iovec> pieces);

  /// Whether `bytes` can be written right now without waiting for a reader: always to a regular
  /// file or /dev/null, and to a pipe that has room, if they are few (PIPE_BUF, 4096 on Linux).
  /// Otherwise no, even if it might work. If other processes write to the same pipe, they may
  /// take the room first.
  [[nodiscard]] bool can_write_now(std::size_t bytes) const;

  [[nodiscard]] const std::string& name() const { return name_; }
  [[nodiscard]] int fd() const { return fd_; }

 private:
  enum class kind : std::uint8_t { never_blocks, pipe, other };
  output(int fd, std::string name, bool owned);
  void wait_writable() const;
  [[noreturn]] void fail(int number) const;

  int fd_ = -1;
  std::string name_;
  bool owned_ = false;
  kind kind_ = kind::other;
};

/// Ends a last line that has no end, so that what is appended is a line of its own. As `first`.
void end_last_line(output& file);

/// Whether these two are one regular file, by whatever name: what is written to it destroys
/// what is read, or is read again without end. "-" is standard input, and standard output.
[[nodiscard]] bool is_same_file(const std::string& input, const std::string& output);

}  // namespace weir::io
