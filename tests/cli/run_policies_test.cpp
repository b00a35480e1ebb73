// What weir run decides without running anything: --halt, --term-seq, --resume, -j.
#include "run/block_reader.hpp"
#include "run/finished_task.hpp"
#include "run/halt_policy.hpp"
#include "run/options.hpp"
#include "run/resume.hpp"
#include "run/spool.hpp"
#include "run/task_table.hpp"
#include "run/term_sequence.hpp"

#include <weir/error.hpp>

#include <doctest/doctest.h>
#include <fcntl.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <string>
#include <utility>
#include <vector>

using namespace weir::cli::run;
using namespace std::chrono_literals;
using decision = halt_policy::decision;

namespace {

constexpr task_end ok{};
task_end failed(int code) { return {false, code, 0}; }
task_end killed(int signal) { return {false, 0, signal}; }

struct temp_file {
  explicit temp_file(const std::string& content) {
    int fd = ::mkstemp(name.data());
    ::close(fd);
    std::ofstream(name, std::ios::binary) << content;
  }
  ~temp_file() { std::filesystem::remove(name); }
  std::string name = std::filesystem::temp_directory_path() / "weir-XXXXXX";
};

std::string line(int number, int exit_value, int signal, const std::string& command) {
  return std::to_string(number) + "\t:\t1.000\t     0.001\t0\t0\t" +
         std::to_string(exit_value) + "\t" + std::to_string(signal) + "\t" + command + "\n";
}

}  // namespace

TEST_SUITE("--halt") {
  TEST_CASE("a limit is reached at the limit and not before") {
    auto halt = halt_policy::parse("soon,fail=2");
    CHECK(halt.count(failed(1)) == decision::go_on);
    CHECK(halt.count(ok) == decision::go_on);
    CHECK(halt.count(failed(1)) == decision::soon);
    CHECK(halt.count(failed(1)) == decision::go_on);  // once is enough
    CHECK(halt.exit_status() == 2);
  }

  TEST_CASE("with a limit of 1 the status is the task's own, 128 + n for a signal") {
    auto halt = halt_policy::parse("now,fail=1");
    CHECK(halt.count(failed(42)) == decision::now);
    CHECK(halt.exit_status() == 42);
    halt = halt_policy::parse("now,done=1");
    CHECK(halt.count(killed(9)) == decision::now);
    CHECK(halt.exit_status() == 137);
  }

  TEST_CASE("a success that ends the run is a success, whatever failed before") {
    auto halt = halt_policy::parse("now,success=1");
    CHECK(halt.count(failed(1)) == decision::go_on);
    CHECK(halt.count(ok) == decision::now);
    CHECK(halt.exit_status() == 0);
  }

  TEST_CASE("a percentage is of all tasks, and never reached before it is known how many") {
    auto halt = halt_policy::parse("soon,fail=50%");
    CHECK(halt.count(failed(1)) == decision::go_on);
    CHECK(halt.count(failed(1)) == decision::go_on);
    halt.set_total(4);
    CHECK(halt.count(failed(1)) == decision::soon);
    CHECK(halt.exit_status() == 75);
  }

  TEST_CASE("a percentage of no tasks is never reached") {
    auto halt = halt_policy::parse("now,done=50%");
    halt.set_total(0);
    CHECK(halt.count(failed(1)) == decision::go_on);
    CHECK(halt.count(ok) == decision::go_on);
    CHECK(halt.exit_status() == 50);
  }

  TEST_CASE("without a reason to halt the status is the number of failures, at most 101") {
    halt_policy never = halt_policy::parse("never");
    for (int i = 0; i < 100; ++i) CHECK(never.count(failed(1)) == decision::go_on);
    CHECK(never.exit_status() == 100);
    for (int i = 0; i < 100; ++i) (void)never.count(failed(1));
    CHECK(never.exit_status() == 101);
  }

  TEST_CASE("GNU parallel's short forms are understood, and nothing else") {
    CHECK(halt_policy::parse("2").count(failed(3)) == decision::now);
    CHECK(halt_policy::parse("1").count(failed(3)) == decision::soon);
    CHECK(halt_policy::parse("-1").count(ok) == decision::soon);
    CHECK(halt_policy::parse("0").count(failed(3)) == decision::go_on);
    for (const char* wrong : {"", "now", "now,fail", "now,fail=", "now,fail=0", "later,fail=1",
                              "now,lost=1", "now,fail=x", "3"})
      CHECK_THROWS_AS((void)halt_policy::parse(wrong), weir::error);
  }
}

TEST_SUITE("--term-seq") {
  TEST_CASE("signals are sent in turn, each when the wait after the last is over") {
    const auto sequence = term_sequence::parse("TERM,200,SIGINT,100,9,25");
    const weir::proto::time_point start{1h};
    ending end;
    CHECK(!end.begun());
    end.begin(sequence, start);
    CHECK(end.due(start) == SIGTERM);
    CHECK(end.due(start + 199ms) == 0);
    CHECK(end.next() == start + 200ms);
    CHECK(end.due(start + 200ms) == SIGINT);
    CHECK(end.due(start + 300ms) == SIGKILL);
    CHECK(end.due(start + 1h) == 0);
  }

  TEST_CASE("KILL follows a sequence that does not end with it") {
    const auto sequence = term_sequence::parse("TERM,200");
    REQUIRE(sequence.steps.size() == 2);
    CHECK(sequence.steps[1].signal == SIGKILL);
  }

  TEST_CASE("who is in a hurry kills at once, and once") {
    const auto sequence = term_sequence::parse("TERM,60000");
    const weir::proto::time_point start{1h};
    ending end;
    end.begin(sequence, start);
    CHECK(end.due(start) == SIGTERM);
    end.hurry(start + 1ms);
    CHECK(end.due(start + 1ms) == SIGKILL);
    end.hurry(start + 2ms);
    CHECK(end.due(start + 2ms) == 0);
  }

  TEST_CASE("what is no sequence is refused") {
    for (const char* wrong : {"", "TERM,", "TERM,x", "NOSUCH,1", "TERM,1,", "0,1"})
      CHECK_THROWS_AS((void)term_sequence::parse(wrong), weir::error);
  }
}

TEST_SUITE("a joblog") {
  TEST_CASE("of tasks with the same command each line stands for one, its own number first") {
    const temp_file log(line(1, 0, 0, "echo a") + line(3, 0, 0, "echo a"));
    done_before done(log.name, done_before::counts::whatever_came);
    CHECK(done.take(3, "echo a"));
    CHECK(done.take(2, "echo a"));
    CHECK(!done.take(1, "echo a"));
    CHECK(done.left() == 0);
  }

  TEST_CASE("may be asked for a task by its number and its command") {
    const temp_file log(line(1, 0, 0, "x") + line(2, 0, 0, "x"));
    done_before done(log.name, done_before::counts::whatever_came);
    CHECK(!done.take_same(3, "x"));
    CHECK(!done.take_same(1, "y"));
    CHECK(done.take_same(2, "x"));
    CHECK(!done.take_same(2, "x"));
    CHECK(done.left() == 1);
    CHECK(done.take(2, "x"));
  }

  TEST_CASE("the last line of a task counts") {
    const temp_file log(line(1, 1, 0, "x") + line(2, 0, 0, "y") + line(1, 0, 0, "x") +
                        line(2, 0, 9, "y"));
    done_before done(log.name, done_before::counts::successes);
    CHECK(done.take(1, "x"));
    CHECK(!done.take(2, "y"));
    failed_before failures(log.name);
    arguments task;
    REQUIRE(failures.next(task));
    CHECK(task.values == std::vector<std::string>{"y"});
    CHECK(failures.number() == 2);
    CHECK(!failures.next(task));
  }

  TEST_CASE("what failed is not forgotten because another command has its number now") {
    const auto fails = [](const std::string& text) {
      const temp_file log(text);
      failed_before failures(log.name);
      std::vector<std::pair<std::uint64_t, std::string>> all;
      for (arguments task; failures.next(task);)
        all.emplace_back(failures.number(), task.values[0]);
      return all;
    };
    using found = std::vector<std::pair<std::uint64_t, std::string>>;
    const auto edited = line(1, 0, 0, "a") + line(2, 1, 0, "b") + line(2, 0, 0, "x");
    CHECK(fails(edited) == found{{2, "b"}});
    CHECK(fails(edited + line(2, 0, 0, "b")).empty());
    CHECK(fails(edited + line(2, 0, 0, "b") + line(2, 0, 0, "x")).empty());
    // It has moved, and is there once.
    CHECK(fails(edited + line(3, 1, 0, "b")) == found{{3, "b"}});
    CHECK(fails(edited + line(3, 0, 0, "b")).empty());
    // It is there twice.
    CHECK(fails(line(1, 1, 0, "b") + line(2, 1, 0, "b")) == found{{1, "b"}, {2, "b"}});
  }

  TEST_CASE("a command of several lines is found again") {
    const temp_file log(line(1, 0, 0, std::string("a\0b", 3)));
    done_before done(log.name, done_before::counts::whatever_came);
    CHECK(done.take(1, "a\nb"));
  }

  TEST_CASE("that is not there says nothing") {
    done_before done("/nonexistent/log", done_before::counts::whatever_came);
    CHECK(!done.take(1, "x"));
  }
}

TEST_SUITE("a finished task") {
  TEST_CASE("does not keep its input while it waits for its turn to be printed") {
    spool room;
    task_table table(10, 1'000'000);
    table.add(1, 1, {}, std::string(100'000, 'x'));
    local_attempt attempt(room);
    attempt.attempt = 1;
    attempt.sent = 100'000;
    CHECK(table.finish(1, std::move(attempt), 1));
    weir::result outcome;
    outcome.attempt = 1;
    const auto task = finish(table.take(1), outcome, room, answers::lines);
    CHECK(task.record->input.capacity() <= std::string().capacity());
    CHECK(task.sent == 100'000);
    CHECK(task.out.empty());
  }

  TEST_CASE("elsewhere: what a command wrote is as it is, and what was answered is a line") {
    spool room;
    task_table table(10, 1'000'000);
    weir::outcome_details of_command;
    of_command.exit_code = 0;
    std::uint64_t seq = 0;
    const auto printed = [&](std::string_view payload, const weir::outcome_details* details,
                             answers how) {
      ++seq;
      table.add(seq, seq, {});
      weir::result outcome;
      outcome.attempt = 1;
      outcome.payload = payload;
      outcome.details = details;
      std::string text;
      finish(table.take(seq), outcome, room, how)
          .out.for_each_piece([&](std::string_view piece) { text += piece; });
      return text;
    };
    CHECK(printed("a", &of_command, answers::lines) == "a");
    CHECK(printed("", &of_command, answers::lines).empty());
    CHECK(printed("a", nullptr, answers::lines) == "a\n");
    CHECK(printed("a\n", nullptr, answers::lines) == "a\n");
    CHECK(printed("", nullptr, answers::lines) == "\n");
    CHECK(printed("", nullptr, answers::none).empty());
  }
}

TEST_SUITE("kept output") {
  TEST_CASE("of any size comes back as it was, from memory and file") {
    spool room(100);
    for (const std::size_t size : {0U, 1U, 100U, 101U, 1'000'000U}) {
      kept_output kept(room);
      std::string whole;
      while (whole.size() < size) {
        const std::string part(std::min<std::size_t>(size - whole.size(), 4099),
                               static_cast<char>('a' + whole.size() % 26));
        kept.append(part);
        whole += part;
      }
      kept.finish();
      CHECK(kept.size() == size);
      std::string back;
      kept.for_each_piece([&](std::string_view piece) { back += piece; });
      CHECK(back == whole);
    }
  }
}

TEST_SUITE("--pipe") {
  /// All blocks of this input, kept as the task table keeps them.
  std::vector<std::string> blocks_of(const std::string& input, block_options how) {
    const temp_file file(input);
    const int fd = ::open(file.name.c_str(), O_RDONLY | O_CLOEXEC);
    std::vector<std::string> all;
    block_reader blocks(fd, -1, std::move(how));
    for (std::string block; blocks.next(block);) all.push_back(std::move(block));
    ::close(fd);
    return all;
  }

  TEST_CASE("a block has no more memory than twice its size, however small it is") {
    std::string input;
    for (int n = 0; n < 300'000; ++n) input += "line " + std::to_string(n) + "\n";
    for (const std::uint64_t records : {0U, 1U, 3U, 1000U, 100'000U}) {
      for (const std::size_t block :
           {std::size_t{10}, std::size_t{1} << 16, std::size_t{1} << 20}) {
        const auto all = blocks_of(input, {block, "\n", "", records});
        CAPTURE(records);
        CAPTURE(block);
        std::string whole;
        std::size_t memory = 0;
        for (const auto& one : all) {
          whole += one;
          memory += one.capacity();
          if (!one.ends_with('\n')) FAIL_CHECK("cut within a line");
        }
        CHECK(whole == input);
        CHECK(memory <= 2 * input.size() + all.size() * std::string().capacity());
        if (records > 0) CHECK(all.size() == 300'000 / records);
        if (records == 0 && block > 1000) CHECK(all.size() <= input.size() / (block - 100) + 1);
      }
    }
  }

  TEST_CASE("input without the end of a record is an error before it takes all memory") {
    const std::string input = "one\n" + std::string(5'000'000, '0');
    block_options how;
    how.block = 1'000'000;
    how.longest = 4'000'000;
    CHECK_THROWS_AS((void)blocks_of(input, how), weir::error);
    how.records = 1;
    CHECK_THROWS_AS((void)blocks_of(input, how), weir::error);
    how.longest = 5'000'000;
    CHECK(blocks_of(input, how).size() == 2);
    how.longest = 1000;
    how.block = 5'000'004;  // asked for
    CHECK(blocks_of(input, how).size() == 2);
  }

  TEST_CASE(
      "so are more records to a block than memory should hold, and that is what is said") {
    block_options how;
    how.block = 1000;
    how.longest = 4000;
    for (const char* end : {"\n", ""}) {
      how.record_end = end;
      how.records = 5000;
      std::string said;
      try {
        (void)blocks_of(std::string(10'000'000, '\n'), how);
      } catch (const weir::error& e) {
        said = e.what();
      }
      CHECK(said.find("less than 5000 records") != said.npos);
    }
  }

  TEST_CASE("a line is taken off the front, and what follows it is not lost") {
    const temp_file file("head\n1\n2\n");
    const int fd = ::open(file.name.c_str(), O_RDONLY | O_CLOEXEC);
    block_reader blocks(fd, -1, {4, "\n", "", 1});
    CHECK(blocks.first_line() == "head\n");
    std::string block;
    REQUIRE(blocks.next(block));
    CHECK(block == "1\n");
    REQUIRE(blocks.next(block));
    CHECK(block == "2\n");
    CHECK(!blocks.next(block));
    ::close(fd);
  }
}

TEST_SUITE("-j") {
  TEST_CASE("is a number, or relative to the processors, and at least 1") {
    CHECK(parse_jobs("3") == 3);
    CHECK(parse_jobs("0") > 100);
    CHECK(parse_jobs("-100000") == 1);
    CHECK(parse_jobs("+1") == parse_jobs("100%") + 1);
    CHECK(parse_jobs("200%") == 2 * parse_jobs("100%"));
    for (const char* wrong : {"", "x", "1x", "%", "+", "1.2.3", "1.5", "+0.5"})
      CHECK_THROWS_AS((void)parse_jobs(wrong), weir::error);
  }
}
