// --pipe --round-robin: one command for each slot, which reads block after block.
#pragma once

#include "command_runner.hpp"

namespace weir::cli::run {

/// Starts its command with the slot's first block, and gives it whatever comes. A block is done
/// when it is written. The command's input ends with the run; its output is printed then. A
/// command that exits early wants no more: its blocks go nowhere, as in any pipe, and its exit
/// code says whether that was right.
///
/// Errors     What cannot be kept or printed goes to run_context::late, and ends the run.
class round_robin_runner final : public exec::runner {
 public:
  explicit round_robin_runner(run_context& context);
  ~round_robin_runner() override;
  void run(exec::claim& tasks) override;

 private:
  void serve(exec::claim& tasks, std::uint32_t i);
  void start(exec::claim& tasks, std::uint32_t i);
  void feed(exec::claim& tasks, std::uint32_t i);
  void finish();
  void take_output();

  run_context& context_;
  exec::spawner spawner_;
  exec::child child_;
  task_environment environment_;
  slot_numbers::held slot_;
  exec::unique_fd in_, out_, err_;
  kept_output said_, complained_;
  std::uint64_t number_ = 0;
  bool failed_to_start_ = false;
};

}  // namespace weir::cli::run
