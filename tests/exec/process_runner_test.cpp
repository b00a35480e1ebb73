#include "exec/child.hpp"
#include "harness.hpp"

#include <weir/error.hpp>

#include <dirent.h>
#include <signal.h>
#include <sys/stat.h>

#include <cstdlib>
#include <fstream>

namespace process_runner_test {

using namespace exec_test;
using weir::command_mode;
using weir::command_options;

namespace {

std::string netstring(const std::string& bytes) {
  return std::to_string(bytes.size()) + ":" + bytes + ",";
}

int open_descriptors() {
  int count = 0;
  DIR* own = ::opendir("/proc/self/fd");
  while (::readdir(own)) ++count;
  ::closedir(own);
  return count;
}

std::string executable(const temporary_directory& in, const std::string& name,
                       const std::string& text) {
  const std::string path = in / name;
  std::ofstream(path) << text;
  ::chmod(path.c_str(), 0755);
  return path;
}

}  // namespace

TEST_SUITE("signals") {
  TEST_CASE("the end of a command wakes none of the program's threads by a signal") {
    // Blocked, it would be kept for this thread if anybody sent it.
    sigset_t child_ended, before, waiting;
    sigemptyset(&child_ended);
    sigaddset(&child_ended, SIGCHLD);
    ::pthread_sigmask(SIG_BLOCK, &child_ended, &before);
    CHECK(run_all(command({EXEC_PROBE, "args"}), {"a", "b", "c"}, {}, 2).size() == 3);
    ::sigpending(&waiting);
    CHECK(::sigismember(&waiting, SIGCHLD) == 0);
    ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  }

  TEST_CASE("commands are not run where nobody would learn how they end") {
    const auto before = ::signal(SIGCHLD, SIG_IGN);
    CHECK_THROWS_WITH_AS(run_one(command({EXEC_PROBE, "args"}), "a"),
                         doctest::Contains("SIGCHLD is ignored"), weir::error);
    ::signal(SIGCHLD, before);
  }

  TEST_CASE("a command whose end somebody else has taken is not taken for a success") {
    const auto end = weir::exec::judge_exit(weir::exec::unknown_exit);
    CHECK(end.code == status::unknown);
    CHECK(end.details.message.find("has waited for it") != std::string::npos);
  }
}

TEST_SUITE("payload to arguments") {
  TEST_CASE("no payload is ever split, unquoted or interpreted") {
    const std::vector<std::string> awkward = {"plain",
                                              "; rm -rf /tmp/x",
                                              "$(touch /tmp/x)",
                                              "`id`",
                                              "a b  c",
                                              "it's \"so\"",
                                              "line\nbreak\n",
                                              "-rf",
                                              "--help",
                                              "",
                                              "*",
                                              "{}",
                                              "\\",
                                              "\xff\xfe\x80",
                                              "a\tb",
                                              "%s%n",
                                              "x;y|z&",
                                              "~root"};
    const auto whole = run_all(command({EXEC_PROBE, "args", "{}"}), awkward, {}, 2);
    const auto part =
        run_all(command({EXEC_PROBE, "args", "before", "a{}b", "after"}), awkward, {}, 2);
    const auto appended = run_all(command({EXEC_PROBE, "args", "first"}), awkward, {}, 2);
    const auto shell = run_all(script(EXEC_PROBE " args \"$1\""), awkward, {}, 2);
    for (std::size_t i = 0; i < awkward.size(); ++i) {
      CAPTURE(awkward[i]);
      CHECK(whole[i].code == status::ok);
      CHECK(whole[i].result == netstring(awkward[i]));
      CHECK(part[i].result ==
            netstring("before") + netstring("a" + awkward[i] + "b") + netstring("after"));
      CHECK(appended[i].result == netstring("first") + netstring(awkward[i]));
      CHECK(shell[i].result == netstring(awkward[i]));
    }
  }

  TEST_CASE("every {} is filled in where it stands") {
    const auto o = run_one(command({EXEC_PROBE, "args", "{}", "-o{}.out", "{}{}"}), "x");
    CHECK(o.result == netstring("x") + netstring("-ox.out") + netstring("xx"));
  }

  TEST_CASE("a script's further arguments follow the payload, and may contain {}") {
    auto options = script(EXEC_PROBE " args \"$@\" \"$0\"");
    options.argv.push_back("{}");
    CHECK(run_one(options, "x").result == netstring("x") + netstring("{}") + netstring("sh"));
  }

  TEST_CASE("the longest argument that the system allows passes, and one byte more fails") {
    const std::size_t longest = 32 * static_cast<std::size_t>(::sysconf(_SC_PAGESIZE)) - 1;
    const auto fits = run_one(command({EXEC_PROBE, "args", "{}"}), std::string(longest, 'x'));
    CHECK(fits.code == status::ok);
    CHECK(fits.result.size() > longest);
    for (const std::size_t size : {longest + 1, std::size_t{3} * 1024 * 1024}) {
      const auto o = run_one(command({EXEC_PROBE, "args", "{}"}), std::string(size, 'x'));
      CHECK(o.code == status::invalid_argument);
      CHECK_FALSE(o.details.retryable);
      CHECK(o.details.message.find("--stdin") != std::string::npos);
    }
  }

  TEST_CASE("a payload with a NUL byte cannot be an argument, but can be standard input") {
    const std::string payload("a\0b", 3);
    const auto o = run_one(command({"cat", "{}"}), payload);
    CHECK(o.code == status::invalid_argument);
    CHECK_FALSE(o.details.retryable);
    CHECK(run_one(command({"cat"}, command_mode::stdin_), payload).result == payload);
  }

  TEST_CASE("standard input takes 3 MB, and a command need not read them") {
    std::string payload;
    for (int i = 0; payload.size() < 3'000'000; ++i) payload += std::to_string(i);
    const auto copied = run_one(command({"cat"}, command_mode::stdin_), payload);
    CHECK(copied.code == status::ok);
    CHECK(copied.result == payload);
    const auto ignored = run_all(command({"true"}, command_mode::stdin_), {payload, "", "x"});
    for (const auto& o : ignored) CHECK(o.code == status::ok);
    CHECK(run_one(command({"head", "-c", "3"}, command_mode::stdin_), payload).result == "012");
  }

  TEST_CASE("a command learns its task's identity, and gets the variables it was promised") {
    auto options = script("echo $WEIR_TASK_ID $WEIR_SEQ $WEIR_ATTEMPT $COLOUR $HOME");
    ::setenv("HOME", "/home/of/worker", 1);
    options.env = {"COLOUR=blue", "COLOUR=red"};
    const auto all = run_all(options, {"a", "b"});
    CHECK(all[0].result == "ab010203000000000000000000000000-1 1 3 red /home/of/worker\n");
    CHECK(all[1].result == "ab010203000000000000000000000000-2 2 3 red /home/of/worker\n");
  }

  TEST_CASE("standard input is empty, and the directory the one that was asked for") {
    const temporary_directory dir;
    auto options = script("cat; pwd -P");
    options.cwd = dir.path();
    CHECK(run_one(options, "x").result == dir.path() + "\n");
    options.cwd = dir / "missing";
    const auto o = run_one(options, "x");
    CHECK(o.code == status::not_found);
    CHECK(o.details.message ==
          "cannot go to " + (dir / "missing") + ": No such file or directory");
  }
}

TEST_SUITE("what becomes of a command") {
  TEST_CASE("exit 0 is success, with times, host and the end of stderr") {
    const auto o = run_one(script("echo out; echo err >&2"), "x");
    CHECK(o.code == status::ok);
    CHECK(o.result == "out\n");
    CHECK(o.details.stderr_tail == "err\n");
    CHECK(o.details.exit_code == 0);
    CHECK(o.details.signal == 0);
    CHECK(o.details.started > 1.6e9);
    CHECK(o.details.runtime > 0);
    CHECK_FALSE(o.details.host.empty());
  }

  TEST_CASE("another exit code is a failure that may be retried, and keeps the output") {
    for (const int code : {1, 2, 127, 255}) {
      const auto o = run_one(script("echo so far; exit $1"), std::to_string(code));
      CHECK(o.code == status::unknown);
      CHECK(o.details.exit_code == code);
      CHECK(o.details.message == "exit " + std::to_string(code));
      CHECK(o.details.retryable);
      CHECK(o.result == "so far\n");
    }
  }

  TEST_CASE("a command ended by a signal was aborted, and the signal is told") {
    for (const auto& [name, number] :
         std::vector<std::pair<std::string, int>>{{"TERM", SIGTERM}, {"KILL", SIGKILL}}) {
      const auto o = run_one(script("kill -$1 $$"), name);
      CHECK(o.code == status::aborted);
      CHECK(o.details.signal == number);
      CHECK(o.details.exit_code == -1);
      CHECK(o.details.message ==
            "killed by signal " + std::to_string(number) + " (SIG" + name + ")");
    }
  }

  TEST_CASE("a command that does not exist is 127, one that may not be executed is 126") {
    const temporary_directory dir;
    const auto missing = run_one(command({"weir-no-such-command"}), "x");
    CHECK(missing.code == status::not_found);
    CHECK(missing.details.exit_code == 127);
    CHECK_FALSE(missing.details.retryable);
    CHECK(run_one(command({dir / "missing"}), "x").code == status::not_found);

    std::ofstream(dir / "data") << "no program";
    const auto data = run_one(command({dir / "data"}), "x");
    CHECK(data.code == status::permission_denied);
    CHECK(data.details.exit_code == 126);
    CHECK_FALSE(data.details.retryable);
  }

  TEST_CASE("a script without a #! line runs as it would from a shell") {
    const temporary_directory dir;
    const auto path = executable(dir, "script", "echo \"[$1]\"\n");
    const auto all = run_all(command({path}), {"a b", "c"});
    CHECK(all[0].result == "[a b]\n");
    CHECK(all[1].result == "[c]\n");
  }

  TEST_CASE("a command is found in the PATH that it is given") {
    const temporary_directory dir;
    executable(dir, "weir-only-here", "#!/bin/sh\necho found\n");
    auto options = command({"weir-only-here"});
    options.env = {"PATH=/nowhere:" + dir.path() + ":/usr/bin:/bin"};
    CHECK_NOTHROW(weir::check(options));
    CHECK(run_one(options, "x").result == "found\n");
  }

  TEST_CASE("10 MB of output come back whole") {
    const auto all =
        run_all(command({EXEC_PROBE, "spew", "{}"}), {"10000000", "3", "10000000"});
    CHECK(all[0].result == std::string(10'000'000, 'x'));
    CHECK(all[1].result == "xxx");
    CHECK(all[2].result.size() == 10'000'000);
  }

  TEST_CASE("output at the limit passes; one byte more ends the command, and is not retried") {
    auto options = command({EXEC_PROBE, "spew", "{}"});
    options.max_output = 200'000;
    const auto all = run_all(options, {"200000", "200001", "0"});
    CHECK(all[0].code == status::ok);
    CHECK(all[0].result.size() == 200'000);
    CHECK(all[1].code == status::resource_exhausted);
    CHECK_FALSE(all[1].details.retryable);
    CHECK(all[2].code == status::ok);

    auto endless = command({"yes"});
    endless.max_output = 100'000;
    CHECK(run_one(endless, "x").code == status::resource_exhausted);
  }

  TEST_CASE("of stderr, the end is kept") {
    const auto o = run_one(script("seq 100000 >&2; echo the end >&2; exit 1"), "x");
    CHECK(o.details.stderr_tail.size() == weir::proto::limits::stderr_bytes);
    CHECK(o.details.stderr_tail.substr(o.details.stderr_tail.size() - 15) ==
          "100000\nthe end\n");
  }
}

TEST_SUITE("ending commands") {
  TEST_CASE("a command over its time limit is ended with TERM") {
    const temporary_directory dir;
    // The trap proves that TERM came, and before KILL.
    auto options = script("trap 'echo got TERM; exit 5' TERM; echo x > " + (dir / "ready") +
                          "; while :; do sleep 0.01; done");
    options.grace = 40s;
    const auto o = run_one(options, "x", 300ms);
    CHECK(o.code == status::deadline_exceeded);
    CHECK(o.details.message == "ended after its time limit of 0.3 s");
    if (!contents(dir / "ready").empty()) CHECK(o.result == "got TERM\n");
  }

  TEST_CASE("a command that ignores TERM is killed after the grace, and its group with it") {
    const temporary_directory dir;
    loop l(1, [&] {
      auto options = script("trap '' TERM; sh -c 'echo $$ > " + (dir / "inner") +
                            "; while :; do sleep 0.01; done' & echo $$ > " + (dir / "outer") +
                            "; while :; do sleep 0.01; done");
      options.grace = 20ms;
      return weir::exec::command_runner_factory(options);
    }());
    l.give({"x"});
    const int outer = number_in(dir / "outer");
    const int inner = number_in(dir / "inner");
    l.pool().cancel(some_source, {1, 1});
    l.finish();
    CHECK(l.outcomes.at(1).code == status::cancelled);
    CHECK(l.outcomes.at(1).details.signal == SIGKILL);
    CHECK(eventually([&] { return !alive(outer) && !alive(inner); }));
  }

  TEST_CASE("a stopped command can be cancelled") {
    const temporary_directory dir;
    auto options = script("echo $$ > " + (dir / "pid") + "; kill -STOP $$");
    options.grace = 40s;
    loop l(1, weir::exec::command_runner_factory(options));
    l.give({"x"});
    number_in(dir / "pid");
    l.pool().cancel(some_source, {1, 1});
    l.finish();
    CHECK(l.outcomes.at(1).code == status::cancelled);
  }

  TEST_CASE("tasks behind a cancelled one run, and the pool's end ends commands at once") {
    const temporary_directory dir;
    auto options = script("case $1 in wait*) echo $$ > " + (dir / "") +
                          "$1; exec sleep 1000;; esac; echo $1");
    loop l(1, weir::exec::command_runner_factory(options));
    l.give({"wait1", "next", "wait2", "never"});
    number_in(dir / "wait1");
    l.pool().cancel(some_source, {1, 1});
    CHECK(l.wait_for([&] { return l.outcomes.size() == 2; }));
    CHECK(l.outcomes.at(1).code == status::cancelled);
    CHECK(l.outcomes.at(2).result == "next\n");
    const int last = number_in(dir / "wait2");
    l.pool().stop();
    l.take();
    CHECK_FALSE(alive(last));
    CHECK(l.outcomes.size() == 2);
    CHECK(l.released.size() == 2);
  }

  TEST_CASE("what a command leaves in its group is killed, and does not hold up its result") {
    const temporary_directory dir;
    // The descendant keeps standard output open.
    const auto o =
        run_one(script("sleep 1000 & echo $! > " + (dir / "pid") + "; echo done"), "x");
    CHECK(o.code == status::ok);
    CHECK(o.result == "done\n");
    const int left = number_in(dir / "pid");
    CHECK(eventually([&] { return !alive(left); }));
  }

  TEST_CASE("a descendant that has left the group holds nothing up either") {
    const temporary_directory dir;
    const auto all = run_all(script("setsid sh -c 'echo $$ > " + (dir / "") +
                                    "$1; exec sleep 1000' sh $1 & while ! test -s " +
                                    (dir / "") + "$1; do sleep 0.01; done; echo done $1"),
                             {"a", "b"});
    CHECK(all[0].result == "done a\n");
    CHECK(all[1].result == "done b\n");
    for (const auto* name : {"a", "b"}) {
      const int left = number_in(dir / name);
      CHECK(alive(left));
      ::kill(left, SIGKILL);
    }
  }

  TEST_CASE("a command that closes its output runs on until it is done") {
    const auto o = run_one(script("exec >&- 2>&-; sleep 0.1; exit 9"), "x");
    CHECK(o.details.exit_code == 9);
  }
}

TEST_SUITE("what a command inherits") {
  TEST_CASE("three descriptors and no more, even if the worker was given others") {
    const int stray = ::dup(0);  // not close-on-exec
    for (const auto mode : {command_mode::process, command_mode::stdin_})
      CHECK(run_one(command({EXEC_PROBE, "fds"}, mode), "x").result == "0 1 2 ");
    ::close(stray);
  }

  TEST_CASE("thousands of tasks leave no descriptor behind, whether they start or not") {
    const int before = open_descriptors();
    {
      loop l(2, weir::exec::command_runner_factory(command({"/bin/true"})));
      l.give(std::vector<std::string>(300, "x"));
      l.give(std::vector<std::string>(10, std::string(200'000, 'x')));
      l.finish();
    }
    CHECK(open_descriptors() == before);
  }

  TEST_CASE("default signal dispositions, and none blocked, whatever the worker does") {
    const auto old = ::signal(SIGPIPE, SIG_IGN);
    const auto old_rt = ::signal(SIGRTMIN + 3, SIG_IGN);
    CHECK(run_one(command({EXEC_PROBE, "signals"}), "x").result ==
          "0000000000000000 0000000000000000");
    ::signal(SIGPIPE, old);
    ::signal(SIGRTMIN + 3, old_rt);
  }
}

TEST_SUITE("mistakes in a command") {
  TEST_CASE("are refused before there are tasks, saying what to do") {
    const temporary_directory dir;
    CHECK_THROWS_WITH_AS(
        weir::check(command({})),
        "no command given: say what to run for each task, for example: -- sha256sum {}",
        weir::error);
    CHECK_THROWS_WITH_AS(weir::check(command({"weir-no-such-command"})),
                         "command 'weir-no-such-command' not found in PATH", weir::error);
    CHECK_THROWS_AS(weir::check(command({dir / "missing"})), weir::error);
    std::ofstream(dir / "data") << "no program";
    CHECK_THROWS_AS(weir::check(command({dir / "data"})), weir::error);
    CHECK_THROWS_AS(weir::check(command({"run-{}"})), weir::error);
    auto options = command({"true"});
    options.env = {"NAME"};
    CHECK_THROWS_AS(weir::check(options), weir::error);
    options.env = {"NAME="};
    CHECK_NOTHROW(weir::check(options));
    options.cwd = dir / "missing";
    CHECK_THROWS_AS(weir::check(options), weir::error);
    CHECK_NOTHROW(weir::check(script("{ echo {}; }")));
  }
}

}  // namespace process_runner_test
