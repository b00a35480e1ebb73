// The called end: what is left of callers that go.
#include "called_node.hpp"
#include "dialogue.hpp"
#include "proto/backoff.hpp"
#include "proto/limits.hpp"
#include "proto/rpc/callee.hpp"
#include "proto/rpc/link_numbers.hpp"
#include "proto/seq_set.hpp"
#include "proto/wire.hpp"

namespace rpc_callee_departures_test {

using namespace weir;
using namespace weir::proto;
using namespace weir::proto::dialogue;
using namespace called_nodes;

TEST_SUITE("callee: callers that go") {
  TEST_CASE("a caller's death names its open calls, and their answers are dropped") {
    called_node w;
    w.joins(client1);
    (void)w.gets(client1, 1, 3);
    w.replies(client1, 2, 1);
    CHECK(w.calls.lost(client1) == std::vector<call_key>{{client1, 1}, {client1, 3}});
    CHECK(w.calls.open() == 0);
    w.replies(client1, 1, 3);
    w.flush();
    CHECK(silent(w.out));
    CHECK(w.calls.kept_bytes() == 0);
  }

  TEST_CASE("a caller that was given up and comes back runs nothing twice") {
    called_node w;
    w.joins(client1);
    (void)w.gets(client1, 1, 3);
    w.replies(client1, 1, 1);
    (void)w.calls.lost(client1);
    w.joins(client1);
    CHECK(w.gets(client1, 1, 5) == seq_ranges{{4, 5}});
    w.flush();
    const auto lost = w.replied_once(client1);
    CHECK(lost.first == 1);
    CHECK(lost.last() == 3);
    CHECK(lost.code == status::unavailable);
    CHECK(!lost.details[0].never_started);
  }

  TEST_CASE("a caller that has given calls up without a word does not want them any more") {
    called_node w;
    w.joins(client1);
    (void)w.gets(client1, 1, 3);
    (void)w.gets(client1, 4, 1, unanswered());
    std::vector<call_key> unwanted;
    (void)w.calls.on_calls(client1, {1, {}}, w.now, &unwanted);
    CHECK(unwanted == std::vector<call_key>{{client1, 1}});
    unwanted.clear();
    (void)w.calls.on_calls(client1, {4, {}}, w.now, &unwanted);
    CHECK(unwanted == std::vector<call_key>{{client1, 2}, {client1, 3}});
    w.replies(client1, 1, 4);
    w.flush();
    CHECK(silent(w.out));
    CHECK(w.calls.open() == 0);
  }

  TEST_CASE("calls that waited in a socket for another incarnation of this node are dropped") {
    const session_id me{0x123450000000001U};
    const session_id before_me{0x876540000000001U};
    const session_id caller{0x424240000000001U};
    callee calls({}, me);
    calls.joined(caller);
    const auto number = [&](session_id to, std::uint64_t n) {
      return beginning_of(caller, to) + n;
    };
    const auto fresh = [&](session_id to, std::uint64_t low, std::uint64_t first) {
      return calls
          .on_calls(caller,
                    {number(to, low), {{number(to, first), "echo", 1000, tasks(1), nullptr}}},
                    t0)
          .size();
    };
    CHECK(beginning_of(caller, me) != beginning_of(caller, before_me));
    CHECK(fresh(before_me, 3, 4) == 0);
    CHECK(fresh(me, 0, 1) == 1);
    CHECK(fresh(before_me, 4, 5) == 0);
    CHECK(fresh(me, 1, 2) == 1);
    CHECK(calls.open() == 2);
    // It may outgrow its part of the numbers.
    CHECK(fresh(me, beginnings_apart / 16, beginnings_apart / 16 + 1) == 1);
    for (std::uint64_t n = 1; n <= 32; ++n)
      CHECK(fresh(me, beginnings_apart / 16 * (n + 1), beginnings_apart / 16 * (n + 1) + 1) ==
            1);
  }

  TEST_CASE("only so many of those that went are remembered") {
    called_node w;
    for (std::uint64_t n = 0; n <= callee::remembered; ++n) {
      const session_id id{100 + n};
      w.calls.joined(id);
      CHECK(w.gets(id, 1, 1).size() == 1);
      (void)w.calls.lost(id);
    }
    const auto again = [&](std::uint64_t n) {
      w.calls.joined(session_id{100 + n});
      return w.gets(session_id{100 + n}, 1, 1).size();
    };
    CHECK(again(0) == 1);
    CHECK(again(1) == 0);
    CHECK(again(callee::remembered) == 0);
  }

  TEST_CASE("a caller far beyond its window is refused, and told that nothing was started") {
    callee::limits_type limits;
    limits.window_calls = 10;
    called_node w(limits);
    w.joins(client1);
    CHECK(w.gets(client1, 1, 20) == seq_ranges{{1, 20}});
    CHECK(w.gets(client1, 21, 1).empty());
    w.flush();
    const auto refused = w.replied_once(client1);
    CHECK(refused.code == status::resource_exhausted);
    CHECK(refused.details[0].never_started);
    CHECK(w.gets(client1, 22, 1, unanswered()).empty());
    CHECK(w.calls.open() == 20);
  }

  TEST_CASE(
      "a caller that leaves gaps on purpose costs no more than a bounded memory of them") {
    called_node w;
    w.joins(client1);
    for (std::uint64_t n = 1; n <= 20'001; n += 2) {
      CHECK(w.gets(client1, n, 1).size() == 1);
      w.replies(client1, n, 1);
      w.flush();
      w.out.sends.clear();
    }
    CHECK(w.gets(client1, 2, 1).empty());  // long forgotten: "lost", and not run
    w.flush();
    CHECK(w.replied_once(client1).code == status::unavailable);
  }
}

}  // namespace rpc_callee_departures_test
