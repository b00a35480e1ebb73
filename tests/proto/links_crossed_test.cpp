// Two connections between the same two nodes, one opened by each.
#include "dialogue.hpp"
#include "proto/links.hpp"

#include <array>
#include <deque>
#include <random>

namespace links_crossed_test {

using namespace std::chrono_literals;
using namespace weir;
using namespace weir::proto;
using namespace weir::proto::dialogue;
using change = links::change;

namespace {
constexpr session_id low{1};
constexpr session_id high{5};
constexpr std::array both{peer_id{1}, peer_id{2}};

/// A worker and a sink that each connect to the other: connection 1 is the worker's, 2 the
/// sink's. What is said arrives in order on each connection, and in any order across them.
struct pair_of_nodes {
  struct end {
    links machine;
    peer_id opens;
    std::array<std::deque<message>, 2> comes;
    std::uint64_t heard = 0;  // windows
    std::uint64_t joins = 0;
  };
  time_point now = t0;
  std::mt19937 dice;
  std::array<bool, 2> up{true, true};
  std::array<end, 2> ends;

  pair_of_nodes(session_id worker, session_id sink, unsigned seed)
      : dice(seed),
        ends{
            end{links({who(role::worker, static_cast<std::uint64_t>(worker)), 1s, {role::sink}},
                      t0),
                both[0],
                {}},
            end{links({who(role::sink, static_cast<std::uint64_t>(sink)), 1s, {role::worker}},
                      t0),
                both[1],
                {}}} {}

  void deliver(end& from, end& to, outbox& out) {
    for (auto& o : out.sends) {
      const auto i = static_cast<std::size_t>(o.to) - 1;
      if (up[i]) to.comes[i].push_back(std::move(o.what));
    }
    out = {};
    (void)from;
  }
  void open(std::size_t which) {
    outbox out;
    ends[which].machine.open(ends[which].opens, now, out);
    deliver(ends[which], ends[1 - which], out);
  }
  /// Says something whenever a session begins, as nodes do. False: nothing was under way.
  bool step() {
    std::vector<std::pair<std::size_t, std::size_t>> possible;
    for (std::size_t e = 0; e < 2; ++e)
      for (std::size_t c = 0; c < 2; ++c)
        if (!ends[e].comes[c].empty()) possible.emplace_back(e, c);
    if (possible.empty()) return false;
    const auto [e, c] = possible[dice() % possible.size()];
    end& to = ends[e];
    const message m = std::move(to.comes[c].front());
    to.comes[c].pop_front();
    outbox out;
    std::vector<links::event> events;
    if (to.machine.receive(both[c], m, now, out, events)) ++to.heard;
    for (const auto& happened : events) {
      if (happened.what == change::met) continue;
      REQUIRE(happened.what == change::joined);
      ++to.joins;
      to.machine.send(happened.who, window{}, now, out);
    }
    deliver(to, ends[1 - e], out);
    return true;
  }
  void settle() {
    for (int steps = 0; step(); ++steps) REQUIRE(steps < 1000);
  }
  void tick(duration later) {
    now += later;
    for (std::size_t e = 0; e < 2; ++e) {
      outbox out;
      std::vector<links::event> events;
      ends[e].machine.tick(now, out, events);
      deliver(ends[e], ends[1 - e], out);
    }
  }
  /// The connection that both ends use; 0: they do not agree.
  [[nodiscard]] std::uint32_t used() const {
    std::uint32_t found = 0;
    for (const auto c : both) {
      if (ends[0].machine.on(c).has_value() != ends[1].machine.on(c).has_value()) return 0;
      if (ends[0].machine.on(c)) found = found == 0 ? static_cast<std::uint32_t>(c) : 99;
    }
    return found;
  }
  /// What each says reaches the other, at the first attempt.
  void talks() {
    for (std::size_t e = 0; e < 2; ++e) {
      const auto before = ends[1 - e].heard;
      const auto peers = ends[e].machine.with_role(e == 0 ? role::sink : role::worker);
      REQUIRE(peers.size() == 1);
      outbox out;
      ends[e].machine.send(peers.front(), window{}, now, out);
      deliver(ends[e], ends[1 - e], out);
      settle();
      CHECK(ends[1 - e].heard == before + 1);
    }
  }
};

/// Whose connection is used: that of the end with the smaller session.
constexpr std::uint32_t expected(session_id worker, session_id sink) {
  return worker < sink ? 1 : 2;
}
}  // namespace

TEST_SUITE("links, crossed") {
  TEST_CASE("both ends settle on the connection of the smaller session, in any order") {
    for (const auto& [worker, sink] : {std::pair{low, high}, std::pair{high, low}})
      for (unsigned seed = 0; seed < 500; ++seed) {
        CAPTURE(seed);
        pair_of_nodes p(worker, sink, seed);
        // Also while the first one is already in use.
        const std::size_t first = p.dice() % 2;
        p.open(first);
        for (auto steps = p.dice() % 6; steps > 0; --steps) (void)p.step();
        p.open(1 - first);
        p.settle();
        CHECK(p.used() == expected(worker, sink));
        p.talks();
        // They leave it at that.
        const auto joins = p.ends[0].joins + p.ends[1].joins;
        for (int beats = 0; beats < 10; ++beats) {
          p.tick(1s);
          p.settle();
        }
        CHECK(p.ends[0].joins + p.ends[1].joins == joins);
        p.talks();
      }
  }

  TEST_CASE("when the connection in use is lost for good, the other one takes over") {
    for (const auto& [worker, sink] : {std::pair{low, high}, std::pair{high, low}})
      for (const bool both_hear : {true, false})
        for (unsigned seed = 0; seed < 100; ++seed) {
          CAPTURE(both_hear);
          CAPTURE(seed);
          pair_of_nodes p(worker, sink, seed);
          p.open(0);
          p.open(1);
          p.settle();
          const std::size_t lost = p.used() - 1;
          p.up[lost] = false;
          for (auto& e : p.ends) e.comes[lost].clear();
          p.ends[1 - lost].machine.down(both[lost], p.now);
          if (both_hear) p.ends[lost].machine.down(both[lost], p.now);
          for (int beats = 0; beats < (both_hear ? 10 : 1); ++beats) {
            p.tick(1s);
            p.settle();
          }
          CHECK(p.used() == 2 - lost);
          p.talks();
        }
  }
}

}  // namespace links_crossed_test
