#include "ventilator_fixture.hpp"

namespace ventilator_recovery_test {

using namespace std::chrono_literals;
using namespace weir;
using namespace weir::proto;
using namespace weir::proto::dialogue;

namespace {
/// With workers on these connections, and `count` tasks leased to the first.
struct busy : ventilator {
  explicit busy(std::uint32_t count, std::uint32_t max_attempts = 3)
      : ventilator([&] {
          auto o = defaults();
          o.max_attempts = max_attempts;
          return o;
        }()) {
    joins(10);
    feeds(count);
    out = {};
  }
  void joins(std::uint32_t peer, std::vector<in_hand> holding = {}) {
    worker_joins(peer, 100, 1, std::move(holding));
    known.insert(peer);
  }
};
}  // namespace

TEST_SUITE("ventilator: failures") {
  TEST_CASE("a task that fails is tried again after a wait that grows, then given up") {
    busy v(1);
    v.fails(10, 1, 1);
    v.tick(40ms);
    CHECK(silent(v.out));
    v.tick(80ms);  // 50 to 100 ms, on a grid of 10
    CHECK(v.given(10, 2) == seq_ranges{{1, 1}});
    v.fails(10, 1, 2);
    v.tick(90ms);
    CHECK(silent(v.out));
    v.tick(130ms);
    CHECK(v.given(10, 3) == seq_ranges{{1, 1}});
    v.fails(10, 1, 3);
    REQUIRE(v.out.failures.size() == 1);
    CHECK(v.out.failures[0].code == status::internal);
    CHECK(v.out.failures[0].payloads[0] == "x");
    v.out.failures.clear();
    v.tick();
    const auto outcome = take<result_batch>(v.out, 1);
    CHECK(outcome.runs[0].code == status::internal);
    CHECK(outcome.runs[0].payloads[0] == "no");
    CHECK(v.machine.outstanding() == 1);  // until the sink has it
    v.acks(1);
    CHECK(v.machine.outstanding() == 0);
    CHECK(silent(v.out));
  }

  TEST_CASE("a failure that cannot be mended is not tried again") {
    busy v(1);
    v.fails(10, 1, 1, false);
    CHECK(v.out.failures.size() == 1);
  }

  TEST_CASE("a failure of an earlier attempt, said again, is noted and nothing else") {
    busy v(1);
    v.fails(10, 1, 1);
    v.fails(10, 1, 1);
    CHECK(v.machine.stats().retried == 1);
  }

  TEST_CASE("a task that cannot be sent at all fails at once") {
    ventilator v;
    v.machine.feed_refused(status::resource_exhausted, "too long", v.out);
    CHECK(v.out.failures.size() == 1);
    v.out.failures.clear();
    v.tick();
    CHECK(take<result_batch>(v.out, 1).runs[0].details[0].message == "too long");
    v.acks(1);
    CHECK(v.machine.outstanding() == 0);
  }
}

TEST_SUITE("ventilator: workers that go") {
  TEST_CASE("a worker that says BYE loses no task, and costs no attempt") {
    busy v(3);
    v.hears(10, bye{});
    v.out = {};
    v.joins(11);
    v.tick();
    CHECK(silent(v.out));  // their ACK may be under way
    v.acks(1);
    v.tick(110ms);
    CHECK(v.given(11, 2) == seq_ranges{{2, 3}});
    CHECK(v.machine.stats().lost_workers == 0);
  }

  TEST_CASE(
      "what a dead worker had is tried again, one suspect at a time, beside fresh tasks") {
    busy v(3);
    v.dies(10);
    v.feeds(4);
    CHECK(v.machine.stats().queued == 7);
    v.joins(11);
    v.tick();
    CHECK(v.given(11, 2) == seq_ranges{{1, 1}});
    CHECK(v.given(11) == seq_ranges{{4, 7}});
    CHECK(silent(v.out));
    v.acks(1);
    v.cancels(11, {1, 1});
    v.tick();
    CHECK(v.given(11, 2) == seq_ranges{{2, 2}});
    v.joins(12);
    v.tick();
    CHECK(v.given(12, 2) == seq_ranges{{3, 3}});
    CHECK(silent(v.out));
  }

  TEST_CASE("a task that kills its workers is given up, and its neighbours survive") {
    busy v(3);
    std::uint32_t peer = 10;
    std::size_t deaths = 0;
    for (; v.out.failures.empty() && deaths < 20; ++deaths) {
      v.dies(peer);
      v.out.sends.clear();
      v.joins(++peer);
      v.tick();
      // It works on whatever it is given, until it comes to task 2.
      for (bool lives = true; lives && v.out.failures.empty();) {
        seq_ranges done;
        for (const auto& o : v.out.sends)
          if (const auto* t = std::get_if<task_batch>(&o.what))
            for (const auto& run : t->runs)
              for (auto seq = run.first; seq <= run.last(); ++seq) {
                lives &= seq != 2;
                if (lives) done.push_back({seq, seq});
              }
        v.out.sends.clear();
        if (done.empty()) break;
        v.acks(0, done);
        v.tick();
      }
    }
    REQUIRE(v.out.failures.size() == 1);
    CHECK(v.out.failures[0].first == 2);
    CHECK(v.out.failures[0].code == status::unavailable);
    CHECK(deaths == 3);
    CHECK(v.machine.stats().failed == 1);
    CHECK(v.given(peer, 2) == seq_ranges{{3, 3}});
  }

  TEST_CASE("the last chance of a suspect is to have a worker for itself") {
    busy v(2, 2);  // with two attempts, one death makes the next one the last
    v.dies(10);
    v.feeds(4);
    v.joins(11);
    v.joins(12);
    v.tick();
    CHECK(v.given(11, 2) == seq_ranges{{1, 1}});
    CHECK(v.given(12, 2) == seq_ranges{{2, 2}});
    CHECK(silent(v.out));  // nothing beside them
    v.acks(1);
    v.cancels(11, {1, 1});
    v.tick();
    CHECK(v.given(11) == seq_ranges{{3, 6}});
    v.dies(11);  // of a task that was not suspected: all four are, now, but none is given up
    CHECK(v.out.failures.empty());
    v.dies(12);
    REQUIRE(v.out.failures.size() == 1);
    CHECK(v.out.failures[0].first == 2);
  }

  TEST_CASE("a worker is emptied for a last chance if none is empty") {
    busy v(1, 2);
    v.dies(10);
    v.joins(11);
    v.tick();
    CHECK(v.given(11, 2) == seq_ranges{{1, 1}});
    v.acks(1);
    v.cancels(11, {1, 1});
    v.feeds(2);
    CHECK(v.given(11) == seq_ranges{{2, 3}});
    v.joins(12);
    v.feeds(1);
    CHECK(v.given(12) == seq_ranges{{4, 4}});
    v.dies(12);  // 4 is on its last chance, and 11 has 2 and 3
    v.feeds(3);
    CHECK(silent(v.out));
    v.acks(2);
    v.tick();
    CHECK(silent(v.out));
    v.acks(3);
    v.tick();
    CHECK(v.given(11, 2) == seq_ranges{{4, 4}});
    CHECK(silent(v.out));
    v.acks(4);
    v.cancels(11, {4, 4});
    v.tick();
    CHECK(v.given(11) == seq_ranges{{5, 7}});
  }

  TEST_CASE("with one attempt allowed, what a dead worker had is given up: it may have run") {
    busy v(2, 1);
    v.dies(10);
    CHECK(v.out.failures.size() == 2);
  }
}

TEST_SUITE("ventilator: workers that come back") {
  TEST_CASE("what was lost on the way is sent again after a moment, at no cost") {
    busy v(4);
    v.machine.link_down(peer_id{10}, v.now);
    v.hears(11, hello{wire_version, who(role::worker, 10)});
    (void)find<welcome>(v.out, 11);
    v.hears(11, window{100, 1000, true, {{the_source, {{1, 2}}}}});
    v.out = {};
    v.tick();
    CHECK(silent(v.out));
    v.acks(0, {{3, 3}});  // this one had only its ACK under way
    v.tick(110ms);
    CHECK(v.given(11, 2) == seq_ranges{{4, 4}});
    CHECK(v.machine.stats().retried == 0);
  }

  TEST_CASE("what a worker kept although it was given up is its own again") {
    busy v(3);
    v.dies(10);
    CHECK(v.machine.stats().queued == 3);
    v.joins(10, {{the_source, {{1, 3}}}});
    v.tick();
    CHECK(v.machine.stats().leased == 3);
    CHECK(silent(v.out));
    // Nor are its tasks suspects any more: three failures are needed to give one up.
    v.fails(10, 1, 1);
    v.out = {};
    v.tick(200ms);
    CHECK(v.given(10, 2) == seq_ranges{{1, 1}});
    v.fails(10, 1, 2);
    CHECK(v.out.failures.empty());
  }

  TEST_CASE("what others have by now, or what is done, it is told to stop") {
    busy v(3);
    v.dies(10);
    v.joins(11);
    v.tick();
    CHECK(v.given(11, 2) == seq_ranges{{1, 1}});
    v.acks(0, {{3, 3}});
    v.joins(10, {{the_source, {{1, 3}}}});
    const auto stop = take<cancel>(v.out, 10);
    CHECK(stop.mode == cancel_mode::stop);
    CHECK(stop.ranges == seq_ranges{{1, 1}, {3, 3}});
    v.tick();
    CHECK(v.machine.stats().leased == 2);
    CHECK(silent(v.out));
  }

  TEST_CASE(
      "of a task that was sent twice, the one that still runs is stopped when it is done") {
    busy v(1);
    v.dies(10);
    v.joins(11);
    v.tick();
    (void)v.given(11, 2);
    v.acks(1);
    CHECK(take<cancel>(v.out, 11).ranges == seq_ranges{{1, 1}});
  }

  TEST_CASE("thousands of separate tasks in hand are compared and taken back in no time") {
    ventilator v;
    constexpr std::uint32_t many = 65'536;
    v.worker_joins(10, many, 1, {}, std::uint64_t{1} << 40);
    for (std::uint32_t i = 0; i < many; ++i) v.machine.feed(tasks(1));
    v.tick();
    CHECK(v.machine.stats().leased == many);
    v.out = {};
    seq_ranges odd;
    for (std::uint64_t seq = 1; seq < many / 2; seq += 2) odd.push_back({seq, seq});
    v.hears(10, alive{});
    v.worker_joins(10, many, 1, {{the_source, odd}}, std::uint64_t{1} << 40);
    CHECK(v.machine.stats().leased == odd.size());
    v.tick(110ms);
    CHECK(v.machine.stats().leased == many);
    v.machine.link_down(peer_id{10}, v.now);
    v.passes(1s, {1});
    CHECK(v.machine.stats().queued == many);
    v.acks(many);
    CHECK(v.machine.outstanding() == 0);
  }
}

}  // namespace ventilator_recovery_test
