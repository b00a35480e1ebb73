#include "ventilator_fixture.hpp"

#include <map>

namespace ventilator_state_test {

using namespace std::chrono_literals;
using namespace weir;
using namespace weir::proto;
using namespace weir::proto::dialogue;
using std::chrono::hours;
using std::chrono::milliseconds;

TEST_SUITE("ventilator: dispatch") {
  TEST_CASE("a worker gets no task before its WINDOW, and no more than that") {
    ventilator v;
    v.feeds(10);
    CHECK(silent(v.out));
    v.hears(10, hello{wire_version, who(role::worker, 10)});
    (void)take<welcome>(v.out, 10);
    v.hears(10, window{4, 1000, false, {}});  // from before its connection broke
    v.tick();
    CHECK(silent(v.out));
    v.hears(10, window{4, 1000, true, {}});
    v.tick();
    CHECK(v.given(10) == seq_ranges{{1, 4}});
    v.tick();
    CHECK(silent(v.out));
    v.acks(1);
    v.tick();
    CHECK(v.given(10) == seq_ranges{{5, 5}});
    v.hears(10, window{5, 1000, false, {}});
    v.tick();
    CHECK(v.given(10) == seq_ranges{{6, 6}});
    CHECK(silent(v.out));
  }

  TEST_CASE("a second connection to a worker changes nothing about what it gets") {
    ventilator v;
    v.worker_joins(5, 4);
    v.machine.link_opened(peer_id{20}, v.now, v.out);
    (void)take<hello>(v.out, 20);
    v.hears(20, welcome{wire_version, who(role::worker, 5), 1000});
    CHECK(silent(v.out));
    v.feeds(3);
    CHECK(v.given(5) == seq_ranges{{1, 3}});
  }

  TEST_CASE("a time limit is said to the worker, or the longest that can be said") {
    for (const auto& [limit, said] : {std::pair{milliseconds(UINT32_MAX), UINT32_MAX},
                                      {hours(50 * 24), UINT32_MAX},
                                      {milliseconds(1500), 1500U},
                                      {milliseconds(0), 0U}}) {
      auto o = ventilator::defaults();
      o.task_timeout = limit;
      ventilator v(o);
      v.worker_joins(10, 4);
      v.feeds(1);
      CHECK(find<task_batch>(v.out, 10).runs.at(0).time_limit_ms == said);
    }
  }

  TEST_CASE("a window counts bytes too, and one task always fits") {
    ventilator v;
    v.worker_joins(10, 100, 1, {}, 1000);
    v.feeds(3, 600);
    CHECK(v.given(10) == seq_ranges{{1, 1}});
    CHECK(silent(v.out));
    v.acks(1);
    v.tick();
    CHECK(v.given(10) == seq_ranges{{2, 2}});
    v.acks(3);
    v.feeds(2, 5000);
    CHECK(v.given(10) == seq_ranges{{4, 4}});
    CHECK(silent(v.out));
  }

  TEST_CASE("tasks that fill a window in bytes to the last one all fit") {
    ventilator v;
    v.worker_joins(10, 100, 1, {}, 1000);
    v.feeds(11, 100);
    CHECK(v.given(10) == seq_ranges{{1, 10}});
    CHECK(silent(v.out));
  }

  TEST_CASE("a moment's tasks are shared among the workers, in a message to each") {
    ventilator v;
    v.worker_joins(10, 100);
    v.worker_joins(11, 100);
    v.worker_joins(12, 100);
    v.feeds(30);
    CHECK(v.out.sends.size() == 3);
    std::map<std::uint32_t, std::uint64_t> had;
    for (const auto& o : v.out.sends)
      for (const auto& run : std::get<task_batch>(o.what).runs)
        had[static_cast<std::uint32_t>(o.to)] += run.payloads.size();
    CHECK(had[10] == 10);
    CHECK(had[11] == 10);
    CHECK(had[12] == 10);
  }

  TEST_CASE("nothing is dispatched while there is no sink, nor to who cannot be reached") {
    ventilator v;
    v.worker_joins(10, 4);
    v.hears(1, bye{});
    v.out = {};
    v.feeds(2);
    CHECK(silent(v.out));
    v.hears(2, hello{wire_version, who(role::sink, 2)});
    (void)take<welcome>(v.out, 2);
    (void)take<register_source>(v.out, 2);
    v.tick();
    CHECK(silent(v.out));
    v.hears(2, registered{the_source, 1, 0, {}});
    v.tick();
    CHECK(v.given(10) == seq_ranges{{1, 2}});
    v.out = {};
    v.machine.link_down(peer_id{10}, v.now);
    v.feeds(1);
    CHECK(silent(v.out));
    CHECK(v.machine.stats().queued == 1);
  }

  TEST_CASE("max_tasks and max_bytes bound what is taken in") {
    auto o = ventilator::defaults();
    o.max_tasks = 4;
    o.max_bytes = 100;
    ventilator v(o);
    CHECK(v.machine.free().tasks == 4);
    v.feeds(4);
    CHECK(v.machine.free().tasks == 0);
    v.acks(3);
    CHECK(v.machine.free().tasks == 3);
    v.feeds(1, 98);
    CHECK(v.machine.free().bytes == 1);
    v.feeds(1, 1);
    CHECK(v.machine.free().bytes == 0);
    CHECK(v.machine.free().tasks == 0);
  }

  TEST_CASE("an idle worker is reason to ask a busy one for what it has not begun") {
    ventilator v;
    v.worker_joins(10, 100);
    v.feeds(9);
    CHECK(v.given(10) == seq_ranges{{1, 9}});
    v.worker_joins(11, 100);
    v.tick(49ms);
    CHECK(silent(v.out));
    CHECK(v.machine.next_deadline() <= v.now + 50ms);
    v.tick(1ms);
    const auto back = take<cancel>(v.out, 10);
    CHECK(back.mode == cancel_mode::give_back);
    CHECK(back.ranges == seq_ranges{{6, 9}});  // half of what is beyond its slots, the newest
    CHECK(silent(v.out));
    v.hears(10, release{the_source, {{7, 9}}});  // 6 has been begun
    v.tick();
    CHECK(v.given(11, 2) == seq_ranges{{7, 8}});
    CHECK(v.given(11, 2) == seq_ranges{{9, 9}});  // not to the one that gave it back
    CHECK(silent(v.out));
  }

  TEST_CASE("what a worker hands back is given to somebody at once, without a failure") {
    ventilator v;
    v.worker_joins(10, 5);
    v.feeds(5);
    v.out = {};
    v.hears(10, window{0, 0, false, {}});
    v.hears(10, release{the_source, {{2, 5}}});
    v.worker_joins(11, 5);
    v.tick();
    CHECK(v.given(11, 2) == seq_ranges{{2, 5}});
    v.hears(10, release{the_source, {{3, 3}}});  // not its own any more
    v.tick();
    CHECK(silent(v.out));
    CHECK(v.machine.stats().leased == 5);
  }

  TEST_CASE("a sink that keeps order cannot stop everything: the oldest task always fits") {
    ventilator v;
    v.worker_joins(10, 3);
    v.feeds(3);
    v.out = {};
    v.fails(10, 1, 1);  // 2 and 3 are done, and held until 1 is
    v.feeds(1);
    CHECK(v.given(10) == seq_ranges{{4, 4}});  // the window is full
    v.passes(200ms, {1, 10});
    CHECK(v.given(10, 2) == seq_ranges{{1, 1}});
    v.feeds(1);
    CHECK(silent(v.out));
  }
}

TEST_SUITE("ventilator: the end") {
  TEST_CASE(
      "it is complete when all is acknowledged and the sink knows that there is no more") {
    ventilator v;
    v.worker_joins(10, 5);
    v.feeds(2);
    v.out = {};
    v.machine.end_input();
    v.tick();
    CHECK(take<finish>(v.out, 1).total == 2);
    v.acks(1);
    v.tick();
    CHECK(silent(v.out));
    v.acks(2);
    CHECK(!v.machine.complete());  // that ACK may be older than FINISH, and FINISH be lost
    v.tick();
    CHECK(take<register_source>(v.out, 1).low == 2);
    CHECK(silent(v.out));
    v.hears(1, registered{the_source, 1, 2, {}});
    CHECK(v.machine.complete());
    v.machine.say_bye(bye_reason::finished, v.now, v.out);
    CHECK(take<bye>(v.out, 10).reason == bye_reason::finished);
    CHECK(take<bye>(v.out, 1).reason == bye_reason::finished);
  }

  TEST_CASE("who comes after the end is told, and the others are not told again") {
    ventilator v;
    v.worker_joins(10, 5);
    v.machine.end_input();
    v.tick();
    v.out = {};
    v.machine.say_bye(bye_reason::finished, v.now, v.out);
    (void)take<bye>(v.out, 10);
    (void)take<bye>(v.out, 1);
    v.hears(11, hello{wire_version, who(role::worker, 11, 1)});
    (void)take<welcome>(v.out, 11);
    // A sink that is told twice would not know what about: a source of a session that has ended
    // is no source of its own.
    v.hears(1, error_message{wire_error::say_hello, "no session"});
    v.passes(4s, {10});
    v.machine.say_bye(bye_reason::finished, v.now, v.out);
    (void)find<bye>(v.out, 11);
    CHECK(count<bye>(v.out) == 0);
    CHECK(count<hello>(v.out) == 0);
    // Nor does one that comes now get a source that has ended.
    v.hears(2, hello{wire_version, who(role::sink, 2)});
    (void)find<welcome>(v.out, 2);
    CHECK(count<register_source>(v.out) == 0);
    v.machine.say_bye(bye_reason::finished, v.now, v.out);
    (void)find<bye>(v.out, 2);
  }

  TEST_CASE("no tasks at all") {
    ventilator v;
    v.machine.end_input();
    v.tick();
    CHECK(take<finish>(v.out, 1).total == 0);
    (void)take<register_source>(v.out, 1);
    CHECK(!v.machine.complete());
    v.hears(1, registered{the_source, 1, 0, {}});
    CHECK(v.machine.complete());
  }

  TEST_CASE("a FINISH that was lost is said again") {
    ventilator v;
    v.feeds(1);
    v.machine.end_input();
    v.tick();
    (void)take<finish>(v.out, 1);
    v.machine.link_down(peer_id{1}, v.now);
    v.hears(2, hello{wire_version, who(role::sink, 1)});
    (void)take<welcome>(v.out, 2);
    (void)take<register_source>(v.out, 2);
    v.hears(2, registered{the_source, 1, 1, {}});
    CHECK(!v.machine.complete());
    v.tick();
    (void)take<finish>(v.out, 2);
    (void)take<register_source>(v.out, 2);
    v.hears(2, registered{the_source, 1, 1, {}});
    CHECK(v.machine.complete());
  }

  TEST_CASE(
      "when all is committed, a sink that has left is not waited for, at least not for ever") {
    ventilator v;
    v.feeds(1);
    v.machine.end_input();
    v.tick();
    v.acks(1);
    SUBCASE("after its BYE") {
      v.hears(1, bye{});
      CHECK(v.machine.complete());
    }
    SUBCASE("without one") {
      v.machine.link_down(peer_id{1}, v.now);
      v.passes(30s, {});
      CHECK(!v.machine.complete());
      v.passes(1s, {});
      CHECK(v.machine.complete());
    }
  }

  TEST_CASE("with a task unacknowledged a lost sink is waited for, however long it takes") {
    ventilator v;
    v.feeds(1);
    v.machine.end_input();
    v.machine.link_down(peer_id{1}, v.now);
    v.passes(300s, {});
    CHECK(!v.machine.complete());
    CHECK(!v.machine.has_sink());
  }

  TEST_CASE("an ACK beyond what was fed, or for another epoch, is not believed") {
    ventilator v;
    v.feeds(2);
    v.acks(3);
    CHECK(v.machine.outstanding() == 2);
    v.hears(1, ack{the_source, 2, 2, {}});
    CHECK(v.machine.outstanding() == 2);
    v.acks(1, {{2, 2}});
    CHECK(v.machine.outstanding() == 0);
  }

  TEST_CASE("an ACK from anybody but the sink is not believed") {
    ventilator v;
    v.worker_joins(10, 5);
    v.feeds(2);
    v.hears(10, ack{the_source, 1, 2, {}});
    CHECK(v.machine.outstanding() == 2);
  }
}

TEST_SUITE("ventilator: its sink") {
  TEST_CASE("a sink that restarted is told what is done, and given what was given up") {
    ventilator v;
    v.worker_joins(10, 10);
    v.feeds(5);
    v.out = {};
    v.acks(2, {{4, 4}});
    v.fails(10, 3, 1, false);
    v.tick();
    CHECK(take<result_batch>(v.out, 1).runs[0].first == 3);
    v.machine.link_down(peer_id{1}, v.now);
    v.passes(1s, {10});
    CHECK(!v.machine.has_sink());
    v.out = {};
    v.hears(2, hello{wire_version, who(role::sink, 2)});
    (void)take<welcome>(v.out, 2);
    CHECK(take<register_source>(v.out, 2) == register_source{the_source, 1, 2, {{4, 4}}});
    v.hears(2, registered{the_source, 1, 2, {{4, 4}}});
    CHECK(take<result_batch>(v.out, 2).runs[0].first == 3);
    v.hears(2, ack{the_source, 1, 4, {}});
    CHECK(v.machine.outstanding() == 1);
  }

  TEST_CASE(
      "a sink that restarts before the old one is seen to be dead is taken a little later") {
    ventilator v;
    v.hears(2, hello{wire_version, who(role::sink, 2)});
    (void)take<welcome>(v.out, 2);
    CHECK(silent(v.out));  // a second sink, as far as one can see
    v.machine.link_down(peer_id{1}, v.now);
    v.passes(1s, {2});
    (void)find<register_source>(v.out, 2);
  }

  TEST_CASE("a ventilator that collects hands over good results, and keeps the failed ones") {
    auto o = ventilator::defaults();
    o.collects = true;
    ventilator v(o);
    v.worker_joins(10, 5);
    v.feeds(3);
    CHECK(v.given(10) == seq_ranges{{1, 3}});
    auto some = v.machine.on_message(
        peer_id{10},
        result_batch{the_source, {results(1, 2), results(3, 3, 1, status::internal)}}, v.now,
        v.out);
    REQUIRE(some.size() == 1);
    CHECK(some[0].results.runs.size() == 1);
    CHECK(take<committed>(v.out, 10).ranges == seq_ranges{{3, 3}});
    v.machine.on_ack({the_source, 1, 2, {}}, v.now, v.out);
    CHECK(v.machine.outstanding() == 1);
    v.machine.end_input();
    CHECK(!v.machine.complete());
    v.machine.on_ack({the_source, 1, 3, {}}, v.now, v.out);
    CHECK(v.machine.complete());
  }

  TEST_CASE("being fenced is fatal") {
    ventilator v;
    v.hears(1, error_message{wire_error::fenced, "a newer incarnation"});
    CHECK(!v.machine.fatal().empty());
  }

  TEST_CASE("a worker, or a second sink, cannot fence a ventilator") {
    ventilator v;
    v.worker_joins(10, 4);
    v.hears(10, error_message{wire_error::fenced, "a newer incarnation"});
    v.hears(2, hello{wire_version, who(role::sink, 77)});
    v.hears(2, error_message{wire_error::fenced, "a newer incarnation"});
    CHECK(v.machine.fatal().empty());
  }
}

}  // namespace ventilator_state_test
