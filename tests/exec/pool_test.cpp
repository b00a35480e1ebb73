#include "exec/pool.hpp"

#include "harness.hpp"
#include "support/semaphore.hpp"

#include <atomic>
#include <set>
#include <stdexcept>

namespace pool_test {

using namespace exec_test;
using weir::exec::claim;
using weir::exec::runner;
using weir::exec::runner_factory;
using weir::proto::cancel_mode;

namespace {

/// Runs a function for each task, as a worker's handler would be run.
class function_runner : public runner {
 public:
  using function = std::function<void(claim&, std::uint32_t)>;
  explicit function_runner(function f) : f_(std::move(f)) {}
  void run(claim& tasks) override {
    for (std::uint32_t i = 0; tasks.begin(i); ++i) f_(tasks, i);
  }

 private:
  function f_;
};
runner_factory handler(function_runner::function f) {
  return [f = std::move(f)](unsigned) { return std::make_unique<function_runner>(f); };
}
void echo(claim& tasks, std::uint32_t i) { tasks.succeed(i, tasks.payload(i)); }

std::vector<std::string> numbered(int count) {
  std::vector<std::string> all;
  for (int i = 0; i < count; ++i) all.push_back("payload " + std::to_string(i));
  return all;
}

/// A handler that holds tasks with the payload "wait" until it is opened.
struct valve {
  weir::testing::semaphore arrived{0};
  weir::testing::semaphore open{0};
  runner_factory factory() {
    return handler([this](claim& tasks, std::uint32_t i) {
      if (tasks.payload(i) == "wait") {
        arrived.release();
        REQUIRE(open.try_acquire_for(deadline));
      }
      echo(tasks, i);
    });
  }
  void await_arrival() { REQUIRE(arrived.try_acquire_for(deadline)); }
};

}  // namespace

TEST_SUITE("pool") {
  TEST_CASE("every task is answered once, however many slots there are") {
    for (const unsigned slots : {1U, 2U, 7U}) {
      loop l(slots, handler(echo));
      for (int batch = 0; batch < 50; ++batch) l.give(numbered(1 + batch * 37 % 997));
      l.finish();
      CHECK(l.released.empty());
      CHECK(l.outcomes.at(1).result == "payload 0");
      CHECK(l.pool().stats().queued == 0);
      CHECK(l.pool().stats().done == l.outcomes.size());
      CHECK(l.pool().stats().per_task.count() > 0);
    }
  }

  TEST_CASE("a task that takes for ever holds up neither those behind it nor those before it") {
    valve v;
    loop l(2, v.factory());
    // Teach the pool that tasks are short, so that it claims many at a time.
    l.give(numbered(20'000));
    l.finish();
    l.outcomes.clear();
    auto payloads = numbered(4'000);
    payloads[100] = "wait";
    const auto first = l.give(payloads);
    CHECK(l.wait_for([&] { return l.outcomes.size() == payloads.size() - 1; }));
    CHECK(l.outcomes.count(first + 99) == 1);
    CHECK(l.outcomes.count(first + 100) == 0);
    v.open.release();
    CHECK(l.wait_for([&] { return l.outcomes.size() == payloads.size(); }));
  }

  TEST_CASE("results do not wait for a long task behind them, even one at a time") {
    valve v;
    loop l(1, handler([&](claim& tasks, std::uint32_t i) {
             if (tasks.payload(i) == "wait") {
               v.arrived.release();
               REQUIRE(v.open.try_acquire_for(deadline));
             }
             std::this_thread::sleep_for(2ms);  // so that a claim is a single task
             echo(tasks, i);
           }));
    l.give(numbered(5));
    l.finish();
    l.give({"two", "quick ones", "wait", "behind it"});
    CHECK(l.wait_for([&] { return l.outcomes.size() == 7; }));
    v.await_arrival();
    CHECK(l.outcomes.count(8) == 0);
    v.open.release();
    l.finish();
  }

  TEST_CASE("a handler that throws fails its own task and no other") {
    loop l(2, handler([](claim& tasks, std::uint32_t i) {
             if (tasks.payload(i) == "payload 5") throw std::runtime_error("out of cheese");
             if (tasks.payload(i) == "payload 7") throw 7;
             echo(tasks, i);
           }));
    l.give(numbered(1000));
    l.finish();
    CHECK(l.outcomes.at(6).code == status::internal);
    CHECK(l.outcomes.at(6).details.message == "the handler threw: out of cheese");
    CHECK(l.outcomes.at(8).code == status::internal);
    l.outcomes.erase(6);
    l.outcomes.erase(8);
    CHECK(l.outcomes.size() == 998);
    for (const auto& [seq, o] : l.outcomes) REQUIRE(o.code == status::ok);
  }

  TEST_CASE("a runner that cannot be made is the constructor's exception") {
    const runner_factory broken = [](unsigned slot) -> std::unique_ptr<runner> {
      if (slot == 1) throw std::runtime_error("no licence for slot 1");
      return std::make_unique<function_runner>(echo);
    };
    CHECK_THROWS_WITH(loop(3, broken), "no licence for slot 1");
  }

  TEST_CASE("cancelled tasks that wait are answered as cancelled, and those beside them run") {
    valve v;
    loop l(1, v.factory());
    l.give({"wait"});
    v.await_arrival();
    l.give(numbered(10));  // 2 to 11
    l.pool().cancel(some_source, {5, 6});
    CHECK(l.wait_for([&] { return l.outcomes.size() == 2; }));
    CHECK(l.outcomes.at(5).code == status::cancelled);
    CHECK(l.outcomes.at(6).code == status::cancelled);
    v.open.release();
    l.finish();
    CHECK(l.outcomes.at(4).code == status::ok);
    CHECK(l.outcomes.at(7).result == "payload 5");
  }

  TEST_CASE("a task that is running learns that it was cancelled") {
    weir::testing::semaphore started{0};
    loop l(1, handler([&](claim& tasks, std::uint32_t i) {
             if (i == 0) started.release();
             if (!eventually([&] { return tasks.cancelled(i); })) return echo(tasks, i);
             tasks.fail(i, status::cancelled, {});
           }));
    l.give({"long"});
    REQUIRE(started.try_acquire_for(deadline));
    l.pool().cancel(some_source, {1, 1});
    l.finish();
    CHECK(l.outcomes.at(1).code == status::cancelled);
  }

  TEST_CASE("a cancelled task that its runner gives up without a word is not started again") {
    struct quitter : runner {
      weir::testing::semaphore* started;
      explicit quitter(weir::testing::semaphore& s) : started(&s) {}
      void run(claim& tasks) override {
        if (!tasks.begin(0)) return;
        started->release();
        eventually([&] { return tasks.cancelled(0); });
      }
    };
    weir::testing::semaphore started{0};
    loop l(1, [&](unsigned) { return std::make_unique<quitter>(started); });
    l.give({"x"});
    REQUIRE(started.try_acquire_for(deadline));
    l.pool().cancel(some_source, {1, 1});
    l.finish();
    CHECK(l.outcomes.at(1).code == status::cancelled);
  }

  TEST_CASE("cancelling another source's tasks changes nothing here") {
    valve v;
    loop l(1, v.factory());
    l.give({"wait", "next"});
    v.await_arrival();
    l.pool().cancel({}, {1, 100});
    v.open.release();
    l.finish();
    CHECK(l.outcomes.at(1).code == status::ok);
    CHECK(l.outcomes.at(2).code == status::ok);
  }

  TEST_CASE("asked to give back, the pool releases what waits and keeps what runs") {
    valve v;
    loop l(1, v.factory());
    l.give({"wait"});
    v.await_arrival();
    l.give(numbered(9));
    l.pool().cancel(some_source, {1, 4}, cancel_mode::give_back);
    CHECK(l.wait_for([&] { return l.released.size() == 3; }));
    l.pool().release_unstarted();
    CHECK(l.wait_for([&] { return l.released.size() == 9; }));
    CHECK(l.outcomes.empty());
    v.open.release();
    l.finish();
    CHECK(l.outcomes.at(1).code == status::ok);
  }

  TEST_CASE(
      "a handler that ignores its time limit fails when it returns, and counts as stuck") {
    valve v;
    loop l(2, v.factory());
    l.give({"wait"}, 1ms);
    CHECK(eventually([&] { return l.pool().stats().stuck == 1; }));
    l.give({"other"});
    CHECK(l.wait_for([&] { return l.outcomes.count(2) == 1; }));
    v.open.release();
    l.finish();
    CHECK(l.outcomes.at(1).code == status::deadline_exceeded);
    CHECK(l.outcomes.at(2).code == status::ok);
    CHECK(eventually([&] { return l.pool().stats().stuck == 0; }));
  }

  TEST_CASE("a handler that heeds its time limit is told when it has passed") {
    loop l(1, handler([](claim& tasks, std::uint32_t i) {
             if (eventually([&] { return tasks.cancelled(i); }))
               tasks.fail(i, status::deadline_exceeded, {});
             else
               echo(tasks, i);
           }));
    l.give({"a", "b"}, 1ms);
    l.finish();
    CHECK(l.outcomes.at(1).code == status::deadline_exceeded);
    CHECK(l.outcomes.at(2).code == status::deadline_exceeded);
  }

  TEST_CASE("a runner that keeps the time itself gets tasks without a limit") {
    class punctual : public runner {
     public:
      void run(claim& tasks) override {
        for (std::uint32_t i = 0; tasks.begin(i); ++i)
          tasks.succeed(i, tasks.time_limit() == 0ms ? "no limit" : "a limit");
      }
      [[nodiscard]] bool keeps_time() const override { return true; }
    };
    loop l(1, [](unsigned) { return std::make_unique<punctual>(); });
    l.give({"x"}, 1ms);
    l.finish();
    CHECK(l.outcomes.at(1).result == "no limit");
  }

  TEST_CASE("progress can be asked for while a task runs") {
    weir::testing::semaphore reported{0};
    weir::testing::semaphore go_on{0};
    loop l(1, handler([&](claim& tasks, std::uint32_t i) {
             tasks.report(i, 3, 4, "three of four");
             reported.release();
             CHECK(go_on.try_acquire_for(deadline));
             echo(tasks, i);
           }));
    l.give({"x"});
    REQUIRE(reported.try_acquire_for(deadline));
    std::vector<weir::proto::progress> said;
    l.pool().take_reports(said);
    REQUIRE(said.size() == 1);
    CHECK(said[0].seq == 1);
    CHECK(said[0].done == 3);
    l.pool().take_reports(said);
    CHECK(said.size() == 1);
    go_on.release();
    l.finish();
  }

  TEST_CASE("stopping loses nothing: what has no outcome is released") {
    for (int round = 0; round < 20; ++round) {
      loop l(3, handler(echo));
      l.give(numbered(5'000));
      if (round % 2 == 0) l.wait_for([&] { return !l.outcomes.empty(); });
      l.pool().stop();
      l.take();
      CHECK(l.outcomes.size() + l.released.size() == 5'000);
      std::set<std::uint64_t> seen;
      for (const auto& [seq, o] : l.outcomes) seen.insert(seq);
      for (const auto& [seq, times] : l.released) {
        CHECK(times == 1);
        CHECK(seen.insert(seq).second);
      }
    }
  }

  TEST_CASE("slots go to sleep, and a single task wakes one of them") {
    loop l(2, handler(echo));
    for (int i = 0; i < 200; ++i) {
      const auto seq = l.give({"one at a time"});
      REQUIRE(l.wait_for([&] { return l.outcomes.count(seq) == 1; }));
    }
    CHECK(eventually([&] { return l.pool().stats().idle == 2; }));
  }
}

}  // namespace pool_test
