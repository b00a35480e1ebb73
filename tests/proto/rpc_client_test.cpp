// A client's calls: who gets them, what becomes of them when something dies, and introduction.
#include "rpc_client_fixture.hpp"

namespace rpc_client_test {

using namespace weir;
using namespace weir::proto;
using namespace weir::proto::dialogue;
using std::chrono::milliseconds;
using std::chrono::seconds;

TEST_CASE("a call through a gateway is answered once") {
  calling_client c;
  c.gateway_joins(1);
  c.calls(1, 3);
  c.tick();
  const auto sent = c.call_to(1);
  CHECK(sent.first == 1);
  CHECK(sent.method == "work");
  CHECK(sent.ttl_ms == 5000);
  CHECK(sent.arguments.size() == 3);
  CHECK(silent(c.out));
  c.replies(1, sent, 3);
  CHECK(c.ended() == seq_ranges{{1, 3}});
  c.replies(1, sent, 3);
  CHECK(c.ended().empty());
  CHECK(c.machine.open() == 0);
}

TEST_CASE("calls that are made before anybody is there wait for them") {
  calling_client c;
  c.machine.link_opened(peer_id{1}, c.now, c.out);
  c.calls(1);
  c.tick();
  c.out.sends.clear();
  CHECK(c.ended().empty());
  c.gateway_joins(1);
  c.tick();
  CHECK(c.call_to(1).first == 1);
}

TEST_CASE("every call ends at its deadline, whether it was sent or not") {
  calling_client c;
  c.calls(1, 2, {.within = milliseconds(300)});
  c.tick(milliseconds(299));
  CHECK(c.ended().empty());
  c.tick(milliseconds(1));
  const auto unsent = c.outcome();
  CHECK(unsent.reply.code == status::deadline_exceeded);
  CHECK(unsent.reply.results.size() == 2);
  CHECK(unsent.reply.details.at(1).never_started);

  c.gateway_joins(1);
  c.calls(10, 1, {.within = milliseconds(300)});
  c.tick();
  const auto sent = c.call_to(1);
  CHECK(sent.ttl_ms == 300);
  c.tick(milliseconds(300));
  const auto late = c.outcome();
  CHECK(late.reply.code == status::deadline_exceeded);
  CHECK(!late.reply.details.at(0).never_started);
  CHECK(late.reply.details.at(0).message == "no answer from gateway1 within the deadline");
  CHECK(late.reply.details.at(0).trace == "client99 gateway1");
  // The gateway need not go on, and its answer comes too late.
  CHECK(find<cancel_calls>(c.out, 1).calls == seq_ranges{{sent.first, sent.first}});
  c.replies(1, sent);
  CHECK(c.ended().empty());
}

TEST_CASE("the next deadline is that of a call that is still open") {
  calling_client c;
  c.gateway_joins(1);
  c.calls(1, 1, {.within = milliseconds(100)});
  c.tick();
  CHECK(c.machine.next_deadline() == c.now + milliseconds(100));
  c.replies(1, c.call_to(1));
  c.tick();
  CHECK(c.machine.next_deadline() > c.now + milliseconds(100));
}

TEST_CASE("what cannot be sent is refused at once, with the reason") {
  calling_client c;
  c.gateway_joins(1);
  SUBCASE("a method's name of 256 bytes, and of 257") {
    c.calls(1, 1, {.method = std::string(256, 'm')});
    CHECK(c.ended().empty());
    c.calls(2, 1, {.method = std::string(257, 'm')});
  }
  SUBCASE("an idempotency key of 256 bytes, and of 257") {
    call_options o;
    o.idempotency_key = std::string(256, 'k');
    c.calls(1, 1, {.options = o});
    CHECK(c.ended().empty());
    o.idempotency_key += 'k';
    c.calls(2, 1, {.options = o});
  }
  const auto refused = c.outcome();
  CHECK(refused.first == 2);
  CHECK(refused.reply.code == status::invalid_argument);
  CHECK(refused.reply.details.at(0).never_started);
}

TEST_CASE("calls are spread over gateways") {
  calling_client c;
  c.gateway_joins(1);
  c.gateway_joins(2);
  for (std::uint64_t i = 0; i < 10; ++i) {
    c.calls(1 + i);
    c.tick();
  }
  const std::size_t at_1 = c.calls_sent(1);
  CHECK(at_1 + c.calls_sent(2) == 10);
  CHECK(at_1 >= 4);
  CHECK(at_1 <= 6);
}

TEST_CASE("when a gateway is lost, calls that may be repeated go to another at once") {
  calling_client c;
  c.gateway_joins(1);
  c.calls(1, 2, {.idempotent = true});
  c.calls(3, 1, {.options = keyed("k")});
  c.calls(4, 1);
  c.tick();
  (void)c.calls_sent(1);
  c.gateway_joins(2);
  c.loses(1);
  const auto failed = c.outcome();
  CHECK(failed.first == 4);
  CHECK(failed.reply.code == status::unavailable);
  CHECK(!failed.reply.details.at(0).never_started);
  CHECK(failed.reply.details.at(0).trace == "client99 gateway1");
  CHECK(c.ended().empty());
  const auto runs = take<call_batch>(c.out, 2).runs;
  REQUIRE(runs.size() == 2);
  CHECK(runs[0].arguments.size() == 2);
  CHECK(runs[0].options->attempt == 2);
  CHECK(runs[1].options->idempotency_key == "k");
  c.replies(2, runs[0], 2);
  c.replies(2, runs[1]);
  CHECK(c.ended() == seq_ranges{{1, 3}});
}

TEST_CASE("a call that was never sent outlives the gateway it was meant for") {
  calling_client c;
  c.gateway_joins(1, 1);
  c.calls(1);
  c.tick();
  const auto first = c.call_to(1);
  c.calls(2);
  c.tick();  // there is no room
  CHECK(silent(c.out));
  c.gateway_joins(2);
  c.tick();
  CHECK(c.call_to(2).first == 1);
}

TEST_CASE("a connection that breaks for a moment loses nothing") {
  calling_client c;
  c.gateway_joins(1);
  c.calls(1, 5);
  c.tick();
  const auto before = c.call_to(1);
  c.machine.link_down(peer_id{1}, c.now);
  c.tick();
  c.machine.link_up(peer_id{1}, c.now, c.out);
  c.welcomes(1, role::gateway, 1);
  c.out.sends.clear();
  c.tick();
  const auto again = c.call_to(1);
  CHECK(again.first == before.first);
  CHECK(again.arguments.size() == 5);
  c.replies(1, again, 5);
  CHECK(c.ended() == seq_ranges{{1, 5}});
}

TEST_CASE("a retry comes later, and only where it is safe") {
  calling_client c;
  c.gateway_joins(1);
  SUBCASE("not if the call may have run") {
    c.calls(1, 1, {.retries = 3});
    c.tick();
    c.fails(1, c.call_to(1), status::unavailable);
    CHECK(c.outcome().reply.code == status::unavailable);
  }
  SUBCASE("not if it was wrong") {
    c.calls(1, 1, {.retries = 3, .idempotent = true});
    c.tick();
    c.fails(1, c.call_to(1), status::invalid_argument);
    CHECK(c.outcome().reply.code == status::invalid_argument);
  }
  SUBCASE("if it was not started, not before the time that it was told") {
    c.calls(1, 1, {.retries = 1});
    c.tick();
    c.fails(1, c.call_to(1), status::resource_exhausted, true, 400);
    c.tick(milliseconds(399));
    CHECK(silent(c.out));
    c.tick(milliseconds(1));
    const auto second = c.call_to(1);
    CHECK(second.options->attempt == 2);
    CHECK(second.ttl_ms == 4600);
    c.fails(1, second, status::resource_exhausted, true, 400);
    CHECK(c.outcome().reply.code == status::resource_exhausted);
  }
  SUBCASE("if it may be repeated, until it works") {
    c.calls(1, 1, {.retries = 2, .idempotent = true});
    for (int i = 0; i < 2; ++i) {
      c.tick(seconds(1));
      c.fails(1, c.call_to(1), status::unknown);
      CHECK(c.ended().empty());
    }
    c.tick(seconds(1));
    c.replies(1, c.call_to(1));
    CHECK(c.outcome().reply.code == status::ok);
  }
  SUBCASE("not beyond the deadline") {
    c.calls(1, 1, {.retries = 9, .within = milliseconds(300)});
    c.tick();
    c.fails(1, c.call_to(1), status::resource_exhausted, true, 300);
    CHECK(c.outcome().reply.code == status::resource_exhausted);
  }
}

TEST_CASE("what one gateway has no worker for, another may") {
  calling_client c;
  c.gateway_joins(1);
  c.calls(1);
  c.tick();
  const auto first = c.call_to(1);
  c.gateway_joins(2);
  c.fails(1, first, status::not_found, true);
  CHECK(c.ended().empty());
  c.tick();
  const auto second = c.call_to(2);
  c.fails(2, second, status::not_found, true);
  c.tick();
  // Once more at the first, and then it is enough.
  c.fails(1, c.call_to(1), status::not_found, true);
  c.tick();
  c.fails(2, c.call_to(2), status::not_found, true);
  CHECK(c.outcome().reply.code == status::not_found);
}

TEST_CASE("a cancelled call is stopped where it is, and ends as the callee says") {
  calling_client c;
  c.gateway_joins(1);
  c.calls(1, 3);
  c.tick();
  const auto sent = c.call_to(1);
  c.machine.cancel({2, 3}, c.now, c.out);
  c.tick();
  CHECK(take<cancel_calls>(c.out, 1).calls == seq_ranges{{sent.first + 1, sent.first + 2}});
  CHECK(c.ended().empty());
  c.fails(1, part(sent, 1, 1), status::cancelled);
  CHECK(c.outcome().reply.code == status::cancelled);
  c.replies(1, part(sent, 2, 1));  // it was faster
  CHECK(c.outcome().reply.code == status::ok);
  c.replies(1, part(sent, 0, 1));
  CHECK(c.outcome().first == 1);
}

TEST_CASE("a cancelled call that nobody has ends at once, and is not tried again") {
  calling_client c;
  c.calls(1, 2);
  c.tick();
  c.machine.cancel({1, 1}, c.now, c.out);
  CHECK(c.outcome().reply.code == status::cancelled);
  c.gateway_joins(1);
  c.tick();
  const auto sent = c.call_to(1);
  CHECK(sent.arguments.size() == 1);
  c.machine.cancel({2, 2}, c.now, c.out);
  c.tick();
  c.out.sends.clear();
  c.fails(1, sent, status::unavailable, true);
  CHECK(c.outcome().reply.code == status::unavailable);
}

TEST_CASE("a cancelled call whose callee dies is cancelled") {
  calling_client c;
  c.gateway_joins(1);
  c.calls(1, 1, {.idempotent = true});
  c.tick();
  (void)c.call_to(1);
  c.machine.cancel({1, 1}, c.now, c.out);
  c.gateway_joins(2);
  c.loses(1);
  CHECK(c.outcome().reply.code == status::cancelled);
  CHECK(c.calls_sent(2) == 0);
}

TEST_CASE("hedging asks another after a while, and the first answer counts") {
  calling_client c;
  c.gateway_joins(1);
  c.gateway_joins(2);
  c.calls(1, 1, {.idempotent = true, .hedge_after = milliseconds(50)});
  c.tick();
  const std::uint32_t one = c.calls_sent_to_only(1, 2);
  const std::uint32_t two = 3 - one;
  c.tick(milliseconds(49));
  CHECK(silent(c.out));
  c.tick(milliseconds(1));
  const auto second = c.call_to(two);
  CHECK(second.options->attempt == 2);
  call_run first = second;
  first.first = 1;  // nothing was sent there before

  SUBCASE("the second") {
    c.replies(two, second);
    CHECK(c.ended() == seq_ranges{{1, 1}});
    c.tick();
    CHECK(take<cancel_calls>(c.out, one).calls == seq_ranges{{1, 1}});
    c.replies(one, first);
    CHECK(c.ended().empty());
  }
  SUBCASE("the first") {
    c.replies(one, first);
    CHECK(c.ended() == seq_ranges{{1, 1}});
    c.tick();
    CHECK(take<cancel_calls>(c.out, two).calls == seq_ranges{{second.first, second.first}});
  }
  SUBCASE("and one that fails waits for the other") {
    c.fails(one, first, status::unavailable);
    CHECK(c.ended().empty());
    c.replies(two, second);
    CHECK(c.outcome().reply.code == status::ok);
  }
  SUBCASE("and one that is lost as well") {
    c.loses(one);
    CHECK(c.ended().empty());
    CHECK(c.calls_sent(two) == 0);
    c.replies(two, second);
    CHECK(c.outcome().reply.code == status::ok);
  }
}

TEST_CASE("what may not be repeated is not hedged") {
  calling_client c;
  c.gateway_joins(1);
  c.gateway_joins(2);
  c.calls(1, 1, {.hedge_after = milliseconds(50)});
  c.tick();
  (void)c.calls_sent_to_only(1, 2);
  c.tick(milliseconds(50));
  CHECK(silent(c.out));
}

TEST_CASE("a worker that is called directly gets only what it offers") {
  calling_client c;
  c.worker_joins(1, {"work"});
  c.worker_joins(2, {"work", "play"});
  c.calls(1, 1, {.method = "play"});
  c.tick();
  CHECK(c.call_to(2).method == "play");
  CHECK(c.calls_sent(1) == 0);
  c.calls(2, 1, {.method = "sleep"});
  c.tick();
  const auto unknown = c.outcome();
  CHECK(unknown.reply.code == status::not_found);
  CHECK(unknown.reply.details.at(0).never_started);
}

TEST_CASE("several workers share a batch") {
  calling_client c;
  c.worker_joins(1, {"work"});
  c.worker_joins(2, {"work"});
  c.calls(1, 100);
  c.tick();
  CHECK(c.calls_sent(1) == 50);
  CHECK(c.calls_sent(2) == 50);
}

TEST_CASE("calls one at a time stay with one worker, unless they have to wait there") {
  calling_client c;
  c.worker_joins(1, {"work"});
  c.worker_joins(2, {"work"});
  c.tick();
  std::uint64_t number = 0;
  const auto next = [&](std::uint32_t queued_us) {
    c.calls(++number);
    c.tick();
    std::uint32_t to = 0;
    for (const auto& o : c.out.sends)
      if (std::holds_alternative<call_batch>(o.what)) to = static_cast<std::uint32_t>(o.to);
    c.replies(to, c.call_to(to), 1, 1, queued_us);
    c.tick();
    REQUIRE(c.ended() == seq_ranges{{number, number}});
    return to;
  };
  const auto one = next(0);
  for (int i = 0; i < 10; ++i) REQUIRE(next(100) == one);
  REQUIRE(next(101) == one);
  CHECK(next(0) != one);
  CHECK(next(0) != one);
}

TEST_CASE("slow calls wait in the client and not at one of the workers") {
  calling_client c;
  c.worker_joins(1, {"work"});
  c.calls(1);
  c.tick();
  c.replies(1, c.call_to(1), 1, 20'000);
  (void)c.outcome();
  c.calls(2, 50);
  c.tick();
  CHECK(c.calls_sent(1) == 2);  // a slot's, and one to come
  c.worker_joins(2, {"work"});
  c.tick();
  CHECK(c.calls_sent(2) == 2);
}

TEST_CASE("calls with a hash key go to one worker, whatever else it has") {
  calling_client c;
  for (std::uint32_t w = 1; w <= 4; ++w) c.worker_joins(w, {"work"});
  call_options o;
  o.hash_key = "alice";
  c.calls(1, 1, {.options = o});
  c.tick();
  std::uint32_t there = 0;
  for (std::uint32_t w = 1; w <= 4; ++w)
    if (c.calls_sent(w) > 0) there = w;
  c.calls(2, 1, {.options = o});
  c.tick();
  CHECK(c.calls_sent(there) == 1);
}

TEST_CASE("a call that nobody waits for ends when it is sent") {
  calling_client c;
  c.gateway_joins(1);
  call_options o;
  o.no_reply = true;
  c.calls(1, 2, {.options = o});
  c.tick();
  CHECK(c.ended() == seq_ranges{{1, 2}});
  CHECK(c.call_to(1).arguments.size() == 2);
  c.loses(1);
  CHECK(c.ended().empty());
}

TEST_CASE("a stream's window slides as its reader takes elements") {
  calling_client c;
  c.gateway_joins(1);
  call_options o;
  o.stream_window = 4;
  c.calls(7, 1, {.options = o});
  c.tick();
  const auto sent = c.call_to(1);
  c.hears(1, part_batch{{{sent.first, 1, tasks(4)}}});
  REQUIRE(c.out.parts.size() == 1);
  CHECK(c.out.parts[0].number == 7);
  c.machine.consumed(7, 1, 1);
  c.tick();
  CHECK(take_parts(c.out) == 4);
  CHECK(silent(c.out));
  c.machine.consumed(7, 2, 2);
  c.tick();
  CHECK(take<credit>(c.out, 1).entries == std::vector<credit::entry>{{sent.first, 4, 6}});

  SUBCASE("and it is not begun again once there were elements") {
    c.gateway_joins(2);
    c.loses(1);
    CHECK(c.outcome().reply.code == status::unavailable);
  }
  SUBCASE("and nothing comes after it was cancelled") {
    c.machine.cancel({7, 7}, c.now, c.out);
    c.hears(1, part_batch{{{sent.first, 5, tasks(1)}}});
    CHECK(c.out.parts.empty());
    c.fails(1, sent, status::cancelled);
    CHECK(c.outcome().reply.code == status::cancelled);
  }
}

TEST_CASE(
    "credit for a stream of large elements comes after half of its bytes, if there is room") {
  calling_client c;
  c.gateway_joins(1);
  call_options o;
  o.stream_window = 100;
  o.stream_bytes = 1000;  // on their way, and as much may wait here
  c.calls(7, 1, {.options = o});
  c.tick();
  const auto sent = c.call_to(1);
  c.hears(1, part_batch{{{sent.first, 1, tasks(10, 100)}}});
  c.machine.consumed(7, 4, 400);
  c.tick();
  (void)take_parts(c.out);
  CHECK(silent(c.out));
  c.machine.consumed(7, 5, 500);
  c.tick();
  CHECK(take<credit>(c.out, 1).entries == std::vector<credit::entry>{{sent.first, 10, 105}});
  // Five wait and ten are on their way. When those are here, there is no room for more yet.
  c.hears(1, part_batch{{{sent.first, 11, tasks(10, 100)}}});
  (void)take_parts(c.out);
  c.machine.consumed(7, 9, 900);
  c.tick();
  CHECK(silent(c.out));
  c.machine.consumed(7, 10, 1000);
  c.tick();
  CHECK(take<credit>(c.out, 1).entries == std::vector<credit::entry>{{sent.first, 20, 110}});
}

TEST_CASE("of streams that were made together, those without elements are begun again") {
  calling_client c;
  c.gateway_joins(1);
  call_options o;
  o.stream_window = 4;
  c.calls(1, 3, {.idempotent = true, .options = o});
  c.tick();
  const auto sent = c.call_to(1);
  c.hears(1, part_batch{{{sent.first + 1, 1, tasks(1)}}});
  c.gateway_joins(2);
  c.loses(1);
  CHECK(c.ended() == seq_ranges{{2, 2}});
  CHECK(c.calls_sent(2) == 2);
}

TEST_CASE("further calls wait while as many are in flight as there may be") {
  client_state::options few;
  few.max_in_flight = 10;
  few.introduce = false;
  calling_client c(few);
  c.gateway_joins(1);
  c.calls(1, 30);
  c.tick();
  const auto sent = c.call_to(1);
  CHECK(sent.arguments.size() == 10);
  c.answers_route(1, {});  // whether it may be repeated
  c.replies(1, sent, 10);
  c.tick();
  CHECK(c.call_to(1).arguments.size() == 10);
}

TEST_CASE("higher priorities go first") {
  calling_client c;
  call_options high;
  high.priority = 9;
  c.calls(1);
  c.calls(2, 1, {.options = high});
  c.gateway_joins(1, 1);
  c.tick();
  CHECK(c.call_to(1).options->priority == 9);
}

TEST_CASE("a client that is refused everywhere says so at once") {
  calling_client c;
  c.machine.link_opened(peer_id{1}, c.now, c.out);
  c.calls(1);
  c.tick();
  c.machine.on_message(peer_id{1}, error_message{wire_error::version, "too old"}, c.now, c.out);
  CHECK(c.outcome().reply.code == status::unavailable);
  CHECK(c.machine.fatal().find("too old") != std::string::npos);
  c.calls(2);
  CHECK(c.outcome().reply.code == status::unavailable);
}

// Introduction

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
  SUBCASE("but not if nobody answers there") {
    c.passes(seconds(3), {1});
    CHECK(c.out.forgets == std::vector<peer_id>{peer_id{5}});
  }
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

}  // namespace rpc_client_test
