// What the system itself reaches: threads that do nothing but posix_spawn a command and wait
// for it. Prints one JSON line.
//
//   spawn_baseline --tasks 10000 -- /bin/echo x
#include "bench.hpp"

#include <CLI/CLI.hpp>
#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstring>
#include <iostream>
#include <string>
#include <thread>
#include <vector>

namespace {

/// Runs the command once, its output going to /dev/null. Returns an error's text, or nothing.
std::string run_once(char* const* command, const posix_spawn_file_actions_t& to_null) {
  pid_t pid = 0;
  const int error = posix_spawn(&pid, command[0], &to_null, nullptr, command, environ);
  if (error != 0) return std::string("posix_spawn: ") + std::strerror(error);
  int status = 0;
  if (waitpid(pid, &status, 0) != pid) return std::string("waitpid: ") + std::strerror(errno);
  if (status != 0) return "the command failed, wait status " + std::to_string(status);
  return {};
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app{"How many processes a second this machine starts and ends"};
  unsigned tasks = 10'000;
  unsigned threads = 2;
  std::vector<std::string> command{"/bin/true"};
  app.add_option("--tasks", tasks, "processes to start")->capture_default_str();
  app.add_option("--threads", threads, "threads that start them")->capture_default_str();
  app.add_option("command", command, "absolute path and arguments")->capture_default_str();
  CLI11_PARSE(app, argc, argv);

  std::vector<char*> arguments;
  for (std::string& argument : command) arguments.push_back(argument.data());
  arguments.push_back(nullptr);
  posix_spawn_file_actions_t to_null;
  posix_spawn_file_actions_init(&to_null);
  posix_spawn_file_actions_addopen(&to_null, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);

  std::atomic<unsigned> next{0};
  std::atomic<bool> failed{false};
  const std::int64_t start = bench::now_ns();
  std::vector<std::jthread> spawners;
  for (unsigned i = 0; i < threads; ++i)
    spawners.emplace_back([&] {
      while (!failed && next++ < tasks) {
        const std::string error = run_once(arguments.data(), to_null);
        if (error.empty() || failed.exchange(true)) continue;
        std::cerr << "spawn_baseline: " << error << '\n';
      }
    });
  spawners.clear();
  const double seconds = static_cast<double>(bench::now_ns() - start) / 1e9;
  posix_spawn_file_actions_destroy(&to_null);
  if (failed) return 1;

  bench::json_line line;
  line.add("tasks", tasks).add("threads", threads).add("seconds", seconds);
  line.add("tasks_per_second", tasks / seconds);
  std::cout << line.str() << std::endl;
}
