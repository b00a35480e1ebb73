#include "call_pool_fixture.hpp"
#include "exec/call.hpp"

#include <atomic>
#include <set>

namespace call_pool_test {

using namespace call_pool_fixture;

TEST_SUITE("call_pool") {
  TEST_CASE("every call is answered once, with its own result, however many slots there are") {
    for (const unsigned slots : {1U, 2U, 7U})
      for (const bool help : {false, true}) {
        loop l(slots, {echo()});
        l.may_help = help;
        std::size_t total = 0;
        for (int batch = 0; batch < 50; ++batch) {
          const int n = 1 + batch * 37 % 997;
          l.give(numbered(n), 0, 1h, 0, batch % 3 == 0 ? bob : alice);
          total += static_cast<std::size_t>(n);
        }
        CHECK(l.answered(total));
        CHECK(l.answers.size() == total);
        CHECK(l.answers.at({alice, 2}).result == "argument 1");
        for (const auto& [key, a] : l.answers) REQUIRE(a.code == status::ok);
      }
  }

  TEST_CASE("a large result arrives whole among small ones") {
    loop l(2, {method([](call_context&, std::string_view in, std::string& out) {
             out.append(in == "argument 3" ? std::string(1'000'000, 'x') : std::string(in));
           })});
    l.give(numbered(10));
    REQUIRE(l.answered(10));
    CHECK(l.answers.at({alice, 4}).result == std::string(1'000'000, 'x'));
    CHECK(l.answers.at({alice, 5}).result == "argument 4");
  }

  TEST_CASE("a result that no message could carry is an error that says so") {
    loop l(1, {method([](call_context&, std::string_view, std::string& out) {
             out.assign(16 * 1024 * 1024 + 1, 'x');
           })});
    l.give({"a"});
    REQUIRE(l.answered(1));
    CHECK(l.answers.at({alice, 1}).code == status::resource_exhausted);
    CHECK(l.answers.at({alice, 1}).details.message.find("16777217 bytes") != std::string::npos);
  }

  TEST_CASE("no call waits behind a slow one while a slot is idle") {
    valve v;
    loop l(2, {v.method()});
    auto arguments = numbered(1000);
    arguments[100] = "wait";
    l.give(arguments);
    CHECK(l.answered(999));
    CHECK(l.answers.count({alice, 101}) == 0);
    v.open.release();
    CHECK(l.answered(1000));
  }

  TEST_CASE("answers that are there are handed over while a slow call runs on the same slot") {
    valve v;
    loop l(1, {v.method()});
    l.give({"a", "b", "wait", "c"});
    CHECK(l.answered(2));
    v.open.release();
    CHECK(l.answered(4));
  }

  TEST_CASE("consecutive answers of several slots come as few runs") {
    valve v;
    loop l(1, {v.method()});
    l.give({"wait"});
    v.await_arrival();
    l.give(numbered(5000));
    v.open.release();
    REQUIRE(l.answered(5001));
    CHECK(l.runs.size() < 5001 / 2);
  }

  TEST_CASE("the loop runs short calls itself, and learns when they are not short any more") {
    valve v;
    loop l(1, {v.method()});
    l.may_help = true;
    for (int i = 0; l.helped < 10; ++i) {
      REQUIRE(i < 100'000);
      l.give({"short"});
      REQUIRE(l.answered(static_cast<std::size_t>(i) + 1));
    }
    const auto before = l.answers.size();
    std::thread stuck([&] { l.give({"wait", "behind it"}); });
    v.await_arrival();
    // Somebody else sees that it does not come back.
    l.pool.relieve();
    CHECK(l.answered(before + 1));
    v.open.release();
    stuck.join();
    CHECK(l.answered(before + 2));
    const auto helped = l.helped;
    l.give({"short"});
    CHECK(l.answered(before + 3));
    CHECK(l.helped == helped);
  }

  TEST_CASE("what a handler throws is its caller's to read, with its type") {
    loop l(1, {method([](call_context&, std::string_view in, std::string& out) {
             out.append("half a result");
             if (in == "rpc") throw rpc_error(status::not_found, "no cheese", {.details = "x"});
             if (in == "std") throw std::out_of_range("shelf 7");
             if (in == "int") throw 7;
           })});
    l.give({"rpc", "std", "int", "fine"});
    REQUIRE(l.answered(4));
    CHECK(l.answers.at({alice, 1}).code == status::not_found);
    CHECK(l.answers.at({alice, 1}).details.message == "no cheese");
    CHECK(l.answers.at({alice, 1}).details.data == "x");
    CHECK(l.answers.at({alice, 1}).result.empty());
    CHECK(l.answers.at({alice, 2}).code == status::unknown);
    CHECK(l.answers.at({alice, 2}).details.message == "shelf 7");
    CHECK(l.answers.at({alice, 2}).details.type == "std::out_of_range");
    CHECK(l.answers.at({alice, 3}).details.type == "int");
    CHECK(l.answers.at({alice, 4}).code == status::ok);
  }

  TEST_CASE("a call that has expired before it began is not run") {
    std::atomic<int> runs = 0;
    loop l(1, {method([&](call_context&, std::string_view, std::string&) { ++runs; })});
    l.give({"a"}, 0, -1ms);
    REQUIRE(l.answered(1));
    CHECK(l.answers.at({alice, 1}).code == status::deadline_exceeded);
    CHECK(l.answers.at({alice, 1}).details.never_started);
    CHECK(runs == 0);
  }

  TEST_CASE("a handler sees that its deadline has passed, and may go on") {
    loop l(1, {method([](call_context& c, std::string_view, std::string& out) {
             out.append(cancelled_soon(c) && c.time_left() == 0ms ? "late" : "never");
           })});
    l.give({"a"}, 0, 20ms);
    REQUIRE(l.answered(1));
    if (l.answers.at({alice, 1}).code == status::ok)  // else it had no time to begin
      CHECK(l.answers.at({alice, 1}).result == "late");
  }

  TEST_CASE("cancelled calls are not begun, and those that run are told") {
    valve v;
    weir::testing::semaphore started{0};
    loop l(1, {v.method(), method([&](call_context& c, std::string_view, std::string&) {
                 started.release();
                 if (cancelled_soon(c)) throw rpc_error(status::cancelled, "stopped");
               })});
    l.give({"wait", "a", "b"});
    v.await_arrival();
    l.pool.cancel({alice, 2});
    l.pool.cancel({bob, 3});  // somebody else's
    v.open.release();
    REQUIRE(l.answered(3));
    CHECK(l.answers.at({alice, 2}).code == status::cancelled);
    CHECK(l.answers.at({alice, 2}).details.never_started);
    CHECK(l.answers.at({alice, 3}).code == status::ok);

    const auto running = l.give({"x"}, 1);
    REQUIRE(started.try_acquire_for(patience));
    l.pool.cancel({alice, running});
    REQUIRE(l.answered(4));
    CHECK(l.answers.at({alice, running}).details.message == "stopped");
  }

  TEST_CASE("a call that is cancelled again and again is told so once") {
    weir::testing::semaphore started{0};
    weir::testing::semaphore told_enough{0};
    std::atomic<int> told = 0;
    loop l(1, {method([&](call_context& c, std::string_view, std::string&) {
             auto& running = weir::exec::call::of(c);
             running.when_cancelled([&] { ++told; });
             started.release();
             CHECK(told_enough.try_acquire_for(patience));
             running.deaf();
           })});
    l.give({"x"});
    REQUIRE(started.try_acquire_for(patience));
    for (int i = 0; i < 3; ++i) l.pool.cancel({alice, 1});
    told_enough.release();
    REQUIRE(l.answered(1));
    CHECK(told == 1);
  }

  TEST_CASE("the newest report of progress reaches the loop while the call runs") {
    weir::testing::semaphore go_on{0};
    loop l(1, {method([&](call_context& c, std::string_view, std::string&) {
             c.progress(1, 4, "one");
             c.progress(3, 4, "three of four");
             CHECK(go_on.try_acquire_for(patience));
           })});
    l.give({"a"});
    CHECK(l.wait_for([&] { return !l.reports.empty(); }));
    go_on.release();
    CHECK(l.answered(1));
    CHECK(l.reports.back().key == call_key{alice, 1});
    CHECK(l.reports.back().total == 4);
  }

  TEST_CASE("stopping tells what runs, answers what waits, and ends streams") {
    weir::testing::semaphore started{0};
    loop l(1, {method([&](call_context& c, std::string_view, std::string& out) {
                 started.release();
                 out.append(cancelled_soon(c) ? "told" : "not told");
               }),
               counting()});
    l.give({"100"}, 1, 1h, 10);
    CHECK(l.wait_for([&] { return l.elements[{alice, 1}].size() == 10; }));
    l.give({"a", "b", "c"});
    REQUIRE(started.try_acquire_for(patience));
    l.pool.stop();
    l.take();
    CHECK(l.answers.size() == 4);
    CHECK(l.answers.at({alice, 1}).code == status::cancelled);
    CHECK(l.answers.at({alice, 2}).result == "told");
    CHECK(l.answers.at({alice, 3}).code == status::unavailable);
    CHECK(l.answers.at({alice, 3}).details.never_started);
  }
}

}  // namespace call_pool_test
