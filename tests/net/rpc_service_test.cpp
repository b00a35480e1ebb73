#include "caller_peer.hpp"
#include "support/semaphore.hpp"

#include <weir/error.hpp>
#include <weir/expose.hpp>

#include <doctest/doctest.h>

#include <atomic>
#include <map>
#include <thread>

using namespace net_test;
using weir::call_context;
using weir::generator;
using weir::rpc_error;
using weir::status;

struct point {
  int x = 0;
  int y = 0;
  MSGPACK_DEFINE(x, y)
};

namespace {

/// A worker on a thread of its own, at an endpoint of its own.
class running {
  folder sockets_;

 public:
  explicit running(unsigned slots = 2) {
    weir::worker_options options;
    options.bind = {sockets_.endpoint("w")};
    options.heartbeat = 100ms;
    options.slots = slots;
    worker = std::make_unique<weir::worker>(options);
  }
  ~running() {
    if (thread_.joinable()) {
      worker->stop();
      thread_.join();
    }
  }
  running(const running&) = delete;
  running& operator=(const running&) = delete;
  void start() {
    thread_ = std::thread([this] { worker->run(); });
  }
  void ends() { thread_.join(); }
  [[nodiscard]] const std::string& endpoint() const { return worker->endpoints().front(); }

  std::unique_ptr<weir::worker> worker;

 private:
  std::thread thread_;
};

int twice(int n) { return 2 * n; }

}  // namespace

TEST_SUITE("service") {
  TEST_CASE("functions of all kinds are called with arguments of all kinds") {
    running r;
    r.worker->expose("add", [](int a, int b) { return a + b; })
        .expose("twice", twice)
        .expose("length", [](std::string_view text) { return text.size(); })
        .expose("swap",
                [](const point& p) {
                  return point{p.y, p.x};
                })
        .expose("greet",
                [](const std::string& name, std::optional<std::string> greeting) {
                  return greeting.value_or("Hello") + ", " + name;
                })
        .expose("total",
                [](std::vector<double> all, std::map<std::string, double> more) {
                  double sum = 0;
                  for (const auto x : all) sum += x;
                  for (const auto& [name, x] : more) sum += x;
                  return sum;
                })
        .expose("nothing", [] {})
        .expose("counted", [n = 0]() mutable { return ++n; });
    r.start();
    caller_peer c(r.endpoint());
    const auto add = c.call("add", 1, 2);
    const auto two = c.call("twice", 21);
    const auto length = c.call("length", "weir");
    const auto swap = c.call("swap", point{1, 2});
    const auto greet = c.call("greet", "Ada");
    const auto greet2 = c.call("greet", "Ada", "Good morning");
    const auto total =
        c.call("total", std::vector<double>{1, 2}, std::map<std::string, double>{{"a", 0.5}});
    const auto nothing = c.call("nothing");
    CHECK(c.await(add).as<int>() == 3);
    CHECK(c.await(two).as<int>() == 42);
    CHECK(c.await(length).as<int>() == 4);
    CHECK(c.await(swap).as<point>().x == 2);
    CHECK(c.await(greet).as<std::string>() == "Hello, Ada");
    CHECK(c.await(greet2).as<std::string>() == "Good morning, Ada");
    CHECK(c.await(total).as<double>() == 3.5);
    CHECK(c.await(nothing).result == "\xc0");
  }

  TEST_CASE("callers see names, help, types and declarations") {
    running r;
    r.worker->expose("add", [](int a, std::optional<int> b) { return a + b.value_or(0); },
                     {.arguments = {"a", "b"},
                      .help = "Adds.",
                      .idempotent = true,
                      .concurrency = 3,
                      .deadline = 2s,
                      .cacheable = 1min});
    r.worker->expose("list", [](const std::string&) -> generator<std::string> { co_return; });
    r.start();
    caller_peer c(r.endpoint());
    REQUIRE(c.offered->methods.size() == 2);
    const auto& add = c.offered->methods[0];
    CHECK(add.name == "add");
    CHECK(add.doc == "Adds.");
    CHECK(add.signature == "(a: int, b: int?) -> int");
    REQUIRE(add.arguments.size() == 2);
    CHECK(add.arguments[0].name == "a");
    CHECK(add.arguments[0].type == "int");
    CHECK_FALSE(add.arguments[0].optional);
    CHECK(add.arguments[1].optional);
    CHECK(add.result == "int");
    CHECK(add.idempotent);
    CHECK(add.concurrency == 3);
    CHECK(add.deadline_ms == 2000);
    CHECK(add.cache_ms == 60'000);
    const auto& list = c.offered->methods[1];
    CHECK(list.signature == "(arg1: str) -> str...");
    CHECK(list.streams);
  }

  TEST_CASE("wrong arguments are refused with the signature, before the handler") {
    running r;
    std::atomic<int> runs = 0;
    r.worker->expose("half",
                     [&](int n) {
                       ++runs;
                       return n / 2;
                     },
                     {.arguments = {"n"}});
    r.start();
    caller_peer c(r.endpoint());
    for (const auto number : {c.call("half", "text"), c.call("half"), c.call("half", 1, 2)}) {
      const auto& o = c.await(number);
      CHECK(o.code == status::invalid_argument);
      CHECK(o.details.message.find("half(n: int) -> int: ") == 0);
    }
    CHECK(runs == 0);
    CHECK(c.await(c.call("third")).code == status::not_found);
    CHECK(c.await(c.call("weir.third")).code == status::unimplemented);
  }

  TEST_CASE("what a handler throws arrives with code, message and type") {
    running r;
    r.worker->expose("rpc", [] { throw rpc_error(status::not_found, "no cheese"); });
    r.worker->expose("std", []() -> int { throw std::out_of_range("shelf 7"); });
    r.start();
    caller_peer c(r.endpoint());
    const auto rpc = c.await(c.call("rpc"));
    CHECK(rpc.code == status::not_found);
    CHECK(rpc.details.message == "no cheese");
    const auto std = c.await(c.call("std"));
    CHECK(std.code == status::unknown);
    CHECK(std.details.type == "std::out_of_range");
    CHECK(std.details.message == "shelf 7");
  }

  TEST_CASE("a batch of calls is answered, each by its own outcome") {
    running r;
    r.worker->expose("odd", [](int n) {
      if (n % 2 == 0) throw rpc_error(status::out_of_range, std::to_string(n));
      return n;
    });
    r.start();
    caller_peer c(r.endpoint());
    // The window grows as the worker sees how short they are.
    std::uint64_t first = 0;
    for (int n = 0; n < 2000; ++n) {
      const auto number = c.call("odd", n);
      if (n == 0) first = number;
    }
    for (int n = 0; n < 2000; ++n) {
      const auto& o = c.await(first + static_cast<std::uint64_t>(n));
      if (n % 2 == 1)
        REQUIRE(o.as<int>() == n);
      else
        REQUIRE(o.details.message == std::to_string(n));
    }
    CHECK(r.worker->stats().received == 2000);
  }

  TEST_CASE("a stream comes element by element, within its window") {
    running r(1);
    r.worker->expose("count", [](int from, int to) -> generator<int> {
      for (int i = from; i <= to; ++i) co_yield i;
    });
    r.worker->expose("one", [] { return 1; });
    r.start();
    caller_peer c(r.endpoint());
    weir::proto::call_options window;
    window.stream_window = 10;
    const auto slow = c.call_with({60s, window}, "count", 1, 100);
    REQUIRE(c.wait_for([&] { return c.elements[slow].size() == 10; }));
    // The only slot is free meanwhile.
    CHECK(c.await(c.call("one")).as<int>() == 1);
    CHECK(c.elements[slow].size() == 10);
    c.grant(slow, 1000);
    const auto end = c.await(slow);
    CHECK(end.code == status::ok);
    CHECK(end.result == "\xc0");  // nil: a value, as of every call
    REQUIRE(c.elements[slow].size() == 100);
    CHECK(weir::codec::decode<int>(c.elements[slow][99]) == 100);
    // Without a window it is an array.
    CHECK(c.await(c.call("count", 5, 7)).as<std::vector<int>>() == std::vector<int>{5, 6, 7});
  }

  TEST_CASE("a stream that fails in the middle says so behind its elements") {
    running r;
    r.worker->expose("fails", []() -> generator<int> {
      co_yield 1;
      throw rpc_error(status::data_loss, "the rest is gone");
    });
    r.start();
    caller_peer c(r.endpoint());
    weir::proto::call_options window;
    window.stream_window = 10;
    const auto call = c.call_with({60s, window}, "fails");
    CHECK(c.await(call).code == status::data_loss);
    CHECK(c.elements[call].size() == 1);
  }

  TEST_CASE("a handler knows deadline, metadata and attempt, and reports progress") {
    running r;
    weir::testing::semaphore go_on{0};
    r.worker->expose("ask", [&](call_context& call, int n) {
      CHECK(call.method() == "ask");
      CHECK(call.time_left() > 0ms);
      CHECK(call.time_left() <= 30s);
      CHECK(call.metadata("traceparent") == "00-ab-cd-01");
      CHECK_FALSE(call.metadata("other"));
      CHECK(call.attempt() == 2);
      CHECK_FALSE(call.cancelled());
      call.progress(1, 2, "half");
      CHECK(go_on.try_acquire_for(patience));
      return n;
    });
    r.start();
    caller_peer c(r.endpoint());
    weir::proto::call_options options;
    options.attempt = 2;
    options.metadata = {{"traceparent", "00-ab-cd-01"}};
    const auto call = c.call_with({30s, options}, "ask", 5);
    CHECK(c.wait_for([&] { return !c.reports.empty(); }));
    go_on.release();
    CHECK(c.await(call).as<int>() == 5);
    CHECK(c.reports[0].report.text == "half");
  }

  TEST_CASE("a cancelled call's handler hears of it") {
    running r;
    weir::testing::semaphore started{0};
    r.worker->expose("long", [&](call_context& call) {
      started.release();
      if (wait_for_cancel(call)) throw rpc_error(status::cancelled, "given up");
    });
    r.start();
    caller_peer c(r.endpoint());
    const auto call = c.call("long");
    REQUIRE(started.try_acquire_for(patience));
    c.cancel(call);
    CHECK(c.await(call).code == status::cancelled);
  }

  TEST_CASE("a caller that vanishes cancels its calls") {
    running r;
    weir::testing::semaphore started{0};
    std::atomic<bool> told = false;
    r.worker->expose("long", [&](call_context& call) {
      started.release();
      told = wait_for_cancel(call);
    });
    r.start();
    {
      caller_peer c(r.endpoint());
      c.call("long");
      REQUIRE(started.try_acquire_for(patience));
    }
    const auto end = std::chrono::steady_clock::now() + patience;
    while (!told && std::chrono::steady_clock::now() < end) std::this_thread::yield();
    CHECK(told);
  }

  TEST_CASE("a handler that turns out long stops neither liveness nor other calls") {
    // Two slots: on a machine so slow that no call counts as short, the handler occupies one.
    running r(2);
    weir::testing::semaphore arrived{0};
    weir::testing::semaphore open{0};
    r.worker->expose("mostly_short", [&](bool wait) {
      if (!wait) return 0;
      arrived.release();
      return open.try_acquire_for(patience) ? 1 : 2;
    });
    r.worker->expose("other", [] { return 3; });
    r.start();
    caller_peer c(r.endpoint());
    for (int i = 0; i < 3000; ++i)
      REQUIRE(c.await(c.call("mostly_short", false)).as<int>() == 0);
    // By now the loop runs these itself. Twice, for the two threads that may be the loop.
    for (int round = 0; round < 2; ++round) {
      const auto stuck = c.call("mostly_short", true);
      REQUIRE(arrived.try_acquire_for(patience));
      CHECK(c.await(c.call("other")).as<int>() == 3);
      // Long beyond the five heartbeats after which a silent peer is taken for dead.
      const auto until = std::chrono::steady_clock::now() + 1500ms;
      while (std::chrono::steady_clock::now() < until)
        REQUIRE(c.await(c.call("other")).as<int>() == 3);
      open.release();
      CHECK(c.await(stuck).as<int>() == 1);
      for (int i = 0; i < 2000; ++i)
        REQUIRE(c.await(c.call("mostly_short", false)).as<int>() == 0);
    }
  }

  TEST_CASE("a worker told to stop finishes what runs, takes no more, and says BYE") {
    running r;
    weir::testing::semaphore started{0};
    weir::testing::semaphore go_on{0};
    r.worker->expose("long", [&] {
      started.release();
      return go_on.try_acquire_for(patience);
    });
    r.start();
    caller_peer c(r.endpoint());
    const auto call = c.call("long");
    REQUIRE(started.try_acquire_for(patience));
    r.worker->stop();
    go_on.release();
    CHECK(c.await(call).as<bool>());
    CHECK(c.wait_for([&] { return c.gone; }));
    r.ends();
  }

  TEST_CASE("a worker told twice tells its handlers to stop") {
    running r;
    weir::testing::semaphore started{0};
    r.worker->expose("long", [&](call_context& call) {
      started.release();
      if (wait_for_cancel(call)) throw rpc_error(status::aborted, "the worker leaves");
    });
    r.start();
    caller_peer c(r.endpoint());
    const auto call = c.call("long");
    REQUIRE(started.try_acquire_for(patience));
    r.worker->stop();
    r.worker->stop();
    CHECK(c.await(call).code == status::aborted);
    r.ends();
  }

  TEST_CASE("asked to drain by a caller, a worker leaves") {
    running r;
    r.worker->expose("one", [] { return 1; });
    r.start();
    caller_peer c(r.endpoint());
    CHECK(c.await(c.call("one")).as<int>() == 1);
    const auto told = c.call("weir.drain");
    CHECK(c.await(told).as<std::vector<std::string>>().size() == 1);
    r.ends();
  }

  TEST_CASE("names that cannot be are refused when they are offered") {
    running r;
    const auto f = [] { return 1; };
    r.worker->expose("one", f);
    CHECK_THROWS_AS(r.worker->expose("one", f), weir::error);
    CHECK_THROWS_AS(r.worker->expose("", f), weir::error);
    CHECK_THROWS_AS(r.worker->expose("weir.ping", f), weir::error);
    CHECK_THROWS_AS(r.worker->expose(std::string(257, 'x'), f), weir::error);
    CHECK_THROWS_AS(r.worker->expose("\xff", f), weir::error);
    CHECK_THROWS_AS(r.worker->expose("two", f, {.arguments = {"a"}}), weir::error);
    r.worker->expose(std::string(256, 'x'), f);
    weir::worker tasks({{.bind = {"tcp://127.0.0.1:*"}}}, [](weir::task&) {});
    CHECK_THROWS_AS(tasks.expose("one", f), weir::error);
    weir::worker nothing{{{.bind = {"tcp://127.0.0.1:*"}}}};
    CHECK_THROWS_AS(nothing.run(), weir::error);
  }
}
