#include "store/call_table.hpp"

#include "proto/rpc/call_id.hpp"
#include "store/retry_policy.hpp"
#include "temp_dir.hpp"

#include <doctest/doctest.h>

#include <chrono>

namespace call_table_test {

using namespace weir;
using namespace weir::store;
using submitted = call_table::submitted;
using cancelled = call_table::cancelled;

namespace {

constexpr unix_ms noon = 1'800'000'000'000;

std::string id(std::uint64_t n) { return proto::make_call_id(noon, 0, n); }

struct table {
  test::temp_dir dir;
  std::unique_ptr<call_table> t;
  call_table::options options;

  explicit table(call_table::options o = {}) : options(o) { open(noon); }
  void open(unix_ms now) {
    t.reset();
    t = std::make_unique<call_table>(dir.file("spool"), options, now);
  }
  call_table* operator->() { return t.get(); }

  std::string submit(std::uint64_t n, const std::string& method = "m") {
    return submit({.id = id(n), .method = method, .arguments = "\x91\x01"});
  }
  std::string submit(const submission& call) {
    REQUIRE(t->submit(call, noon).what == submitted::stored);
    return call.id;
  }
  std::vector<due_call> start(unix_ms now = noon, std::size_t most = 100,
                              bool idempotent = false) {
    return t->start("m", most, 1 << 20, idempotent, now).calls;
  }
  call_number start_one(bool idempotent = false) {
    auto calls = start(noon, 1, idempotent);
    REQUIRE(calls.size() == 1);
    return calls.front().number;
  }
  call_state state(const std::string& which) { return t->find(which, noon).value().state; }
};

const attempt_result ok{status::ok, "", "", "\x2a"};
const attempt_result thrown{status::unknown, "out of luck", "std::runtime_error"};

}  // namespace

TEST_CASE(
    "a call is queued, running, then done with its result, and is counted as one attempt") {
  table t;
  const auto a = t.submit(1);
  CHECK(t.state(a) == call_state::queued);
  const auto calls = t.start();
  REQUIRE(calls.size() == 1);
  CHECK(calls[0].id == a);
  CHECK(calls[0].arguments == "\x91\x01");
  CHECK(calls[0].attempt == 1);
  CHECK(t.state(a) == call_state::running);
  CHECK(t.start().empty());
  const auto end = t->finish(calls[0].number, ok, noon + 5);
  REQUIRE(end);
  CHECK(end->ended);
  CHECK(end->report.state == call_state::done);
  CHECK(end->report.result == "\x2a");
  const auto report = t->find(a, noon).value();
  CHECK(report.result == "\x2a");
  CHECK(report.attempts == 1);
  CHECK(report.submitted == noon);
  CHECK(report.finished == noon + 5);
}

TEST_CASE("a second outcome of the same call changes nothing") {
  table t;
  const auto a = t.submit(1);
  const auto n = t.start_one();
  CHECK(t->finish(n, ok, noon));
  CHECK_FALSE(t->finish(n, thrown, noon));
  CHECK(t.state(a) == call_state::done);
}

TEST_CASE("a submission that is repeated is the same call, and another one is refused") {
  table t;
  const submission call{.id = id(1), .method = "m", .arguments = "\x90"};
  t.submit(call);
  CHECK(t->submit(call, noon).what == submitted::known);
  CHECK(t->count(call_state::queued) == 1);
  submission other = call;
  other.method = "other";
  CHECK(t->submit(other, noon).what == submitted::other_method);
  other = call;
  other.arguments = "\x91\x01";
  CHECK(t->submit(other, noon).what == submitted::other_arguments);
  CHECK(t->submit(other, noon).id == id(1));
  // Also when it is done, and its arguments are not kept any more.
  t->finish(t.start_one(), ok, noon);
  CHECK(t->submit(call, noon).what == submitted::known);
  CHECK(t->submit(other, noon).what == submitted::other_arguments);

  SUBCASE("a key joins submissions under different ids") {
    submission keyed{.id = id(2), .method = "m", .arguments = "\x90", .key = "order 7"};
    t.submit(keyed);
    keyed.id = id(3);
    const auto again = t->submit(keyed, noon);
    CHECK(again.what == submitted::known);
    CHECK(again.id == id(2));
    keyed.arguments = "\x91\x01";
    const auto wrong = t->submit(keyed, noon);
    CHECK(wrong.what == submitted::other_arguments);
    CHECK(wrong.id == id(2));
  }
}

TEST_CASE(
    "highest priority first, then the one that was due first, then in order of submission") {
  table t;
  t.submit({.id = id(1), .method = "m", .arguments = "\x90", .priority = 5});
  t.submit({.id = id(2), .method = "m", .arguments = "\x90", .due = noon + 5, .priority = 9});
  t.submit({.id = id(3), .method = "m", .arguments = "\x90", .due = noon + 4, .priority = 9});
  t.submit({.id = id(4), .method = "m", .arguments = "\x90", .priority = 5});
  t.submit({.id = id(5), .method = "m", .arguments = "\x90", .priority = 0});
  std::vector<std::string> order;
  for (const auto& c : t.start(noon + 10)) order.push_back(c.id);
  CHECK(order == std::vector{id(3), id(2), id(1), id(4), id(5)});
}

TEST_CASE("a call is not started before it is due, and it is known when that is") {
  table t;
  t.submit({.id = id(1), .method = "m", .arguments = "\x90", .due = noon + 1000});
  t.submit({.id = id(2), .method = "m", .arguments = "\x90", .due = noon + 500, .priority = 1});
  auto early = t->start("m", 10, 1 << 20, false, noon + 499);
  CHECK(early.calls.empty());
  CHECK(early.next == noon + 500);
  auto some = t->start("m", 10, 1 << 20, false, noon + 500);
  CHECK(some.calls.size() == 1);
  CHECK(some.next == noon + 1000);
  CHECK(t->start("m", 10, 1 << 20, false, noon + 1000).next == never);
}

TEST_CASE("what is started at a time is bounded in calls and bytes, but one always is") {
  table t;
  for (std::uint64_t i = 1; i <= 5; ++i)
    t.submit({.id = id(i), .method = "m", .arguments = std::string(1000, '\xc0')});
  CHECK(t->start("m", 10, 1, false, noon).calls.size() == 1);
  auto two = t->start("m", 10, 2500, false, noon);
  CHECK(two.calls.size() == 2);
  CHECK(two.next == noon);
  CHECK(t->start("m", 1, 1 << 20, false, noon).calls.size() == 1);
}

TEST_CASE("a call without retries that fails is dead, with its reason, and is listed") {
  table t;
  const auto a = t.submit(1);
  t.submit(2);
  const auto end = t->finish(t.start_one(), thrown, noon);
  CHECK(end->report.state == call_state::dead);
  const auto dead = t->dead("", 10, noon);
  REQUIRE(dead.size() == 1);
  CHECK(dead[0].id == a);
  CHECK(dead[0].method == "m");
  CHECK(dead[0].code == status::unknown);
  CHECK(dead[0].message == "out of luck");
  CHECK(dead[0].type == "std::runtime_error");
  CHECK(t->dead(a, 10, noon).empty());
}

TEST_CASE("each retry waits longer, and the last failure is final") {
  table t;
  const auto a = t.submit({.id = id(1), .method = "m", .arguments = "\x90", .retries = 2});
  unix_ms now = noon;
  std::int64_t wait = 0;
  for (std::uint32_t attempt = 1; attempt <= 2; ++attempt) {
    const auto calls = t.start(now);
    REQUIRE(calls.size() == 1);
    CHECK(calls[0].attempt == attempt);
    const auto end = t->finish(calls[0].number, thrown, now);
    CHECK_FALSE(end->ended);
    CHECK(end->report.due - now > wait);
    wait = end->report.due - now;
    CHECK(t.start(end->report.due - 1).empty());
    now = end->report.due;
  }
  const auto last = t.start(now);
  REQUIRE(last.size() == 1);
  CHECK(t->finish(last[0].number, thrown, now)->report.state == call_state::dead);
  CHECK(t->find(a, noon)->attempts == 3);
}

TEST_CASE("without a number, what does no harm is tried three times more, and nothing else") {
  table t;
  bool idempotent = false;
  attempt_result how = thrown;
  std::uint32_t attempts = 4;
  submission call{.id = id(1), .method = "m", .arguments = "\x90"};
  SUBCASE("a method that is idempotent") { idempotent = true; }
  SUBCASE("a call with a key") { call.key = "order 7"; }
  SUBCASE("one that no handler has seen") {
    how = {status::deadline_exceeded, "expired before it started", "", "", true};
  }
  SUBCASE("one that may have done something") { attempts = 1; }
  SUBCASE("one that is told not to, whatever it is") {
    idempotent = true;
    call.retries = 0;
    attempts = 1;
  }
  const auto a = t.submit(call);
  unix_ms now = noon;
  for (std::uint32_t i = 1; i <= attempts; ++i) {
    const auto calls = t->start("m", 10, 1 << 20, idempotent, now).calls;
    REQUIRE(calls.size() == 1);
    const auto end = t->finish(calls[0].number, how, now);
    CHECK(end->ended == (i == attempts));
    now = end->report.due;
  }
  CHECK(t.state(a) == call_state::dead);
}

TEST_CASE("an error that no other attempt would change is an answer, and not tried again") {
  table t;
  const auto a = t.submit({.id = id(1), .method = "m", .arguments = "\x90", .retries = 5});
  CHECK(t->finish(t.start_one(), {status::invalid_argument, "(a: int) -> int"}, noon)->ended);
  CHECK(t.state(a) == call_state::failed);
  CHECK(t->dead("", 10, noon).empty());
}

TEST_CASE("a call that no worker has begun waits again, at no cost") {
  table t;
  const auto a = t.submit(1);
  const attempt_result absent{status::not_found, "no worker", "", "", true, 700};
  const auto end = t->finish(t.start_one(), absent, noon);
  CHECK_FALSE(end->ended);
  CHECK(end->report.due == noon + 700);
  const auto report = t->find(a, noon).value();
  CHECK(report.state == call_state::queued);
  CHECK(report.attempts == 0);
}

TEST_CASE(
    "a queued call is cancelled at once, a running one when it ends, an ended one not at all") {
  table t;
  const auto a = t.submit(1);
  CHECK(t->cancel(a, noon).what == cancelled::now);
  CHECK(t.state(a) == call_state::cancelled);
  CHECK(t.start().empty());
  CHECK(t->cancel(a, noon).what == cancelled::ended);
  CHECK(t->cancel(id(99), noon).what == cancelled::unknown);

  const auto b = t.submit({.id = id(2), .method = "m", .arguments = "\x90", .retries = 5});
  const auto n = t.start_one();
  CHECK(t->cancel(b, noon).what == cancelled::asked);
  CHECK(t.state(b) == call_state::running);
  SUBCASE("whatever error it ends with, it is not tried again") {
    CHECK(t->finish(n, thrown, noon)->report.state == call_state::cancelled);
  }
  SUBCASE("a result that was faster counts") {
    CHECK(t->finish(n, ok, noon)->report.state == call_state::done);
  }
  SUBCASE("also if the gateway dies meanwhile") {
    t.open(noon);
    CHECK(t.state(b) == call_state::cancelled);
  }
}

TEST_CASE(
    "what ended without success can be queued again, with all its retries and its arguments") {
  table t;
  const auto a = t.submit(1);
  const auto n = t.start_one();
  CHECK_FALSE(t->requeue(a, noon));
  t->finish(n, thrown, noon);
  CHECK(t->requeue(a, noon) == "m");
  const auto calls = t.start();
  REQUIRE(calls.size() == 1);
  CHECK(calls[0].arguments == "\x91\x01");
  CHECK(calls[0].attempt == 2);
  t->finish(calls[0].number, ok, noon);
  CHECK_FALSE(t->requeue(a, noon));
}

TEST_CASE("an outcome is kept for its time, or until it is forgotten; an open call stays") {
  table t;
  const auto a = t.submit({.id = id(1), .method = "m", .arguments = "\x90", .keep_ms = 1000});
  const auto b = t.submit({.id = id(2), .method = "m", .arguments = "\x90"});
  for (const auto& c : t.start()) {
    CHECK_FALSE(t->forget(c.id));
    t->finish(c.number, ok, noon);
  }
  CHECK(t->expire(noon + 999, 10) == 0);
  CHECK(t->expire(noon + 1000, 10) == 1);
  CHECK_FALSE(t->find(a, noon));
  CHECK(t->find(b, noon));
  CHECK(t->forget(b));
  CHECK_FALSE(t->forget(b));
  CHECK_FALSE(t->find(b, noon));
}

TEST_CASE("an outcome is gone when its time is up, also before it is removed") {
  table t;
  const auto keeps = [](std::uint64_t n, std::string arguments = "\x90") {
    return submission{.id = id(n),
                      .method = "m",
                      .arguments = std::move(arguments),
                      .retries = 0,
                      .keep_ms = 1000,
                      .key = "order 7"};
  };
  const auto a = t.submit(keeps(1));
  t->finish(t.start_one(), thrown, noon);
  CHECK(t->find(a, noon + 999));
  CHECK(t->dead("", 10, noon + 999).size() == 1);
  CHECK(t->submit(keeps(2), noon + 999).what == submitted::known);

  CHECK_FALSE(t->find(a, noon + 1000));
  CHECK(t->dead("", 10, noon + 1000).empty());
  CHECK_FALSE(t->requeue(a, noon + 1000));
  CHECK(t->cancel(a, noon + 1000).what == cancelled::unknown);
  // Its key is free, and so is its id.
  CHECK(t->submit(keeps(1, "\x91\x01"), noon + 1000).what == submitted::stored);
  CHECK(t->expire(noon + 1000, 10) == 0);
  CHECK(t.state(a) == call_state::queued);
}

TEST_CASE(
    "submissions are refused when the file is as large as it may be, and open calls go on") {
  table t({.max_bytes = 200 * 1024});
  std::uint64_t n = 0;
  while (t->submit({.id = id(++n), .method = "m", .arguments = std::string(4000, 'x')}, noon)
             .what == submitted::stored)
    REQUIRE(n < 1000);
  CHECK(n > 20);
  for (const auto& c : t.start()) CHECK(t->finish(c.number, ok, noon)->ended);
  CHECK(t->submit({.id = id(++n), .method = "m", .arguments = "\x90"}, noon).what ==
        submitted::stored);
}

TEST_CASE("queued calls and outcomes are there after a restart") {
  table t;
  const auto a = t.submit(1);
  const auto b = t.submit(2, "other");
  t->finish(t.start_one(), ok, noon);
  t.open(noon + 50);
  CHECK(t.state(a) == call_state::done);
  CHECK(t->find(a, noon)->result == "\x2a");
  CHECK(t.state(b) == call_state::queued);
  const auto waiting = t->waiting();
  REQUIRE(waiting.size() == 1);
  CHECK(waiting[0].method == "other");
  CHECK(waiting[0].next == noon);
  t.submit(3);
  CHECK(t.start().size() == 1);
}

TEST_CASE("the gateway dies while a call runs") {
  table t;
  SUBCASE("it may have done something: it is dead, and says why") {
    const auto a = t.submit(1);
    (void)t.start_one();
    t.open(noon);
    CHECK(t.state(a) == call_state::dead);
    CHECK(t->find(a, noon)->message ==
          "the gateway ended while it ran: it may have done something");
    CHECK(t->at_opening().given_up == 1);
  }
  SUBCASE("a method that is idempotent is run again, however often") {
    const auto a = t.submit(1);
    for (int i = 0; i < 5; ++i) {
      (void)t.start_one(true);
      t.open(noon);
      CHECK(t.state(a) == call_state::queued);
      CHECK(t->at_opening().queued_again == 1);
    }
    CHECK(t->find(a, noon)->attempts == 5);
  }
  SUBCASE("a call with a key is run again") {
    const auto a =
        t.submit({.id = id(1), .method = "m", .arguments = "\x90", .key = "order 7"});
    (void)t.start_one();
    t.open(noon);
    CHECK(t.state(a) == call_state::queued);
  }
  SUBCASE("a call that nobody has said anything about is not, whatever has failed before") {
    const auto a = t.submit(1);
    const attempt_result expired{status::deadline_exceeded, "", "", "", true};
    const auto again = t->finish(t.start_one(), expired, noon);
    REQUIRE_FALSE(again->ended);
    REQUIRE(t.start(again->report.due).size() == 1);
    t.open(noon);
    CHECK(t.state(a) == call_state::dead);
  }
  SUBCASE("retries are a permission to run it again, one each") {
    const auto a = t.submit({.id = id(1), .method = "m", .arguments = "\x90", .retries = 1});
    (void)t.start_one();
    t.open(noon);
    CHECK(t.state(a) == call_state::queued);
    (void)t.start_one();
    t.open(noon);
    CHECK(t.state(a) == call_state::dead);
  }
}

TEST_CASE("ids sort by time, and are recognised") {
  CHECK(proto::make_call_id(noon, 1, 2) < proto::make_call_id(noon + 1, 0, 0));
  CHECK(proto::make_call_id(0, UINT64_MAX, UINT64_MAX) == "0000000000zzzzzzzzzzzzzzzz");
  CHECK(proto::make_call_id((std::uint64_t{1} << 50) - 1, 0, 1) ==
        "zzzzzzzzzz0000000000000001");
  // The lowest bit of `high` is the 17th from the right: 2 in the fourth place.
  CHECK(proto::make_call_id(0, 1, 0) == "00000000000000000000002000");
  CHECK(proto::is_call_id(id(7)));
  CHECK_FALSE(proto::is_call_id("7"));
  CHECK_FALSE(proto::is_call_id(std::string(26, 'u')));
  CHECK_FALSE(proto::is_call_id(std::string(27, '0')));
}

}  // namespace call_table_test
