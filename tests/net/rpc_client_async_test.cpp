#include "running_nodes.hpp"
#include "support/semaphore.hpp"

#include <weir/client.hpp>

#include <doctest/doctest.h>

#include <atomic>
#include <deque>
#include <future>
#include <memory>
#include <numeric>
#include <optional>
#include <thread>
#include <vector>

namespace rpc_client_async_test {

using namespace net_test;
using weir::client;
using weir::outcome;
using weir::pending;
using weir::rpc_error;
using weir::status;

namespace {

struct scene;
weir::client_options client_options_for(const scene& s);

struct scene {
  folder sockets;
  std::atomic<int> cancelled{0};
  std::atomic<int> waiting{0};
  const std::string where = sockets.endpoint("s");
  std::optional<running_worker> worker;
  std::optional<client> c;

  scene() {
    weir::worker_options o;
    o.bind = {where};
    o.slots = 4;
    worker.emplace(o, [this](weir::worker& w) {
      w.expose("add", [](int a, int b) { return a + b; });
      w.expose("throw", []() -> int { throw std::out_of_range("not in there"); });
      w.expose("wait", [this](weir::call_context& call) {
        ++waiting;
        wait_for_cancel(call);
        ++cancelled;
        throw rpc_error(status::cancelled, "nobody waits");
      });
      w.expose("half", [](weir::call_context& call) {
        call.progress(1, 2, "half of it");
        wait_for_cancel(call);
        throw rpc_error(status::cancelled, "nobody waits");
      });
    });
    c.emplace(client_options_for(*this));
    REQUIRE(c->wait_connected(patience));
  }
};

weir::client_options client_options_for(const scene& s) {
  return {{.connect = {s.where}}, patience};
}

pending<int> sum3(client& c, int x, int y, int z) {
  co_return co_await c.start<int>("add", co_await c.start<int>("add", x, y), z);
}
pending<int> sum_to(client& c, int n) {
  int sum = 0;
  for (int i = 1; i <= n; ++i) sum = co_await c.start<int>("add", sum, i);
  co_return sum;
}
pending<void> expect_throw(client& c, std::string& text) {
  try {
    co_await c.start<int>("throw");
  } catch (const rpc_error& e) {
    text = e.what();
  }
}
pending<int> passes_on(client& c) { co_return co_await c.start<int>("throw"); }
pending<int> throws_its_own(client& c) {
  co_await c.start<int>("add", 1, 2);
  throw std::logic_error("of the coroutine");
}
pending<std::string> nothing_to_wait_for() { co_return "at once"; }

}  // namespace

TEST_SUITE("client, not waiting") {
  TEST_CASE("a thousand calls are in flight, and each has its own answer") {
    scene s;
    std::deque<pending<int>> all;
    for (int i = 0; i < 10'000; ++i) {
      if (all.size() == 1000) {
        REQUIRE(all.front().get() == i - 1000 + 1);
        all.pop_front();
      }
      all.push_back(s.c->start<int>("add", i, 1));
    }
    int expected = 9000;
    for (auto& p : all) REQUIRE(p.get() == ++expected);
    CHECK(eventually([&] { return s.c->stats().in_flight == 0; }));
    CHECK(s.c->stats().started >= 10'000);
    CHECK(s.c->stats().failed == 0);
  }

  TEST_CASE("callbacks are called once each, one at a time, and may make calls and wait") {
    scene s;
    std::atomic<int> inside{0};
    std::atomic<int> at_once{0};
    std::atomic<int> sum{0};
    weir::testing::semaphore done(0);
    for (int i = 1; i <= 100; ++i)
      s.c->start<int>("add", i, 0).then([&](outcome<int> o) {
        if (++inside > 1) ++at_once;
        sum += s.c->call<int>("add", *o, *o);
        --inside;
        done.release();
      });
    for (int i = 1; i <= 100; ++i) REQUIRE(done.try_acquire_for(patience));
    CHECK(sum == 2 * 5050);
    CHECK(at_once == 0);
  }

  TEST_CASE("callbacks that start the next call run on while somebody waits for another") {
    scene s;
    struct chain {
      static void next(client& c, int left, weir::testing::semaphore& end) {
        c.start<int>("add", left, -1).then([&c, &end](outcome<int> o) {
          if (*o == 0)
            end.release();
          else
            next(c, *o, end);
        });
      }
    };
    weir::testing::semaphore end(0);
    chain::next(*s.c, 1000, end);
    for (int i = 0; i < 1000; ++i) REQUIRE(s.c->call<int>("add", i, 1) == i + 1);
    CHECK(end.try_acquire_for(patience));
  }

  TEST_CASE("coroutines wait without a thread") {
    scene s;
    CHECK(sum3(*s.c, 1, 2, 3).get() == 6);
    CHECK(sum_to(*s.c, 1000).get() == 500'500);
    std::vector<pending<int>> many;
    for (int i = 0; i < 100; ++i) many.push_back(sum_to(*s.c, i));
    for (int i = 0; i < 100; ++i)
      CHECK(many[static_cast<std::size_t>(i)].get() == i * (i + 1) / 2);
    CHECK(nothing_to_wait_for().get() == "at once");
    auto later = sum_to(*s.c, 10);
    CHECK(later.wait_for(patience));
    CHECK(later.done());
    CHECK(later.get() == 55);
  }

  TEST_CASE("errors come out of co_await, and out of the coroutine") {
    scene s;
    std::string text;
    expect_throw(*s.c, text).get();
    CHECK(text == "not in there");
    CHECK_THROWS_AS(passes_on(*s.c).get(), rpc_error);
    CHECK_THROWS_WITH_AS(throws_its_own(*s.c).get(), "of the coroutine", std::logic_error);
    CHECK(throws_its_own(*s.c).get_outcome().code() == status::unknown);
  }

  TEST_CASE("a pending call becomes a std::future") {
    scene s;
    std::future<int> sum = s.c->start<int>("add", 1, 2);
    std::future<int> bad = s.c->start<int>("throw");
    std::future<void> none = s.c->start("add", 1, 2);
    CHECK(sum.get() == 3);
    CHECK_THROWS_AS(bad.get(), rpc_error);
    none.get();
  }

  TEST_CASE("cancelling reaches the handler, and the call ends as cancelled") {
    scene s;
    auto call = s.c->start("wait");
    REQUIRE(eventually([&] { return s.waiting == 1; }));
    CHECK_FALSE(call.wait_for(1ms));
    call.cancel();
    CHECK(call.get_outcome().code() == status::cancelled);
    CHECK(eventually([&] { return s.cancelled == 1; }));
    auto quick = s.c->start<int>("add", 1, 2);
    quick.wait();
    quick.cancel();  // too late
    CHECK(quick.get() == 3);
    quick.cancel();
  }

  TEST_CASE("a call can be cancelled that has a callback, or that somebody waits for") {
    scene s;
    weir::testing::semaphore ended(0);
    auto called = s.c->start("wait");
    called.then([&](outcome<void> o) {
      if (o.code() == status::cancelled) ended.release();
    });
    auto awaited = s.c->start("wait");
    const auto waits = [](pending<void>& p) -> pending<status> {
      try {
        co_await p;
      } catch (const rpc_error& e) {
        co_return e.code();
      }
      co_return status::ok;
    };
    auto code = waits(awaited);
    auto waited_for = s.c->start("wait");
    auto waiter =
        std::async(std::launch::async, [&] { return waited_for.get_outcome().code(); });
    REQUIRE(eventually([&] { return s.waiting == 3; }));
    for (auto* each : {&called, &awaited, &waited_for}) each->cancel();
    CHECK(ended.try_acquire_for(patience));
    CHECK(code.get() == status::cancelled);
    CHECK(waiter.get() == status::cancelled);
  }

  TEST_CASE(
      "a client that is closed cancels its calls, also those that would go on without it") {
    scene s;
    auto keyed = s.c->with({.idempotency_key = "k"}).start("wait");
    auto awaited = std::async(std::launch::async, [call = s.c->start("wait")]() mutable {
      return call.get_outcome().code();
    });
    REQUIRE(eventually([&] { return s.waiting == 2; }));
    s.c->close();
    CHECK(keyed.get_outcome().code() == status::cancelled);
    CHECK(awaited.get() == status::cancelled);
    CHECK(eventually([&] { return s.cancelled == 2; }));
    CHECK(s.c->start("wait").get_outcome().code() == status::cancelled);
    status late = status::ok;
    s.c->raw().call("add", "\x92\x01\x02", {},
                    [&](const weir::raw_outcome& o) { late = o.code; });
    CHECK(late == status::cancelled);
    s.c->close();
  }

  TEST_CASE("a client that is closed can be destroyed by a thread that was started later") {
    scene s;
    // It may have the number of the loop thread, which has ended.
    for (int i = 0; i < 10; ++i) {
      auto closed = std::make_unique<client>(client_options_for(s));
      closed->close();
      std::thread([&] { closed.reset(); }).join();
    }
  }

  TEST_CASE("a pending call does not hold a callback that has been called") {
    scene s;
    const auto held = std::make_shared<int>(0);
    auto later = s.c->start<int>("add", 1, 2);
    weir::testing::semaphore called(0);
    later.then([held, &called](outcome<int>) { called.release(); });
    REQUIRE(called.try_acquire_for(patience));
    auto at_once = s.c->start<int>("add", 1, 2);
    at_once.wait();
    at_once.then([held](outcome<int>) { ++*held; });
    CHECK(*held == 1);
    CHECK(eventually([&] { return held.use_count() == 1; }));
  }

  TEST_CASE("a pending call that is dropped goes on, and its answer is dropped") {
    scene s;
    for (int i = 0; i < 1000; ++i) (void)s.c->start<int>("add", i, 1);
    CHECK(eventually([&] { return s.c->stats().succeeded >= 1000; }));
    CHECK(s.c->stats().in_flight == 0);
  }

  TEST_CASE("calls are sent without anybody who waits, though lately somebody always did") {
    scene s;
    for (int i = 0; i < 20; ++i) {
      auto first = s.c->start<int>("add", i, 1);
      auto second = s.c->start<int>("add", i, 2);
      REQUIRE(second.get() == i + 2);
      REQUIRE(first.get() == i + 1);
    }
    auto first = s.c->start("wait");
    auto second = s.c->start("wait");
    CHECK(eventually([&] { return s.waiting == 2; }));
    first.cancel();
    second.cancel();
    CHECK(second.get_outcome().code() == status::cancelled);
  }

  TEST_CASE("reports of a handler's progress arrive") {
    scene s;
    weir::testing::semaphore reported(0);
    std::string what;
    auto call =
        s.c->with({.on_progress =
                       [&](auto done, auto total, const std::string& text) {
                         what = std::to_string(done) + "/" + std::to_string(total) + " " + text;
                         reported.release();
                       }})
            .start("half");
    REQUIRE(reported.try_acquire_for(patience));
    CHECK(what == "1/2 half of it");
    call.cancel();
    CHECK(call.get_outcome().code() == status::cancelled);
  }

  TEST_CASE("many threads share a client") {
    scene s;
    std::vector<std::future<int>> threads;
    for (int t = 0; t < 8; ++t)
      threads.push_back(std::async(std::launch::async, [&, t] {
        int wrong = 0;
        for (int i = 0; i < 300; ++i) {
          if (t % 4 == 0) {
            wrong += s.c->call<int>("add", i, t) != i + t;
          } else if (t % 4 == 1) {
            auto p = s.c->start<int>("add", i, t);
            auto q = s.c->start<int>("add", i, -t);
            wrong += q.get() != i - t;
            wrong += p.get() != i + t;
          } else if (t % 4 == 2) {
            std::promise<int> promise;
            s.c->start<int>("add", i, t).then([&](outcome<int> o) { promise.set_value(*o); });
            wrong += promise.get_future().get() != i + t;
          } else {
            for (const auto& o : s.c->batch<int>("add", {std::tuple(i, t), std::tuple(i, t)}))
              wrong += *o != i + t;
          }
        }
        return wrong;
      }));
    for (auto& t : threads) CHECK(t.get() == 0);
  }

  TEST_CASE("threads that wait for slow calls hinder nobody, and each wakes for its own") {
    scene s;
    std::vector<pending<void>> slow;
    slow.push_back(s.c->start("wait"));  // one of four slots
    REQUIRE(eventually([&] { return s.waiting == 1; }));
    std::vector<std::future<status>> waiters;
    waiters.push_back(
        std::async(std::launch::async, [&] { return slow[0].get_outcome().code(); }));
    for (int i = 0; i < 100; ++i) REQUIRE(s.c->call<int>("add", i, 1) == i + 1);
    for (int i = 0; i < 4; ++i) {
      waiters.push_back(std::async(std::launch::async, [&s, i] {
        return s.c->with({.deadline = 20ms + i * 10ms}).start("wait").get_outcome().code();
      }));
    }
    for (int i = 0; i < 100; ++i) {
      const auto o = s.c->start<int>("add", i, 1).get_outcome();
      REQUIRE(o.ok());
    }
    for (std::size_t i = 1; i < waiters.size(); ++i) CHECK(waiters[i].get() != status::ok);
    s.c.reset();
    CHECK(waiters[0].get() == status::cancelled);
  }

  TEST_CASE("a client that goes ends what is open as cancelled") {
    scene s;
    auto call = s.c->start("wait");
    weir::testing::semaphore called(0);
    s.c->start("wait").then([&](outcome<void> o) {
      if (o.code() == status::cancelled) called.release();
    });
    auto awaited = [](client& c) -> pending<int> {
      co_await c.start("wait");
      co_return co_await c.start<int>("add", 1, 2);  // not any more
    }(*s.c);
    REQUIRE(eventually([&] { return s.waiting == 3; }));
    s.c.reset();
    CHECK(called.try_acquire());
    CHECK(call.get_outcome().code() == status::cancelled);
    CHECK(awaited.get_outcome().code() == status::cancelled);
    CHECK(eventually([&] { return s.cancelled == 3; }));  // the worker hears of it
  }

  TEST_CASE("a callback that has the client's last owner ends it, and all that is open") {
    scene s;
    weir::testing::semaphore called(0);
    std::atomic<int> cancelled{0};
    auto shared = std::make_shared<client>(client_options_for(s));
    for (int i = 0; i < 2; ++i)
      shared->start("wait").then([&](outcome<void> o) {
        if (o.code() == status::cancelled) ++cancelled;
      });
    REQUIRE(eventually([&] { return s.waiting == 2; }));
    auto call = shared->start<int>("add", 1, 2);
    auto* raw = shared.get();
    raw->notify("add", 1, 2);
    std::atomic<int> when_it_has_gone{0};
    raw->start("throw").then([&, owner = std::move(shared)](outcome<void>) mutable {
      owner.reset();
      when_it_has_gone = cancelled.load();
      called.release();
    });
    REQUIRE(called.try_acquire_for(patience));
    CHECK(when_it_has_gone == 2);
    CHECK(call.wait_for(0s));
  }

  TEST_CASE("a coroutine can have a client of its own") {
    scene s;
    const auto session = [](weir::client_options o) -> pending<int> {
      client c(std::move(o));
      const int sum = co_await c.start<int>("add", 1, 2);
      co_return co_await c.start<int>("add", sum, 3);
    };
    CHECK(session(client_options_for(s)).get() == 6);
  }

  TEST_CASE("a client that has not connected can go as well") {
    const folder sockets;
    std::optional<pending<int>> call;
    {
      client c{{{.connect = {sockets.endpoint("nobody")}}}};
      call = c.start<int>("add", 1, 2);
      c.notify("add", 1, 2);
    }
    CHECK(call->get_outcome().code() == status::cancelled);
  }
}

}  // namespace rpc_client_async_test
