#include "proto/sink_core.hpp"

#include "dialogue.hpp"
#include "proto/limits.hpp"

namespace sink_core_test {

using namespace weir;
using namespace weir::proto;
using namespace weir::proto::dialogue;

namespace {
constexpr session_id vent{1};
constexpr session_id w1{11};
constexpr session_id w2{12};

struct sink {
  sink_core core;
  outbox out;

  sink() { CHECK(add() == sink_core::registration::accepted); }
  sink_core::registration add(std::uint64_t epoch = 1, std::uint64_t low = 0,
                              seq_ranges done = {}) {
    return core.add({the_source, epoch, low, std::move(done)}, vent);
  }
  void gets(session_id from, result_run run) {
    core.on_results(from, {the_source, {std::move(run)}}, out);
  }
  /// What is to be committed now, as ranges.
  seq_ranges commits() {
    seq_ranges all;
    for (const auto& c : std::exchange(out.commits, {}))
      all.push_back({c.run.first, c.run.last()});
    return all;
  }
  /// The ACKs (to the ventilator) and COMMITTEDs that are due.
  std::pair<std::vector<ack>, std::map<session_id, seq_ranges>> replies() {
    std::pair<std::vector<ack>, std::map<session_id, seq_ranges>> due;
    for (auto& r : core.take_replies()) {
      if (const auto* a = std::get_if<ack>(&r.what)) {
        CHECK(r.to == vent);
        due.first.push_back(*a);
      } else {
        for (const auto& range : std::get<committed>(r.what).ranges)
          due.second[r.to].push_back(range);
      }
    }
    return due;
  }
  using told = std::map<session_id, seq_ranges>;
};
}  // namespace

TEST_SUITE("sink_core") {
  TEST_CASE("nothing is acknowledged before it is committed") {
    sink s;
    s.gets(w1, results(1, 3));
    CHECK(s.commits() == seq_ranges{{1, 3}});
    auto [acks, told] = s.replies();
    CHECK(acks.empty());
    CHECK(told.empty());
    s.core.on_committed(the_source, {1, 2});
    std::tie(acks, told) = s.replies();
    REQUIRE(acks.size() == 1);
    CHECK(acks[0].low == 2);
    CHECK(acks[0].done.empty());
    CHECK(told == sink::told{{w1, {{1, 2}}}});
    s.core.on_committed(the_source, {3, 3});
    CHECK(s.replies().first.at(0).low == 3);
    CHECK(s.core.stats().staged == 0);
    CHECK(s.core.stats().staged_bytes == 0);
  }

  TEST_CASE(
      "the first outcome wins; a duplicate is dropped, acknowledged and COMMITTED again") {
    sink s;
    s.gets(w1, results(1, 2));
    s.core.on_committed(the_source, {1, 2});
    (void)s.replies();
    s.out = {};
    s.gets(w2, results(1, 3, 2));
    CHECK(s.commits() == seq_ranges{{3, 3}});
    const auto [acks, told] = s.replies();
    REQUIRE(acks.size() == 1);
    CHECK(acks[0].low == 2);
    CHECK(told == sink::told{{w2, {{1, 2}}}});
    CHECK(s.core.stats().duplicates == 2);
  }

  TEST_CASE("everybody who sent what is still being written is told when it is") {
    sink s;
    s.gets(w1, results(1, 4));
    s.gets(w2, results(2, 3, 2));
    s.gets(w2, results(2, 3, 2));
    s.gets(w1, results(1, 4));
    CHECK(s.commits() == seq_ranges{{1, 4}});
    CHECK(s.replies().second.empty());
    s.core.on_committed(the_source, {1, 4});
    CHECK(s.replies().second == sink::told{{w1, {{1, 4}}}, {w2, {{2, 3}}}});
    s.core.on_committed(the_source, {1, 4});
    CHECK(s.replies().second.empty());
  }

  TEST_CASE("with an order to keep, commits come in another order, and ACKs name islands") {
    sink s;
    s.gets(w1, results(5, 6));
    s.gets(w1, results(9, 9));
    (void)s.commits();
    s.core.on_committed(the_source, {9, 9});
    s.core.on_committed(the_source, {5, 6});
    auto acks = s.replies().first;
    REQUIRE(acks.size() == 1);
    CHECK(acks[0].low == 0);
    CHECK(acks[0].done == seq_ranges{{5, 6}, {9, 9}});
    s.gets(w1, results(1, 4));
    s.core.on_committed(the_source, {1, 4});
    acks = s.replies().first;
    CHECK(acks.at(0).low == 6);
    CHECK(acks.at(0).done.empty());
  }

  TEST_CASE("a sink without memory believes the ventilator about what is done") {
    sink s;
    CHECK(s.add(1, 4, {{6, 7}}) == sink_core::registration::accepted);
    const auto messages = s.core.what_is_done(the_source);
    REQUIRE(messages.size() == 1);
    CHECK(std::get<registered>(messages[0]) == registered{the_source, 1, 4, {{6, 7}}});
    s.gets(w1, results(4, 7));
    CHECK(s.commits() == seq_ranges{{5, 5}});
  }

  TEST_CASE("an older incarnation is fenced, the same one and a newer one are not") {
    sink s;
    CHECK(s.add(3) == sink_core::registration::accepted);
    CHECK(s.add(2) == sink_core::registration::fenced);
    CHECK(s.add(3) == sink_core::registration::accepted);
    CHECK(s.add(4) == sink_core::registration::accepted);
    s.core.on_finish({the_source, 3, 0});
    CHECK(!s.core.complete(the_source));
  }

  TEST_CASE("one source more than the limit is refused") {
    sink s;
    for (std::uint32_t i = 1; i < limits::sources; ++i) {
      source_id id;
      id.bytes[0] = static_cast<std::uint8_t>(i);
      id.bytes[1] = static_cast<std::uint8_t>(i >> 8);
      id.bytes[2] = 1;
      REQUIRE(s.core.add({id, 1, 0, {}}, vent) == sink_core::registration::accepted);
    }
    CHECK(s.core.add({source_id{{9, 9, 9}}, 1, 0, {}}, vent) ==
          sink_core::registration::too_many);
    CHECK(s.add() == sink_core::registration::accepted);
  }

  TEST_CASE("it is complete when 1 to the total are committed, and not one task earlier") {
    sink s;
    s.core.on_finish({the_source, 1, 3});
    CHECK(s.replies().first.size() == 1);  // FINISH is answered
    s.gets(w1, results(1, 3));
    CHECK(!s.core.complete(the_source));
    s.core.on_committed(the_source, {1, 2});
    CHECK(!s.core.complete(the_source));
    s.core.on_committed(the_source, {3, 3});
    CHECK(s.core.complete(the_source));
  }

  TEST_CASE("no tasks at all are complete as soon as FINISH says so") {
    sink s;
    CHECK(!s.core.complete(the_source));
    s.core.on_finish({the_source, 1, 0});
    CHECK(s.core.complete(the_source));
  }

  TEST_CASE("results of an unknown source are dropped, and their workers asked again later") {
    sink s;
    const source_id other{{8}};
    s.core.on_results(w1, {other, {results(1, 2)}}, s.out);
    s.core.on_results(w1, {other, {results(3, 3)}}, s.out);
    s.core.on_results(w2, {other, {results(4, 4)}}, s.out);
    CHECK(s.commits().empty());
    CHECK(s.core.stats().unregistered == 4);
    CHECK(s.core.take_waiting(other) == std::vector{w1, w2});
    CHECK(s.core.take_waiting(other).empty());
  }

  TEST_CASE("made-up sources do not keep a worker from being asked again") {
    sink s;
    for (std::uint32_t i = 0; i < 1000; ++i) {
      source_id id{{3}};
      id.bytes[1] = static_cast<std::uint8_t>(i);
      id.bytes[2] = static_cast<std::uint8_t>(i >> 8);
      s.core.on_results(w2, {id, {results(1, 1)}}, s.out);
    }
    s.core.on_results(w1, {source_id{{8}}, {results(1, 1)}}, s.out);
    const auto asked = s.core.take_waiting(source_id{{8}});
    CHECK(std::find(asked.begin(), asked.end(), w1) != asked.end());
    s.core.forget_worker(w1);
    s.core.forget_worker(w2);
    CHECK(s.core.take_waiting(source_id{{9}}).empty());
  }

  TEST_CASE("a source that is forgotten leaves nothing staged behind") {
    sink s;
    s.gets(w1, results(1, 100));
    CHECK(s.core.stats().staged == 100);
    s.core.remove(the_source);
    CHECK(s.core.stats().staged == 0);
    CHECK(s.core.stats().staged_bytes == 0);
    s.core.on_committed(the_source, {1, 100});
    CHECK(s.core.take_replies().empty());
  }

  TEST_CASE("what is done is said in messages within the limits") {
    sink s;
    for (std::uint64_t seq = 2; seq <= 4 * limits::ranges; seq += 2) {
      s.gets(w1, results(seq, seq));
      s.core.on_committed(the_source, {seq, seq});
    }
    const auto messages = s.core.what_is_done(the_source);
    REQUIRE(messages.size() == 2);
    CHECK(std::get<registered>(messages[0]).done.size() == limits::ranges);
    CHECK(std::get<ack>(messages[1]).done.size() == limits::ranges);
    for (const auto& reply : s.core.take_replies())
      if (const auto* a = std::get_if<ack>(&reply.what))
        CHECK(a->done.size() <= limits::ranges);
      else
        CHECK(std::get<committed>(reply.what).ranges.size() <= limits::ranges);
  }
}

}  // namespace sink_core_test
