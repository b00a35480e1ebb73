#include "exec/command.hpp"

#include "exec/child.hpp"
#include "exec/coproc_runner.hpp"
#include "exec/process_runner.hpp"
#include "exec/reaper.hpp"

#include <weir/error.hpp>

#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <utility>

extern char** environ;

namespace weir::exec {
namespace {

constexpr std::string_view placeholder = "{}";

bool fills_arguments(command_mode mode) { return mode == command_mode::process; }
bool takes_argument(command_mode mode) {
  return mode == command_mode::process || mode == command_mode::shell;
}

[[noreturn]] void refuse(const std::string& what) { throw error(exit_code::usage, what); }

void check_form(const command_options& o) {
  const bool coprocess =
      o.mode == command_mode::coproc_lines || o.mode == command_mode::coproc_frames;
  if (o.accept_commands && coprocess)
    refuse("a coprocess goes on from task to task: it cannot be another command for each");
  if (o.accept_commands && o.argv.empty()) return;
  if (o.argv.empty() || o.argv[0].empty())
    refuse("no command given: say what to run for each task, for example: -- sha256sum {}");
  if (fills_arguments(o.mode) && o.argv[0].find(placeholder) != std::string::npos)
    refuse("command '" + o.argv[0] +
           "': {} cannot stand for the command itself; use --shell to run what a task says");
  for (const auto& entry : o.env)
    if (entry.find('=') == std::string::npos || entry[0] == '=')
      refuse("environment '" + entry +
             "': expected NAME=VALUE (the worker's own environment is inherited as it is)");
}

std::string_view name_of(std::string_view variable) {
  return variable.substr(0, variable.find('='));
}

/// Later ones replace earlier ones of the same name.
void set_variable(std::vector<std::string>& all, std::string_view variable) {
  const auto same = [name = name_of(variable)](const auto& v) { return name_of(v) == name; };
  const auto old = std::find_if(all.begin(), all.end(), same);
  if (old != all.end())
    *old = variable;
  else
    all.emplace_back(variable);
}

std::string_view get_variable(const std::vector<std::string>& all, std::string_view name) {
  for (const auto& v : all)
    if (name_of(v) == name) return std::string_view(v).substr(name.size() + 1);
  return {};
}

std::vector<std::string> environment_for(const command_options& options) {
  std::vector<std::string> all;
  for (char** v = environ; v && *v; ++v) {
    const auto name = name_of(*v);
    // A worker may itself be somebody's task.
    if (name != "WEIR_TASK_ID" && name != "WEIR_SEQ" && name != "WEIR_ATTEMPT")
      all.emplace_back(*v);
  }
  for (const auto& v : options.env) set_variable(all, v);
  if (!reaper_mark().empty()) set_variable(all, reaper_mark());
  return all;
}

bool is_file(const std::string& path) {
  struct stat about {};
  return ::stat(path.c_str(), &about) == 0 && !S_ISDIR(about.st_mode);
}

/// Appends a number to NAME=.
void set_number(std::string& variable, std::size_t name_length, std::uint64_t number) {
  char digits[20];
  const auto end = std::to_chars(digits, digits + sizeof digits, number).ptr;
  variable.resize(name_length);
  variable.append(digits, end);
}

char* mutable_c_str(const std::string& text) {
  return const_cast<char*>(text.c_str());  // execve() promises not to change it
}

}  // namespace

std::string find_in_path(const std::string& name, std::string_view path_list) {
  if (name.find('/') != std::string::npos) return name;
  if (path_list.empty()) path_list = "/usr/local/bin:/usr/bin:/bin";
  std::string not_executable;
  for (std::size_t start = 0; start <= path_list.size();) {
    const auto end = std::min(path_list.find(':', start), path_list.size());
    std::string place(path_list.substr(start, end - start));
    start = end + 1;
    if (place.empty()) place.push_back('.');
    place += '/';
    place += name;
    if (!is_file(place)) continue;
    if (::access(place.c_str(), X_OK) == 0) return place;
    if (not_executable.empty()) not_executable = place;
  }
  return not_executable;
}

prepared_command::prepared_command(command_options what)
    : options(std::move(what)), argv(options.argv) {
  options.grace = proto::limited(options.grace);
  if (options.mode == command_mode::shell && !options.argv.empty()) {
    argv = {"/bin/sh", "-c", options.argv[0], "sh", std::string(placeholder)};
    argv.insert(argv.end(), options.argv.begin() + 1, options.argv.end());
  }
  environment = environment_for(options);
  if (!argv.empty()) path = find_in_path(argv[0], get_variable(environment, "PATH"));
  char name[256] = {};
  if (::gethostname(name, sizeof name - 1) == 0) host = name;
}

// ---- One slot's invocation

invocation::invocation(std::shared_ptr<const prepared_command> command)
    : command_(std::move(command)),
      path_(command_->path),
      id_("WEIR_TASK_ID="),
      seq_("WEIR_SEQ="),
      attempt_("WEIR_ATTEMPT=") {
  const auto& argv = command_->argv;
  const auto mode = command_->options.mode;
  argv_.push_back(nullptr);
  for (const auto& argument : argv) argv_.push_back(mutable_c_str(argument));

  // In a script, the only placeholder is the argument that prepared_command put there.
  const bool script = mode == command_mode::shell && !argv.empty();
  const std::size_t first = script ? 4 : 1;
  const std::size_t last = script ? 5 : argv.size();
  for (std::size_t i = first; takes_argument(mode) && i < last; ++i) {
    templated t{i + 1, {}, {}};
    std::size_t from = 0;
    for (std::size_t hit; (hit = argv[i].find(placeholder, from)) != std::string::npos;
         from = hit + placeholder.size())
      t.texts.push_back(argv[i].substr(from, hit - from));
    if (t.texts.empty()) continue;
    t.texts.push_back(argv[i].substr(from));
    templates_.push_back(std::move(t));
  }
  if (templates_.empty() && takes_argument(mode)) {
    templates_.push_back({argv_.size(), {"", ""}, {}});
    argv_.push_back(nullptr);
  }
  argv_.push_back(nullptr);

  list_variables();
}

void invocation::list_variables() {
  envp_.clear();
  for (const auto& variable : own_variables_) envp_.push_back(mutable_c_str(variable));
  const auto replaced = [this](const std::string& variable) {
    const auto name = std::string_view(variable).substr(0, variable.find('=') + 1);
    return std::any_of(own_variables_.begin(), own_variables_.end(),
                       [&](const std::string& own) { return own.starts_with(name); });
  };
  for (const auto& variable : command_->environment)
    if (!replaced(variable)) envp_.push_back(mutable_c_str(variable));
  for (int i = 0; i < 3; ++i) envp_.push_back(nullptr);
  envp_.push_back(nullptr);
}

void invocation::set_variables(std::vector<std::string> variables) {
  if (variables.empty() && own_variables_.empty()) return;
  own_variables_ = std::move(variables);
  list_variables();
}

void invocation::set_arguments(std::vector<std::string> arguments) {
  templates_.clear();
  own_arguments_ = std::move(arguments);
  argv_.resize(2);
  for (const auto& a : own_arguments_) argv_.push_back(mutable_c_str(a));
  argv_.push_back(nullptr);
}

void invocation::set_command(std::vector<std::string> argv) {
  if (argv[0] != own_command_) {
    own_command_ = argv[0];
    path_ = find_in_path(own_command_, get_variable(command_->environment, "PATH"));
    through_shell_ = false;
  }
  argv.erase(argv.begin());
  argv_.resize(2);
  argv_[1] = through_shell_ ? path_.data() : own_command_.data();
  set_arguments(std::move(argv));
}

std::string_view invocation::fill(std::string_view payload, const task_id& id,
                                  std::uint32_t attempt) {
  if (!templates_.empty() && payload.find('\0') != std::string_view::npos)
    return "a payload with a NUL byte cannot be an argument: use --stdin";
  for (templated& t : templates_) {
    t.filled = t.texts[0];
    for (std::size_t i = 1; i < t.texts.size(); ++i)
      t.filled.append(payload).append(t.texts[i]);
    argv_[t.at] = t.filled.data();
  }

  constexpr std::size_t id_name = sizeof "WEIR_TASK_ID=" - 1;
  constexpr std::size_t hex_digits = 32;
  if (id_.size() == id_name || id.source != source_) {
    source_ = id.source;
    id_ = "WEIR_TASK_ID=" + to_string(id.source) + "-";
  }
  set_number(id_, id_name + hex_digits + 1, id.seq);
  set_number(seq_, sizeof "WEIR_SEQ=" - 1, id.seq);
  set_number(attempt_, sizeof "WEIR_ATTEMPT=" - 1, attempt);
  const auto at = envp_.size() - 4;
  envp_[at] = id_.data();
  envp_[at + 1] = seq_.data();
  envp_[at + 2] = attempt_.data();
  return {};
}

spawned invocation::start(spawner& by, int in, int out, int err, pid_t* pid_place) {
  if (path_.empty()) {  // it may have been installed meanwhile
    path_ = find_in_path(name(), get_variable(command_->environment, "PATH"));
    if (path_.empty()) {
      spawned nothing;
      nothing.error = ENOENT;
      nothing.failed_at = spawn_step::exec;
      return nothing;
    }
  }
  const auto& cwd = command_->options.cwd;
  spawn_request what;
  what.path = through_shell_ ? "/bin/sh" : path_.c_str();
  what.argv = argv_.data() + (through_shell_ ? 0 : 1);
  what.envp = envp_.data();
  what.cwd = cwd.empty() ? nullptr : cwd.c_str();
  what.in = in;
  what.out = out;
  what.err = err;
  what.pid_place = pid_place;
  spawned child = by.start(what);
  if (child.error != ENOEXEC || child.failed_at != spawn_step::exec || through_shell_)
    return child;

  // A script without "#!": run it as a shell would.
  static char shell[] = "sh";
  through_shell_ = true;
  argv_[0] = shell;
  argv_[1] = path_.data();
  return start(by, in, out, err, pid_place);
}

// ---- Verdicts

verdict judge_exit(int exit_status) {
  verdict end;
  if (exit_status == unknown_exit) {
    end.code = status::unknown;
    end.details.message =
        "how it ended is not known: another thread of the worker's program "
        "has waited for it";
    return end;
  }
  if (WIFEXITED(exit_status)) {
    end.details.exit_code = WEXITSTATUS(exit_status);
    if (end.details.exit_code == 0) return end;
    end.code = status::unknown;
    end.details.message = "exit " + std::to_string(end.details.exit_code);
    return end;
  }
  end.code = status::aborted;
  end.details.signal = WTERMSIG(exit_status);
  const char* name = ::sigabbrev_np(end.details.signal);
  end.details.message = "killed by signal " + std::to_string(end.details.signal);
  if (name) end.details.message += std::string(" (SIG") + name + ")";
  return end;
}

verdict judge_failed_start(const spawned& child, const prepared_command& command,
                           const std::string& name) {
  const auto& options = command.options;
  const std::string why = std::strerror(child.error);
  switch (child.failed_at) {
    case spawn_step::clone:
      return failure(status::resource_exhausted, "cannot start a process: " + why);
    case spawn_step::chdir: {
      verdict end =
          final_failure(status::not_found, "cannot go to " + options.cwd + ": " + why);
      if (child.error == EACCES) end.code = status::permission_denied;
      end.details.exit_code = end.code == status::not_found ? 127 : 126;
      return end;
    }
    case spawn_step::exec:
      break;
  }
  const std::string what = name + ": ";
  switch (child.error) {
    case E2BIG:
      return final_failure(status::invalid_argument,
                           "the payload is too long for an argument: use --stdin");
    case ENOENT:
    case ENOTDIR: {
      verdict end = final_failure(status::not_found, what + "command not found");
      end.details.exit_code = 127;
      return end;
    }
    case ENOMEM:
    case EAGAIN:
    case ETXTBSY:  // being installed this very moment
      return failure(status::resource_exhausted, what + why);
    default: {
      verdict end = final_failure(status::permission_denied, what + why);
      end.details.exit_code = 126;
      return end;
    }
  }
}

verdict failure(status code, std::string message) {
  verdict end;
  end.code = code;
  end.details.message = std::move(message);
  return end;
}

verdict final_failure(status code, std::string message) {
  verdict end = failure(code, std::move(message));
  end.details.retryable = false;
  return end;
}

double wall_clock() {
  timespec now{};
  ::clock_gettime(CLOCK_REALTIME, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) / 1e9;
}

runner_factory command_runner_factory(command_options options) {
  check_form(options);
  auto command = std::make_shared<const prepared_command>(std::move(options));
  return [command](unsigned) -> std::unique_ptr<runner> {
    switch (command->options.mode) {
      case command_mode::coproc_lines:
      case command_mode::coproc_frames:
        return std::make_unique<coproc_runner>(command);
      default:
        return std::make_unique<process_runner>(command);
    }
  };
}

}  // namespace weir::exec

namespace weir {

void check(const command_options& options) {
  exec::check_form(options);
  const exec::prepared_command prepared(options);
  struct stat about {};
  if (!options.cwd.empty() &&
      (::stat(options.cwd.c_str(), &about) != 0 || !S_ISDIR(about.st_mode)))
    throw error(exit_code::usage,
                "cannot run commands in '" + options.cwd + "': no such directory");

  if (prepared.argv.empty()) return;  // each task brings its own
  const std::string& name = prepared.argv[0];
  if (prepared.path.empty())
    throw error(exit_code::usage, "command '" + name + "' not found in PATH");
  std::string place = prepared.path;
  if (place[0] != '/' && !options.cwd.empty()) place = options.cwd + "/" + place;
  if (!exec::is_file(place))
    throw error(exit_code::usage, "command '" + name + "': no such file");
  if (::access(place.c_str(), X_OK) != 0)
    throw error(exit_code::permission,
                "command '" + name + "' may not be executed: chmod +x it?");
}

}  // namespace weir
