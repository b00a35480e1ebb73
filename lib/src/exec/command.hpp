// From command_options to runners, and what their two kinds share.
#pragma once

#include "exec/pool.hpp"
#include "exec/spawn.hpp"
#include "proto/time.hpp"

#include <weir/command.hpp>
#include <weir/task.hpp>

#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace weir::exec {

/// Runners that run `options` (see weir/command.hpp) for each task.
/// Errors     Throws weir::error for what check() calls a mistake in the options themselves; a
///            command that is not there, or not now, fails its tasks.
[[nodiscard]] runner_factory command_runner_factory(command_options options);

/// What all slots share of a command. Does not change any more.
struct prepared_command {
  explicit prepared_command(command_options what);

  command_options options;
  std::vector<std::string> argv;  ///< with the shell in front, for command_mode::shell
  std::vector<std::string> environment;
  std::string path;  ///< where the command is; empty: not found
  std::string host;
};

/// The command's place, or empty; as execvp() would find it, with `path_list` as PATH.
[[nodiscard]] std::string find_in_path(const std::string& name, std::string_view path_list);

/// One slot's arguments and environment, filled in for one task after the other.
class invocation {
 public:
  explicit invocation(std::shared_ptr<const prepared_command> command);

  /// Replaces the command's arguments, as they are: none is a placeholder.
  void set_arguments(std::vector<std::string> arguments);
  /// NAME=VALUE each, beside and before the command's own environment; replaces earlier ones.
  void set_variables(std::vector<std::string> variables);
  /// Replaces the command as well. Before every fill() of a command that came with its task.
  void set_command(std::vector<std::string> argv);
  /// Prepares for this task. Says why its payload cannot be an argument; empty: it can.
  [[nodiscard]] std::string_view fill(std::string_view payload, const task_id& id,
                                      std::uint32_t attempt);
  [[nodiscard]] const std::string& name() const {
    return own_command_.empty() ? command_->argv[0] : own_command_;
  }
  /// Starts it. ENOENT when the command was never found.
  [[nodiscard]] spawned start(spawner& by, int in, int out, int err, pid_t* pid_place);

 private:
  /// An argument with the payload in it: the text before, between and after.
  struct templated {
    std::size_t at;
    std::vector<std::string> texts;
    std::string filled;
  };

  void list_variables();

  std::shared_ptr<const prepared_command> command_;
  std::string path_;
  std::vector<templated> templates_;
  std::vector<char*> argv_;  // [0] is spare, for "sh" before a script without "#!"
  std::vector<std::string> own_arguments_;  // in argv_, since set_arguments()
  std::string own_command_;                 // since set_command()
  bool through_shell_ = false;
  std::string id_, seq_, attempt_;
  std::vector<char*> envp_;                 // these come last
  std::vector<std::string> own_variables_;  // and these first
  source_id source_;
};

/// How a process ended, or that it could not start.
struct verdict {
  status code = status::ok;
  outcome_details details;
};
/// `exit_status` as waitpid() has it.
[[nodiscard]] verdict judge_exit(int exit_status);
/// `name`: of the command.
[[nodiscard]] verdict judge_failed_start(const spawned& child, const prepared_command& command,
                                         const std::string& name);
[[nodiscard]] verdict failure(status code, std::string message);
/// Another attempt cannot succeed.
[[nodiscard]] verdict final_failure(status code, std::string message);

/// Seconds since the Unix epoch.
[[nodiscard]] double wall_clock();

}  // namespace weir::exec
