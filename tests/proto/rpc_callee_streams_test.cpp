// The called end: windows, and answers of many elements.
#include "called_node.hpp"
#include "dialogue.hpp"
#include "proto/backoff.hpp"
#include "proto/limits.hpp"
#include "proto/rpc/callee.hpp"
#include "proto/rpc/link_numbers.hpp"
#include "proto/seq_set.hpp"
#include "proto/wire.hpp"

namespace rpc_callee_streams_test {

using namespace weir;
using namespace weir::proto;
using namespace weir::proto::dialogue;
using namespace called_nodes;

TEST_SUITE("callee: windows") {
  TEST_CASE("whoever joins is told the window, and again after a reconnect") {
    callee::limits_type limits;
    limits.window_calls = 7;
    called_node w(limits);
    w.calls.joined(client1);
    std::vector<links::event> events;
    (void)w.net.receive(peer_id{11}, hello{wire_version, who(role::client, 11)}, w.now, w.out,
                        events);
    w.out.sends.clear();
    w.flush();
    CHECK(take<window>(w.out, 11).items == 7);
    w.flush();
    CHECK(silent(w.out));
    w.joins(client1);
  }

  TEST_CASE("a window that changes by little is not worth a message") {
    called_node w;
    w.joins(client1);
    w.calls.window(client1, 100, 1000);
    w.flush();
    CHECK(take<window>(w.out, 11).items == 100);
    w.calls.window(client1, 120, 1000);
    w.calls.window(client1, 60, 1000);
    w.flush();
    CHECK(silent(w.out));
    w.calls.window(client1, 126, 1000);
    w.flush();
    CHECK(take<window>(w.out, 11).items == 126);
    w.calls.window(client1, 1, 1000);
    w.flush();
    CHECK(take<window>(w.out, 11).items == 1);
    w.calls.window(client1, 2, 1000);
    w.flush();
    CHECK(take<window>(w.out, 11).items == 2);
  }

  TEST_CASE("draining says 0 to everybody, and to whoever comes later") {
    called_node w;
    w.joins(client1);
    w.calls.drain();
    w.calls.window(client1, 100, 1000);
    w.flush();
    CHECK(take<window>(w.out, 11).items == 0);
    w.joins(client2);
    CHECK(w.gets(client2, 1, 1).size() == 1);  // for the owner to refuse
  }
}

TEST_SUITE("callee: streams") {
  struct streaming : called_node {
    explicit streaming(std::uint32_t elements, callee::limits_type limits = {},
                       std::uint32_t bytes = 0)
        : called_node(limits) {
      joins(client1);
      auto options = stream_of(elements);
      options.stream_bytes = bytes;
      CHECK(gets(client1, 1, 1, options).size() == 1);
    }
    std::int64_t produces(std::uint32_t n, std::uint32_t size = 1) {
      return calls.part({client1, 1}, tasks(n, size));
    }
    std::vector<callee::granted> credits(std::uint64_t got, std::uint64_t until) {
      return calls.on_credit(client1, {{{1, got, until}}});
    }
    /// The elements in the next PART.
    seq_ranges parts() {
      seq_ranges all;
      for (const auto& run : take<part_batch>(out, 11).runs) {
        CHECK(run.call == 1);
        append_range(all, {run.first, run.last()});
      }
      return all;
    }
  };

  TEST_CASE("elements are sent up to the caller's window, and more with its credit") {
    streaming w(3);
    CHECK(w.produces(2) == 1);
    w.flush();
    CHECK(w.parts() == seq_ranges{{1, 2}});
    CHECK(w.produces(3) == -2);
    w.flush();
    CHECK(w.parts() == seq_ranges{{3, 3}});
    const auto go_on = w.credits(2, 5);
    REQUIRE(go_on.size() == 1);
    CHECK(go_on[0].key == call_key{client1, 1});
    CHECK(go_on[0].until == 5);
    CHECK(!go_on[0].stop);
    w.flush();
    CHECK(w.parts() == seq_ranges{{4, 5}});
    CHECK(silent(w.out));
    CHECK(w.calls.kept_bytes() == 3);
  }

  TEST_CASE("no element is sent while those on their way come to the caller's bytes") {
    streaming w(100, {}, 100);
    (void)w.produces(1, 99);
    (void)w.produces(3, 50);
    w.flush();
    CHECK(w.parts() == seq_ranges{{1, 2}});
    CHECK(silent(w.out));
    SUBCASE("they go on with credit, as does whoever makes them") {
      const auto go_on = w.credits(1, 101);
      REQUIRE(go_on.size() == 1);
      CHECK(go_on[0].until == 101);
      CHECK(go_on[0].until_bytes == 99 + 100);
      w.flush();
      CHECK(w.parts() == seq_ranges{{3, 3}});
      CHECK(w.credits(3, 103).size() == 1);
      w.replies(client1, 1, 1);
      w.flush();
      CHECK(w.parts() == seq_ranges{{4, 4}});
      CHECK(w.replied_once(client1).details.at(0).parts == 4);
    }
    SUBCASE("whoever has more here than may be sent is not asked for more") {
      (void)w.produces(1, 200);
      CHECK(w.credits(0, 102).empty());
      CHECK(w.credits(1, 103).size() == 1);
    }
    SUBCASE("after a reconnect it begins again where the caller has got") {
      w.joins(client1);
      w.out.sends.clear();
      auto options = stream_of(100);
      options.stream_bytes = 100;
      CHECK(w.gets(client1, 1, 1, options).empty());
      (void)w.credits(1, 101);
      w.flush();
      CHECK(w.parts() == seq_ranges{{2, 3}});
    }
    SUBCASE("an element that is larger than all of them comes alone") {
      (void)w.credits(2, 102);
      w.flush();
      CHECK(w.parts() == seq_ranges{{3, 4}});
      (void)w.credits(4, 104);
      (void)w.produces(2, 500);
      w.flush();
      CHECK(w.parts() == seq_ranges{{5, 5}});
    }
    SUBCASE("credit for what was never sent does no harm") {
      (void)w.credits(1000, 2000);
      (void)w.produces(3, 60);
      w.flush();
      CHECK(w.parts() == seq_ranges{{5, 6}});
    }
  }

  TEST_CASE(
      "the answer follows when all elements have been sent, and says how many there were") {
    streaming w(2);
    (void)w.produces(3);
    w.replies(client1, 1, 1);
    w.flush();
    CHECK(w.parts() == seq_ranges{{1, 2}});
    CHECK(silent(w.out));
    CHECK(w.calls.busy());
    CHECK(w.credits(2, 4).empty());  // nothing more will come of it
    w.flush();
    CHECK(w.parts() == seq_ranges{{3, 3}});
    CHECK(w.replied_once(client1).details.at(0).parts == 3);
    CHECK(!w.calls.busy());
    CHECK(w.produces(1) == callee::not_wanted);
  }

  TEST_CASE("after a reconnect elements are sent again from where the caller has got") {
    streaming w(10);
    (void)w.produces(6);
    w.flush();
    CHECK(w.parts() == seq_ranges{{1, 6}});
    w.joins(client1);
    CHECK(w.gets(client1, 1, 1, stream_of(10)).empty());
    (void)w.credits(4, 14);
    w.flush();
    CHECK(w.parts() == seq_ranges{{5, 6}});
    (void)w.produces(1);
    w.flush();
    CHECK(w.parts() == seq_ranges{{7, 7}});
  }

  TEST_CASE("a stream that has ended is sent again, answer and all, if that was lost") {
    streaming w(10);
    (void)w.produces(6);
    w.replies(client1, 1, 1);
    w.flush();
    w.out.sends.clear();
    w.joins(client1);
    CHECK(w.gets(client1, 1, 1, stream_of(10)).empty());
    (void)w.credits(4, 14);
    w.flush();
    CHECK(w.parts() == seq_ranges{{5, 6}});
    CHECK(w.replied_once(client1).details.at(0).parts == 6);
    (void)w.calls.on_calls(client1, {1, {}}, w.now);
    CHECK(w.calls.kept_bytes() == 0);
  }

  TEST_CASE("a cancelled stream takes no more elements and is answered at once") {
    streaming w(2);
    (void)w.produces(5);
    CHECK(w.calls.on_cancel(client1, {{{1, 1}}, ""}).size() == 1);
    CHECK(w.produces(1) == callee::not_wanted);
    w.replies(client1, 1, 1, 0, status::cancelled);
    w.flush();
    CHECK(w.replied_once(client1).code == status::cancelled);
    CHECK(silent(w.out));
    CHECK(!w.calls.busy());
  }

  TEST_CASE("a stream that only lacks credit ends when it is cancelled") {
    streaming w(2);
    (void)w.produces(5);
    w.replies(client1, 1, 1);
    w.flush();
    CHECK(w.parts() == seq_ranges{{1, 2}});
    CHECK(w.calls.on_cancel(client1, {{{1, 1}}, ""}).empty());
    w.flush();
    CHECK(w.replied_once(client1).first == 1);
    CHECK(!w.calls.busy());
  }

  TEST_CASE(
      "elements that are not credited are kept within bounds; then a break ends the stream") {
    callee::limits_type limits;
    limits.kept_elements_bytes = 1000;
    streaming w(100, limits);
    (void)w.produces(20, 100);
    w.flush();
    CHECK(w.parts() == seq_ranges{{1, 20}});
    CHECK(w.calls.kept_bytes() <= 1000);
    w.joins(client1);
    CHECK(w.gets(client1, 1, 1, stream_of(100)).empty());
    const auto grants = w.credits(10, 110);
    REQUIRE(grants.size() == 1);
    CHECK(grants[0].stop);
    w.flush();
    const auto end = w.replied_once(client1);
    CHECK(end.code == status::unavailable);
    CHECK(w.calls.open() == 0);
    CHECK(w.produces(1) == callee::not_wanted);
    CHECK(silent(w.out));
  }

  TEST_CASE("a call that is no stream has no use for elements") {
    called_node w;
    w.joins(client1);
    (void)w.gets(client1, 1, 1);
    CHECK(w.calls.part({client1, 1}, tasks(1)) == callee::not_wanted);
    CHECK(w.calls.part({client1, 2}, tasks(1)) == callee::not_wanted);
    CHECK(w.calls.part({client2, 1}, tasks(1)) == callee::not_wanted);
  }

  TEST_CASE("progress is reported for open calls, the latest of a round") {
    called_node w;
    w.joins(client1);
    (void)w.gets(client1, 1, 1);
    w.calls.progress({client1, 1}, 1, 10, "begun");
    w.calls.progress({client1, 1}, 5, 10, "half");
    w.calls.progress({client1, 2}, 5, 10, "nobody");
    w.flush();
    CHECK(take<call_progress>(w.out, 11) == call_progress{1, 5, 10, "half"});
    CHECK(silent(w.out));
  }
}

}  // namespace rpc_callee_streams_test
