// --pipe --round-robin: one command for each slot, which reads block after block.
#pragma once

#include "command_runner.hpp"

#include <atomic>
#include <cstdint>
#include <functional>
#include <limits>
#include <optional>

namespace weir::cli::run {

/// Until each slot has had a block, none gets a second one: with little input too, all commands
/// are started, as GNU parallel does it.
///
/// Threads    Any.
class first_round {
 public:
  /// Errors     weir::error io.
  explicit first_round(unsigned slots);
  /// A slot has its first block.
  void block_taken();
  /// There are no more than `blocks`.
  void end_of_input(std::uint64_t blocks);
  /// Readable once it is over.
  [[nodiscard]] int over_fd() const { return over_.get(); }

 private:
  void look();

  const std::uint64_t slots_;
  std::atomic<std::uint64_t> taken_ = 0;
  std::atomic<std::uint64_t> blocks_ = std::numeric_limits<std::uint64_t>::max();
  exec::unique_fd over_;
};

/// Starts its command with the slot's first block, and gives it whatever comes. A block is done
/// when it is written. The command's input ends with the run; its output is printed then. A
/// command that exits early wants no more: its blocks go nowhere, as in any pipe, and its exit
/// code says whether that was right.
///
/// Errors     What cannot be kept or printed goes to run_context::late, and ends the run.
class round_robin_runner final : public exec::runner {
 public:
  round_robin_runner(run_context& context, first_round& round);
  ~round_robin_runner() override;
  void run(exec::claim& tasks) override;

 private:
  /// The command in governor::running(), for as long as it runs.
  class listed {
   public:
    listed(run_context& context, place where);
    ~listed() { rules_.leave(task_); }
    listed(const listed&) = delete;
    listed& operator=(const listed&) = delete;

   private:
    governor& rules_;
    running_task task_;
  };

  bool or_end_the_run(const std::function<void()>& step);
  void serve(exec::claim& tasks, std::uint32_t i);
  void start(exec::claim& tasks, std::uint32_t i);
  void feed(exec::claim& tasks, std::uint32_t i);
  void wait_for_others();
  void finish();
  void take_output();

  run_context& context_;
  first_round& round_;
  exec::spawner spawner_;
  exec::child child_;
  task_environment environment_;
  slot_numbers::held slot_;
  exec::unique_fd in_, out_, err_;
  kept_output said_, complained_;
  std::optional<listed> listed_;
  std::uint64_t number_ = 0;
  bool failed_to_start_ = false;
};

}  // namespace weir::cli::run
