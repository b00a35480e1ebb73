#include "proto/sink_state.hpp"

#include "dialogue.hpp"
#include "proto/limits.hpp"

namespace sink_state_test {

using namespace std::chrono_literals;
using namespace weir;
using namespace weir::proto;
using namespace weir::proto::dialogue;

namespace {
links::options who_is_sink() {
  return {who(role::sink, 9), 1s, {role::worker, role::ventilator}};
}

source_id numbered(std::uint64_t n) {
  return {{0xee, static_cast<std::uint8_t>(n >> 8), static_cast<std::uint8_t>(n)}};
}

/// A sink that binds, with ventilator 1 on connection 1 and worker 2 on connection 2.
struct sink {
  explicit sink(sink_state::ending when = sink_state::ending())
      : machine(who_is_sink(), t0, when) {}
  sink_state machine;
  outbox out;
  time_point now = t0;

  void hears(std::uint32_t from, message m) {
    machine.on_message(peer_id{from}, std::move(m), now, out);
  }
  void joins(std::uint32_t peer, introduction self) {
    hears(peer, hello{wire_version, std::move(self)});
    (void)take<welcome>(out, peer);
  }
  void registers(std::uint32_t peer = 1, std::uint64_t low = 0) {
    hears(peer, register_source{the_source, 1, low, {}});
    out.opened.clear();
  }
  void both_join() {
    joins(1, who(role::ventilator, 1));
    joins(2, who(role::worker, 2));
    registers();
    (void)take<registered>(out, 1);
    CHECK(silent(out));
  }
  /// So many sources, from this connection, that there is no room for another one.
  void fills_up(std::uint32_t peer = 1) {
    out = {};
    joins(peer, who(role::ventilator, peer));
    for (auto n = machine.stats().sources; n < limits::sources; ++n)
      hears(peer, register_source{numbered(n), 1, 0, {}});
    CHECK(machine.stats().sources == limits::sources);
    out = {};
  }
  void loses_ventilator(std::uint32_t peer) {
    machine.link_down(peer_id{peer}, now);
    now += 1s;
    machine.tick(now, out);
    out = {};
  }
  /// Ticks every half a heartbeat for so long, with the worker alive and the ventilator not.
  void passes(duration time) {
    for (const auto end = now + time; now < end;) {
      now += 500ms;
      hears(2, alive{});
      machine.tick(now, out);
    }
  }
  void commits(seq_range range) {
    out.commits.clear();
    machine.on_committed(the_source, range);
    machine.tick(now, out);
    now += 50ms;  // COMMITTED may take its time, as an ACK may not
    machine.tick(now, out);
  }
};
}  // namespace

TEST_SUITE("sink_state") {
  TEST_CASE("a sink does not end before so many ventilators have come, nor too early") {
    sink s({.ventilators = 2, .not_before = t0 + 10s});
    const auto ventilator_comes_and_goes = [&](std::uint32_t peer) {
      const source_id source{{static_cast<std::uint8_t>(peer)}};
      s.joins(peer, who(role::ventilator, peer));
      s.hears(peer, register_source{source, 1, 0, {}});
      s.hears(peer, finish{source, 1, 0});
      s.machine.tick(s.now, s.out);
      CHECK(!s.machine.complete());
      s.hears(peer, bye{bye_reason::finished});
      s.out = {};
    };
    ventilator_comes_and_goes(1);
    CHECK(!s.machine.complete());
    ventilator_comes_and_goes(3);
    CHECK(s.machine.complete());
    CHECK(!s.machine.may_end(s.now));
    CHECK(s.machine.next_deadline() <= t0 + 10s);
    CHECK(!s.machine.may_end(t0 + 10s - 1ns));
    s.machine.tick(t0 + 10s, s.out);
    CHECK(s.machine.may_end(t0 + 10s));
    CHECK(s.machine.next_deadline() > t0 + 10s);  // for one that serves
    // One more, in the time that is left: it is served as the others.
    s.joins(4, who(role::ventilator, 4));
    s.hears(4, register_source{the_source, 1, 0, {}});
    CHECK(!s.machine.may_end(t0 + 10s));
  }

  TEST_CASE("a whole life: REGISTER, results, FINISH, BYE, and complete only then") {
    sink s;
    CHECK(!s.machine.complete());
    s.both_join();
    s.hears(2, result_batch{the_source, {results(1, 2)}});
    CHECK(s.out.commits.size() == 1);
    s.commits({1, 2});
    CHECK(take<ack>(s.out, 1).low == 2);
    CHECK(take<committed>(s.out, 2).ranges == seq_ranges{{1, 2}});
    s.hears(1, finish{the_source, 1, 2});
    s.machine.tick(s.now, s.out);
    CHECK(take<ack>(s.out, 1).low == 2);
    CHECK(!s.machine.complete());
    s.hears(1, bye{bye_reason::finished});
    CHECK(s.machine.complete());
    CHECK(s.machine.abandoned() == 0);
    CHECK(s.machine.nothing_missing());
    CHECK(s.out.closed == std::vector{the_source});
    s.machine.say_bye(t0, s.out);
    s.out.closed.clear();
    s.out.forgets.clear();
    (void)take<bye>(s.out, 2);
    CHECK(silent(s.out));
  }

  TEST_CASE("a new source is opened with what is done of it, once") {
    sink s;
    s.joins(1, who(role::ventilator, 1));
    s.hears(1, register_source{the_source, 1, 4, {{6, 7}}});
    REQUIRE(s.out.opened.size() == 1);
    CHECK(s.out.opened[0].low == 4);
    CHECK(s.out.opened[0].done == seq_ranges{{6, 7}});
    s.out.opened.clear();
    s.hears(1, register_source{the_source, 1, 4, {{6, 7}}});
    CHECK(s.out.opened.empty());
  }

  TEST_CASE("two ventilators: complete when the second one has finished as well") {
    sink s;
    s.both_join();
    s.joins(3, who(role::ventilator, 3));
    const source_id other{{8}};
    s.hears(3, register_source{other, 1, 0, {}});
    s.hears(1, finish{the_source, 1, 0});
    s.hears(1, bye{bye_reason::finished});
    CHECK(!s.machine.complete());
    s.hears(3, finish{other, 1, 0});
    s.hears(3, bye{bye_reason::finished});
    CHECK(s.machine.complete());
  }

  TEST_CASE("a ventilator that leaves before its tasks are committed has abandoned them") {
    sink s;
    s.both_join();
    s.hears(1, finish{the_source, 1, 2});
    s.hears(1, bye{bye_reason::leaving});
    CHECK(s.machine.abandoned() == 1);
    CHECK(s.machine.complete());  // nothing more will come; abandoned() says how it ended
    CHECK(!s.machine.nothing_missing());
  }

  TEST_CASE("a ventilator that is cut off is waited for, and is the same when it comes back") {
    sink s;
    s.both_join();
    s.passes(6s);
    REQUIRE(s.machine.lost().size() == 1);
    CHECK(!s.machine.complete());
    s.out = {};
    s.joins(5, who(role::ventilator, 1));
    s.registers(5);
    (void)take<registered>(s.out, 5);
    CHECK(s.machine.lost().empty());
  }

  TEST_CASE("a lost ventilator with a task missing is waited for, however long it takes") {
    sink s;
    s.both_join();
    s.hears(1, finish{the_source, 1, 2});
    s.hears(2, result_batch{the_source, {results(1, 1)}});
    s.commits({1, 1});
    s.passes(300s);
    CHECK(!s.machine.complete());
    REQUIRE(s.machine.lost().size() == 1);
    CHECK(s.machine.lost()[0].committed == 1);
    CHECK(!s.machine.nothing_missing());
    CHECK(s.machine.lost()[0].total == 2);
  }

  TEST_CASE("a lost ventilator whose tasks are all committed has finished: its BYE was lost") {
    sink s;
    s.both_join();
    s.hears(1, finish{the_source, 1, 1});
    s.hears(2, result_batch{the_source, {results(1, 1)}});
    s.commits({1, 1});
    s.passes(5s);  // silent for five heartbeats: lost
    CHECK(!s.machine.complete());
    s.passes(19s + 500ms);
    CHECK(!s.machine.complete());
    s.passes(500ms);
    CHECK(s.machine.complete());
    // Should it come back after all, it meets a sink that remembers.
    s.out = {};
    s.joins(5, who(role::ventilator, 1));
    s.registers(5);
    CHECK(take<registered>(s.out, 5).low == 1);
    CHECK(!s.machine.complete());
  }

  TEST_CASE("a total that is not known is never taken for reached") {
    sink s;
    s.both_join();
    s.hears(2, result_batch{the_source, {results(1, 1)}});
    s.commits({1, 1});
    s.passes(300s);
    CHECK(!s.machine.complete());
  }

  TEST_CASE("workers that came before their ventilator are asked to send again") {
    sink s;
    s.joins(2, who(role::worker, 2));
    s.hears(2, result_batch{the_source, {results(1, 2)}});
    s.machine.tick(t0, s.out);
    CHECK(silent(s.out));
    s.joins(1, who(role::ventilator, 1));
    s.registers();
    (void)take<registered>(s.out, 1);
    CHECK(take<resend>(s.out, 2).source == the_source);
    CHECK(silent(s.out));
  }

  TEST_CASE("only a ventilator can register, and an old one is fenced") {
    sink s;
    s.both_join();
    s.hears(2, register_source{the_source, 1, 0, {}});
    CHECK(silent(s.out));
    s.hears(1, register_source{the_source, 3, 0, {}});
    (void)take<registered>(s.out, 1);
    s.hears(1, register_source{the_source, 2, 0, {}});
    CHECK(take<error_message>(s.out, 1).code == wire_error::fenced);
  }

  TEST_CASE("a source that is lost and complete makes room for the next one, and no earlier") {
    sink s;
    s.fills_up();
    s.hears(1, finish{numbered(7), 1, 0});
    s.hears(1, finish{numbered(3000), 1, 0});
    s.loses_ventilator(1);
    s.passes(19s);
    s.out = {};
    s.joins(3, who(role::ventilator, 3));
    s.hears(3, register_source{the_source, 1, 0, {}});
    CHECK(take<error_message>(s.out, 3).code == wire_error::too_many);
    s.passes(1s);
    s.out = {};
    s.hears(3, register_source{the_source, 1, 0, {}});
    (void)take<registered>(s.out, 3);
    CHECK(s.out.closed == std::vector{numbered(7)});
    CHECK(s.out.notices.empty());
    CHECK(s.machine.abandoned() == 0);
    CHECK(s.machine.stats().finished == 1);
    CHECK(s.machine.stats().sources == limits::sources);
  }

  TEST_CASE("if all that are lost have tasks missing, the first one is given up, and told of") {
    sink s;
    s.joins(1, who(role::ventilator, 1));
    s.hears(1, register_source{numbered(0), 1, 3, {}});
    s.loses_ventilator(1);
    s.passes(10s);
    s.fills_up(4);
    s.loses_ventilator(4);
    s.passes(20s);
    s.out = {};
    s.joins(3, who(role::ventilator, 3));
    s.hears(3, register_source{the_source, 1, 0, {}});
    (void)take<registered>(s.out, 3);
    CHECK(s.out.closed == std::vector{numbered(0)});
    REQUIRE(s.out.notices.size() == 2);  // one is that it joined
    CHECK(s.out.notices[1].level == severity::warning);
    CHECK(s.out.notices[1].text ==
          "ventilator ventilator1 has not come back, and makes room, before all its tasks were "
          "done: 3 are committed");
    CHECK(s.machine.abandoned() == 1);
    // Never 0 with a task missing, even when the others have all finished.
    CHECK(!s.machine.nothing_missing());
    s.out = {};
    s.joins(5, who(role::ventilator, 1));
    s.hears(5, register_source{numbered(0), 1, 0, {}});
    CHECK(take<error_message>(s.out, 5).code == wire_error::fenced);
    s.hears(5, register_source{numbered(0), 2, 0, {}});
    CHECK(take<error_message>(s.out, 5).code == wire_error::fenced);
  }

  TEST_CASE("sources whose ventilators are there never make room") {
    sink s;
    s.fills_up();
    s.hears(1, finish{numbered(7), 1, 0});
    for (int i = 0; i < 100; ++i) {
      s.hears(1, alive{});
      s.passes(500ms);
    }
    s.out = {};
    s.joins(3, who(role::ventilator, 3));
    s.hears(3, register_source{the_source, 1, 0, {}});
    CHECK(take<error_message>(s.out, 3).code == wire_error::too_many);
    CHECK(s.out.closed.empty());
  }

  TEST_CASE("a source that comes back in another session belongs to that one") {
    sink s;
    s.both_join();
    s.joins(5, who(role::ventilator, 6));
    s.hears(5, register_source{the_source, 2, 0, {}});
    (void)take<registered>(s.out, 5);
    s.machine.link_down(peer_id{1}, s.now);
    s.now += 1s;
    s.machine.tick(s.now, s.out);
    CHECK(s.machine.lost().empty());
  }

  TEST_CASE("a sink that cannot read because it is behind takes nobody for dead") {
    sink s;
    s.both_join();
    for (int i = 0; i < 100; ++i) {
      s.now += 500ms;
      s.machine.not_listening(s.now);
      s.machine.tick(s.now, s.out);
    }
    CHECK(s.machine.lost().empty());
  }
}

}  // namespace sink_state_test
