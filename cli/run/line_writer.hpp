// --coproc: answers, as the coprocesses gave them.
#pragma once

#include "governor.hpp"
#include "io/output.hpp"
#include "late_failure.hpp"
#include "outcome_writer.hpp"
#include "printer.hpp"

#include <weir/results.hpp>

#include <string>

namespace weir::cli::run {

/// The result_store of a run with coprocesses: a line, or the bytes of a frame, for each task.
/// Nothing is known of a task here but its answer, which is what makes millions a second
/// possible.
class line_writer final : public result_store {
 public:
  enum class ending : std::uint8_t { newline, none };
  line_writer(ending after_each, governor& rules, late_failure& late, run_counts& counts,
              printer::write_aside aside);

  void write(const results& some) override;
  void flush() override;

 private:
  void add(const result& answer);
  void give_up();

  const ending ending_;
  governor& rules_;
  late_failure& late_;
  run_counts& counts_;
  printer::write_aside aside_;
  const bool on_terminal_;  // out_
  io::output out_;
  io::output err_;
  std::string pending_;
};

}  // namespace weir::cli::run
