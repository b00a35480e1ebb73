// Handlers that make calls themselves.
#include "running_nodes.hpp"
#include "support/semaphore.hpp"

#include <weir/client.hpp>

#include <doctest/doctest.h>

#include <atomic>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <tuple>
#include <vector>

namespace rpc_nested_test {

using namespace net_test;
using weir::call_context;
using weir::client;
using weir::rpc_error;
using weir::status;
using weir::testing::semaphore;

namespace {

/// Two workers: handlers of the one call methods of the other, `leaf`, through `inside`.
struct scene {
  folder sockets;
  std::optional<client> inside;
  std::optional<running_worker> leaf;
  std::optional<running_worker> outer;
  std::optional<client> c;
  semaphore waiting;         // a leaf has begun to wait
  semaphore leaf_cancelled;  // and has seen that nobody waits for it
  semaphore go_on;

  explicit scene(const std::function<void(scene&, weir::worker&)>& offer) {
    weir::worker_options o;
    o.bind = {sockets.endpoint("leaf")};
    o.slots = 16;
    leaf.emplace(o, [this](weir::worker& w) {
      w.expose("wait", [this](call_context& call) { wait(call); });
      w.expose("elements", [this](call_context& call) -> weir::generator<int> {
        co_yield 1;
        wait(call);
      });
      w.expose("one", [] { return 1; });
    });
    inside.emplace(weir::client_options{{.connect = {sockets.endpoint("leaf")}}, patience});
    o.bind = {sockets.endpoint("outer")};
    outer.emplace(o, [&](weir::worker& w) { offer(*this, w); });
    c.emplace(weir::client_options{{.connect = {sockets.endpoint("outer")}}, patience});
    REQUIRE(c->wait_connected(patience));
    REQUIRE(inside->wait_connected(patience));
  }
  ~scene() {
    c.reset();
    outer.reset();
    inside.reset();
  }
  void wait(call_context& call) {
    waiting.release();
    wait_for_cancel(call);
    leaf_cancelled.release();
    throw rpc_error(status::cancelled, "nobody waits");
  }
};

/// Runs `handler` as the method "outer", and cancels it once `leaves` of its calls are waiting.
void cancel_while_it_waits(const std::function<void(client&)>& handler, int leaves) {
  semaphore ended;
  std::atomic<int> code{-1};
  scene s([&](scene& in, weir::worker& w) {
    w.expose("outer", [&] {
      try {
        handler(*in.inside);
        code = 0;
      } catch (const rpc_error& e) {
        code = static_cast<int>(e.code());
      }
      ended.release();
    });
  });
  auto call = s.c->start("outer");
  for (int i = 0; i < leaves; ++i) REQUIRE(s.waiting.try_acquire_for(patience));
  call.cancel();
  for (int i = 0; i < leaves; ++i) CHECK(s.leaf_cancelled.try_acquire_for(patience));
  REQUIRE(ended.try_acquire_for(patience));
  CHECK(code == static_cast<int>(status::cancelled));
}

}  // namespace

TEST_SUITE("calls within calls") {
  TEST_CASE("a call that a handler waits for is cancelled with the handler's own") {
    cancel_while_it_waits([](client& inside) { inside.call("wait"); }, 1);
  }

  TEST_CASE("and so is whatever else it has begun: calls, batches, streams") {
    cancel_while_it_waits(
        [](client& inside) {
          auto one = inside.start("wait");
          auto some = inside.start_batch("wait", std::vector<std::tuple<>>(2));
          auto mixed = inside.batch();
          auto third = mixed.add("wait");
          mixed.send();
          try {
            for (int i : inside.stream<int>("elements")) CHECK(i == 1);
          } catch (const rpc_error& e) {
            CHECK(e.code() == status::cancelled);
          }
          for (const auto& o : some.get()) CHECK(o.code() == status::cancelled);
          CHECK(third.get_outcome().code() == status::cancelled);
          one.get();
        },
        5);
  }

  TEST_CASE("what a handler calls after it was cancelled ends as cancelled") {
    semaphore begun;
    semaphore ended;
    std::atomic<int> code{-1};
    scene s([&](scene& in, weir::worker& w) {
      w.expose("outer", [&](call_context& call) {
        in.inside->call<int>("one");
        begun.release();
        REQUIRE(eventually([&] { return call.cancelled(); }));
        try {
          in.inside->call("wait");
          code = 0;
        } catch (const rpc_error& e) {
          code = static_cast<int>(e.code());
        }
        ended.release();
      });
    });
    auto call = s.c->start("outer");
    REQUIRE(begun.try_acquire_for(patience));
    call.cancel();
    REQUIRE(ended.try_acquire_for(patience));
    CHECK(code == static_cast<int>(status::cancelled));
  }

  TEST_CASE("a caller that goes cancels what its calls have called") {
    scene s([](scene& in, weir::worker& w) {
      w.expose("outer", [&in] { in.inside->call("wait"); });
    });
    auto call = s.c->start("outer");
    REQUIRE(s.waiting.try_acquire_for(patience));
    s.c.reset();
    CHECK(s.leaf_cancelled.try_acquire_for(patience));
  }

  TEST_CASE("cancelling one handler leaves alone what others have called with its client") {
    semaphore answered;
    scene s([&](scene& in, weir::worker& w) {
      w.expose("outer", [&in] { in.inside->call("wait"); });
      w.expose("other", [&] {
        // Many calls, among which those of the first have their numbers.
        for (int i = 0; i < 500; ++i) in.inside->call<int>("one");
        in.go_on.acquire();
        in.inside->call<int>("one");
        answered.release();
      });
    });
    auto other = s.c->start("other");
    auto call = s.c->start("outer");
    REQUIRE(s.waiting.try_acquire_for(patience));
    call.cancel();
    CHECK(s.leaf_cancelled.try_acquire_for(patience));
    CHECK(call.get_outcome().code() == status::cancelled);
    s.go_on.release();
    other.get();
    CHECK(answered.try_acquire());
  }

  TEST_CASE("a handler of many calls that mix with others' is cancelled at the last") {
    std::atomic<bool> over{false};
    scene s([&](scene& in, weir::worker& w) {
      w.expose("outer", [&in] {
        for (int i = 0; i < 2000; ++i) in.inside->call<int>("one");
        in.inside->call("wait");
      });
      w.expose("noise", [&] {
        while (!over) in.inside->call<int>("one");
      });
    });
    auto noise = s.c->start("noise");
    auto call = s.c->start("outer");
    REQUIRE(s.waiting.try_acquire_for(patience));
    call.cancel();
    CHECK(s.leaf_cancelled.try_acquire_for(patience));
    over = true;
    noise.get();
  }

  TEST_CASE(
      "a client that a handler has made for itself may be gone when its call is cancelled") {
    semaphore ended;
    scene s([&](scene& in, weir::worker& w) {
      w.expose("outer", [&](call_context& call) {
        {
          client own{{{.connect = {in.sockets.endpoint("leaf")}}, patience}};
          own.call<int>("one");
        }
        in.waiting.release();
        REQUIRE(eventually([&] { return call.cancelled(); }));
        ended.release();
      });
    });
    auto call = s.c->start("outer");
    REQUIRE(s.waiting.try_acquire_for(patience));
    call.cancel();
    CHECK(ended.try_acquire_for(patience));
  }

  TEST_CASE("a generator's calls are cancelled with its stream") {
    scene s([](scene& in, weir::worker& w) {
      w.expose("outer", [&in]() -> weir::generator<int> {
        co_yield in.inside->call<int>("one");
        in.inside->call("wait");
      });
    });
    {
      auto stream = s.c->stream<int>("outer");
      CHECK(*stream.begin() == 1);
      REQUIRE(s.waiting.try_acquire_for(patience));
    }
    CHECK(s.leaf_cancelled.try_acquire_for(patience));
  }
}

}  // namespace rpc_nested_test
