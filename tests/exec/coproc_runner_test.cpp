#include "harness.hpp"

#include <signal.h>

#include <cstdlib>
#include <fstream>

namespace coproc_runner_test {

using namespace exec_test;
using weir::command_mode;
using weir::command_options;

namespace {

command_options lines(std::vector<std::string> argv) {
  return command(std::move(argv), command_mode::coproc_lines);
}
command_options filter(const std::string& text) { return lines({"sh", "-c", text}); }
command_options frames(std::vector<std::string> argv) {
  return command(std::move(argv), command_mode::coproc_frames);
}

/// The pool has ended for this reason.
void unasked(loop& l, const std::string& text) {
  REQUIRE(l.pool().failed());
  try {
    l.pool().check();
    FAIL("it should have thrown");
  } catch (const weir::error& e) {
    CHECK(e.code() == weir::exit_code::protocol);
    CHECK_MESSAGE(std::string(e.what()).find('"' + text) != std::string::npos, e.what());
  }
}

std::vector<std::string> numbered(int count) {
  std::vector<std::string> all;
  for (int i = 0; i < count; ++i) all.push_back("line " + std::to_string(i));
  return all;
}

}  // namespace

TEST_SUITE("coprocess") {
  TEST_CASE("100 000 lines through two filters each get their own answer") {
    const auto payloads = numbered(100'000);
    const auto all = run_all(lines({"cat"}), payloads, {}, 2);
    for (std::size_t i = 0; i < payloads.size(); ++i) {
      REQUIRE(all[i].code == status::ok);
      REQUIRE(all[i].result == payloads[i]);
    }
  }

  TEST_CASE("it is started once for each slot") {
    const auto all = run_all(filter("while read x; do echo $$; done"), numbered(50));
    for (const auto& o : all) CHECK(o.result == all[0].result);
  }

  TEST_CASE("empty, long and binary lines pass; one with a newline in it fails alone") {
    const std::string binary("\0\xff\x80", 3);
    const std::string big(1'000'000, 'y');
    const auto all =
        run_all(lines({"cat"}), {"", "a", "two\nlines", binary, big, "\n", "last"});
    CHECK(all[0].result == "");
    CHECK(all[1].result == "a");
    CHECK(all[2].code == status::invalid_argument);
    CHECK_FALSE(all[2].details.retryable);
    CHECK(all[3].result == binary);
    CHECK(all[4].result == big);
    CHECK(all[5].code == status::invalid_argument);
    CHECK(all[6].result == "last");
  }

  TEST_CASE("frames carry any bytes") {
    std::vector<std::string> payloads = {"", "abc", std::string("\n\0\n", 3)};
    for (int i = 0; i < 2000; ++i) payloads.push_back(std::to_string(i * i));
    payloads.emplace_back(3'000'000, 'z');
    const auto all = run_all(frames({EXEC_PROBE, "frames"}), payloads);
    for (std::size_t i = 0; i < payloads.size(); ++i) {
      REQUIRE(all[i].code == status::ok);
      REQUIRE(all[i].result == std::string(payloads[i].rbegin(), payloads[i].rend()));
    }
  }

  TEST_CASE("when it dies, one task fails and none is lost; a new one takes over") {
    loop l(
        1,
        weir::exec::command_runner_factory(filter(
            "while read x; do case $x in bad) echo oops >&2; exit 3;; esac; echo $x; done")));
    l.give({"a", "b", "c", "bad", "d", "e"});
    l.finish();
    CHECK(l.outcomes.at(3).result == "c");
    const auto& failed = l.outcomes.at(4);
    CHECK(failed.code == status::unavailable);
    CHECK(failed.details.retryable);
    CHECK(failed.details.exit_code == 3);
    CHECK(failed.details.stderr_tail == "oops\n");
    CHECK(failed.details.message == "the coprocess ended before it answered: exit 3");
    const auto again = l.give({"f"});
    l.finish();
    CHECK(l.outcomes.at(again).result == "f");
    CHECK(l.outcomes.count(5) + l.released.count(5) == 1);
    CHECK(l.outcomes.count(6) + l.released.count(6) == 1);
  }

  TEST_CASE("a signal that ended it is told") {
    const auto o = run_one(filter("read x; kill -SEGV $$"), "x");
    CHECK(o.code == status::unavailable);
    CHECK(o.details.signal == SIGSEGV);
  }

  TEST_CASE("one that always dies fails each task that it gets, and the pool lives on") {
    loop l(2, weir::exec::command_runner_factory(lines({"false"})));
    l.give(numbered(6));
    l.finish();
    CHECK(l.outcomes.size() >= 1);
    for (const auto& [seq, o] : l.outcomes) CHECK(o.code == status::unavailable);
  }

  TEST_CASE("one that does not exist fails tasks for good") {
    const auto all = run_all(lines({"weir-no-such-command"}), numbered(3));
    for (const auto& o : all) CHECK(o.code == status::not_found);
  }

  TEST_CASE("one that has exited between two tasks is started again, at no task's cost") {
    loop l(1, weir::exec::command_runner_factory(filter("read x; echo $x $$")));
    for (int i = 0; i < 5; ++i) {
      const auto seq = l.give({std::to_string(i)});
      l.finish();
      const auto& answer = l.outcomes.at(seq).result;
      CHECK(answer.substr(0, 2) == std::to_string(i) + " ");
      CHECK(eventually([&] { return !alive(std::atoi(answer.c_str() + 2)); }));
    }
  }

  TEST_CASE("a time limit ends it, and those waiting behind are not charged") {
    loop l(1, weir::exec::command_runner_factory(filter(
                  "while read x; do case $x in slow) sleep 1000;; esac; echo $x; done")));
    l.give({"a"});
    l.finish();
    const auto slow = l.give({"slow", "b"}, 100ms);
    l.finish();
    CHECK(l.outcomes.at(slow).code == status::deadline_exceeded);
    if (l.outcomes.count(slow + 1) != 0) CHECK(l.outcomes.at(slow + 1).result == "b");
    const auto next = l.give({"c"});
    l.finish();
    CHECK(l.outcomes.at(next).result == "c");
  }

  TEST_CASE("cancelling the task that it works on ends it") {
    const temporary_directory dir;
    auto options =
        filter("echo $$ > " + (dir / "pid") + "; trap '' TERM; while :; do sleep 0.01; done");
    options.grace = 20ms;
    loop l(1, weir::exec::command_runner_factory(options));
    l.give({"x"});
    const int pid = number_in(dir / "pid");
    l.pool().cancel(some_source, {1, 1});
    l.finish();
    CHECK(l.outcomes.at(1).code == status::cancelled);
    CHECK_FALSE(alive(pid));
  }

  TEST_CASE("what it writes before it has read anything is no answer, but the end of it") {
    const temporary_directory dir;
    // It is busy for long between the banner and the first task.
    loop l(1, weir::exec::command_runner_factory(filter(
                  "echo hello; until [ -e " + (dir / "go") + " ]; do sleep 0.01; done; cat")));
    l.give({"a"});
    l.finish();
    CHECK(l.outcomes.at(1).code == status::unavailable);
    unasked(l, "hello");
  }

  TEST_CASE("of a banner and an answer that come at once none is taken") {
    loop l(1, weir::exec::command_runner_factory(
                  filter("read x; printf '%s\\n%s\\n' hello $x; cat")));
    l.give({"a", "b"});
    CHECK(l.wait_for([&] { return l.pool().failed(); }));
    l.pool().stop();
    l.finish();
    CHECK(l.outcomes.at(1).code == status::unavailable);
    CHECK(l.released.count(2) == 1);
    unasked(l, "hello");
  }

  TEST_CASE("a line between two tasks is noticed before the second one is asked") {
    const temporary_directory dir;
    loop l(1, weir::exec::command_runner_factory(filter(
                  "read x; echo $x; until [ -e " + (dir / "go") +
                  " ]; do sleep 0.01; done; echo more; echo 1 > " + (dir / "said") + "; cat")));
    l.give({"a"});
    l.finish();
    CHECK(l.outcomes.at(1).result == "a");
    CHECK_FALSE(l.pool().failed());
    std::ofstream(dir / "go") << "now";
    number_in(dir / "said");
    l.give({"b"});
    l.finish();
    CHECK(l.outcomes.at(2).code == status::unavailable);
    unasked(l, "more");
  }

  TEST_CASE("what nobody has asked for by the end is noticed then, be it half a line") {
    for (const std::string last : {"printf bye", "echo bye"}) {
      loop l(1, weir::exec::command_runner_factory(
                    filter("while read x; do echo $x; done; " + last)));
      l.give({"a"});
      l.finish();
      CHECK(l.outcomes.at(1).result == "a");
      CHECK_FALSE(l.pool().failed());
      l.pool().stop();
      unasked(l, "bye");
    }
  }

  TEST_CASE("an answer at the limit passes, and one byte more fails for good") {
    auto options = lines({"cat"});
    options.max_output = 100'000;
    const auto fits = run_one(options, std::string(100'000, 'x'));
    CHECK(fits.code == status::ok);
    for (const std::size_t size : {std::size_t{100'001}, std::size_t{5'000'000}}) {
      const auto o = run_one(options, std::string(size, 'x'));
      CHECK(o.code == status::resource_exhausted);
      CHECK_FALSE(o.details.retryable);
    }
    auto framed = frames({EXEC_PROBE, "frames"});
    framed.max_output = 10;
    CHECK(run_one(framed, "0123456789").code == status::ok);
    CHECK(run_one(framed, "0123456789a").code == status::resource_exhausted);
  }

  TEST_CASE("a descendant that keeps the pipes open does not hide that it has died") {
    const temporary_directory dir;
    const auto o =
        run_one(filter("setsid sleep 1000 & echo $! > " + (dir / "pid") + "; exit 4"), "x");
    CHECK(o.code == status::unavailable);
    CHECK(o.details.exit_code == 4);
    ::kill(number_in(dir / "pid"), SIGKILL);
  }

  TEST_CASE("much on its stderr does not block it") {
    const auto all =
        run_all(filter("while read x; do seq 20000 >&2; echo $x; done"), numbered(3));
    for (const auto& o : all) CHECK(o.code == status::ok);
  }

  TEST_CASE("at the end it gets the end of its input, and the time to say goodbye") {
    const temporary_directory dir;
    {
      loop l(1,
             weir::exec::command_runner_factory(filter(
                 "while read x; do echo $x; done; sleep 0.05; echo 7 > " + (dir / "goodbye"))));
      l.give({"x"});
      l.finish();
    }
    CHECK(number_in(dir / "goodbye") == 7);
  }
}

}  // namespace coproc_runner_test
