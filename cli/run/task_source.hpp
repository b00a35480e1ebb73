// The tasks of `weir run`, one after the other.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace weir::cli::run {

/// The columns of one task: {1} {2} ... in order. {} is all of them.
struct arguments {
  std::vector<std::string> values;
  [[nodiscard]] bool operator==(const arguments&) const = default;
};

/// Tasks as they come from files, pipes and the command line, combined.
///
///   arguments task;  // reused, so that a task costs no allocation
///   while (source->next(task)) start(command.argv(task, {++seq, slot}));
///
/// Threads    One at a time.
/// Errors     weir::error: no_input, io, data, each naming the file and the line. What came
///            before it has been handed out.
class task_source {
 public:
  task_source() = default;
  task_source(const task_source&) = delete;
  task_source& operator=(const task_source&) = delete;
  virtual ~task_source() = default;

  /// The next task, as soon as its input has been read: it never waits for what follows. Blocks
  /// while the input is being produced. False: there are no more, or wake_fd is readable.
  [[nodiscard]] virtual bool next(arguments& out) = 0;

  /// How many tasks there are, of those already taken too; nothing if only reading would tell.
  [[nodiscard]] virtual std::optional<std::uint64_t> total() const { return std::nullopt; }

  /// What the columns are called, by --header; none without it. Reads the header, so it blocks
  /// like next(), and is to be called before that.
  [[nodiscard]] virtual std::vector<std::string> names() { return {}; }
};

}  // namespace weir::cli::run
