#include "harness.hpp"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>

extern char** environ;

namespace reaper_test {

using namespace exec_test;

namespace {

/// The victim, with a pipe to its standard input and one from its standard output.
class victim {
 public:
  victim(std::string script, std::vector<std::string> payloads) {
    int in[2];
    int out[2];
    REQUIRE(::pipe2(in, O_CLOEXEC) == 0);
    REQUIRE(::pipe2(out, O_CLOEXEC) == 0);
    posix_spawn_file_actions_t actions;
    ::posix_spawn_file_actions_init(&actions);
    ::posix_spawn_file_actions_adddup2(&actions, in[0], 0);
    ::posix_spawn_file_actions_adddup2(&actions, out[1], 1);
    std::string program = EXEC_VICTIM;
    std::vector<char*> argv = {program.data(), script.data()};
    for (auto& payload : payloads) argv.push_back(payload.data());
    argv.push_back(nullptr);
    REQUIRE(::posix_spawn(&pid_, EXEC_VICTIM, &actions, nullptr, argv.data(), environ) == 0);
    ::posix_spawn_file_actions_destroy(&actions);
    ::close(in[0]);
    ::close(out[1]);
    in_ = in[1];
    out_ = out[0];
  }
  ~victim() {
    if (pid_ > 0) end(SIGKILL);
    if (in_ >= 0) ::close(in_);
    ::close(out_);
  }
  victim(const victim&) = delete;
  victim& operator=(const victim&) = delete;

  /// By this signal, or by the end of its input.
  void end(int signal_number) {
    if (signal_number != 0) ::kill(pid_, signal_number);
    ::close(std::exchange(in_, -1));
    ::waitpid(std::exchange(pid_, -1), nullptr, 0);
  }
  [[nodiscard]] int output() const { return out_; }

 private:
  pid_t pid_ = -1;
  int in_ = -1;
  int out_ = -1;
};

/// Writes the script's process id to a file named like the payload, then goes on for ever.
std::string stay(const temporary_directory& dir, const std::string& before = "") {
  return before + "echo $$ > " + (dir / "$1") + "; while :; do sleep 0.05; done";
}

}  // namespace

TEST_SUITE("reaper") {
  TEST_CASE("kill -9 of a worker ends its commands and their groups") {
    const temporary_directory dir;
    victim worker(
        stay(dir, "trap '' TERM HUP INT; sleep 1000 & echo $! > " + (dir / "$1.group") + "; "),
        {"a", "b"});
    std::vector<int> pids;
    for (const auto* name : {"a", "b", "a.group", "b.group"})
      pids.push_back(number_in(dir / name));
    for (const int pid : pids) CHECK(alive(pid));
    worker.end(SIGKILL);
    for (const int pid : pids) CHECK(eventually([&] { return !alive(pid); }));
  }

  TEST_CASE("kill -9 of a worker also ends what has left its group and session") {
    const temporary_directory dir;
    // Reparented, in a session of its own, and, once removed, started by a task long done.
    const std::string daemon = "setsid sh -c 'sh -c \"echo \\$\\$ > " + (dir / "$0") +
                               ".daemon; exec sleep 1000\" &' $1; ";
    victim worker(daemon + "case $1 in done) exit 0;; esac; " + stay(dir), {"done", "x"});
    const int done = number_in(dir / "done.daemon");
    const int daemonised = number_in(dir / "x.daemon");
    const int task = number_in(dir / "x");
    CHECK(alive(done));
    worker.end(SIGKILL);
    for (const int pid : {done, daemonised, task})
      CHECK(eventually([&] { return !alive(pid); }));
  }

  TEST_CASE("a worker that ends by itself leaves nothing behind either") {
    const temporary_directory dir;
    victim worker("setsid sleep 1000 & echo $! > " + (dir / "daemon") + "; " + stay(dir),
                  {"x"});
    const int daemonised = number_in(dir / "daemon");
    const int task = number_in(dir / "x");
    worker.end(0);
    for (const int pid : {daemonised, task}) CHECK(eventually([&] { return !alive(pid); }));
  }

  TEST_CASE("another worker's commands are none of its business") {
    const temporary_directory dir;
    victim one(stay(dir), {"one"});
    victim other(stay(dir), {"other"});
    const int first = number_in(dir / "one");
    const int second = number_in(dir / "other");
    one.end(SIGKILL);
    CHECK(eventually([&] { return !alive(first); }));
    CHECK(alive(second));
  }

  TEST_CASE("a worker that runs in another's task is ended with all that is its own") {
    const temporary_directory dir;
    // The inner worker keeps running while its input, which the outer one gives, stays open.
    const std::string inner_script = "setsid sleep 1000 & echo $! > " + (dir / "daemon") +
                                     "; " + "echo $$ > " + (dir / "inner") + "; sleep 1000";
    victim outer("sleep 1000 | " EXEC_VICTIM " '" + inner_script + "' x", {"x"});
    const int inner = number_in(dir / "inner");
    const int daemonised = number_in(dir / "daemon");
    outer.end(SIGKILL);
    for (const int pid : {inner, daemonised}) CHECK(eventually([&] { return !alive(pid); }));
  }

  TEST_CASE("the reaper keeps no pipe of the worker's open") {
    const temporary_directory dir;
    victim worker(stay(dir), {"x"});
    number_in(dir / "x");
    worker.end(SIGKILL);
    char byte = 0;
    CHECK(::read(worker.output(), &byte, 1) == 0);
  }
}

}  // namespace reaper_test
