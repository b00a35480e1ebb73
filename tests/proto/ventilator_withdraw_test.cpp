#include "ventilator_fixture.hpp"

namespace ventilator_withdraw_test {

using namespace std::chrono_literals;
using namespace weir;
using namespace weir::proto;
using namespace weir::proto::dialogue;

namespace {
/// Eight tasks, of which 1 to 4 are with worker 10, and the others with worker 11, the keeper.
struct shared_out : ventilator {
  shared_out() {
    worker_joins(10, 4);
    worker_joins(11, 100);
    known = {10, 11};
    feeds(8);
    CHECK(given(10) == seq_ranges{{1, 4}});
    CHECK(given(11) == seq_ranges{{5, 8}});
    CHECK(silent(out));
  }
  void withdraws(cancel_mode how, seq_range from_10) {
    REQUIRE(machine.withdraw(peer_id{11}, how, now, out));
    const auto c = take<cancel>(out, 10);
    CHECK(c.mode == how);
    CHECK(c.ranges == seq_ranges{from_10});
    CHECK(silent(out));
  }
};
}  // namespace

TEST_SUITE("ventilator: withdraw") {
  TEST_CASE("what others have not begun goes to the keeper, and nobody else gets any more") {
    shared_out v;
    v.withdraws(cancel_mode::give_back, {1, 4});
    v.hears(10, release{the_source, {{2, 4}}});
    v.worker_joins(12, 100);
    v.tick();
    CHECK(v.given(11, 2) == seq_ranges{{2, 4}});
    v.feeds(2);
    CHECK(v.given(11) == seq_ranges{{9, 10}});
    v.fails(10, 1, 1);  // what it had begun
    v.tick(200ms);
    CHECK(v.given(11, 2) == seq_ranges{{1, 1}});
    CHECK(silent(v.out));
    v.acks(10);
    CHECK(v.machine.outstanding() == 0);
  }

  TEST_CASE("with all, others end what they run, and the keeper gets that too") {
    shared_out v;
    v.withdraws(cancel_mode::stop, {1, 4});
    v.tick();
    CHECK(v.given(11, 2) == seq_ranges{{1, 4}});
    v.tick(200ms);
    CHECK(silent(v.out));
  }

  TEST_CASE("at first what has not been begun, and then the rest") {
    shared_out v;
    v.withdraws(cancel_mode::give_back, {1, 4});
    v.hears(10, release{the_source, {{3, 4}}});
    v.tick();
    CHECK(v.given(11, 2) == seq_ranges{{3, 4}});
    v.withdraws(cancel_mode::stop, {1, 2});
    v.tick();
    CHECK(v.given(11, 2) == seq_ranges{{1, 2}});
  }

  TEST_CASE("a worker that comes back with tasks is asked for them as well") {
    shared_out v;
    v.machine.link_down(peer_id{10}, v.now);
    REQUIRE(v.machine.withdraw(peer_id{11}, cancel_mode::stop, v.now, v.out));
    v.hears(10, hello{wire_version, who(role::worker, 10)});
    (void)take<welcome>(v.out, 10);
    v.hears(10, window{4, 1 << 20, true, {{the_source, {{1, 4}}}}});
    const auto c = take<cancel>(v.out, 10);
    CHECK(c.mode == cancel_mode::stop);
    CHECK(c.ranges == seq_ranges{{1, 4}});
    v.tick();
    CHECK(v.given(11, 2) == seq_ranges{{1, 4}});
    CHECK(silent(v.out));
  }

  TEST_CASE("nothing changes before the keeper has joined") {
    ventilator v;
    v.worker_joins(10, 4);
    CHECK(!v.machine.withdraw(peer_id{11}, cancel_mode::stop, v.now, v.out));
    v.feeds(1);
    CHECK(v.given(10) == seq_ranges{{1, 1}});
  }
}

TEST_SUITE("ventilator: commands only") {
  TEST_CASE("a worker with a command of its own gets no task, and that is said") {
    auto options = ventilator::defaults();
    options.commands_only = true;
    ventilator v(options);
    v.hears(10, hello{wire_version, who(role::worker, 10)});
    (void)take<welcome>(v.out, 10);
    REQUIRE(v.out.notices.size() == 1);
    CHECK(v.out.notices[0].text.find("--accept-command") != std::string::npos);
    v.out.notices.clear();
    v.hears(10, window{4, 1 << 20, true, {}});
    v.feeds(3);
    CHECK(silent(v.out));

    auto taker = who(role::worker, 11);
    taker.takes_commands = true;
    v.hears(11, hello{wire_version, taker});
    (void)take<welcome>(v.out, 11);
    v.out.notices.clear();
    v.hears(11, window{4, 1 << 20, true, {}});
    v.tick();
    CHECK(v.given(11) == seq_ranges{{1, 3}});
    CHECK(silent(v.out));
  }
}

}  // namespace ventilator_withdraw_test
