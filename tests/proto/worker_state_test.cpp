// A worker: tasks and results, cancelling, and how many tasks it asks for.
#include "worker_fixture.hpp"

namespace worker_state_test {

using namespace std::chrono_literals;
using namespace weir;
using namespace weir::proto;
using namespace weir::proto::dialogue;

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

  TEST_CASE("a sink that also comes by itself gets what is meant for its endpoint") {
    worker w;
    SUBCASE("after it was found there") { w.hears(3, hello{wire_version, who(role::sink, 2)}); }
    SUBCASE("before it was found there") {
      w.machine.link_down(peer_id{2}, w.now);
      w.tick(1s);
      w.hears(3, hello{wire_version, who(role::sink, 2)});
      w.machine.link_up(peer_id{2}, w.now, w.out);
      w.sink_joins();
    }
    w.out.sends.clear();
    w.gets(1, 1);
    w.out.sends.clear();
    w.finishes(1, 1);
    // On its own connection: its session is smaller than the worker's.
    CHECK(find<result_batch>(w.out, 3).runs[0].last() == 1);
    w.hears(3, committed{the_source, {{1, 1}}});
    CHECK(w.machine.stats().held == 0);
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

}  // namespace worker_state_test
