// Where outcomes end up: printed, in the joblog, in files.
#pragma once

#include "command_template.hpp"
#include "finished_task.hpp"
#include "governor.hpp"
#include "io/joblog.hpp"
#include "printer.hpp"
#include "result_files.hpp"
#include "spool.hpp"
#include "task_table.hpp"

#include <weir/results.hpp>

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>

namespace weir::cli::run {

/// What the run as a whole has come to.
struct run_counts {
  std::atomic<std::uint64_t> done = 0;  ///< failed ones included
  std::atomic<std::uint64_t> failed = 0;
  std::atomic<std::uint64_t> skipped = 0;   ///< never run, or ended before they could end
  std::atomic<std::uint64_t> left_out = 0;  ///< done in an earlier run
};

/// The run's result_store. A task's files, what is printed of it, and then its line of the
/// joblog are written as soon as it is done; with `keep_order`, what is printed and a row of a
/// table wait for the tasks before, and the line of the joblog with them: what that has,
/// --resume leaves out.
///
/// Threads    As result_store; may_print() any.
class outcome_writer final : public result_store {
 public:
  struct options {
    bool keep_order = false;
    bool print = true;
    answers elsewhere = answers::none;
    std::optional<io::joblog> log{};
    std::unique_ptr<result_files> files{};
    std::function<std::string(const task_record&, place)> tag{};
  };
  outcome_writer(options how, const command_template& command, task_table& tasks,
                 governor& rules, spool& room, printer& print, run_counts& counts);

  void write(const results& some) override;
  void flush() override;
  /// Whether everything before this task has been printed. Moves on only.
  [[nodiscard]] bool may_print(std::uint64_t seq) const { return seq == due_; }

 private:
  void write(const result& outcome);
  void give_up();
  void record(const finished_task& task);
  void print(const finished_task& task);

  options options_;
  const command_template& command_;
  task_table& tasks_;
  governor& rules_;
  spool& room_;
  printer& print_;
  run_counts& counts_;
  const bool log_waits_;                                         // for what is put in order
  std::map<std::uint64_t, std::optional<finished_task>> early_;  // empty: skipped
  std::atomic<std::uint64_t> due_ = 1;
};

}  // namespace weir::cli::run
