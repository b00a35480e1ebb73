// The gateway: what becomes of calls when somebody goes, fails or cancels them.
#include "rpc_gateway_fixture.hpp"

namespace rpc_gateway_departures_test {

using namespace weir;
using namespace weir::proto;
using namespace weir::proto::dialogue;
using std::chrono::milliseconds;
using std::chrono::seconds;

TEST_CASE("a worker's death fails exactly its calls") {
  simple g;
  g.worker_joins(other_worker, {gateway::method("add")}, 100);
  g.calls(client, "add", 10);
  CHECK(g.given_count(worker) == 5);
  CHECK(g.given_count(other_worker) == 5);
  g.forget_sends();
  g.dies(worker, {client, other_worker});
  const auto reply = g.answered(client);
  CHECK(reply.code == status::unavailable);
  CHECK(reply.results.size() == 5);
  CHECK_FALSE(reply.details[0].never_started);
  CHECK(reply.details[0].message.find("worker11") != std::string::npos);
  g.replies(other_worker, 1, 5);
  CHECK(g.answered(client).results.size() == 5);
  CHECK(silent(g.out));
}

TEST_CASE("calls of an idempotent method go to another worker when theirs dies") {
  simple g({}, true);
  g.calls(client, "add", 3);
  g.forget_sends();
  g.worker_joins(other_worker, {gateway::method("add", true)});
  g.dies(worker, {client, other_worker});
  const auto again = g.given(other_worker);
  REQUIRE(again.size() == 1);
  CHECK(again[0].arguments.size() == 3);
  CHECK(again[0].options->attempt == 2);
  g.replies(other_worker, again[0].first, 3);
  CHECK(g.answered(client).results.size() == 3);
  CHECK(g.machine.stats().retried == 3);
}

TEST_CASE("a call that kills its workers is given up after the last attempt") {
  gateway_state::options o;
  o.max_attempts = 2;
  o.wait = seconds(10);
  simple g(o, true);
  g.calls(client, "add", 1, {}, 60'000);
  g.forget_sends();
  g.worker_joins(other_worker, {gateway::method("add", true)});
  g.dies(worker, {client, other_worker});
  CHECK(g.given(other_worker)[0].options->attempt == 2);
  g.dies(other_worker, {client});
  CHECK(g.answered(client).code == status::unavailable);
}

TEST_CASE("a call that no worker has started is tried again, a few times") {
  simple g;
  g.calls(client, "add");
  g.fails(worker, 1, status::unavailable, true);
  // The only worker refuses: it is asked again, twice at most.
  g.fails(worker, 2, status::unavailable, true);
  g.fails(worker, 3, status::unavailable, true);
  const auto reply = g.answered(client);
  CHECK(reply.code == status::unavailable);
  CHECK(reply.details[0].trace == "gateway9 worker");
}

TEST_CASE("a worker that refuses calls is asked last for a while") {
  simple g;
  g.worker_joins(other_worker, {gateway::method("add")});
  g.calls(client, "add");
  const bool first = g.given_any(worker);
  g.forget_sends();
  g.fails(first ? worker : other_worker, 1, status::unavailable, true);
  CHECK(g.given_count(first ? other_worker : worker) == 1);
  g.calls(client, "add", 10);
  CHECK(g.given_count(first ? other_worker : worker) == 11);
}

TEST_CASE("a failed call is passed on as it is, with the way that it came") {
  simple g;
  g.calls(client, "add");
  g.forget_sends();
  g.fails(worker, 1, status::invalid_argument);
  const auto reply = g.answered(client);
  CHECK(reply.code == status::invalid_argument);
  CHECK(reply.details[0].message == "no");
  CHECK(reply.details[0].trace == "gateway9 worker");
}

TEST_CASE("a call that crosses the BYE of its worker goes to another") {
  simple g;
  g.calls(client, "add", 2);
  const auto given = g.given(worker);
  REQUIRE(given.size() == 1);
  g.worker_joins(other_worker, {gateway::method("add")});
  g.hears(worker, bye{bye_reason::leaving, given[0].first});
  g.tick();
  CHECK(g.given_count(other_worker) == 1);
  const auto failed = g.answered(client);  // the other had come, and may have run
  CHECK(failed.code == status::unavailable);
  CHECK(failed.results.size() == 1);
}

TEST_CASE("a gateway that leaves tells its clients which calls have come") {
  simple g;
  const auto first = g.calls(client, "add", 3);
  g.machine.say_bye(g.now, g.out);
  CHECK(find<bye>(g.out, client).seen == first + 2);
  CHECK_FALSE(find<bye>(g.out, worker).seen);
}

TEST_CASE("a worker that drains gets no more calls") {
  simple g;
  g.worker_joins(other_worker, {gateway::method("add")});
  g.hears(worker, window{0, 0, false, {}});
  g.calls(client, "add", 10);
  CHECK(g.given_count(worker) == 0);
  CHECK(g.given_count(other_worker) == 10);
}

TEST_CASE("calls with the same hash key go to the same worker") {
  gateway g;
  g.client_joins(client);
  for (std::uint32_t w = 11; w < 15; ++w) g.worker_joins(w, {gateway::method("add")});
  std::uint32_t first = 0;
  for (int i = 0; i < 5; ++i) {
    g.calls(client, "add", 1, gateway::with([](auto& c) { c.hash_key = "user7"; }));
    for (std::uint32_t w = 11; w < 15; ++w) {
      if (!g.given_any(w)) continue;
      if (first == 0) first = w;
      CHECK(w == first);
      g.replies(w, static_cast<std::uint64_t>(i) + 1);
    }
    g.forget_sends();
  }
}

TEST_CASE("a cancelled call leaves the queue, or is stopped where it runs") {
  simple g({}, false, 1);
  g.calls(client, "add", 3);
  g.forget_sends();
  g.hears(client, cancel_calls{{{1, 2}}, "enough"});
  g.tick();
  const auto queued = g.answered(client);
  CHECK(queued.code == status::cancelled);
  CHECK(queued.first == 2);
  const auto stop = take<cancel_calls>(g.out, worker);
  CHECK(stop.calls == seq_ranges{{1, 1}});
  CHECK(stop.reason == "enough");
  g.fails(worker, 1, status::cancelled);
  CHECK(g.answered(client).first == 1);
  CHECK(g.given(worker)[0].arguments.size() == 1);
}

TEST_CASE("a cancelled call is not tried again when its worker dies") {
  simple g({}, true);
  g.worker_joins(other_worker, {gateway::method("add", true)}, 1);
  g.calls(client, "add");
  g.forget_sends();
  g.hears(client, cancel_calls{{{1, 1}}, ""});
  g.dies(worker, {client, other_worker});
  g.dies(other_worker, {client});
  CHECK(g.answered(client).code == status::unavailable);
  CHECK_FALSE(g.given_any(other_worker));
  CHECK_FALSE(g.given_any(worker));
}

TEST_CASE("the calls of a client that dies are stopped, and nobody else's") {
  simple g;
  g.client_joins(other_client);
  g.calls(client, "add", 2);
  g.calls(other_client, "add", 2);
  g.forget_sends();
  g.dies(client, {other_client, worker});
  CHECK(find<cancel_calls>(g.out, worker).calls == seq_ranges{{1, 2}});
  g.fails(worker, 1, status::cancelled, false, 2);
  CHECK(silent(g.out));
  g.replies(worker, 3, 2);
  CHECK(g.answered(other_client).results.size() == 2);
  CHECK(g.machine.stats().running == 0);
}

TEST_CASE("a notification is passed on though its client has left") {
  simple g({}, false, 1);
  g.calls(client, "add");
  g.calls(client, "add", 1, gateway::with([](auto& c) { c.no_reply = true; }));
  g.hears(client, bye{});
  g.forget_sends();
  g.fails(worker, 1, status::cancelled);
  CHECK(!g.given(worker)[0].options);
  CHECK(g.machine.stats().running == 0);
}

TEST_CASE("elements of a stream are passed on, and its credit back") {
  simple g;
  const auto call =
      g.calls(client, "add", 1, gateway::with([](auto& c) { c.stream_window = 2; }));
  CHECK(g.given(worker)[0].options->stream_window == 2);
  g.hears(worker, part_batch{{{1, 1, tasks(2)}}});
  g.tick();
  const auto parts = find<part_batch>(g.out, client);
  REQUIRE(parts.runs.size() == 1);
  CHECK(parts.runs[0].call == call);
  CHECK(parts.runs[0].elements.size() == 2);
  g.forget_sends();
  g.hears(client, credit{{{call, 2, 4}}});
  g.tick();
  const auto passed = find<credit>(g.out, worker);
  REQUIRE(passed.entries.size() == 1);
  CHECK(passed.entries[0].until == 4);
}

TEST_CASE("a stream of which the client has elements is not begun anew elsewhere") {
  simple g({}, true);
  g.calls(client, "add", 1, gateway::with([](auto& c) { c.stream_window = 2; }));
  g.worker_joins(other_worker, {gateway::method("add", true)});
  g.hears(worker, part_batch{{{1, 1, tasks(1)}}});
  g.tick();
  g.forget_sends();
  g.dies(worker, {client, other_worker});
  CHECK_FALSE(g.given_any(other_worker));
  CHECK(g.answered(client).code == status::unavailable);
}

TEST_CASE("progress reaches the client under its own number") {
  simple g;
  g.calls(client, "none");
  const auto call = g.calls(client, "add");
  g.forget_sends();
  g.hears(worker, call_progress{1, 3, 10, "reading"});
  g.tick();
  const auto report = find<call_progress>(g.out, client);
  CHECK(report.call == call);
  CHECK(report.done == 3);
}

TEST_CASE("a gateway that drains takes no more calls, and is done when it has answered all") {
  simple g;
  g.calls(client, "add");
  g.forget_sends();
  g.machine.drain(g.now, g.out);
  CHECK(find<window>(g.out, client).items == 0);
  g.calls(client, "add");
  const auto refused = g.answered(client);
  CHECK(refused.code == status::unavailable);
  CHECK(refused.details[0].never_started);
  CHECK_FALSE(g.machine.done());
  g.replies(worker, 1);
  CHECK(g.answered(client).code == status::ok);
  CHECK(g.machine.done());
}

TEST_CASE("made-up method names do not fill the gateway's memory") {
  gateway_state::options o;
  simple g(o);
  for (int i = 0; i < 40'000; ++i) {
    g.hears(
        client,
        call_batch{
            0, {{++g.next_call[client], "m" + std::to_string(i), 5000, pack::of("x"), {}}}});
    if (i % 100 == 0) {
      g.tick();
      g.forget_sends();
    }
  }
  g.tick();
  g.forget_sends();
  g.calls(client, "add");
  CHECK(g.given_count(worker) == 1);
}

}  // namespace rpc_gateway_departures_test
