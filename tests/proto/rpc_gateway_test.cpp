// The gateway: routing, queueing, overload.
#include "rpc_gateway_fixture.hpp"

namespace rpc_gateway_test {

using namespace weir;
using namespace weir::proto;
using namespace weir::proto::dialogue;
using std::chrono::milliseconds;
using std::chrono::seconds;

TEST_CASE("a call goes to the worker that offers its method, and the reply back") {
  simple g;
  const auto call = g.calls(client, "add");
  const auto given = g.given(worker);
  REQUIRE(given.size() == 1);
  CHECK(given[0].method == "add");
  CHECK(given[0].first == 1);
  g.replies(worker, 1, 1, "sum");
  const auto reply = g.answered(client);
  CHECK(reply.first == call);
  CHECK(reply.code == status::ok);
  CHECK(reply.results[0] == "sum");
  CHECK(silent(g.out));
  CHECK(g.machine.stats().answered == 1);
}

TEST_CASE("a batch travels as one, there and back") {
  simple g;
  g.calls(client, "add", 64);
  CHECK(g.given(worker)[0].arguments.size() == 64);
  g.replies(worker, 1, 64);
  CHECK(g.answered(client).results.size() == 64);
}

TEST_CASE("calls of several clients get each its own reply") {
  simple g;
  g.client_joins(other_client);
  g.calls(client, "add");
  g.calls(other_client, "add");
  CHECK(g.given(worker)[0].first == 1);
  CHECK(g.given(worker)[0].first == 2);
  g.replies(worker, 2, 1, "second");
  CHECK(g.answered(other_client).results[0] == "second");
  CHECK(silent(g.out));
  g.replies(worker, 1, 1, "first");
  CHECK(g.answered(client).results[0] == "first");
}

TEST_CASE("a batch is divided among the workers by the room that they have") {
  simple g;
  g.worker_joins(other_worker, {gateway::method("add")}, 50);
  g.calls(client, "add", 90);
  CHECK(g.given_count(worker) == 60);
  CHECK(g.given_count(other_worker) == 30);
}

TEST_CASE("calls one at a time stay with one worker, unless they have to wait there") {
  simple g;
  g.worker_joins(other_worker, {gateway::method("add")});
  const auto next = [&g](std::uint32_t queued_us) {
    g.calls(client, "add");
    const std::uint32_t to = g.given_any(worker) ? worker : other_worker;
    g.replies(to, g.given(to)[0].first, 1, "r", queued_us);
    (void)g.answered(client);
    return to;
  };
  const auto one = next(0);
  for (int i = 0; i < 10; ++i) REQUIRE(next(100) == one);
  REQUIRE(next(101) == one);
  CHECK(next(0) != one);
  CHECK(next(0) != one);
}

namespace {
/// Two workers that offer "add", of which the first had the last call, and "nap".
struct pair_of_workers : gateway {
  explicit pair_of_workers(std::uint32_t add_us) : gateway(gateway_state::options{}) {
    client_joins(client);
    worker_joins(worker, {method("add"), method("nap")}, 1000);
    took("nap", 20'000);
    took("add", add_us);
    worker_joins(other_worker, {method("add"), method("nap")}, 1000);
    REQUIRE(silent(out));
  }
  void took(const std::string& name, std::uint32_t service_us) {
    calls(client, name);
    replies(worker, given(worker)[0].first, 1, "r", 0, service_us);
    (void)answered(client);
  }
  [[nodiscard]] std::pair<std::uint64_t, std::uint64_t> counts() const {
    return {given_count(worker), given_count(other_worker)};
  }
  using both = std::pair<std::uint64_t, std::uint64_t>;
};
}  // namespace

TEST_CASE(
    "calls stay with one worker while it can do all it has before another would wake up") {
  pair_of_workers g(10);
  g.calls(client, "add", 4);
  CHECK(g.counts() == pair_of_workers::both{4, 0});
  g.calls(client, "add", 6);
  CHECK(g.counts() == pair_of_workers::both{10, 0});
  g.calls(client, "add");
  CHECK(g.counts() == pair_of_workers::both{10, 1});
  // Now both are awake, with one in hand each, and share.
  const auto first = g.given(worker)[0].first;
  g.forget_sends();
  g.replies(worker, first, 9, "r", 0, 10);
  (void)g.answered(client);
  for (int i = 0; i < 3; ++i) g.calls(client, "add");
  CHECK(g.counts() == pair_of_workers::both{2, 1});
}

TEST_CASE("calls that take next to nothing stay with one worker until the row is long") {
  pair_of_workers g(0);
  for (int i = 0; i < 4; ++i) g.calls(client, "add", 64);
  CHECK(g.counts() == pair_of_workers::both{256, 0});
  g.calls(client, "add");
  CHECK(g.counts() == pair_of_workers::both{256, 1});
}

TEST_CASE("nothing stays with a worker that is at something longer") {
  pair_of_workers g(0);
  g.calls(client, "nap");
  REQUIRE(g.counts() == pair_of_workers::both{1, 0});
  g.calls(client, "add");
  CHECK(g.counts() == pair_of_workers::both{1, 1});
}

TEST_CASE("nothing stays with a worker that has not answered for longer than it ever took") {
  pair_of_workers g(0);
  g.calls(client, "add");
  g.now += milliseconds(1);
  g.calls(client, "add");
  REQUIRE(g.counts() == pair_of_workers::both{2, 0});
  g.now += std::chrono::microseconds(1);
  g.calls(client, "add");
  CHECK(g.counts() == pair_of_workers::both{2, 1});
}

TEST_CASE("calls that take long go to whoever has the least to do") {
  pair_of_workers g(1000);
  g.calls(client, "add");
  g.calls(client, "add");
  CHECK(g.counts() == pair_of_workers::both{1, 1});
}

TEST_CASE("no worker gets more than its window; the rest waits for replies") {
  simple g({}, false, 4);
  g.calls(client, "add", 10);
  CHECK(g.given_count(worker) == 4);
  CHECK(g.machine.stats().queued == 6);
  g.forget_sends();
  g.replies(worker, 1, 3);
  CHECK(g.given_count(worker) == 3);
  CHECK(g.machine.stats().queued == 3);
}

TEST_CASE("a method that nobody has ever offered is NOT_FOUND, at once") {
  simple g;
  g.calls(client, "divide");
  const auto reply = g.answered(client);
  CHECK(reply.code == status::not_found);
  CHECK(reply.details[0].message.find("divide") != std::string::npos);
  CHECK(reply.details[0].never_started);
  CHECK(reply.details[0].trace == "gateway9");
}

TEST_CASE("a method whose workers have all gone is UNAVAILABLE, at once") {
  simple g;
  g.hears(worker, bye{});
  g.calls(client, "add");
  CHECK(g.answered(client).code == status::unavailable);
}

TEST_CASE("with --wait a call waits for the first worker of its method") {
  gateway_state::options o;
  o.wait = seconds(2);
  gateway g(o);
  g.client_joins(client);
  g.calls(client, "add");
  CHECK(silent(g.out));
  g.passes(seconds(1), {client});
  g.worker_joins(worker, {gateway::method("add")});
  CHECK(g.given_count(worker) == 1);
}

TEST_CASE("with --wait a call for which no worker comes fails after that time and not before") {
  gateway_state::options o;
  o.wait = seconds(2);
  gateway g(o);
  g.client_joins(client);
  g.calls(client, "add", 2);
  g.tick(seconds(2) - milliseconds(1));
  CHECK(count<reply_batch>(g.out) == 0);
  CHECK(g.machine.next_deadline() <= g.now + milliseconds(1));
  g.tick(milliseconds(1));
  const auto reply = g.answered(client);
  CHECK(reply.code == status::not_found);
  CHECK(reply.results.size() == 2);
}

TEST_CASE("a call whose last worker leaves waits for another from then on, and goes to it") {
  gateway_state::options o;
  o.wait = seconds(2);
  simple g(o, false, 1);
  g.calls(client, "add", 2);
  g.forget_sends();
  g.passes(seconds(1), {client, worker});
  g.hears(worker, bye{});
  g.tick();
  CHECK(g.answered(client).results.size() == 1);  // the one that it had
  g.out.notices.clear();
  g.passes(seconds(2) - milliseconds(1), {client});
  CHECK(count<reply_batch>(g.out) == 0);
  CHECK(g.machine.next_deadline() <= g.now + milliseconds(1));
  SUBCASE("if it comes in time") {
    g.worker_joins(other_worker, {gateway::method("add")});
    CHECK(g.given_count(other_worker) == 1);
  }
  SUBCASE("if none comes it fails") {
    g.tick(milliseconds(1));
    CHECK(g.answered(client).code == status::unavailable);
  }
}

TEST_CASE("methods that nobody has ever offered can be waited for, up to a number of them") {
  gateway_state::options o;
  o.wait = seconds(60);
  gateway g(o);
  g.client_joins(client);
  g.worker_joins(worker, {gateway::method("add")}, 1);
  const auto make_up = [&](std::size_t i) { return g.calls(client, std::to_string(i)); };
  for (std::size_t i = 0; i < gateway_state::most_stranded; ++i) make_up(i);
  CHECK(count<reply_batch>(g.out) == 0);
  make_up(gateway_state::most_stranded);
  const auto refused = g.answered(client);
  CHECK(refused.code == status::resource_exhausted);
  CHECK(refused.details[0].never_started);
  CHECK(refused.details[0].retry_ms > 0);
  SUBCASE("one that is waited for already can be called again") {
    make_up(7);
    CHECK(count<reply_batch>(g.out) == 0);
  }
  SUBCASE("one that is known can wait as before") {
    g.calls(client, "add", 2);
    g.forget_sends();
    g.hears(worker, bye{});
    g.tick();
    CHECK(g.answered(client).code == status::unavailable);  // it had been sent
    g.calls(client, "add");
    CHECK(count<reply_batch>(g.out) == 0);
  }
  SUBCASE("where one is cancelled there is room for another") {
    g.hears(client, cancel_calls{{{8, 8}}, "not needed"});
    g.tick();
    CHECK(g.answered(client).code == status::cancelled);
    make_up(gateway_state::most_stranded);
    CHECK(count<reply_batch>(g.out) == 0);
  }
  SUBCASE("where one gets its worker, too") {
    g.worker_joins(other_worker, {gateway::method("7")});
    CHECK(g.given_count(other_worker) == 1);
    make_up(gateway_state::most_stranded);
    CHECK(count<reply_batch>(g.out) == 0);
  }
}

TEST_CASE("a call whose time runs out in the queue fails then, and is never sent") {
  simple g({}, false, 1);
  g.calls(client, "add");
  g.forget_sends();
  g.calls(client, "add", 3, {}, 500);
  CHECK(g.machine.next_deadline() <= g.now + milliseconds(500));
  g.tick(milliseconds(500));
  const auto reply = g.answered(client);
  CHECK(reply.code == status::deadline_exceeded);
  CHECK(reply.results.size() == 3);
  CHECK(reply.details[0].never_started);
  g.replies(worker, 1);
  CHECK_FALSE(g.given_any(worker));
  CHECK(g.machine.stats().expired == 3);
}

TEST_CASE("the time that a call has waited is taken off what its worker is told") {
  simple g({}, false, 1);
  g.calls(client, "add");
  g.calls(client, "add", 1, {}, 2000);
  g.forget_sends();
  g.now += milliseconds(700);
  g.replies(worker, 1);
  CHECK(g.given(worker)[0].ttl_ms == 1300);
}

TEST_CASE("a full queue answers RESOURCE_EXHAUSTED at once, and says when to try again") {
  gateway_state::options o;
  o.queue_calls = 5;
  simple g(o, false, 1);
  g.calls(client, "add");
  g.forget_sends();
  g.calls(client, "add", 8);
  const auto reply = g.answered(client);
  CHECK(reply.code == status::resource_exhausted);
  CHECK(reply.results.size() == 3);
  CHECK(reply.first == 7);
  CHECK(reply.details[0].retry_ms > 0);
  CHECK(reply.details[0].never_started);
  CHECK(g.machine.stats().queued == 5);
  CHECK(g.machine.stats().rejected == 3);
}

TEST_CASE("urgent calls overtake others in the queue, and drive them out of a full one") {
  gateway_state::options o;
  o.queue_calls = 4;
  simple g(o, false, 1);
  g.calls(client, "add");
  g.calls(client, "add", 4);
  g.forget_sends();
  const auto urgent = g.calls(client, "add", 1, gateway::with([](auto& c) { c.priority = 9; }));
  const auto victim = g.answered(client);
  CHECK(victim.code == status::resource_exhausted);
  CHECK(victim.first == 5);
  g.replies(worker, 1);
  const auto next = g.given(worker);
  CHECK(next[0].options->priority == 9);
  (void)g.answered(client);
  g.replies(worker, next[0].first);
  CHECK(g.answered(client).first == urgent);
}

TEST_CASE("a call that could not be done in time is refused when it comes") {
  simple g({}, false, 10);
  // 100 calls a second, for a while, with more waiting than that.
  std::uint64_t done = 0;
  g.calls(client, "add", 1000, {}, 60'000);
  for (int i = 0; i < 30; ++i) {
    g.now += milliseconds(100);
    g.replies(worker, done + 1, 10);
    done += 10;
  }
  g.forget_sends();
  g.calls(client, "add", 1, {}, 1000);
  const auto reply = g.answered(client);
  CHECK(reply.code == status::resource_exhausted);
  CHECK(reply.details[0].retry_ms == doctest::Approx(7000).epsilon(0.1));
  // What has the time may wait.
  g.calls(client, "add", 1, {}, 60'000);
  CHECK(count<reply_batch>(g.out) == 0);
}

TEST_CASE("methods that share a worker take turns at it") {
  gateway g;
  g.client_joins(client);
  g.worker_joins(worker, {gateway::method("a"), gateway::method("b")}, 2);
  g.calls(client, "a", 2);
  g.calls(client, "a", 20);
  g.calls(client, "b", 20);
  std::map<std::string, int> served;
  g.forget_sends();
  std::uint64_t next = 1;
  for (int i = 0; i < 8; ++i) {
    g.replies(worker, next, 2);
    next += 2;
    for (const auto& o : g.out.sends)
      if (const auto* b = std::get_if<call_batch>(&o.what))
        for (const auto& run : b->runs)
          served[run.method] += static_cast<int>(run.arguments.size());
    g.forget_sends();
  }
  CHECK(served["a"] == 8);
  CHECK(served["b"] == 8);
}

}  // namespace rpc_gateway_test
