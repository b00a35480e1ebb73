#include "running_nodes.hpp"
#include "support/semaphore.hpp"

#include <weir/client.hpp>
#include <weir/error.hpp>

#include <doctest/doctest.h>

#include <array>
#include <atomic>
#include <functional>
#include <map>
#include <mutex>
#include <ranges>
#include <span>
#include <tuple>
#include <vector>

namespace rpc_client_calls_test {

using namespace net_test;
using weir::call_context;
using weir::client;
using weir::generator;
using weir::rpc_error;
using weir::status;

struct visitor {
  std::string name;
  std::vector<int> days;
  MSGPACK_DEFINE(name, days)
};

namespace {

/// One worker, and a client that calls it directly or through a gateway.
struct scene {
  folder sockets;
  std::optional<running_gateway> gateway;
  std::optional<running_worker> worker;
  std::optional<client> c;

  enum class way { direct, gateway };
  explicit scene(const std::function<void(weir::worker&)>& offer, way w = way::direct,
                 weir::client_options options = {}) {
    const auto where = sockets.endpoint("s");
    weir::worker_options o;
    if (w == way::gateway) {
      gateway.emplace(where);
      o.connect = {where};
    } else {
      o.bind = {where};
    }
    worker.emplace(o, offer);
    options.connect = {where};
    options.deadline = patience;
    c.emplace(options);
    REQUIRE(c->wait_connected(patience));
    // Through a gateway, a method is there when its worker is.
    REQUIRE(eventually(
        [&] { return !c->call<weir::packed>("weir.services").bytes.starts_with('\x90'); }));
  }
};

/// What a call failed with.
template <class F>
rpc_error failure(F&& call) {
  try {
    call();
  } catch (const rpc_error& e) {
    return e;
  }
  FAIL("the call succeeded");
  return {status::ok, ""};
}

void arithmetic(weir::worker& w) {
  w.expose("add", [](int a, int b) { return a + b; })
      .expose("text", [](std::string t) { return t; })
      .expose("visit",
              [](visitor v) {
                v.days.push_back(7);
                return v;
              })
      .expose("nothing", [] {})
      .expose("throw", []() -> int { throw std::out_of_range("not in there"); })
      .expose("refuse",
              []() -> int {
                rpc_error::more more;
                more.details = weir::codec::encode(std::tuple("stock", 0));
                more.type = "out_of_stock";
                throw rpc_error(status::failed_precondition, "none left", more);
              })
      .expose("count", [](int n) -> generator<int> {
        for (int i = 1; i <= n; ++i) co_yield i;
      });
}

}  // namespace

TEST_SUITE("client") {
  TEST_CASE("the longest of all times is for ever, and not over at once") {
    constexpr auto for_ever = std::chrono::milliseconds::max();
    weir::client_options o;
    o.connect_timeout = for_ever;
    scene s(arithmetic, scene::way::gateway, o);
    CHECK(s.c->wait_connected(for_ever));
    const auto patient = s.c->with({.deadline = for_ever, .hedge_after = for_ever});
    CHECK(patient.call<int>("add", 1, 2) == 3);
    auto sum = patient.start<int>("add", 1, 2);
    CHECK(sum.wait_for(for_ever));
    CHECK(sum.get() == 3);
  }

  TEST_CASE("a function is called with values, and gives a value") {
    for (const auto way : {scene::way::direct, scene::way::gateway}) {
      scene s(arithmetic, way);
      client& c = *s.c;
      CHECK(c.call<int>("add", 1, 2) == 3);
      CHECK(c.call<std::string>("text", "with \0 in it") == "with ");
      CHECK(c.call<std::string>("text", std::string(2'000'000, 'x')).size() == 2'000'000);
      CHECK(c.call<visitor>("visit", visitor{"Ada", {1}}).days == std::vector<int>{1, 7});
      c.call("nothing");
      c.call("add", 1, 2);  // somebody who does not care
      CHECK(c.stats().failed == 0);
    }
  }

  TEST_CASE(
      "a handler's exception arrives with its type, text, and the nodes it came through") {
    for (const auto way : {scene::way::direct, scene::way::gateway}) {
      scene s(arithmetic, way);
      const auto thrown = failure([&] { s.c->call<int>("throw"); });
      CHECK(thrown.code() == status::unknown);
      CHECK(thrown.what() == std::string("not in there"));
      CHECK(thrown.type() == "std::out_of_range");
      CHECK(thrown.path().find("worker-") != std::string::npos);
      CHECK((thrown.path().find("gateway-") != std::string::npos) ==
            (way == scene::way::gateway));
      const auto refused = failure([&] { s.c->call<int>("refuse"); });
      CHECK(refused.code() == status::failed_precondition);
      CHECK(refused.type() == "out_of_stock");
      CHECK(weir::codec::decode<std::tuple<std::string, int>>(refused.details()) ==
            std::tuple("stock", 0));
    }
  }

  TEST_CASE("what cannot be called says why") {
    scene s(arithmetic);
    CHECK(failure([&] { s.c->call("nowhere"); }).code() == status::not_found);
    const auto wrong = failure([&] { s.c->call<int>("add", 1, "two"); });
    CHECK(wrong.code() == status::invalid_argument);
    CHECK(std::string(wrong.what()).find("argument 2: int expected, found str") !=
          std::string::npos);
    const auto other = failure([&] { s.c->call<std::string>("add", 1, 2); });
    CHECK(other.code() == status::internal);
    CHECK(other.what() == std::string("the result is not str: str expected, found int"));
  }

  TEST_CASE("no call goes on past its deadline, and its handler hears of it") {
    weir::testing::semaphore heard(0);
    weir::testing::semaphore over(0);
    scene s([&](weir::worker& w) {
      w.expose("wait", [&](call_context& c) {
        wait_for_cancel(c);
        heard.release();
        (void)over.try_acquire_for(patience);
      });
    });
    CHECK(failure([&] { s.c->with({.deadline = 50ms}).call("wait"); }).code() ==
          status::deadline_exceeded);
    CHECK(heard.try_acquire_for(patience));
    over.release();
  }

  TEST_CASE("a deadline may be as long as can be said") {
    scene s([](weir::worker& w) { w.expose("add", [](int a, int b) { return a + b; }); });
    const auto longest = std::chrono::milliseconds::max();
    CHECK(s.c->with({.deadline = longest, .hedge_after = longest, .idempotent = true})
              .call<int>("add", 1, 2) == 3);
  }

  TEST_CASE("a client without anybody at the other end says so at the deadline") {
    const folder sockets;
    client c{{{.connect = {sockets.endpoint("nobody")}}}};
    CHECK_FALSE(c.wait_connected(10ms));
    const auto e = failure([&] { c.with({.deadline = 50ms}).call("add", 1, 2); });
    CHECK((e.code() == status::unavailable || e.code() == status::deadline_exceeded));
    CHECK(e.never_started());
  }

  TEST_CASE("a method's own deadline holds for callers that state none") {
    for (const auto way : {scene::way::direct, scene::way::gateway}) {
      weir::testing::semaphore over(0);
      scene s(
          [&](weir::worker& w) {
            w.expose("wait", [&] { (void)over.try_acquire_for(patience); }, {.deadline = 50ms});
            w.expose("left", [](call_context& c) { return c.time_left().count(); },
                     {.deadline = 2h});
          },
          way);
      CHECK(failure([&] { s.c->call("wait"); }).code() == status::deadline_exceeded);
      over.release();
      // Longer than the client's own, and at the first call.
      CHECK(s.c->call<std::int64_t>("left") > std::chrono::milliseconds(1h).count());
      CHECK(s.c->with({.deadline = 1h}).call<std::int64_t>("left") <=
            std::chrono::milliseconds(1h).count());
    }
  }

  TEST_CASE("many calls of one method go together, with an outcome each") {
    for (const auto way : {scene::way::direct, scene::way::gateway}) {
      scene s(arithmetic, way);
      std::vector<std::tuple<int, int>> pairs;
      for (int i = 0; i < 20'000; ++i) pairs.emplace_back(i, 1);
      const auto sums = s.c->batch<int>("add", pairs);
      REQUIRE(sums.size() == pairs.size());
      for (int i = 0; i < 20'000; ++i) {
        const auto& sum = sums[static_cast<std::size_t>(i)];
        const std::string why = sum.ok() ? "" : sum.error().what() + (" " + sum.error().path());
        REQUIRE(why == "");
        REQUIRE(*sum == i + 1);
      }
      const auto texts = s.c->batch<std::string>("text", {"a", "b"});
      CHECK((*texts[0] + *texts[1]) == "ab");
      CHECK(s.c->batch<int>("add", std::vector<std::tuple<int, int>>{}).empty());
      const auto some = s.c->batch<int>(
          "text", {std::tuple(weir::codec::encode(1)), std::tuple(std::string("x"))});
      CHECK(some[0].code() == status::internal);
      CHECK(some[1].code() == status::internal);
    }
  }

  TEST_CASE("a batch's arguments may come from other batches while they are read") {
    scene s(arithmetic);
    const std::array numbers{1, 2, 3};
    using pairs = std::function<std::tuple<int, int>(int)>;
    const auto each = [&](pairs f) {
      return std::views::transform(std::span<const int>(numbers), std::move(f));
    };
    const auto sums =
        s.c->batch<int>("add", each([&](int n) {
                          const auto doubled = s.c->batch<int>(
                              "add", each([](int m) { return std::tuple(m, m); }));
                          return std::tuple(n, *doubled[static_cast<std::size_t>(n) - 1]);
                        }));
    REQUIRE(sums.size() == 3);
    for (std::size_t i = 0; i < 3; ++i) CHECK(sums[i].value() == 3 * numbers[i]);
  }

  TEST_CASE("calls of different methods go together as well") {
    scene s(arithmetic);
    auto both = s.c->batch();
    auto sum = both.add<int>("add", 1, 2);
    auto bad = both.add<int>("throw");
    auto text = both.add<std::string>("text", "x");
    CHECK_FALSE(sum.done());
    both.send();
    CHECK(sum.get() == 3);
    CHECK(text.get() == "x");
    CHECK(bad.get_outcome().code() == status::unknown);
    auto never = s.c->start<int>("add", 1, 2);
    {
      auto dropped = s.c->batch();
      never = dropped.add<int>("add", 1, 2);
    }
    CHECK(never.get_outcome().code() == status::cancelled);
  }

  TEST_CASE("notify does not wait, and the handler runs all the same") {
    weir::testing::semaphore ran(0);
    scene s([&](weir::worker& w) { w.expose("note", [&](int) { ran.release(); }); });
    for (int i = 0; i < 10; ++i) s.c->notify("note", i);
    for (int i = 0; i < 10; ++i) CHECK(ran.try_acquire_for(patience));
    CHECK(eventually([&] { return s.c->stats().in_flight == 0; }));
  }

  TEST_CASE("a stream's elements come in order, then its end or its error") {
    for (const auto way : {scene::way::direct, scene::way::gateway}) {
      scene s(
          [](weir::worker& w) {
            arithmetic(w);
            w.expose("fail_after", [](int n) -> generator<int> {
              for (int i = 1; i <= n; ++i) co_yield i;
              throw std::runtime_error("that is all");
            });
          },
          way);
      int expected = 0;
      for (const int i : s.c->stream<int>("count", 10'000)) REQUIRE(i == ++expected);
      CHECK(expected == 10'000);
      for (const int i : s.c->with({.stream_window = 1}).stream<int>("count", 10)) (void)i;

      auto failing = s.c->stream<int>("fail_after", 3);
      for (int i = 1; i <= 3; ++i) CHECK(failing.next() == i);
      CHECK(failure([&] { (void)failing.next(); }).what() == std::string("that is all"));
      auto none = s.c->stream<int>("nowhere");
      CHECK(failure([&] { (void)none.next(); }).code() == status::not_found);
    }
  }

  TEST_CASE("a stream that nobody reads on is stopped at the other end") {
    std::atomic<int> most{0};
    weir::testing::semaphore ended(0);
    struct release_at_end {
      weir::testing::semaphore& what;
      ~release_at_end() { what.release(); }
    };
    scene s([&](weir::worker& w) {
      w.expose("endless", [&](int) -> generator<int> {
        const release_at_end end{ended};
        for (int i = 1;; ++i) {
          most = i;
          co_yield i;
        }
      });
    });
    {
      auto numbers =
          s.c->with({.deadline = patience, .stream_window = 8}).stream<int>("endless", 0);
      for (int i = 1; i <= 20; ++i) CHECK(numbers.next() == i);
    }
    CHECK(ended.try_acquire_for(patience));
    CHECK(most <= 20 + 2 * 8);  // it never ran further ahead than it was allowed to
  }

  TEST_CASE("what waits of a stream is bounded in bytes too, and all of it comes") {
    for (const auto way : {scene::way::direct, scene::way::gateway}) {
      std::atomic<int> made{0};
      scene s(
          [&](weir::worker& w) {
            w.expose("blocks", [&](int n, int size) -> generator<std::string> {
              for (int i = 0; i < n; ++i) {
                ++made;
                co_yield std::string(static_cast<std::size_t>(size), 'x');
              }
            });
            w.expose("add", [](int a, int b) { return a + b; });
          },
          way);
      auto blocks = s.c->with({.deadline = patience, .stream_bytes = 100'000})
                        .stream<std::string>("blocks", 300, 10'000);
      REQUIRE(blocks.next());
      for (int i = 0; i < 200; ++i) CHECK(s.c->call<int>("add", i, 1) == i + 1);
      // Half of the bytes on each link, and the element that reaches the limit.
      CHECK(made <= (way == scene::way::direct ? 12 : 18));
      int read = 1;
      while (blocks.next()) ++read;
      CHECK(read == 300);
      // Larger than all that may wait.
      int large = 0;
      for (const auto& b :
           s.c->with({.stream_bytes = 1}).stream<std::string>("blocks", 5, 50'000))
        large += static_cast<int>(b.size());
      CHECK(large == 250'000);
    }
  }

  TEST_CASE("a slow reader of a stream stalls no other call") {
    scene s(arithmetic);
    auto slow =
        s.c->with({.deadline = patience, .stream_window = 4}).stream<int>("count", 1000);
    CHECK(slow.next() == 1);
    for (int i = 0; i < 1000; ++i) REQUIRE(s.c->call<int>("add", i, 1) == i + 1);
    for (int i = 2; i <= 1000; ++i) REQUIRE(slow.next() == i);
    CHECK_FALSE(slow.next());
  }

  TEST_CASE("in a handler, calls have what is left of its deadline, and its metadata") {
    folder sockets;
    const auto where = sockets.endpoint("s");
    std::optional<client> inside;
    std::mutex mutex;
    std::map<std::string, std::string> seen;
    std::chrono::milliseconds left{};
    weir::worker_options o;
    o.bind = {where};
    running_worker worker(o, [&](weir::worker& w) {
      w.expose("outer", [&](call_context&) {
        inside->with({.deadline = 1h, .metadata = {{"b", "own"}}}).call("inner");
      });
      w.expose("inner", [&](call_context& c) {
        const std::lock_guard lock(mutex);
        left = c.time_left();
        for (const auto& [key, value] : c.metadata()) seen[key] = value;
      });
    });
    inside.emplace(weir::client_options{{.connect = {where}}});
    client c{{{.connect = {where}}}};
    c.with({.deadline = patience, .metadata = {{"traceparent", "00-1-2-01"}, {"b", "outer"}}})
        .call("outer");
    const std::lock_guard lock(mutex);
    CHECK(left <= patience);
    CHECK(left > 0ms);
    CHECK(seen ==
          std::map<std::string, std::string>{{"traceparent", "00-1-2-01"}, {"b", "own"}});
    inside.reset();
  }

  TEST_CASE(
      "a client that a gateway introduces calls workers directly, and does not if it is told") {
    for (const bool introduce : {true, false}) {
      folder sockets;
      const auto where = sockets.endpoint("g");
      const running_gateway gateway(where);
      weir::worker_options o;
      o.connect = {where};
      o.direct = {sockets.endpoint("w")};
      const running_worker worker(o, arithmetic);
      weir::client_options options;
      options.connect = {where};
      options.introduce = introduce;
      options.deadline = patience;
      client c(options);
      const auto directly = [&] {
        const auto o3 = c.raw().call("add", "\x92\x01\x02");
        if (!o3.ok()) return false;
        CHECK(o3.result == "\x03");
        return o3.more.path.find("gateway-") == std::string::npos;
      };
      if (introduce) {
        CHECK(eventually(directly));
      } else {
        CHECK(eventually([&] { return c.raw().call("add", "\x92\x01\x02").ok(); }));
        for (int i = 0; i < 100; ++i) CHECK_FALSE(directly());
      }
    }
  }

  TEST_CASE("settings over a limit are refused where they are made") {
    const auto refused = [](weir::call_settings settings) {
      CHECK_THROWS_AS(weir::prepared_settings(std::move(settings)), weir::error);
    };
    const auto taken = [](weir::call_settings settings) {
      CHECK_NOTHROW(weir::prepared_settings(std::move(settings)));
    };
    using entries = std::vector<std::pair<std::string, std::string>>;
    taken({.priority = 9});
    refused({.priority = 10});
    taken({.hash_key = std::string(256, 'k')});
    refused({.hash_key = std::string(257, 'k')});
    taken({.idempotency_key = std::string(256, 'k')});
    refused({.idempotency_key = std::string(257, 'k')});
    taken({.metadata = entries(32)});
    refused({.metadata = entries(33)});
    taken({.metadata = {{"k", std::string(8 * 1024 - 1, 'v')}}});
    refused({.metadata = {{"k", std::string(8 * 1024, 'v')}}});
    refused({.deadline = -1ms});
    refused({.stream_window = 0});
    refused({.stream_bytes = 0});
    const std::vector<std::string> some{"ipc:///tmp/none"};
    CHECK_THROWS_AS(client(weir::client_options{}), weir::error);
    CHECK_THROWS_AS(client({{.connect = some}, 0ms}), weir::error);
    CHECK_THROWS_AS(client({{.connect = {"nonsense"}}}), weir::error);
  }

  TEST_CASE("arguments that are too large are refused by the client itself") {
    scene s(arithmetic);
    const auto e =
        failure([&] { s.c->call<std::string>("text", std::string(16 * 1024 * 1024, 'x')); });
    CHECK((e.code() == status::resource_exhausted || e.code() == status::invalid_argument));
    CHECK(e.never_started());
    CHECK(s.c->call<int>("add", 1, 2) == 3);
  }

  TEST_CASE("bytes beneath the types") {
    scene s(arithmetic);
    weir::raw_client& raw = s.c->raw();
    const auto sum = raw.call("add", "\x92\x01\x02");
    CHECK(sum.ok());
    CHECK(sum.result == "\x03");
    CHECK(sum.more.path.find("worker-") != std::string::npos);
    const auto bad = raw.call("add", "no array");
    CHECK(bad.code == status::invalid_argument);
    CHECK(bad.error().code() == status::invalid_argument);
    auto elements = raw.stream("count", "\x91\x02");
    CHECK(elements.next() == "\x01");
    CHECK(elements.next() == "\x02");
    CHECK_FALSE(elements.next());
    CHECK(elements.outcome().ok());
    weir::testing::semaphore called(0);
    std::string result;
    raw.call("add", "\x92\x01\x02", {}, [&](const weir::raw_outcome& o) {
      result = o.result;
      called.release();
    });
    REQUIRE(called.try_acquire_for(patience));
    CHECK(result == "\x03");
  }
}

}  // namespace rpc_client_calls_test
