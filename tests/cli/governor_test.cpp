// Who may start and who has to end: --delay, --load, --memfree, and what ends a run.
#include "run/governor.hpp"

#include <doctest/doctest.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <atomic>
#include <functional>
#include <thread>

using namespace weir::cli::run;
using namespace std::chrono_literals;
using pressure = governor::pressure;

namespace {

const auto wanted = [] { return false; };

bool readable(int fd) {
  pollfd one{fd, POLLIN, 0};
  return ::poll(&one, 1, 0) == 1;
}

struct running : running_task {
  explicit running(std::chrono::seconds age) {
    since = std::chrono::steady_clock::now() - age;
    wake_fd = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    describe = [] { return std::string("a command"); };
  }
  ~running() { ::close(wake_fd); }
};

}  // namespace

TEST_SUITE("a start") {
  TEST_CASE("needs nothing unless asked for") {
    governor rules({.load = [] { return 1e9; }, .memory = [] { return std::uint64_t{0}; }});
    CHECK(rules.may_start(wanted));
  }

  TEST_CASE("waits while as many processes as --load says want to run") {
    std::atomic<double> load = 4;
    std::atomic<int> looks = 0;
    governor rules({.max_load = 4, .load = [&] {
                      ++looks;
                      if (looks == 3) load = 3.9;
                      return load.load();
                    }});
    CHECK(rules.may_start(wanted));
    CHECK(looks == 3);
  }

  TEST_CASE("waits until as much memory is free as --memfree says") {
    int looks = 0;
    governor rules({.memory_free = 1000,
                    .memory = [&] { return std::uint64_t{++looks < 3 ? 999U : 1000U}; }});
    CHECK(rules.may_start(wanted));
    CHECK(looks == 3);
  }

  TEST_CASE("does not wait any longer when nothing is to be started, or this is not wanted") {
    governor full({.max_load = 1, .load = [] { return 1.0; }});
    CHECK_FALSE(full.may_start([] { return true; }));
    full.press(pressure::start_no_more);
    CHECK_FALSE(full.may_start(wanted));
  }

  TEST_CASE("comes --delay after the one before, and one at a time") {
    governor rules({.delay = 50ms});
    CHECK(rules.may_start(wanted));
    std::atomic<bool> second = false;
    std::thread other([&] { second = rules.may_start(wanted); });
    const auto started = weir::proto::clock::now();
    rules.started();
    other.join();
    CHECK(second);
    CHECK(weir::proto::clock::now() - started >= 50ms);
  }
}

TEST_SUITE("when memory becomes scarce") {
  TEST_CASE("below half of --memfree the youngest gives way, one at a time") {
    std::uint64_t memory = 500;
    governor rules({.memory_free = 1000, .memory = [&] { return memory; }});
    running oldest(30s), youngest(10s), middle(20s);
    for (auto* task : {&oldest, &youngest, &middle}) rules.enter(*task);
    rules.tick();
    CHECK_FALSE(youngest.give_way);
    memory = 499;
    rules.tick();
    CHECK(youngest.give_way);
    CHECK(readable(youngest.wake_fd));
    rules.tick();
    CHECK_FALSE(middle.give_way);
    rules.leave(youngest);
    rules.tick();
    CHECK(middle.give_way);
    rules.leave(middle);
    rules.tick();  // the last one goes on: somebody has to get ready
    CHECK_FALSE(oldest.give_way);
    rules.leave(oldest);
  }
}

TEST_SUITE("the end of a run") {
  TEST_CASE("is told to those who run and to who reads the input") {
    governor rules({});
    running task(1s);
    rules.enter(task);
    rules.press(pressure::start_no_more);
    CHECK(readable(rules.closed_fd()));
    CHECK_FALSE(readable(task.wake_fd));
    rules.press(pressure::end_all);
    CHECK(readable(task.wake_fd));
    rules.press(pressure::start_no_more);
    CHECK(rules.level() == pressure::end_all);
    rules.leave(task);
  }

  TEST_CASE("a median of three decides how long the others may take") {
    governor rules({.timeout_percent = 200});
    CHECK(rules.time_limit() == 0s);
    for (const auto took : {1s, 100s}) rules.count({}, took);
    CHECK(rules.time_limit() == 0s);
    rules.count({false, 1, 0}, 1s);  // a failure says nothing
    CHECK(rules.time_limit() == 0s);
    rules.count({}, 3s);
    CHECK(rules.time_limit() == 6s);
  }
}
