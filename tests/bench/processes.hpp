// Runs each role of a benchmark in a process of its own and adds up what they cost.
#pragma once

#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <exception>
#include <functional>
#include <new>
#include <stdexcept>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

namespace bench {

/// A value that forked processes share, for as long as the program runs.
template <typename Value>
Value& shared() {
  void* memory =
      mmap(nullptr, sizeof(Value), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) throw std::system_error(errno, std::generic_category(), "mmap");
  return *new (memory) Value();
}

/// Child processes, one per role. None outlives the parent or the deadline.
///
/// Errors: wait() throws if a role failed, and has then ended the others.
class processes {
 public:
  explicit processes(unsigned deadline_seconds) : deadline_(deadline_seconds) {}
  ~processes() { end_all(); }
  processes(const processes&) = delete;
  processes& operator=(const processes&) = delete;

  void start(std::string name, const std::function<void()>& role) {
    std::fflush(nullptr);
    const pid_t parent = getpid();
    const pid_t pid = fork();
    if (pid < 0) throw std::system_error(errno, std::generic_category(), "fork");
    if (pid != 0) {
      children_.push_back({std::move(name), pid});
      return;
    }
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) _exit(1);  // it died before the line above
    alarm(deadline_);
    try {
      role();
      _exit(0);
    } catch (const std::exception& e) {
      std::fprintf(stderr, "%s: %s\n", name.c_str(), e.what());
      _exit(1);
    }
  }

  /// Waits for all of them and returns the CPU seconds they used.
  double wait() {
    double cpu = 0;
    while (!children_.empty()) {
      int status = 0;
      rusage used{};
      const pid_t pid = wait4(-1, &status, 0, &used);
      if (pid < 0 && errno == EINTR) continue;
      if (pid < 0) throw std::system_error(errno, std::generic_category(), "wait4");
      cpu += seconds(used.ru_utime) + seconds(used.ru_stime);
      const std::string name = forget(pid);
      if (WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM)
        throw std::runtime_error(name + ": not done after " + std::to_string(deadline_) + " s");
      if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        throw std::runtime_error(name + ": failed, wait status " + std::to_string(status));
    }
    return cpu;
  }

 private:
  struct child {
    std::string name;
    pid_t pid;
  };

  static double seconds(const timeval& t) {
    return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) / 1e6;
  }
  std::string forget(pid_t pid) {
    std::string name;
    std::erase_if(children_, [&](const child& c) {
      if (c.pid == pid) name = c.name;
      return c.pid == pid;
    });
    return name;
  }
  void end_all() {
    for (const child& c : children_) kill(c.pid, SIGKILL);
    for (const child& c : children_) waitpid(c.pid, nullptr, 0);
    children_.clear();
  }

  unsigned deadline_;
  std::vector<child> children_;
};

}  // namespace bench
