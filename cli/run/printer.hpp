// Standard output and standard error, as the tasks' output appears there.
#pragma once

#include "io/output.hpp"
#include "spool.hpp"

#include <functional>
#include <mutex>
#include <string>
#include <string_view>

namespace weir::cli::run {

enum class stream : std::uint8_t { out, err };

/// Writes the output of tasks so that what belongs together stays together.
///
/// Threads    Any. Members block while whoever reads the output is slow.
/// Errors     As io::output: broken_pipe when the reader has gone.
class printer {
 public:
  /// `aside` calls what it is given, which writes to standard error or to a terminal, `last` as
  /// the last byte: a status line may be in the way.
  using write_aside = std::function<void(char last, const std::function<void()>& write)>;
  explicit printer(write_aside aside);

  /// All that is left of a task: its output, then its errors. `tag` goes before each line.
  void task(const kept_output& out, const kept_output& err, std::string_view tag);
  /// The whole lines in what a running task has said; they are taken out of `said`.
  void lines(stream which, kept_output& said, std::string_view tag);
  void flush();

 private:
  void print(stream which, const kept_output& said, std::string_view tag);
  void put(stream which, std::string_view bytes);
  void write_out(std::string_view bytes);
  void flush_locked();

  std::mutex mutex_;
  write_aside aside_;
  const bool on_terminal_;  // out_
  io::output out_;
  io::output err_;
  std::string pending_;  // for out_
};

}  // namespace weir::cli::run
