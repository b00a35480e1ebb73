// When failures or successes end the run: --halt.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace weir::cli::run {

/// How a task ended, as far as --halt and the exit status care.
struct task_end {
  bool ok = true;
  int exit_code = 0;  ///< -1: it was ended for taking too long
  int signal = 0;
  /// What a shell would make of it: 128 + n for a signal.
  [[nodiscard]] int status() const {
    return exit_code != 0 ? exit_code & 255 : signal > 0 ? 128 + signal : 0;
  }
};

/// Counts how tasks end, and says when that is enough.
///
///   halt_policy halt = halt_policy::parse("now,fail=1");
///   if (halt.count(end) != halt_policy::decision::go_on) ...
///   return halt.exit_status();
///
/// Pure.
class halt_policy {
 public:
  enum class decision : std::uint8_t { go_on, soon, now };
  enum class reason : std::uint8_t { none, fail, success, done };

  halt_policy() = default;
  /// never; now or soon, then fail, success or done, = N or N%; and parallel's short forms
  /// 0 1 2 -1 -2 N%. Errors     weir::error usage.
  [[nodiscard]] static halt_policy parse(const std::string& text);

  /// What a percentage is of. Until it is known, a percentage is never reached; nor
  /// is one of none.
  void set_total(std::uint64_t tasks) { total_ = tasks; }
  /// What to do now that a task has ended. Says `go_on` once it has said something else.
  [[nodiscard]] decision count(const task_end& end);

  [[nodiscard]] bool wants_total() const { return percent_; }
  [[nodiscard]] reason why() const { return why_; }
  [[nodiscard]] bool halted() const { return halted_; }
  [[nodiscard]] std::uint64_t failed() const { return failed_; }
  [[nodiscard]] std::uint64_t done() const { return done_; }
  /// As GNU parallel's: 0; 1 to 100: so many failed; 101: more. With a limit of 1 that was
  /// reached, the task's own; with a percentage, the percentage that failed.
  [[nodiscard]] int exit_status() const;

 private:
  decision when_ = decision::go_on;
  reason why_ = reason::none;
  double limit_ = 0;
  bool percent_ = false;
  std::optional<std::uint64_t> total_;
  std::uint64_t done_ = 0;
  std::uint64_t failed_ = 0;
  bool halted_ = false;
  int status_ = 0;  // once halted
};

}  // namespace weir::cli::run
