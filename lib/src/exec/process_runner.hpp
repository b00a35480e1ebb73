// One process for each task.
#pragma once

#include "exec/child.hpp"
#include "exec/command.hpp"
#include "exec/pool.hpp"
#include "exec/unique_fd.hpp"

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace weir::exec {

/// command_mode::process, stdin_ and shell.
class process_runner : public runner {
 public:
  explicit process_runner(std::shared_ptr<const prepared_command> command);
  void run(claim& tasks) override;
  /// For the tasks from now on, see invocation.
  void set_arguments(std::vector<std::string> arguments) {
    invocation_.set_arguments(std::move(arguments));
  }
  void set_variables(std::vector<std::string> variables) {
    invocation_.set_variables(std::move(variables));
  }

 private:
  /// What we hold of the process that runs.
  struct streams {
    unique_fd in, out, err;
    std::string_view unwritten;
  };
  /// Why we ended it, if we did.
  enum class cut_short { no, cancelled, expired, too_much_output };

  void run_one(claim& tasks, std::uint32_t i);
  [[nodiscard]] std::string_view prepare(claim& tasks, std::uint32_t i,
                                         std::optional<std::string_view>& input);
  [[nodiscard]] bool open_streams(std::optional<std::string_view> input, streams& ours,
                                  streams& its);
  cut_short attend(claim& tasks, std::uint32_t i, streams& ours, proto::time_point started);
  void look_for_stop(claim& tasks, std::uint32_t i, proto::time_point now, cut_short& cut);
  [[nodiscard]] bool exchange(streams& ours);
  void drain(streams& ours);
  [[nodiscard]] verdict judge(int exit_status, cut_short cut, proto::duration limit);

  std::shared_ptr<const prepared_command> command_;
  invocation invocation_;
  invocation brought_;  // for commands that come with their tasks
  invocation* current_ = &invocation_;
  spawner spawner_;
  unique_fd null_;
  child child_;
  std::string output_;
  bool wrote_much_ = false;  // the last process, to standard output
  tail errors_;
};

}  // namespace weir::exec
