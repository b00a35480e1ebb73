// Calls that a C++ program hands over to a gateway's spool.
#include "running_nodes.hpp"

#include <weir/error.hpp>
#include <weir/submit.hpp>
#include <weir/ventilator.hpp>

#include <doctest/doctest.h>

#include <atomic>
#include <future>
#include <map>
#include <optional>
#include <stdexcept>

namespace submit_test {

using namespace net_test;

namespace {

/// A gateway with a spool, maybe a worker, and a client.
struct system_under_test {
  folder dir;
  std::string at = dir.endpoint("g");
  std::optional<running_gateway> gateway{std::in_place, at, dir.file("spool")};
  std::optional<running_worker> worker;
  weir::client client{{{.connect = {at}}}};
  std::atomic<int> runs = 0;

  void offer() {
    weir::worker_options options;
    options.connect = {at};
    worker.emplace(options, [this](weir::worker& w) {
      w.expose("add", [this](int a, int b) {
        ++runs;
        return a + b;
      });
      w.expose("fail", [](const std::string& why) -> int { throw std::runtime_error(why); });
    });
  }
  void restart() {
    gateway.reset();
    gateway.emplace(at, dir.file("spool"));
  }
};

}  // namespace

TEST_CASE("a submitted call is on disk when submit returns, and runs when there is a worker") {
  system_under_test s;
  const auto sum = s.client.submit<int>("add", 1, 2);
  CHECK(sum.id().size() == 26);
  CHECK(sum.report().state == "queued");
  CHECK_FALSE(sum.report().ended());
  s.offer();
  CHECK(sum.get() == 3);
  const auto report = sum.report();
  CHECK(report.state == "done");
  CHECK(report.method == "add");
  CHECK(report.attempts == 1);
  CHECK(report.finished >= report.submitted);
  CHECK(sum.forget());
  CHECK_FALSE(sum.forget());
  CHECK_THROWS_WITH_AS(sum.get(), doctest::Contains("no call has this id"), weir::rpc_error);
}

TEST_CASE("its result can be had by callback, future and coroutine, and by id from elsewhere") {
  system_under_test s;
  s.offer();
  const auto sum = s.client.submit<int>("add", 1, 2);
  std::promise<int> called;
  sum.wait().then([&](weir::outcome<int> o) { called.set_value(o ? *o : -1); });
  CHECK(called.get_future().get() == 3);
  std::future<int> future = sum.wait();
  CHECK(future.get() == 3);
  const auto awaited = [](weir::submitted<int> what) -> weir::pending<int> {
    co_return co_await what.wait() * 10;
  };
  CHECK(awaited(sum).get() == 30);
  weir::client other{{{.connect = {s.at}}}};
  CHECK(weir::submitted<int>(other, sum.id()).get() == 3);
  CHECK(s.runs == 1);
}

TEST_CASE("a callback can wait for the result of a submitted call") {
  system_under_test s;
  s.offer();
  const auto sum = s.client.submit<int>("add", 1, 2);
  std::promise<int> called;
  s.client.start<int>("add", 1, 1).then([&](weir::outcome<int>) {
    called.set_value(sum.get());
  });
  auto result = called.get_future();
  REQUIRE(result.wait_for(patience) == std::future_status::ready);
  CHECK(result.get() == 3);
}

TEST_CASE("a client of several gateways is not used, for each has a spool of its own") {
  system_under_test s;
  const auto sum = s.client.submit<int>("add", 1, 2);
  weir::client several{{{.connect = {s.at, s.dir.endpoint("other")}}}};
  const auto said = doctest::Contains("kept by one gateway");
  CHECK_THROWS_WITH_AS(several.submit<int>("add", 1, 2), said, weir::error);
  CHECK_THROWS_WITH_AS(weir::submitted<int>(several, sum.id()), said, weir::error);
}

TEST_CASE("a wait ends when what is there will never answer") {
  const folder dir;
  weir::ventilator_options options;
  options.bind = {dir.endpoint("v")};
  const weir::ventilator no_gateway(options, [](const weir::result&) {});
  weir::client client{{{.connect = {dir.endpoint("v")}}}};
  auto result = weir::submitted<int>(client, "an id").wait();
  REQUIRE(result.wait_for(patience));
  CHECK(result.get_outcome().code() == weir::status::unavailable);
}

TEST_CASE("a wait goes on over a restart of the gateway") {
  system_under_test s;
  const auto sum = s.client.submit<int>("add", 20, 22);
  auto result = sum.wait();
  s.restart();
  s.offer();
  CHECK(result.get() == 42);
  CHECK(s.runs == 1);
}

TEST_CASE("a wait has its end, and the call goes on") {
  system_under_test s;
  const auto sum = s.client.submit<int>("add", 1, 2);
  try {
    (void)sum.wait(20ms).get();
    FAIL("it has a result");
  } catch (const weir::rpc_error& e) {
    CHECK(e.code() == weir::status::deadline_exceeded);
  }
  CHECK(sum.report().state == "queued");
}

TEST_CASE("a call that fails for good says why, and gets another chance by hand") {
  system_under_test s;
  s.offer();
  const auto call = s.client.submit<int>("fail", "out of luck");
  for (int i = 0; i < 2; ++i) {
    try {
      (void)call.get();
      FAIL("it has a result");
    } catch (const weir::rpc_error& e) {
      CHECK(e.code() == weir::status::unknown);
      CHECK(std::string(e.what()) == "call " + call.id() + " is dead: out of luck");
      CHECK(e.type() == "std::runtime_error");
    }
    if (i == 0) CHECK(call.requeue());
  }
  CHECK(call.report().attempts == 2);
}

TEST_CASE("settings of a submission") {
  system_under_test s;
  SUBCASE("a call is not made before its time") {
    const auto call = s.client.submit<int>({.delay = 1h}, "add", 1, 2);
    s.offer();
    CHECK(s.client.submit<int>("add", 1, 1).get() == 2);
    CHECK(call.report().state == "queued");
    CHECK(call.cancel());
    CHECK_FALSE(call.cancel());
    CHECK(call.report().state == "cancelled");
    CHECK_THROWS_AS(call.get(), weir::rpc_error);
    CHECK(s.runs == 1);
  }
  SUBCASE("submissions with the same key are one call") {
    const auto first = s.client.submit<int>({.idempotency_key = "order 7"}, "add", 1, 2);
    const auto second = s.client.submit<int>({.idempotency_key = "order 7"}, "add", 1, 2);
    CHECK(first.id() == second.id());
    s.offer();
    CHECK(second.get() == 3);
    CHECK(s.runs == 1);
  }
  SUBCASE("what is wrong with them is said") {
    CHECK_THROWS_WITH_AS(s.client.submit<int>({.priority = 10}, "add", 1, 2),
                         doctest::Contains("`priority` is from 0 to 9"), weir::rpc_error);
  }
}

TEST_CASE("a gateway without a spool refuses submissions") {
  folder dir;
  const running_gateway gateway(dir.endpoint("g"));
  weir::client client{{{.connect = {dir.endpoint("g")}}}};
  CHECK_THROWS_WITH_AS(client.submit("add", 1, 2), doctest::Contains("--spool"),
                       weir::rpc_error);
}

}  // namespace submit_test
