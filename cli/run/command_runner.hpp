// Runs the command of a task on a slot of this process.
#pragma once

#include "command_template.hpp"
#include "exec/child.hpp"
#include "exec/pool.hpp"
#include "exec/spawn.hpp"
#include "exec/unique_fd.hpp"
#include "governor.hpp"
#include "late_failure.hpp"
#include "printer.hpp"
#include "slot_numbers.hpp"
#include "spool.hpp"
#include "task_environment.hpp"
#include "task_table.hpp"
#include "term_sequence.hpp"

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace weir::cli::run {

/// Where a command's output goes while it runs.
enum class output_mode : std::uint8_t {
  keep,     ///< until it has ended
  lines,    ///< whole lines at once
  inherit,  ///< where ours goes
};
/// What is said about a command before it starts.
enum class announce : std::uint8_t { no, on_stdout, on_stderr };

/// What all slots share.
struct run_context {
  const command_template& command;
  task_table& tasks;
  governor& rules;
  spool& room;
  printer& print;
  slot_numbers& slots;
  late_failure& late;
  term_sequence to_end;
  output_mode output = output_mode::keep;
  announce say = announce::no;
  bool dry_run = false;
  /// --pipe: what a command reads from standard input.
  enum class input : std::uint8_t { none, record, payload };
  input reads = input::none;
  std::uint32_t retries = 1;  ///< attempts that may fail
  /// The tag for --line-buffer.
  std::function<std::string(const task_record&, place)> tag{};
  /// Whether what this task says may be printed now; empty: always.
  std::function<bool(std::uint64_t seq)> may_print{};
};

/// One process for each task. Unlike exec::process_runner it makes the arguments of what the
/// user has written and of columns, keeps output of any size, and ends commands when --halt,
/// --timeout or --memfree says so.
///
/// Errors     What cannot be kept or printed goes to run_context::late, and ends the run.
class command_runner final : public exec::runner {
 public:
  explicit command_runner(run_context& context);
  ~command_runner() override;
  void run(exec::claim& tasks) override;
  /// --delay and the like are no part of the time that a command may take.
  [[nodiscard]] bool keeps_time() const override { return true; }

 private:
  enum class cut_short : std::uint8_t { no, timeout, run_ends, not_wanted, gives_way };
  /// Our ends of what a command reads and writes.
  struct streams {
    exec::unique_fd in, out, err;
    std::string_view unwritten;
  };
  struct attempt_in_hand;
  class start_report;
  class presence;

  void run_one(exec::claim& tasks, std::uint32_t i);
  [[nodiscard]] cut_short carry_out(exec::claim& tasks, std::uint32_t i, attempt_in_hand& now);
  [[nodiscard]] std::string_view input_of(const attempt_in_hand& now,
                                          std::string_view payload) const;
  [[nodiscard]] bool start(attempt_in_hand& now, std::string_view input);
  [[nodiscard]] exec::spawned spawn(attempt_in_hand& now, const streams& its);
  [[nodiscard]] bool open_streams(std::string_view input, streams& ours, streams& its);
  cut_short attend(exec::claim& tasks, std::uint32_t i, attempt_in_hand& now);
  [[nodiscard]] cut_short look(exec::claim& tasks, std::uint32_t i, attempt_in_hand& now,
                               proto::time_point at);
  void exchange(attempt_in_hand& now);
  void take(stream which, attempt_in_hand& now);
  void conclude(exec::claim& tasks, std::uint32_t i, attempt_in_hand& now, cut_short why);
  void say(attempt_in_hand& now, const std::string& text);
  void complain(attempt_in_hand& now, std::string_view what, int number);

  run_context& context_;
  exec::spawner spawner_;
  exec::child child_;
  exec::unique_fd null_, own_out_, own_err_;
  task_environment environment_;
  running_task self_;
  std::string name_, path_;  // the last command, and where it was found
  bool wrote_much_ = false;
};

}  // namespace weir::cli::run
