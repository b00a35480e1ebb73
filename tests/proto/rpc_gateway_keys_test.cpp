// The gateway: keys and caches, its own methods, calls of its own.
#include "proto/msgpack_reader.hpp"
#include "rpc_gateway_fixture.hpp"

namespace rpc_gateway_keys_test {

using namespace weir;
using namespace weir::proto;
using namespace weir::proto::dialogue;
using std::chrono::milliseconds;
using std::chrono::seconds;

namespace {
struct keyed : gateway {
  explicit keyed(gateway_state::options o = {}) : gateway(o) {
    client_joins(client);
    client_joins(other_client);
    worker_joins(worker, {method("pay")});
    REQUIRE(silent(out));
  }
  std::uint64_t pay(std::uint32_t from, const std::string& key,
                    const std::string& args = "10") {
    return call_with(from, "pay", args, with([&](auto& c) { c.idempotency_key = key; }));
  }
};
}  // namespace

TEST_CASE("a call that is repeated with its key while it runs gets the same reply") {
  keyed g;
  const auto first = g.pay(client, "k");
  const auto second = g.pay(other_client, "k");
  CHECK(g.given_count(worker) == 1);
  g.forget_sends();
  g.replies(worker, 1, 1, "receipt");
  const auto a = g.answered(client);
  CHECK(a.first == first);
  CHECK(a.results[0] == "receipt");
  const auto b = g.answered(other_client);
  CHECK(b.first == second);
  CHECK(b.results[0] == "receipt");
}

TEST_CASE("a call that is repeated with its key later gets the first one's reply") {
  keyed g;
  g.pay(client, "k");
  g.replies(worker, 1, 1, "receipt");
  g.forget_sends();
  g.pay(other_client, "k");
  CHECK_FALSE(g.given_any(worker));
  CHECK(g.answered(other_client).results[0] == "receipt");
}

TEST_CASE("a client that dies and comes back finds the reply of its call") {
  keyed g;
  g.pay(client, "k");
  g.forget_sends();
  g.dies(client, {other_client, worker});
  CHECK(count<cancel_calls>(g.out) == 0);
  g.replies(worker, 1, 1, "receipt");
  g.pay(other_client, "k");
  CHECK(g.answered(other_client).results[0] == "receipt");
  CHECK_FALSE(g.given_any(worker));
}

TEST_CASE("one of two calls with the same key can be cancelled without the other") {
  keyed g;
  const auto first = g.pay(client, "k");
  g.pay(other_client, "k");
  g.forget_sends();
  g.hears(client, cancel_calls{{{first, first}}, "enough"});
  g.tick();
  CHECK(g.answered(client).code == status::cancelled);
  CHECK(count<cancel_calls>(g.out) == 0);
  g.replies(worker, 1, 1, "receipt");
  CHECK(g.answered(other_client).results[0] == "receipt");
  CHECK(silent(g.out));
}

TEST_CASE("one that waits for the reply of another can be cancelled") {
  keyed g;
  g.pay(client, "k");
  const auto second = g.pay(other_client, "k");
  g.forget_sends();
  g.hears(other_client, cancel_calls{{{second, second}}, "enough"});
  g.tick();
  CHECK(g.answered(other_client).code == status::cancelled);
  g.replies(worker, 1, 1, "receipt");
  CHECK(g.answered(client).results[0] == "receipt");
  CHECK(silent(g.out));
}

TEST_CASE("when the first call is refused, the one that waited for it runs instead") {
  gateway_state::options o;
  o.max_attempts = 1;
  keyed g(o);
  g.pay(client, "k");
  g.pay(other_client, "k");
  g.forget_sends();
  g.fails(worker, 1, status::unavailable, true);
  CHECK(g.answered(client).code == status::unavailable);
  CHECK(g.given_count(worker) == 1);
  g.replies(worker, 2, 1, "receipt");
  CHECK(g.answered(other_client).results[0] == "receipt");
}

TEST_CASE("a handler's error is a reply like any other, and kept") {
  keyed g;
  g.pay(client, "k");
  g.fails(worker, 1, status::failed_precondition);
  g.forget_sends();
  g.pay(other_client, "k");
  CHECK_FALSE(g.given_any(worker));
  CHECK(g.answered(other_client).code == status::failed_precondition);
}

TEST_CASE("a key that is used for something else is refused") {
  keyed g;
  g.pay(client, "k", "10");
  g.forget_sends();
  g.pay(client, "k", "20");
  CHECK(g.answered(client).code == status::failed_precondition);
  CHECK_FALSE(g.given_any(worker));
}

TEST_CASE("a key that a worker knows to be of something else is not tried at another") {
  keyed g;
  g.worker_joins(other_worker, {gateway::method("pay")});
  g.pay(client, "k", "20");
  const bool first = g.given_any(worker);
  g.forget_sends();
  g.fails(first ? worker : other_worker, 1, status::failed_precondition, true);
  CHECK(g.answered(client).code == status::failed_precondition);
  CHECK_FALSE(g.given_any(worker));
  CHECK_FALSE(g.given_any(other_worker));
}

TEST_CASE("a call with a key goes to another worker when its own dies") {
  keyed g;
  g.pay(client, "k");
  g.worker_joins(other_worker, {gateway::method("pay")});
  g.forget_sends();
  g.dies(worker, {client, other_client, other_worker});
  CHECK(g.given_count(other_worker) == 1);
  g.pay(other_client, "k");
  CHECK(g.given_count(other_worker) == 1);
  g.forget_sends();
  g.replies(other_worker, 1, 1, "receipt");
  CHECK(g.answered(client).results[0] == "receipt");
  CHECK(g.answered(other_client).results[0] == "receipt");
}

TEST_CASE("a cacheable method is asked once for each argument, within its time") {
  gateway g;
  g.client_joins(client);
  method_info m = gateway::method("lookup");
  m.cache_ms = 1000;
  g.worker_joins(worker, {m});
  g.call_with(client, "lookup", "a");
  g.replies(worker, 1, 1, "A");
  g.forget_sends();
  g.call_with(client, "lookup", "a");
  CHECK(g.answered(client).results[0] == "A");
  CHECK_FALSE(g.given_any(worker));
  g.call_with(client, "lookup", "b");
  CHECK(g.given_count(worker) == 1);
  g.forget_sends();
  g.passes(seconds(1), {client, worker});
  g.call_with(client, "lookup", "a");
  CHECK(g.given_count(worker) == 1);
}

TEST_CASE("of a batch only what is not known goes to a worker") {
  gateway g;
  g.client_joins(client);
  method_info m = gateway::method("lookup");
  m.cache_ms = 1000;
  g.worker_joins(worker, {m});
  g.call_with(client, "lookup", "b");
  g.replies(worker, 1, 1, "B");
  g.forget_sends();
  g.hears(client, call_batch{0, {{2, "lookup", 5000, {blob::from("abcb"), 4, 1}, {}}}});
  g.tick();
  CHECK(g.given_count(worker) == 2);
  const auto known = find<reply_batch>(g.out, client);
  REQUIRE(known.runs.size() == 2);
  CHECK(known.runs[0].first == 3);
  CHECK(known.runs[1].first == 5);
  g.replies(worker, 2, 1, "A");
  CHECK(g.answered(client).first == 2);
  g.replies(worker, 3, 1, "C");
  CHECK(g.answered(client).first == 4);
}

TEST_CASE("a gateway answers weir.ping itself") {
  keyed g;
  g.call_with(client, "weir.ping", "\x90");
  const auto reply = g.answered(client);
  CHECK(reply.code == status::ok);
  msgpack_reader in(reply.results[0]);
  CHECK(in.map() == 5);
  CHECK(in.str(100) == "name");
  CHECK(in.str(100) == "gateway9");
}

TEST_CASE("weir.services lists what is offered, weir.route who can be reached directly") {
  gateway g;
  g.client_joins(client);
  g.worker_joins(worker, {gateway::method("add")}, 100, {"tcp://10.0.0.1:5560"});
  g.worker_joins(other_worker, {gateway::method("add"), gateway::method("sub")});
  g.call_with(client, "weir.services", "\x90");
  const auto services = g.answered(client);
  msgpack_reader list(services.results[0]);
  CHECK(list.array() == 2);
  g.call_with(client, "weir.route",
              "\x91\xA3"
              "add");
  const auto routes = g.answered(client);
  msgpack_reader in(routes.results[0]);
  REQUIRE(in.array() == 2);
  CHECK(in.map() == 6);
  CHECK(in.str(10) == "ep");
  CHECK(in.array() == 1);
  CHECK(in.str(100) == "tcp://10.0.0.1:5560");
  g.call_with(client, "weir.route", "\x90");
  CHECK(g.answered(client).code == status::invalid_argument);
}

TEST_CASE("weir.stats tells where the time of calls went") {
  keyed g;
  g.call_with(client, "pay", "x");
  g.forget_sends();
  g.now += milliseconds(10);
  reply_run run;
  run.first = 1;
  run.results = pack::of("r");
  run.queued_us = 1000;
  run.service_us = 5000;
  run.received_us = 123'456'789;
  g.hears(worker, reply_batch{{run}});
  g.call_with(client, "weir.stats", "\x90");
  const auto batch = find<reply_batch>(g.out, client);
  CHECK(batch.runs.back().results[0].find("predicted_queue_us") != std::string::npos);
  msgpack_reader in(batch.runs.back().results[0]);
  in.skip(1);
  CHECK(in.ok());
  CHECK(in.at_end());
}

TEST_CASE("weir.stats counts the calls that clients have made of workers directly") {
  keyed g;
  const auto direct = [&g](const std::string& method) {
    g.call_with(client, "weir.stats", "\x90");
    const std::string stats(g.answered(client).results[0]);
    const auto at = stats.find("\xA4name" + std::string(1, '\xA3') + method);
    if (at == std::string::npos) return -1;
    return static_cast<int>(stats[stats.find("direct", at) + 6]);
  };
  g.worker_joins(other_worker, {gateway::method("pay")});
  CHECK(direct("pay") == -1);
  g.hears(worker, direct_calls{{{"pay", 5}, {"steal", 100}}});
  g.hears(other_worker, direct_calls{{{"pay", 2}}});
  CHECK(direct("pay") == 7);
  g.hears(worker, direct_calls{{{"pay", 5}}});  // said again
  g.hears(worker, direct_calls{{{"pay", 4}}});  // late
  CHECK(direct("pay") == 7);
  g.dies(worker, {client, other_worker});
  CHECK(direct("pay") == 7);
  g.hears(client, direct_calls{{{"pay", 9}}});  // no worker
  CHECK(direct("pay") == 7);
}

TEST_CASE("weir.drain is passed on to the workers that it names") {
  keyed g;
  g.worker_joins(other_worker, {gateway::method("pay")});
  g.call_with(client, "weir.drain",
              "\x91\xA8"
              "worker12");
  CHECK(g.answered(client).results[0] ==
        "\x91\xA8"
        "worker12");
  g.tick();
  const auto told = g.given(other_worker);
  CHECK(told[0].method == "weir.drain");
  CHECK_FALSE(g.given_any(worker));
  g.replies(other_worker, told[0].first);
  CHECK(silent(g.out));
}

TEST_CASE("what only a spool can do is refused without one, and handed out with one") {
  keyed without;
  without.call_with(client, "weir.submit", "\x90");
  CHECK(without.answered(client).code == status::unimplemented);

  gateway_state::options o;
  o.spool = true;
  keyed g(o);
  const auto call = g.call_with(client, "weir.submit", "\x90");
  REQUIRE(g.out.admin.size() == 1);
  CHECK(g.out.admin[0].key == call_key{session_id{client}, call});
  g.machine.on_answered(g.out.admin[0].key, status::ok, pack::of("id"), {});
  g.tick();
  CHECK(g.answered(client).results[0] == "id");
  g.machine.on_answered(g.out.admin[0].key, status::ok, pack::of("again"), {});
  g.tick();
  g.out.admin.clear();
  CHECK(silent(g.out));
}

TEST_CASE("a client that no longer waits for the spool is not waited for") {
  gateway_state::options o;
  o.spool = true;
  keyed g(o);
  const auto call = g.call_with(client, "weir.wait", "\x90");
  g.out.admin.clear();
  g.hears(client, cancel_calls{{{call, call}}, ""});
  g.tick();
  REQUIRE(g.out.abandoned.size() == 1);
  CHECK(g.out.abandoned[0].call == call);
  CHECK(g.answered(client).code == status::cancelled);
}

TEST_CASE("a gateway that drains does not wait for calls in its spool, which may take hours") {
  gateway_state::options o;
  o.spool = true;
  keyed g(o);
  g.call_with(client, "weir.wait", "\x90");
  g.call_with(other_client, "pay", "x");
  g.forget_sends();
  g.machine.drain(g.now, g.out);
  g.tick();
  CHECK(count<reply_batch>(g.out) == 0);
  g.replies(worker, 1);
  CHECK(g.answered(other_client).code == status::ok);
  g.tick();
  CHECK(g.answered(client).code == status::unavailable);
  CHECK(g.out.abandoned.size() == 1);
  CHECK(g.machine.done());
}

TEST_CASE("an unknown method of weir's own is UNIMPLEMENTED") {
  keyed g;
  g.call_with(client, "weir.nonsense", "\x90");
  CHECK(g.answered(client).code == status::unimplemented);
}

TEST_CASE("a call of the gateway's own runs like any other") {
  keyed g;
  CHECK(g.machine.openings_of("pay").calls == 100);
  g.machine.place(77, "pay", pack::of("x"), g.now + seconds(5), {}, g.now);
  g.tick();
  CHECK(g.given_count(worker) == 1);
  CHECK(g.machine.openings_of("pay").calls == 99);
  g.replies(worker, 1, 1, "receipt");
  REQUIRE(g.out.placed.size() == 1);
  CHECK(g.out.placed[0].tag == 77);
  CHECK(g.out.placed[0].reply.results[0] == "receipt");
}

TEST_CASE("a call of the gateway's own ends at its deadline, and once") {
  keyed g;
  g.machine.place(77, "pay", pack::of("x"), g.now + seconds(1), {}, g.now);
  g.tick();
  g.forget_sends();
  CHECK(g.machine.next_deadline() <= g.now + seconds(1));
  g.tick(seconds(1));
  REQUIRE(g.out.placed.size() == 1);
  CHECK(g.out.placed[0].reply.code == status::deadline_exceeded);
  CHECK(count<cancel_calls>(g.out) == 1);
  g.out.placed.clear();
  g.replies(worker, 1);
  CHECK(g.out.placed.empty());
}

TEST_CASE("a further attempt at what has failed runs, though the first reply is remembered") {
  keyed g;
  const auto again = [](std::uint32_t attempt) {
    return gateway::with([attempt](call_options& o) {
      o.idempotency_key = "k";
      o.attempt = attempt;
    });
  };
  g.call_with(client, "pay", "10", again(1));
  g.fails(worker, 1, status::internal);
  g.forget_sends();
  g.call_with(client, "pay", "10", again(1));
  CHECK_FALSE(g.given_any(worker));
  CHECK(g.answered(client).code == status::internal);
  g.call_with(client, "pay", "10", again(2));
  CHECK(g.given_count(worker) == 1);
  g.pay(other_client, "k");  // it shares what comes of it
  g.forget_sends();
  g.replies(worker, 2, 1, "receipt");
  CHECK(g.answered(client).results[0] == "receipt");
  CHECK(g.answered(other_client).results[0] == "receipt");
  g.call_with(client, "pay", "10", again(3));
  CHECK_FALSE(g.given_any(worker));
  CHECK(g.answered(client).results[0] == "receipt");
}

TEST_CASE("a call of the gateway's own that has failed runs again, whatever its key") {
  keyed g;
  const auto place = [&](std::uint64_t tag, std::uint32_t attempt) {
    const auto how = gateway::with([attempt](call_options& o) {
      o.idempotency_key = "k";
      o.attempt = attempt;
    });
    g.machine.place(tag, "pay", pack::of("x"), g.now + seconds(5), how, g.now);
    g.tick();
  };
  const auto outcome = [&] {
    REQUIRE(g.out.placed.size() == 1);
    return std::exchange(g.out.placed, {})[0].reply;
  };
  place(77, 1);
  g.fails(worker, 1, status::internal);
  CHECK(outcome().code == status::internal);
  g.forget_sends();
  place(77, 2);
  CHECK(g.given_count(worker) == 1);
  g.replies(worker, 2, 1, "receipt");
  CHECK(outcome().results[0] == "receipt");
  // What has succeeded does not.
  g.forget_sends();
  place(77, 3);
  CHECK_FALSE(g.given_any(worker));
  CHECK(outcome().results[0] == "receipt");
}

TEST_CASE("a call of the gateway's own can be taken back") {
  keyed g;
  g.machine.place(77, "pay", pack::of("x"), g.now + seconds(5), {}, g.now);
  g.machine.unplace(77, g.now);
  g.tick();
  REQUIRE(g.out.placed.size() == 1);
  CHECK(g.out.placed[0].reply.code == status::cancelled);
  CHECK_FALSE(g.given_any(worker));
}

}  // namespace rpc_gateway_keys_test
