// A client that is introduced to workers, and calls them directly.
#include "rpc_client_fixture.hpp"

namespace rpc_client_introduction_test {

using namespace weir;
using namespace weir::proto;
using namespace weir::proto::dialogue;
using std::chrono::seconds;

TEST_CASE("a client that was introduced calls the worker directly") {
  calling_client c;
  c.gateway_joins(1);
  c.calls(1);
  c.tick();
  c.replies(1, c.call_to(1));
  (void)c.ended();
  c.answers_route(1, {{{"tcp://a:1"}, "worker5", 0, session_id{5}}});
  CHECK(c.out.opens == std::vector<std::string>{"tcp://a:1"});
  c.out.opens.clear();
  c.machine.worker_opened("tcp://a:1", peer_id{5}, c.now, c.out);

  SUBCASE("as soon as it is there") {
    c.calls(2);
    c.tick();
    CHECK(c.calls_sent(1) == 1);
    c.worker_joins(5, {"work"});
    c.calls(3);
    c.tick();
    const auto direct = c.call_to(5);
    c.replies(5, direct);
    const auto o = c.outcome();
    CHECK(o.direct);
    CHECK(o.from == session_id{5});

    SUBCASE("until it is lost: then through the gateway again") {
      c.calls(4, 1, {.idempotent = true});
      c.tick();
      (void)c.call_to(5);
      c.loses(5);
      const auto again = c.call_to(1);
      CHECK(again.options->attempt == 2);
      c.replies(1, again);
      CHECK(c.ended() == seq_ranges{{4, 4}});
    }
    SUBCASE("or it is full") {
      c.hears(5, window{1, 1 << 20, false, {}});
      c.calls(4, 2);
      c.tick();
      CHECK(c.calls_sent(5) == 1);
      CHECK(c.calls_sent(1) == 1);
    }
    SUBCASE("or it drains") {
      c.hears(5, window{0, 0, false, {}});
      c.calls(4);
      c.tick();
      CHECK(c.calls_sent(1) == 1);
    }
    SUBCASE("or refuses to begin") {
      c.calls(4);
      c.tick();
      c.fails(5, c.call_to(5), status::unavailable, true);
      c.tick();
      CHECK(c.calls_sent(1) == 1);
    }
  }
  SUBCASE("but not if somebody else is there") {
    c.welcomes(5, role::worker, 77);
    CHECK(c.out.forgets == std::vector<peer_id>{peer_id{5}});
    c.calls(2);
    c.tick();
    CHECK(c.calls_sent(1) == 1);
  }
  SUBCASE("but not if its gateway is there, which stays what it was") {
    c.welcomes(5, role::gateway, 1);
    CHECK(c.out.forgets == std::vector<peer_id>{peer_id{5}});
    c.calls(2);
    c.tick();
    c.replies(1, c.call_to(1));
    CHECK(c.ended() == seq_ranges{{2, 2}});
  }
  SUBCASE("but not if nobody answers there") {
    c.passes(seconds(3), {1});
    CHECK(c.out.forgets == std::vector<peer_id>{peer_id{5}});
  }
  SUBCASE("until its gateway is there in its place, which stays what it was") {
    c.worker_joins(5, {"work"});
    c.calls(2, 1, {.idempotent = true});
    c.tick();
    (void)c.call_to(5);
    c.welcomes(5, role::gateway, 1);
    CHECK(c.out.forgets == std::vector<peer_id>{peer_id{5}});
    c.tick();
    c.replies(1, c.call_to(1));
    CHECK(c.ended() == seq_ranges{{2, 2}});
  }
}

TEST_CASE("what a gateway keeps replies of does not go past it") {
  calling_client c;
  c.gateway_joins(1);
  offer o;
  o.methods.emplace_back().name = "work";
  o.methods.emplace_back().name = "look up";
  o.methods.back().cache_ms = 1000;
  c.worker_joins(5, {});
  c.hears(5, o);

  SUBCASE("calls with an idempotency key") {
    c.calls(1, 1, {.options = keyed("k")});
    c.tick();
    CHECK(c.calls_sent_to_only(1, 5) == 1);
  }
  SUBCASE("calls of a cacheable method") {
    c.calls(1, 1, {.method = "look up"});
    c.tick();
    CHECK(c.calls_sent_to_only(1, 5) == 1);
  }
  SUBCASE("but streams do, which are not kept") {
    call_options stream = keyed("k");
    stream.stream_window = 10;
    c.calls(1, 1, {.options = stream});
    c.tick();
    CHECK(c.calls_sent_to_only(1, 5) == 5);
  }
  SUBCASE("and others") {
    c.calls(1);
    c.tick();
    CHECK(c.calls_sent_to_only(1, 5) == 5);
  }
  SUBCASE("and all, when it drains") {
    c.hears(1, window{0, 0, false, {}});
    c.calls(1, 1, {.options = keyed("k")});
    c.calls(2, 1, {.method = "look up"});
    c.tick();
    CHECK(c.calls_sent(5) == 2);
  }
}

TEST_CASE("without a gateway the same worker gets all calls with a key, whoever makes them") {
  calling_client a;
  calling_client b;
  for (const std::uint32_t peer : {5U, 6U}) {
    a.worker_joins(peer, {"work"});
    b.worker_joins(11 - peer, {"work"});
  }
  std::set<std::uint32_t> used;
  for (std::uint64_t i = 1; i <= 20; ++i) {
    const how each{.options = keyed(std::to_string(i))};
    a.calls(i, 1, each);
    b.calls(i, 1, each);
    a.tick();
    b.tick();
    const auto at = a.calls_sent_to_only(5, 6);
    CHECK(b.calls_sent_to_only(5, 6) == at);
    used.insert(at);
  }
  CHECK(used.size() == 2);
  a.calls(21, 1, {.method = "weir.ping", .options = keyed("k")});  // anybody's
  a.tick();
  (void)a.calls_sent_to_only(5, 6);
}

TEST_CASE("a call with a key waits for workers that may still join") {
  calling_client c;
  c.worker_joins(5, {"work"});
  c.machine.link_opened(peer_id{6}, c.now, c.out);
  c.calls(1, 20, {.options = keyed("k")});
  c.tick();
  CHECK(c.calls_sent(5) == 0);
  SUBCASE("and say what they offer") {
    c.welcomes(6, role::worker, 6);
    c.tick();
    CHECK(c.calls_sent(5) == 0);
    c.hears(6, offer{});
  }
  SUBCASE("for a heartbeat") { c.passes(seconds(1), {5}); }
  c.tick();
  CHECK(c.calls_sent(5) == 20);
}

TEST_CASE("a gateway tells whether a method may be repeated") {
  calling_client c;
  c.gateway_joins(1);
  c.calls(1);
  c.tick();
  const auto sent = c.call_to(1);
  c.answers_route(1, {{{}, "worker5", 0, session_id{5}}}, true);
  CHECK(c.out.opens.empty());
  c.gateway_joins(2);
  c.loses(1);
  CHECK(c.out.outcomes.empty());
  CHECK(c.call_to(2).options->attempt == 2);
  CHECK(sent.options == nullptr);
}

TEST_CASE(
    "calls without a deadline of their own wait until it is known what the method declares") {
  calling_client c;
  c.gateway_joins(1);
  c.calls(1, 2, {.unstated = true});
  c.calls(4, 1, {.method = "weir.ping", .unstated = true});  // has none for sure
  c.tick();
  CHECK(c.call_to(1).method == "weir.ping");
  REQUIRE(c.questions(1) == 1);
  const std::vector<route_entry> one{{{}, "worker5", 0, session_id{5}}};
  SUBCASE("no worker offers it now") {
    c.answers_route(1, {});
    c.tick();
    CHECK(c.call_to(1).ttl_ms == 5000);
  }
  SUBCASE("it has none") {
    c.answers_route(1, one, false, 0);
    c.tick(seconds(1));
    CHECK(c.call_to(1).ttl_ms == 4000);
  }
  SUBCASE("it is longer") {
    c.answers_route(1, one, false, 60'000);
    c.tick(seconds(1));
    const auto sent = c.call_to(1);
    CHECK(sent.arguments.size() == 2);
    CHECK(sent.ttl_ms == 59'000);
    c.passes(seconds(9), {1});
    CHECK(c.ended() == seq_ranges{{4, 4}});
    // It is known now.
    c.calls(10, 1, {.unstated = true});
    c.tick();
    CHECK(c.call_to(1).ttl_ms == 60'000);
    c.passes(seconds(50), {1});
    CHECK(c.ended() == seq_ranges{{1, 2}});
  }
  SUBCASE("it is shorter, and over by now") {
    c.now += seconds(2);
    c.answers_route(1, one, false, 2000);
    c.tick();
    c.tick();
    CHECK(c.calls_sent(1) == 0);
    const auto late = c.outcome();
    CHECK(late.first == 1);
    CHECK(late.reply.code == status::deadline_exceeded);
    CHECK(late.reply.details.at(0).never_started);
  }
  SUBCASE("nobody tells") {
    c.passes(seconds(5), {1});
    CHECK(c.calls_sent(1) == 0);
    CHECK(c.ended() == seq_ranges{{1, 2}, {4, 4}});
  }
  SUBCASE("the gateway is lost with the question") {
    c.gateway_joins(2);
    c.loses(1);
    REQUIRE(c.questions(2) == 1);
    c.answers_route(2, one, false, 60'000);
    c.tick();
    CHECK(find<call_batch>(c.out, 2).runs.back().ttl_ms == 59'000);
  }
  SUBCASE("they are cancelled meanwhile") {
    c.machine.cancel({1, 1}, c.now, c.out);
    CHECK(c.ended() == seq_ranges{{1, 1}});
    c.answers_route(1, one, false, 60'000);
    c.tick();
    CHECK(c.call_to(1).arguments.size() == 1);
  }
}

TEST_CASE("without a gateway, what workers offer says which deadline a method declares") {
  calling_client c;
  c.calls(1, 1, {.unstated = true});
  c.tick();
  c.worker_joins(1, {"work"});
  c.tick();
  CHECK(c.call_to(1).ttl_ms == 5000);
}

TEST_CASE("a gateway that knew no worker of a method is asked again") {
  calling_client c;
  c.gateway_joins(1);
  c.calls(1);
  c.tick();
  c.call_to(1);
  c.answers_route(1, {});
  c.passes(seconds(1), {1});
  c.calls(2);
  c.tick();
  c.call_to(1);
  c.answers_route(1, {{{}, "worker5", 0, session_id{5}}}, true);
  c.gateway_joins(2);
  c.loses(1);
  CHECK(c.out.outcomes.empty());
}

TEST_CASE("a hash key is left to the gateway unless all workers can be called directly") {
  call_options o;
  o.hash_key = "alice";
  calling_client c;
  c.gateway_joins(1);
  c.calls(1, 1, {.options = o});
  c.tick();
  CHECK(c.calls_sent(1) == 1);
  std::vector<route_entry> workers{{{"tcp://a:1"}, "worker5", 0, session_id{5}}};
  SUBCASE("which one cannot") {
    workers.push_back({{}, "worker6", 0, session_id{6}});
    c.answers_route(1, workers);
    c.machine.worker_opened("tcp://a:1", peer_id{5}, c.now, c.out);
    c.worker_joins(5, {"work"});
    c.calls(2, 1, {.options = o});
    c.tick();
    CHECK(c.calls_sent(1) == 1);
  }
  SUBCASE("which all can") {
    c.answers_route(1, workers);
    c.machine.worker_opened("tcp://a:1", peer_id{5}, c.now, c.out);
    c.worker_joins(5, {"work"});
    c.calls(2, 1, {.options = o});
    c.tick();
    CHECK(c.calls_sent(5) == 1);
  }
}

TEST_CASE("a gateway is asked once about a method, and again when it was used for a while") {
  calling_client c;
  c.gateway_joins(1);
  c.calls(1);
  c.tick();
  c.calls(2);
  c.tick();
  CHECK(c.questions(1) == 1);
  c.answers_route(1, {{{}, "worker5", 0, session_id{5}}});
  c.passes(seconds(9), {1});
  c.calls(3);
  c.tick();
  CHECK(c.questions(1) == 0);
  c.passes(seconds(2), {1});
  c.calls(4);
  c.tick();
  CHECK(c.questions(1) == 1);
}

TEST_CASE("another endpoint of a worker is tried if the first does not answer") {
  calling_client c;
  c.gateway_joins(1);
  c.calls(1);
  c.tick();
  c.answers_route(1, {{{"tcp://a:1", "tcp://b:1"}, "worker5", 0, session_id{5}}});
  c.out.opens.clear();
  c.machine.worker_opened("tcp://a:1", peer_id{5}, c.now, c.out);
  c.passes(seconds(3), {1});
  CHECK(c.out.opens == std::vector<std::string>{"tcp://b:1"});
}

TEST_CASE("built-in methods are answered by whoever is there") {
  calling_client c;
  c.worker_joins(1, {"work"});
  c.calls(1, 1, {.method = "weir.stats"});
  c.tick();
  CHECK(c.call_to(1).method == "weir.stats");
  c.gateway_joins(2);
  c.calls(2, 1, {.method = "weir.stats"});
  c.tick();
  CHECK(c.call_to(2).method == "weir.stats");
}

TEST_CASE("a million calls that are over leave nothing behind") {
  calling_client c;
  c.gateway_joins(1, 1 << 20);
  for (std::uint64_t i = 0; i < 1000; ++i) {
    c.calls(1 + i * 1000, 1000);
    c.tick();
    c.replies(1, c.call_to(1), 1000);
    CHECK(c.ended().size() == 1);
    c.out.sends.clear();
  }
  c.tick();
  CHECK(c.machine.open() == 0);
  CHECK(c.machine.next_deadline() <= c.now + seconds(1));  // ALIVE, and no call's
  c.passes(seconds(10), {1});
  CHECK(c.ended().empty());
}

}  // namespace rpc_client_introduction_test
