// A worker: connections that break, and the end.
#include "worker_fixture.hpp"

namespace worker_departures_test {

using namespace std::chrono_literals;
using namespace weir;
using namespace weir::proto;
using namespace weir::proto::dialogue;

TEST_SUITE("worker: connections that break") {
  TEST_CASE("when it comes back to the sink it delivers again, and runs nothing again") {
    worker w;
    w.gets(1, 2);
    (void)w.starts();
    w.finishes(1, 2);
    w.out.sends.clear();
    w.reconnects(2);
    w.sink_joins();
    CHECK(take<result_batch>(w.out, 2).runs[0].first == 1);
    w.tick();
    CHECK(w.starts().empty());
    SUBCASE("nor when it is asked to") {
      w.out.sends.clear();
      w.hears(2, resend{the_source});
      (void)take<result_batch>(w.out, 2);
    }
  }

  TEST_CASE("when it comes back to the ventilator it says what it holds") {
    worker w(worker::slots(1));
    w.gets(1, 3);
    (void)w.starts();
    w.finishes(1, 1);
    w.tick();
    (void)w.starts();
    w.hears(1, cancel{the_source, {{2, 2}}, cancel_mode::stop});
    w.out = {};
    w.reconnects(1);
    w.ventilator_joins();
    const auto said = find<window>(w.out, 1);
    CHECK(said.resync);
    // Done, and waiting; not what is being stopped.
    CHECK(said.holding == std::vector<in_hand>{{the_source, {{1, 1}, {3, 3}}}});
  }

  TEST_CASE("a ventilator that is gone is waited for, and its tasks are run meanwhile") {
    worker w(worker::slots(1));
    w.gets(1, 2);
    (void)w.starts();
    w.machine.link_down(peer_id{1}, w.now);
    for (int i = 0; i < 8; ++i) {
      w.tick(250ms);
      w.hears(2, alive{});
    }
    CHECK(!w.machine.has_ventilator());
    CHECK(!w.machine.done());
    w.out.sends.clear();
    w.finishes(1, 1);
    (void)take<result_batch>(w.out, 2);
    w.tick();
    CHECK(w.starts() == seq_ranges{{2, 2}});
  }

  TEST_CASE("what a ventilator left behind is dropped when it has been gone for a minute") {
    for (const bool serves : {true, false}) {
      auto o = worker::slots(1);
      o.serve = serves;
      worker w(o);
      w.gets(1, 3);
      CHECK(w.starts() == seq_ranges{{1, 1}});
      w.machine.link_down(peer_id{1}, w.now);
      const auto pass = [&](duration time) {
        for (const auto end = w.now + time; w.now < end;) {
          w.tick(std::min<duration>(end - w.now, 250ms));
          w.hears(2, alive{});
        }
      };
      pass(1s);  // what a closed connection has to come back
      CHECK(!w.machine.has_ventilator());
      w.out.notices.clear();
      pass(60s - 1ms);
      CHECK(w.in_hand() == 3);
      CHECK(w.out.stops.empty());
      CHECK(w.machine.next_deadline() <= w.now + 1ms);
      pass(1ms);
      REQUIRE(w.out.stops.size() == 1);
      CHECK(w.out.stops[0].range == seq_range{1, 1});
      REQUIRE(w.out.notices.size() == 1);
      CHECK(w.out.notices[0].text.find("its 3 tasks are dropped") != std::string::npos);
      w.finishes(results(1, 1, 1, status::cancelled));
      CHECK(w.in_hand() == 0);
      CHECK(!w.machine.done());

      // It was only cut off.
      w.out.sends.clear();
      w.machine.link_up(peer_id{1}, w.now, w.out);
      w.ventilator_joins();
      CHECK(find<window>(w.out, 1).holding.empty());
      w.gets(1, 1, 2);
      CHECK(w.starts(2) == seq_ranges{{1, 1}});
    }
  }

  TEST_CASE("a new incarnation of its ventilator wants nothing of the old one's") {
    worker w(worker::slots(1));
    w.gets(1, 3);
    (void)w.starts();
    w.reconnects(1);
    w.ventilator_joins(77);
    CHECK(w.out.stops.size() == 1);
    w.finishes(results(1, 1, 1, status::cancelled));
    CHECK(w.in_hand() == 0);
    CHECK(find<window>(w.out, 1).holding.empty());
    w.gets(1, 1);  // the same numbers, should it keep a journal
    CHECK(w.starts() == seq_ranges{{1, 1}});
  }

  TEST_CASE(
      "when another sink takes over, everything begins again with the ventilator as well") {
    worker w;
    w.gets(1, 2);
    (void)w.starts();
    w.finishes(1, 2);
    w.hears(2, committed{the_source, {{1, 1}}});  // and the ventilator was never told
    w.reconnects(2);
    w.sink_joins(55);
    CHECK(find<result_batch>(w.out, 2).runs[0].first == 2);
    (void)find<hello>(w.out, 1);
    w.ventilator_joins();
    CHECK(find<window>(w.out, 1).holding == std::vector<in_hand>{{the_source, {{2, 2}}}});
  }

  TEST_CASE(
      "of two sinks that connect to it the newer is taken, and the words of the old ignored") {
    worker w(worker::slots(1), false);
    auto v = who(role::ventilator, 1);
    v.results_to = any_sink;
    w.reconnects(1);
    w.hears(1, welcome{wire_version, v, 1000});
    w.hears(5, hello{wire_version, who(role::sink, 5)});
    w.gets(1, 1);
    w.out = {};
    w.finishes(1, 1);
    (void)take<result_batch>(w.out, 5);
    w.hears(6, hello{wire_version, who(role::sink, 6)});
    (void)find<result_batch>(w.out, 6);
    w.hears(5, committed{the_source, {{1, 1}}});
    CHECK(w.machine.stats().held == 1);
    w.hears(6, committed{the_source, {{1, 1}}});
    CHECK(w.machine.stats().held == 0);
  }

  TEST_CASE("if the sink that took over goes, results go to the one that is left") {
    worker w(worker::slots(1), false);
    auto v = who(role::ventilator, 1);
    v.results_to = any_sink;
    w.reconnects(1);
    w.hears(1, welcome{wire_version, v, 1000});
    w.hears(5, hello{wire_version, who(role::sink, 5)});
    w.hears(6, hello{wire_version, who(role::sink, 6)});
    w.gets(1, 1);
    w.finishes(1, 1);
    w.out = {};
    w.machine.link_down(peer_id{6}, w.now);
    for (int i = 0; i < 4; ++i) {
      w.tick(250ms);
      w.hears(5, alive{});
    }
    (void)find<result_batch>(w.out, 5);
  }
}

TEST_SUITE("worker: the end") {
  TEST_CASE("it leaves when its ventilators are finished and nothing is in hand") {
    worker w;
    CHECK(!w.machine.done());
    w.hears(1, bye{bye_reason::finished});
    CHECK(w.machine.done());
    w.out = {};
    w.machine.say_bye(w.now, w.out);
    (void)take<bye>(w.out, 2);
  }

  TEST_CASE("a ventilator that it was sent to and that has not come yet is waited for") {
    worker w;
    w.machine.link_opened(peer_id{7}, w.now, w.out);
    w.hears(1, bye{bye_reason::finished});
    CHECK(!w.machine.done());
    w.hears(7, welcome{wire_version, who(role::ventilator, 7), 1000});
    w.hears(7, bye{bye_reason::finished});
    CHECK(w.machine.done());
  }

  TEST_CASE("a worker that serves stays for the next ventilator") {
    auto o = worker::slots(1);
    o.serve = true;
    worker w(o);
    w.hears(1, bye{bye_reason::finished});
    CHECK(!w.machine.done());
  }

  TEST_CASE("a drain finishes what runs, hands back the rest, and waits for COMMITTED") {
    worker w(worker::slots(1));
    w.gets(1, 3);
    (void)w.starts();
    w.machine.drain();
    w.tick();
    CHECK(take<release>(w.out, 1).ranges == seq_ranges{{2, 3}});
    CHECK(take<window>(w.out, 1).items == 0);
    w.gets(4, 1);  // was under way
    CHECK(take<release>(w.out, 1).ranges == seq_ranges{{4, 4}});
    CHECK(!w.machine.done());
    w.finishes(1, 1);
    CHECK(!w.machine.done());
    w.hears(2, committed{the_source, {{1, 1}}});
    CHECK(w.machine.done());
  }

  TEST_CASE("a drain at once stops what runs, which does not count as its failure") {
    worker w(worker::slots(1));
    w.gets(1, 2);
    (void)w.starts();
    w.machine.drain_at_once(w.out);
    CHECK(w.out.stops.size() == 1);
    w.tick();
    w.out.sends.clear();
    w.finishes(results(1, 1, 1, status::cancelled));
    CHECK(take<release>(w.out, 1).ranges == seq_ranges{{1, 1}});
    CHECK(w.machine.done());
  }

  TEST_CASE("a drain at once does not wait for a sink that is behind") {
    worker w(worker::slots(1));
    w.gets(1, 1);
    (void)w.starts();
    w.finishes(1, 1);
    w.machine.drain();
    CHECK(!w.machine.done());
    w.machine.drain_at_once(w.out);
    CHECK(w.machine.done());
  }

  TEST_CASE("a ventilator that gives up has its tasks stopped and its results forgotten") {
    worker w(worker::slots(1));
    w.gets(1, 3);
    (void)w.starts();
    w.finishes(1, 1);
    w.tick();
    (void)w.starts();
    w.hears(1, bye{bye_reason::leaving});
    CHECK(w.out.stops.size() == 1);
    CHECK(w.in_hand() == 1);
    w.finishes(results(2, 2, 1, status::cancelled));
    CHECK(w.in_hand() == 0);
    CHECK(w.machine.done());
  }

  TEST_CASE("thousands of separate tasks in hand cost no more for being many") {
    auto o = worker::slots(4);
    worker w(o);
    constexpr std::uint64_t many = 65'536;
    for (std::uint64_t seq = 1; seq <= 2 * many; seq += 2)
      w.hears(1, task_batch{the_source, {{seq, 1, tasks(1), 0}}});
    for (std::uint64_t seq = 1; seq <= 2 * many; seq += 2)
      w.hears(1, task_batch{the_source, {{seq, 2, tasks(1), 0}}});
    CHECK(w.in_hand() == many);
    seq_ranges odd;
    for (std::uint64_t seq = 1; seq <= 2 * many; seq += 4) odd.push_back({seq, seq});
    w.hears(1, cancel{the_source, odd, cancel_mode::stop});
    CHECK(w.in_hand() == many / 2);
    w.machine.drain();
    w.tick();
    CHECK(w.in_hand() == 0);
    for (const auto& sent : w.out.sends)
      if (const auto* r = std::get_if<release>(&sent.what)) CHECK(r->ranges.size() <= 16'384);
  }
}

}  // namespace worker_departures_test
