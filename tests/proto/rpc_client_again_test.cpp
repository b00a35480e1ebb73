// What becomes of a client's calls when something dies: tried again, hedged, cancelled.
#include "rpc_client_fixture.hpp"

namespace rpc_client_again_test {

using namespace weir;
using namespace weir::proto;
using namespace weir::proto::dialogue;
using std::chrono::milliseconds;
using std::chrono::seconds;

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

TEST_CASE("a call that crosses the BYE of a gateway goes to another") {
  calling_client c;
  c.gateway_joins(1);
  c.calls(1, 2);
  c.tick();
  const auto sent = c.call_to(1);
  c.gateway_joins(2);
  c.hears(1, bye{bye_reason::leaving, sent.first});
  c.tick();
  CHECK(c.calls_sent(2) == 1);
  const auto failed = c.outcome();
  CHECK(failed.first == 1);
  CHECK(failed.reply.code == status::unavailable);
  CHECK_FALSE(failed.reply.details.at(0).never_started);
  CHECK(c.out.outcomes.empty());
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

TEST_CASE("all calls with one key go to one gateway, which remembers the reply") {
  calling_client c;
  for (const std::uint32_t g : {1, 2, 3}) c.gateway_joins(g);
  const auto goes_to = [&](std::uint64_t number) {
    c.calls(number, 1, {.options = keyed("k")});
    c.tick();
    for (const std::uint32_t g : {1, 2, 3})
      if (c.calls_sent(g) == 1) return g;
    return 0U;
  };
  const std::uint32_t one = goes_to(1);
  REQUIRE(one != 0);
  for (std::uint64_t number = 2; number < 10; ++number) CHECK(goes_to(number) == one);

  SUBCASE("while it has no room, too") {
    c.hears(one, window{9, 1 << 20, false, {}});
    CHECK(goes_to(10) == 0);
  }
  SUBCASE("unless it is lost") {
    c.loses(one);
    std::size_t sent = 0;
    for (const std::uint32_t g : {1, 2, 3}) sent = std::max(sent, c.calls_sent(g));
    CHECK(sent == 9);
  }
  SUBCASE("or drains") {
    c.hears(one, window{0, 0, false, {}});
    const std::uint32_t other = goes_to(10);
    CHECK(other != 0);
    CHECK(other != one);
  }
  SUBCASE("for which they wait a heartbeat after the first has come") {
    calling_client late;
    for (const std::uint32_t g : {1, 2, 3})
      late.machine.link_opened(peer_id{g}, late.now, late.out);
    const std::uint32_t first = one == 1 ? 2 : 1;
    late.gateway_joins(first);
    late.calls(1, 1, {.options = keyed("k")});
    late.tick();
    CHECK(late.calls_sent(first) == 0);
    CHECK(late.machine.next_deadline() <= late.now + seconds(1));
    SUBCASE("all come") {
      late.gateway_joins(6 - one - first);
      late.gateway_joins(one);
      late.tick();
      CHECK(late.calls_sent(one) == 1);
    }
    SUBCASE("nobody else comes") {
      late.passes(seconds(1), {first});
      CHECK(late.calls_sent(first) == 1);
    }
  }
  SUBCASE("and are not hedged") {
    c.calls(10, 1,
            {.idempotent = true, .hedge_after = milliseconds(50), .options = keyed("k")});
    c.tick();
    CHECK(c.calls_sent(one) == 1);
    c.tick(milliseconds(50));
    CHECK(silent(c.out));
  }
}

}  // namespace rpc_client_again_test
