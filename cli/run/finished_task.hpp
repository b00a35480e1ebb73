// A task and what became of it, wherever it was run.
#pragma once

#include "command_template.hpp"
#include "halt_policy.hpp"
#include "spool.hpp"
#include "task_table.hpp"

#include <weir/results.hpp>

#include <memory>
#include <string>

namespace weir::cli::run {

struct finished_task {
  explicit finished_task(spool& room) : out(room), err(room) {}

  std::shared_ptr<task_record> record;
  std::string host;  ///< empty: here
  unsigned slot = 1;
  double started = 0;
  double runtime = 0;
  std::uint64_t sent = 0;      ///< bytes of input
  std::uint64_t received = 0;  ///< bytes of output
  task_end end;
  kept_output out;
  kept_output err;

  [[nodiscard]] place where() const { return {record->number, slot}; }
};

/// What coprocesses elsewhere answer: lines, as with --coproc here. `none`: there are no
/// others.
enum class answers : std::uint8_t { none, lines };

/// The record's own attempt if it is what the result speaks of, else what came with the result.
[[nodiscard]] finished_task finish(std::shared_ptr<task_record> record, const result& outcome,
                                   spool& room, answers how);

}  // namespace weir::cli::run
