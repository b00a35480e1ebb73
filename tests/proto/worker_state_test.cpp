#include "proto/worker_state.hpp"

#include "dialogue.hpp"

namespace worker_state_test {

using namespace std::chrono_literals;
using namespace weir;
using namespace weir::proto;
using namespace weir::proto::dialogue;

namespace {
/// A worker that connects to ventilator 1 on connection 1; its results go to sink 2 on
/// connection 2, or, without one, back to the ventilator.
struct worker {
  worker_state machine;
  outbox out;
  time_point now = t0;
  bool has_sink;

  static worker_state::options slots(std::uint32_t n) {
    worker_state::options o;
    o.slots = n;
    return o;
  }
  explicit worker(worker_state::options o = slots(2), bool sink = true)
      : machine({who(role::worker, 9), 1s, {role::ventilator, role::sink}}, o, t0),
        has_sink(sink) {
    machine.link_opened(peer_id{1}, t0, out);
    (void)take<hello>(out, 1);
    ventilator_joins();
    if (sink) {
      REQUIRE(out.connects == std::vector<std::string>{"the sink"});
      out.connects.clear();
      machine.sink_opened("the sink", peer_id{2}, t0, out);
      (void)find<hello>(out, 2);
      sink_joins();
    }
    const auto first = take<window>(out, 1);
    CHECK(first.resync);
    CHECK(first.holding.empty());
    CHECK(first.items == o.slots);
    tick();
    out.sends.clear();
    CHECK(silent(out));
  }
  void hears(std::uint32_t from, message m) {
    machine.on_message(peer_id{from}, std::move(m), now, out);
  }
  void ventilator_joins(std::uint64_t session = 1) {
    auto v = who(role::ventilator, session);
    v.results_to = has_sink ? "the sink" : "";
    hears(1, welcome{wire_version, v, 1000});
  }
  void sink_joins(std::uint64_t session = 2) {
    hears(2, welcome{wire_version, who(role::sink, session), 1000});
  }
  void tick(duration later = {}) {
    now += later;
    machine.tick(now, out);
  }
  void gets(std::uint64_t first, std::uint32_t count, std::uint32_t attempt = 1) {
    hears(1, task_batch{the_source, {{first, attempt, tasks(count), 0}}});
    tick();
  }
  /// What the slots are to run, from now on.
  seq_ranges starts(std::uint32_t attempt = 1) {
    seq_ranges all;
    for (const auto& s : std::exchange(out.starts, {})) {
      CHECK(s.attempt == attempt);
      append_range(all, {s.first, s.first + s.payloads.size() - 1});
    }
    return all;
  }
  void finishes(result_run run, duration busy = 1s) {
    const auto first = run.first;
    const auto last = run.last();
    machine.on_finished({the_source, first, last, {std::move(run)}, {}, busy}, now, out);
  }
  void finishes(std::uint64_t first, std::uint64_t last, duration busy = 1s) {
    finishes(results(first, last), busy);
  }
  void reconnects(std::uint32_t peer) {
    machine.link_down(peer_id{peer}, now);
    machine.link_up(peer_id{peer}, now, out);
    (void)find<hello>(out, peer);
    out.sends.clear();
  }
  std::uint64_t in_hand() {
    const auto c = machine.stats();
    return c.queued + c.running + c.held;
  }
};
}  // namespace

TEST_SUITE("worker: tasks and results") {
  TEST_CASE("as many tasks run as there are slots, and the next when one is done") {
    worker w;
    w.gets(1, 5);
    CHECK(w.starts() == seq_ranges{{1, 2}});
    w.finishes(2, 2);
    w.tick();
    CHECK(w.starts() == seq_ranges{{3, 3}});
    CHECK(w.machine.stats().queued == 2);
    CHECK(w.machine.stats().running == 2);
    CHECK(w.machine.stats().held == 1);
  }

  TEST_CASE("a good result goes to the sink and is kept until it is COMMITTED") {
    worker w;
    w.gets(1, 2);
    w.finishes(1, 2);
    CHECK(take<result_batch>(w.out, 2).runs[0].last() == 2);
    w.hears(2, committed{the_source, {{1, 1}}});
    CHECK(w.machine.stats().held == 1);
    w.hears(2, committed{the_source, {{2, 2}}});
    w.hears(2, committed{the_source, {{2, 2}}});
    CHECK(w.machine.stats().held == 0);
    CHECK(w.machine.stats().held_bytes == 0);
  }

  TEST_CASE("a failure goes to the ventilator, which says COMMITTED for it") {
    worker w;
    w.gets(1, 1);
    w.finishes(results(1, 1, 1, status::internal));
    CHECK(take<result_batch>(w.out, 1).runs[0].code == status::internal);
    w.hears(2, committed{the_source, {{1, 1}}});  // the sink knows nothing of it
    CHECK(w.machine.stats().held == 1);
    w.hears(1, committed{the_source, {{1, 1}}});
    CHECK(w.machine.stats().held == 0);
  }

  TEST_CASE("without a sink good results go to the ventilator too") {
    worker w(worker::slots(1), false);
    w.gets(1, 1);
    w.finishes(1, 1);
    (void)take<result_batch>(w.out, 1);
    w.hears(1, committed{the_source, {{1, 1}}});
    CHECK(w.in_hand() == 0);
  }

  TEST_CASE("tasks that are sent twice are run once") {
    worker w(worker::slots(1));
    w.gets(1, 3);
    CHECK(w.starts() == seq_ranges{{1, 1}});
    w.gets(1, 4);
    CHECK(w.in_hand() == 4);
    w.finishes(1, 1);
    w.gets(1, 4);
    CHECK(w.in_hand() == 4);
    CHECK(w.starts() == seq_ranges{{2, 2}});
  }

  TEST_CASE("a task that comes again with another attempt is of that attempt from then on") {
    worker w(worker::slots(1));
    w.gets(1, 2);
    CHECK(w.starts() == seq_ranges{{1, 1}});
    w.gets(1, 2, 2);
    w.finishes(results(1, 1, 1, status::internal));
    CHECK(find<result_batch>(w.out, 1).runs[0].attempt == 2);
    w.tick();
    CHECK(w.starts(2) == seq_ranges{{2, 2}});
  }

  TEST_CASE("a task that comes again after its failure is run again") {
    worker w(worker::slots(1));
    w.gets(1, 1);
    (void)w.starts();
    w.finishes(results(1, 1, 1, status::internal));
    w.gets(1, 1, 2);  // and the COMMITTED for the failure was lost
    CHECK(w.starts(2) == seq_ranges{{1, 1}});
    CHECK(w.machine.stats().held == 0);
  }

  TEST_CASE("tasks of two ventilators take turns") {
    worker w(worker::slots(1));
    w.hears(3, hello{wire_version, who(role::ventilator, 3)});
    const source_id other{{8}};
    w.hears(3, task_batch{other, {{1, 1, tasks(5), 0}}});
    w.gets(1, 5);
    std::vector<source_id> order;
    for (int i = 0; i < 6; ++i) {
      REQUIRE(w.out.starts.size() == 1);
      const auto s = std::exchange(w.out.starts, {}).front();
      order.push_back(s.source);
      w.machine.on_finished({s.source, s.first, s.first, {results(s.first, s.first)}, {}, 1s},
                            w.now, w.out);
      w.tick();
    }
    CHECK(std::count(order.begin(), order.end(), other) == 3);
  }

  TEST_CASE("tasks from who is no ventilator are not taken") {
    worker w;
    w.hears(2, task_batch{the_source, {{1, 1, tasks(1), 0}}});
    w.tick();
    CHECK(w.in_hand() == 0);
  }
}

TEST_SUITE("worker: cancelling") {
  TEST_CASE("what nobody wants any more is dropped if it waits, and stopped if it runs") {
    worker w(worker::slots(1));
    w.gets(1, 3);
    CHECK(w.starts() == seq_ranges{{1, 1}});
    w.hears(1, cancel{the_source, {{1, 2}}, cancel_mode::stop});
    REQUIRE(w.out.stops.size() == 1);
    CHECK(w.out.stops[0].range == seq_range{1, 1});
    w.out.stops.clear();
    w.out.sends.clear();
    w.finishes(results(1, 1, 1, status::cancelled));
    CHECK(silent(w.out));  // the outcome is of no interest
    w.tick();
    CHECK(w.starts() == seq_ranges{{3, 3}});
  }

  TEST_CASE("what is wanted back is RELEASED if it has not been begun, and kept otherwise") {
    worker w(worker::slots(1));
    w.gets(1, 5);
    (void)w.starts();
    w.hears(1, cancel{the_source, {{1, 1}, {3, 4}}, cancel_mode::give_back});
    CHECK(take<release>(w.out, 1).ranges == seq_ranges{{3, 4}});
    CHECK(w.in_hand() == 3);
    // Handed to the slots: whether it has been begun they know.
    REQUIRE(w.out.stops.size() == 1);
    CHECK(w.out.stops[0].range == seq_range{1, 1});
    CHECK(w.out.stops[0].mode == cancel_mode::give_back);
    w.out.stops.clear();
    CHECK(silent(w.out));
  }

  TEST_CASE("a task that is wanted again while it is being stopped is run again after that") {
    worker w(worker::slots(2));
    w.gets(1, 1);
    (void)w.starts();
    w.hears(1, cancel{the_source, {{1, 1}}, cancel_mode::stop});
    w.gets(1, 1, 3);
    CHECK(w.starts().empty());
    w.finishes(results(1, 1, 1, status::cancelled));
    w.tick();
    CHECK(w.starts(3) == seq_ranges{{1, 1}});
    w.out.sends.clear();
    w.finishes(results(1, 1, 3));
    (void)take<result_batch>(w.out, 2);
  }

  TEST_CASE("only the task's own ventilator can cancel it") {
    worker w;
    w.hears(3, hello{wire_version, who(role::ventilator, 3)});
    w.gets(1, 2);
    w.out = {};
    w.hears(3, cancel{the_source, {{1, 2}}, cancel_mode::stop});
    CHECK(silent(w.out));
  }
}

TEST_SUITE("worker: the window") {
  TEST_CASE(
      "it is the slots at first, and about a tenth of a second's work once that is known") {
    worker w(worker::slots(2));
    w.gets(1, 1);
    w.finishes(1, 1, 1ms);  // a slot does 100 of these in that time, two do 200
    w.tick();
    CHECK(find<window>(w.out, 1).items == 17);  // no faster than eightfold; and the one held
    w.tick();
    CHECK(count<window>(w.out) == 0);  // one quick task says no more the second time
    w.gets(2, 1);
    w.finishes(2, 2, 1ms);
    w.tick();
    CHECK(find<window>(w.out, 1).items == 130);
    w.gets(3, 1);
    w.finishes(3, 3, 1ms);
    w.tick();
    CHECK(find<window>(w.out, 1).items == 203);
  }

  TEST_CASE("tasks of an hour leave it at the slots") {
    worker w(worker::slots(2));
    w.gets(1, 2);
    w.finishes(1, 2, 7200s);
    w.hears(2, committed{the_source, {{1, 2}}});
    w.out.sends.clear();
    w.tick();
    CHECK(w.machine.stats().window == 2);
  }

  TEST_CASE("results that wait for the sink take nothing from it") {
    worker w(worker::slots(2));
    for (std::uint64_t seq = 1; seq <= 50; seq += 2) {
      w.gets(seq, 2);
      w.finishes(seq, seq + 1);
      w.tick();
      CHECK(w.machine.stats().window >= w.machine.stats().held + 2);
    }
  }

  TEST_CASE("it never is 0 but for a drain, however much is held") {
    auto o = worker::slots(1);
    o.max_held_bytes = 1;
    worker w(o);
    w.gets(1, 1);
    w.finishes(1, 1);
    w.tick();
    CHECK(w.machine.stats().window == 1);
    w.machine.drain();
    w.tick();
    CHECK(find<window>(w.out, 1).items == 0);
  }

  TEST_CASE("results that nobody takes keep a worker from starting more, but not the oldest") {
    auto o = worker::slots(1);
    o.max_held_bytes = 2;
    worker w(o);
    w.gets(2, 4);
    CHECK(w.starts() == seq_ranges{{2, 2}});
    w.finishes(2, 2);
    w.tick();
    CHECK(w.starts() == seq_ranges{{3, 3}});
    w.finishes(3, 3);
    w.tick();
    REQUIRE(w.machine.stats().held_bytes == 2);
    CHECK(w.out.starts.empty());
    // A sink that keeps order may be waiting for this one, and take the others after it.
    w.gets(1, 1);
    CHECK(w.starts() == seq_ranges{{1, 1}});
    w.finishes(1, 1);
    w.tick();
    CHECK(w.out.starts.empty());
    w.hears(2, committed{the_source, {{1, 3}}});
    w.tick();
    CHECK(w.starts() == seq_ranges{{4, 4}});
  }
}

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

}  // namespace worker_state_test
