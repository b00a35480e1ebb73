// A client's calls: who gets them, and how many at a time.
#include "rpc_client_fixture.hpp"

namespace rpc_client_test {

using namespace weir;
using namespace weir::proto;
using namespace weir::proto::dialogue;
using std::chrono::milliseconds;

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

}  // namespace rpc_client_test
