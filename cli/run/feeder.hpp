// Hands the tasks of a run to the ventilator.
#pragma once

#include "governor.hpp"
#include "outcome_writer.hpp"
#include "plan.hpp"
#include "task_table.hpp"

#include <weir/ventilator.hpp>

#include <cstdint>

namespace weir::cli::run {

/// One of three, as the settings say: values, which go into the table under the seq that the
/// ventilator will give them; blocks, which go there too, but are payloads with --listen; lines
/// for coprocesses.
///
/// Threads    One. Members block while the ventilator or the table is full, and return early
///            when the governor has closed.
/// Errors     weir::error, from the input. What came before it has been handed over.
class feeder {
 public:
  feeder(const settings& s, plan& what, task_table& table, governor& rules, run_counts& counts)
      : settings_(s), plan_(what), table_(table), rules_(rules), counts_(counts) {}

  void feed(ventilator& tasks);
  /// How many tasks it was until now, whether or not feed() has thrown.
  [[nodiscard]] std::uint64_t handed_over() const { return handed_over_; }

 private:
  void values(ventilator& tasks);
  void blocks(ventilator& tasks);
  void lines(ventilator& tasks);

  const settings& settings_;
  plan& plan_;
  task_table& table_;
  governor& rules_;
  run_counts& counts_;
  std::uint64_t handed_over_ = 0;
};

}  // namespace weir::cli::run
