// A worker that offers methods: what runs when, what is refused, and who calls.
#include "rpc_service_fixture.hpp"

namespace rpc_service_test {

using namespace std::chrono_literals;
using namespace weir;
using namespace weir::proto;
using namespace weir::proto::dialogue;

TEST_SUITE("service: what runs") {
  TEST_CASE("calls of a caller that does not read are not begun, and those of others are") {
    service w;
    w.client_joins(10);
    w.gets(1, 1);
    CHECK(w.starts() == seq_ranges{{1, 1}});
    w.gets(1, 4, "echo", {}, 10);  // one runs, three wait
    CHECK(w.starts(10) == seq_ranges{{1, 1}});
    w.machine.link_stalled(peer_id{10}, true);
    w.gets(5, 2, "echo", {}, 10);
    w.gets(7, 1, "echo", {}, 10, 1000);
    w.gets(2, 2);
    CHECK(w.machine.stats().queued == 8);
    w.finishes(1, 1, 1s, 10);
    w.tick();
    CHECK(w.starts() == seq_ranges{{2, 2}});
    CHECK(w.replied(10).code == status::ok);
    w.finishes(1, 2);
    w.tick();
    CHECK(w.starts() == seq_ranges{{3, 3}});
    w.finishes(3, 3);
    w.tick();
    CHECK(w.out.calls.empty());
    // They have their deadlines, and can be cancelled.
    w.out.sends.clear();
    w.hears(10, cancel_calls{{{6, 6}}, "enough"});
    w.tick();
    CHECK(w.replied(10).code == status::cancelled);
    CHECK(w.machine.next_deadline() <= w.now + 1s);
    w.tick(1s);
    const auto late = w.replied(10);
    CHECK(late.first == 7);
    CHECK(late.code == status::deadline_exceeded);
    CHECK(w.machine.stats().queued == 4);

    w.machine.link_stalled(peer_id{10}, false);
    w.tick();
    CHECK(w.starts(10) == seq_ranges{{2, 3}});
    w.finishes(2, 3, 1s, 10);
    w.tick();
    CHECK(w.starts(10) == seq_ranges{{4, 5}});
  }

  TEST_CASE("draining does not wait for callers that do not read") {
    service w;
    w.client_joins(10);
    w.machine.link_stalled(peer_id{10}, true);
    w.gets(1, 4, "echo", {}, 10);
    w.machine.drain(w.now, w.out);
    CHECK_FALSE(w.machine.done());
    w.tick();
    const auto refused = find<reply_batch>(w.out, 10).runs.at(0);
    CHECK(refused.results.size() == 4);
    CHECK(refused.code == status::unavailable);
    CHECK(refused.details.at(0).never_started);
    CHECK(w.machine.done());
  }

  TEST_CASE("what waits for a caller that does not read goes with it") {
    service w;
    w.client_joins(10);
    w.machine.link_stalled(peer_id{10}, true);
    w.gets(1, 4, "echo", {}, 10);
    CHECK(w.out.calls.empty());
    CHECK(w.machine.stats().queued == 4);
    w.hears(10, bye{});
    w.tick();
    CHECK(w.machine.stats().queued == 0);
  }

  TEST_CASE(
      "as many calls are handed to the slots as there are, and the next when one is done") {
    service w;
    w.gets(1, 5);
    CHECK(w.starts() == seq_ranges{{1, 2}});
    CHECK(w.machine.stats().queued == 3);
    w.finishes(2, 2);
    w.tick();
    CHECK(w.replied().first == 2);
    CHECK(w.starts() == seq_ranges{{3, 3}});
    CHECK(w.machine.stats().running == 2);
    CHECK(w.machine.stats().done == 1);
  }

  TEST_CASE("of short calls the slots are handed what they do in a few milliseconds") {
    service w;
    w.measures(100us);
    w.gets(2, 1000);
    CHECK(w.starts() == seq_ranges{{2, 101}});
    w.finishes(2, 101, 100us);
    w.tick();
    CHECK(w.starts() == seq_ranges{{102, 201}});
  }

  TEST_CASE("urgent calls overtake those that wait") {
    service w;
    w.gets(1, 4);
    CHECK(w.starts() == seq_ranges{{1, 2}});
    w.gets(5, 1, "echo", urgent(2));
    w.gets(6, 1, "echo", urgent(9));
    w.gets(7, 1, "count", urgent(9));
    w.finishes(1, 2);
    w.tick();
    CHECK(w.starts() == seq_ranges{{6, 7}});
    w.finishes(6, 7);
    w.tick();
    CHECK(w.starts() == seq_ranges{{3, 4}});
    w.finishes(3, 4);
    w.tick();
    CHECK(w.starts() == seq_ranges{{5, 5}});
  }

  TEST_CASE("a method runs as many calls at a time as it may, and others pass") {
    service w;
    w.gets(1, 3, "slow");
    CHECK(w.starts() == seq_ranges{{1, 1}});
    w.gets(4, 2, "echo");
    CHECK(w.starts() == seq_ranges{{4, 4}});
    w.finishes(4, 4);
    w.tick();
    CHECK(w.starts() == seq_ranges{{5, 5}});
    w.finishes(1, 1);
    w.tick();
    CHECK(w.starts() == seq_ranges{{2, 2}});
  }

  TEST_CASE("a call without a slot is answered at its deadline, and never started") {
    service w;
    w.gets(1, 2);
    w.gets(3, 2, "echo", {}, 1, 50);
    CHECK(w.starts() == seq_ranges{{1, 2}});
    CHECK(w.machine.next_deadline() <= w.now + 50ms);
    w.tick(49ms);
    CHECK(count<reply_batch>(w.out) == 0);
    w.tick(3ms);
    const auto late = w.replied();
    CHECK(late.first == 3);
    CHECK(late.last() == 4);
    CHECK(late.code == status::deadline_exceeded);
    CHECK(late.details[0].never_started);
    w.finishes(1, 2);
    w.tick();
    CHECK(w.starts().empty());
    CHECK(w.machine.stats().expired == 2);
  }

  TEST_CASE("a call whose deadline is over when its turn comes is not started") {
    service w;
    w.gets(1, 2);
    w.gets(3, 1, "echo", {}, 1, 50);
    (void)w.starts();
    w.now += 50ms;
    w.finishes(1, 2);
    w.tick();
    CHECK(w.starts().empty());
    CHECK(w.machine.stats().expired == 1);
  }

  TEST_CASE("a cancelled call is answered: at once if it waits, by its handler if it runs") {
    service w;
    w.gets(1, 4);
    CHECK(w.starts() == seq_ranges{{1, 2}});
    w.hears(1, cancel_calls{{{2, 3}}, "enough"});
    CHECK(w.out.cancels == std::vector<call_key>{{session_id{1}, 2}});
    w.tick();
    const auto stopped = w.replied();
    CHECK(stopped.first == 3);
    CHECK(stopped.last() == 3);
    CHECK(stopped.code == status::cancelled);
    CHECK(stopped.details[0].message == "enough");
    CHECK(stopped.details[0].never_started);
    w.finishes(1, 2);
    w.tick();
    CHECK(w.starts() == seq_ranges{{4, 4}});
  }

  TEST_CASE("a method that is not offered is refused, and safe to call elsewhere") {
    service w;
    w.gets(1, 1, "nothing");
    const auto refused = w.replied();
    CHECK(refused.code == status::not_found);
    CHECK(refused.details[0].never_started);
    CHECK(w.starts().empty());
  }

  TEST_CASE("an answer says how long its call has waited, and when it came") {
    service w;
    w.gets(1, 3);
    (void)w.starts();
    w.now += 7ms;
    w.finishes(1, 2, 3ms);
    w.tick();
    CHECK(w.replied().service_us == 3000);
    CHECK(w.starts() == seq_ranges{{3, 3}});
    w.finishes(3, 3);
    w.tick();
    const auto last = w.replied();
    CHECK(last.queued_us == 7000);
    CHECK(last.received_us == static_cast<std::uint64_t>(t0.time_since_epoch() / 1us));
  }

  TEST_CASE("streams wait for their readers without taking the slots from others") {
    service w;
    call_options o;
    o.stream_window = 1;
    w.gets(1, 10, "count", o);
    CHECK(w.starts() == seq_ranges{{1, 10}});
    CHECK(w.machine.on_part({session_id{1}, 1}, tasks(1), w.now, w.out) == 0);
    w.gets(11, 2);
    CHECK(w.starts() == seq_ranges{{11, 12}});
    w.hears(1, credit{{{1, 1, 3}}});
    REQUIRE(w.out.grants.size() == 1);
    CHECK(w.out.grants[0].until == 3);
  }

  TEST_CASE("however many streams wait for their readers, there is room for other calls") {
    service w;
    call_options o;
    o.stream_window = 1;
    std::uint64_t told = 2;
    for (std::uint64_t n = 1; n <= 100; ++n) {
      CHECK(told > n - 1);
      w.gets(n, 1, "count", o);
      CHECK(w.starts() == seq_ranges{{n, n}});
      CHECK(w.machine.on_part({session_id{1}, n}, tasks(1), w.now, w.out) == 0);
      w.tick(1ms);
      for (const auto& each : std::exchange(w.out.sends, {}))
        if (const auto* said = std::get_if<window>(&each.what)) told = said->items;
    }
  }
}

TEST_SUITE("service: who calls") {
  TEST_CASE("a caller's death cancels its calls, and nobody else's") {
    service w;
    w.client_joins(10);
    w.gets(1, 1);
    CHECK(w.starts(1) == seq_ranges{{1, 1}});
    w.gets(1, 3, "echo", {}, 10);
    CHECK(w.starts(10) == seq_ranges{{1, 1}});
    w.machine.link_down(peer_id{10}, w.now);
    w.hears(1, alive{});
    w.tick(1s);
    CHECK(w.out.cancels == std::vector<call_key>{{session_id{10}, 1}});
    CHECK(w.machine.stats().queued == 0);
    w.finishes(1, 1, 1s, 10);
    w.finishes(1, 1);
    w.tick();
    CHECK(w.machine.stats().running == 0);
    CHECK(w.replied().first == 1);
    CHECK(w.machine.has_caller());
  }

  TEST_CASE("a worker that leaves tells each caller which of its calls have come") {
    service w;
    w.client_joins(10);
    w.gets(1, 3);
    w.machine.say_bye(w.now, w.out);
    CHECK(find<bye>(w.out, 1).seen == 3);
    CHECK(find<bye>(w.out, 10).seen == 0);
  }

  TEST_CASE("a caller that says BYE has its calls cancelled") {
    service w;
    w.gets(1, 3);
    CHECK(w.starts() == seq_ranges{{1, 2}});
    w.hears(1, bye{});
    CHECK(w.out.cancels.size() == 2);
    CHECK(w.machine.stats().queued == 0);
    CHECK(!w.machine.has_caller());
  }

  TEST_CASE("calls that are repeated after a reconnect run once") {
    service w;
    w.gets(1, 3);
    CHECK(w.starts() == seq_ranges{{1, 2}});
    w.finishes(1, 1);
    w.tick();
    CHECK(w.starts() == seq_ranges{{3, 3}});
    w.out.sends.clear();
    w.machine.link_down(peer_id{1}, w.now);
    w.machine.link_up(peer_id{1}, w.now, w.out);
    w.hears(1, welcome{wire_version, who(role::gateway, 1), 1000});
    w.gets(1, 4);
    CHECK(w.starts().empty());
    CHECK(w.replied().first == 1);
    w.finishes(2, 3);
    w.tick();
    CHECK(w.starts() == seq_ranges{{4, 4}});
  }

  TEST_CASE("draining finishes what is in hand, refuses the rest, and is then done") {
    service w;
    w.gets(1, 3);
    (void)w.starts();
    w.machine.drain(w.now, w.out);
    CHECK(find<window>(w.out, 1).items == 0);
    w.gets(4, 1);
    const auto refused = w.replied();
    CHECK(refused.code == status::unavailable);
    CHECK(refused.details[0].never_started);
    CHECK(!w.machine.done());
    w.finishes(1, 2);
    w.tick();
    CHECK(w.starts() == seq_ranges{{3, 3}});
    CHECK(!w.machine.done());
    w.finishes(3, 3);
    CHECK(!w.machine.done());  // the answer is not on its way yet
    w.tick();
    CHECK(w.machine.done());
    w.machine.say_bye(w.now, w.out);
    (void)find<bye>(w.out, 1);
  }
}

}  // namespace rpc_service_test
