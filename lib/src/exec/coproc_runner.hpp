// One process for each slot, which answers task after task.
#pragma once

#include "exec/child.hpp"
#include "exec/command.hpp"
#include "exec/pool.hpp"
#include "exec/unique_fd.hpp"

#include <memory>
#include <string>

namespace weir::exec {

/// command_mode::coproc_lines and coproc_frames.
///
/// Tasks are written ahead of the answers that are read, so that neither side waits for the
/// other. When the process exits, the first unanswered task fails and the others that were
/// written are released; the next claim finds a new process, after a pause when the last one
/// had answered nothing.
///
/// A process that writes more than one answer for each task, a banner for instance, gives
/// answers to the wrong tasks. That is looked for where it costs nothing: before and behind the
/// first answer of a process, which is asked one task only until then; when there is nothing
/// left to answer, at the beginning of a claim, and at the end. Then the runner is `useless`.
class coproc_runner : public runner {
 public:
  explicit coproc_runner(std::shared_ptr<const prepared_command> command);
  void run(claim& tasks) override;
  void wind_up() override;

 private:
  /// How a conversation goes on after some bytes were moved.
  enum class state { going, stuck, gone };

  void look_before(claim& tasks);
  [[nodiscard]] bool begins_unasked();
  [[nodiscard]] bool question_untouched() const;
  [[nodiscard]] bool pause(claim& tasks);
  [[nodiscard]] bool start(claim& tasks);
  void ask(claim& tasks);
  [[nodiscard]] state write_out();
  [[nodiscard]] state read_in();
  enum class answers { taken, too_long, unasked };
  answers take_answers(claim& tasks);
  [[noreturn]] void out_of_step(claim& tasks);
  void wait_for_either(claim& tasks);
  void give_up(claim& tasks, verdict why);
  int stop_process(proto::duration patience);
  [[nodiscard]] verdict judge_death(int exit_status) const;

  std::shared_ptr<const prepared_command> command_;
  invocation invocation_;
  spawner spawner_;
  child child_;
  unique_fd in_, out_, err_;
  std::string questions_;  // bytes to write, from unwritten_ on
  std::size_t unwritten_ = 0;
  std::string answers_;  // bytes read, from unread_ on
  std::size_t unread_ = 0;
  tail errors_;
  std::uint64_t written_ = 0;  // bytes, since the process was started
  std::uint32_t asked_ = 0;    // tasks of the present claim that were written, or will be
  bool answered_any_ = false;  // this process has answered something
  bool exited_ = false;        // and was seen to have exited
  double started_at_ = 0;
  proto::duration pause_{};
  proto::time_point not_before_{};
};

}  // namespace weir::exec
