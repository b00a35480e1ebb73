// The calling end: numbers, windows, repetition after a reconnect, streams.
#include "dialogue.hpp"
#include "proto/limits.hpp"
#include "proto/rpc/caller.hpp"
#include "proto/seq_set.hpp"
#include "proto/wire.hpp"

namespace rpc_caller_test {

using namespace weir;
using namespace weir::proto;
using namespace weir::proto::dialogue;

namespace {

constexpr session_id worker1{11};
constexpr session_id worker2{12};

/// A node that binds, and callees on connections of the same number as their sessions.
struct calling_node {
  links net{{who(role::gateway, 9), std::chrono::seconds(1), {role::worker}}, t0};
  caller calls;
  caller::arrivals in;
  outbox out;
  time_point now = t0;

  void joins(session_id who_is, std::uint32_t peer, std::uint64_t items = 100,
             std::uint64_t bytes = 1 << 20) {
    std::vector<links::event> events;
    const hello h{wire_version, who(role::worker, static_cast<std::uint64_t>(who_is))};
    CHECK(!net.receive(peer_id{peer}, h, now, out, events));
    out.sends.clear();
    out.forgets.clear();
    for (const auto& e : events) calls.joined(e.who);
    calls.on_window(who_is, {items, bytes, false, {}});
  }
  void sends(session_id to, std::uint64_t number, std::uint32_t count, call_options o = {},
             std::uint32_t size = 1) {
    caller::flight f;
    f.number = number;
    f.method = "echo";
    f.arguments = tasks(count, size);
    f.deadline = now + std::chrono::seconds(5);
    if (!o.plain()) f.options = std::make_shared<const call_options>(o);
    calls.send(to, std::move(f));
  }
  void flush() { calls.flush(now, net, out); }
  /// The numbers of all calls in the next CALL, which must go to `peer`.
  seq_ranges sent(std::uint32_t peer) {
    seq_ranges all;
    for (const auto& run : take<call_batch>(out, peer).runs)
      append_range(all, {run.first, run.last()});
    return all;
  }
  void replies(session_id from, std::uint64_t first, std::uint32_t count,
               status code = status::ok, std::uint64_t parts = 0) {
    reply_run run;
    run.first = first;
    run.code = code;
    run.results = tasks(count);
    if (parts != 0) run.details.resize(count);
    for (auto& d : run.details) d.parts = parts;
    calls.on_reply(from, {{run}}, in);
  }
  void elements(session_id from, std::uint64_t call, std::uint64_t first, std::uint32_t count) {
    calls.on_parts(from, {{{call, first, tasks(count)}}}, in);
  }
  /// The owner's numbers of what has been answered since the last look.
  seq_ranges answered() {
    seq_ranges all;
    for (const auto& a : in.answers) {
      CHECK(a.reply.results.size() == a.calls.size());
      CHECK(a.reply.first == a.calls.number);
      append_range(all, {a.calls.number, a.calls.last()});
    }
    in.answers.clear();
    return all;
  }
};

call_options stream_of(std::uint32_t elements) {
  call_options o;
  o.stream_window = elements;
  return o;
}

seq_ranges numbers_of(const std::vector<caller::flight>& flights) {
  seq_ranges all;
  for (const auto& f : flights) all.push_back({f.number, f.last()});
  return all;
}

}  // namespace

TEST_CASE("calls are numbered densely towards each callee, whatever their owner calls them") {
  calling_node n;
  n.joins(worker1, 11);
  n.joins(worker2, 12);
  n.sends(worker1, 1000, 10);
  n.sends(worker2, 5, 1);
  n.sends(worker1, 70, 1);
  n.flush();
  CHECK(n.sent(11) == seq_ranges{{1, 11}});
  CHECK(n.sent(12) == seq_ranges{{1, 1}});
  CHECK(silent(n.out));
  CHECK(n.calls.size() == 12);

  n.replies(worker1, 9, 3);
  CHECK(n.answered() == seq_ranges{{1008, 1009}, {70, 70}});
  n.replies(worker1, 1, 8);
  CHECK(n.answered() == seq_ranges{{1000, 1007}});
  n.replies(worker2, 1, 1);
  CHECK(n.answered() == seq_ranges{{5, 5}});
  CHECK(n.calls.size() == 0);
  CHECK(n.calls.in_hand(worker1) == 0);
}

TEST_CASE("a reply that was not asked for, or came before, changes nothing") {
  calling_node n;
  n.joins(worker1, 11);
  n.sends(worker1, 1, 3);
  n.flush();
  n.replies(worker1, 2, 50);
  CHECK(n.answered() == seq_ranges{{2, 3}});
  n.replies(worker1, 2, 2);
  n.replies(worker2, 1, 1);
  n.replies(session_id{99}, 1, 1);
  CHECK(n.in.empty());
  CHECK(n.calls.in_hand(worker1) == 1);
}

TEST_CASE("a callee's window is not exceeded, in calls or in bytes") {
  calling_node n;
  n.joins(worker1, 11, 10, 100);
  CHECK(n.calls.fits(worker1, tasks(50)) == 10);
  CHECK(n.calls.fits(worker1, tasks(50, 30)) == 3);
  n.sends(worker1, 1, 9);
  CHECK(n.calls.fits(worker1, tasks(50)) == 1);
  CHECK(n.calls.load(worker1) == doctest::Approx(0.9));
  n.sends(worker1, 10, 1);
  CHECK(n.calls.fits(worker1, tasks(50)) == 0);
  n.flush();
  CHECK(n.calls.fits(worker1, tasks(50)) == 0);
  n.replies(worker1, 1, 10);
  CHECK(n.calls.fits(worker1, tasks(50)) == 10);
}

TEST_CASE("one call fits an idle callee whatever its size, but not a draining one") {
  calling_node n;
  n.joins(worker1, 11, 10, 100);
  CHECK(n.calls.fits(worker1, tasks(2, 5000)) == 1);
  n.sends(worker1, 1, 1, {}, 5000);
  CHECK(n.calls.fits(worker1, tasks(1)) == 0);
  n.flush();
  n.replies(worker1, 1, 1);
  n.calls.on_window(worker1, {0, 0, false, {}});
  CHECK(n.calls.draining(worker1));
  CHECK(n.calls.fits(worker1, tasks(1)) == 0);
}

TEST_CASE("after a reconnect what is not answered is sent again under the same numbers") {
  calling_node n;
  n.joins(worker1, 11);
  n.sends(worker1, 101, 10);
  n.flush();
  n.out.sends.clear();
  n.replies(worker1, 1, 4);
  n.replies(worker1, 6, 1);
  CHECK(n.answered().size() == 2);

  n.net.down(peer_id{11}, n.now);
  n.sends(worker1, 200, 2);
  n.flush();
  CHECK(silent(n.out));  // nobody is there to hear it

  n.joins(worker1, 21);
  n.now += std::chrono::seconds(2);
  n.flush();
  const auto again = take<call_batch>(n.out, 21);
  CHECK(again.low == 4);
  REQUIRE(again.runs.size() == 2);
  CHECK(again.runs[0].first == 5);
  CHECK(again.runs[0].last() == 5);
  CHECK(again.runs[0].ttl_ms == 3000);
  CHECK(again.runs[1].first == 7);
  CHECK(again.runs[1].last() == 10);
  CHECK(n.sent(21) == seq_ranges{{11, 12}});
  CHECK(silent(n.out));
  n.replies(worker1, 5, 1);
  n.replies(worker1, 7, 6);
  CHECK(n.answered() == seq_ranges{{105, 105}, {107, 110}, {200, 201}});
}

TEST_CASE("the time left is never sent as nothing, which would be no deadline at all") {
  calling_node n;
  n.joins(worker1, 11);
  n.sends(worker1, 1, 1);
  n.now += std::chrono::seconds(60);
  n.flush();
  CHECK(take<call_batch>(n.out, 11).runs.at(0).ttl_ms == 1);
}

TEST_CASE("what a lost callee had in hand comes back, and tells what it never got") {
  calling_node n;
  n.joins(worker1, 11);
  n.sends(worker1, 101, 3);
  n.flush();
  n.replies(worker1, 2, 1);
  n.sends(worker1, 200, 1);
  const auto had = n.calls.lost(worker1);
  CHECK(numbers_of(had) == seq_ranges{{101, 101}, {103, 103}, {200, 200}});
  CHECK(had[0].sent == t0);
  CHECK(had[2].sent == time_point{});
  CHECK(n.calls.size() == 0);
  n.replies(worker1, 1, 1);
  CHECK(n.answered() == seq_ranges{{102, 102}});
  CHECK(n.calls.lost(worker1).empty());
  n.out.sends.clear();
  n.flush();
  CHECK(silent(n.out));
}

TEST_CASE("what crossed the BYE of a callee comes back as never sent") {
  calling_node n;
  n.joins(worker1, 11);
  n.sends(worker1, 101, 3);
  n.flush();
  const auto first = take<call_batch>(n.out, 11).runs.at(0).first;
  const auto had = n.calls.lost(worker1, first + 1);
  REQUIRE(had.size() == 2);
  CHECK(had[0].size() == 2);
  CHECK(had[0].sent == t0);
  CHECK(had[1].number == 103);
  CHECK(had[1].sent == time_point{});
  CHECK(n.calls.size() == 0);
}

TEST_CASE("a callee that was given up and comes back is told to stop what it had") {
  calling_node n;
  n.joins(worker1, 11);
  n.sends(worker1, 1, 3);
  n.flush();
  n.out.sends.clear();
  CHECK(n.calls.lost(worker1).size() == 1);
  n.joins(worker1, 21);
  n.sends(worker1, 1, 3);
  n.flush();
  CHECK(n.sent(21) == seq_ranges{{4, 6}});
  CHECK(take<cancel_calls>(n.out, 21).calls == seq_ranges{{1, 3}});
  CHECK(silent(n.out));
}

TEST_CASE("calls that were not sent yet are taken back when they are cancelled") {
  calling_node n;
  n.joins(worker1, 11);
  n.sends(worker1, 1, 10);
  CHECK(numbers_of(n.calls.cancel({3, 5}, "changed my mind", n.in)) == seq_ranges{{3, 5}});
  CHECK(n.calls.in_hand(worker1) == 7);
  n.flush();
  // No number is left out towards the callee.
  CHECK(n.sent(11) == seq_ranges{{1, 7}});
  CHECK(silent(n.out));
  n.replies(worker1, 3, 1);
  CHECK(n.answered() == seq_ranges{{6, 6}});
}

TEST_CASE("cancelling reaches the callee, once, and the outcome still comes") {
  calling_node n;
  n.joins(worker1, 11);
  n.joins(worker2, 12);
  n.sends(worker1, 1, 4);
  n.sends(worker2, 5, 4);
  n.flush();
  n.out.sends.clear();
  CHECK(n.calls.cancel({3, 6}, "no more", n.in).empty());
  CHECK(n.calls.cancel({4, 4}, "no more", n.in).empty());
  n.flush();
  const auto first = take<cancel_calls>(n.out, 11);
  CHECK(first.calls == seq_ranges{{3, 4}});
  CHECK(first.reason == "no more");
  CHECK(take<cancel_calls>(n.out, 12).calls == seq_ranges{{1, 2}});
  CHECK(silent(n.out));
  n.replies(worker1, 1, 4, status::cancelled);
  CHECK(n.answered() == seq_ranges{{1, 4}});
}

TEST_CASE("after a reconnect a callee hears again what was cancelled") {
  calling_node n;
  n.joins(worker1, 11);
  n.sends(worker1, 1, 4);
  n.flush();
  n.out.sends.clear();
  n.net.down(peer_id{11}, n.now);
  CHECK(n.calls.cancel({2, 2}, "no more", n.in).empty());
  n.joins(worker1, 21);
  n.flush();
  CHECK(n.sent(21) == seq_ranges{{1, 4}});
  CHECK(take<cancel_calls>(n.out, 21).calls == seq_ranges{{2, 2}});
  CHECK(silent(n.out));
}

TEST_CASE("a call that nobody waits for counts in the window until it is done") {
  calling_node n;
  n.joins(worker1, 11, 4);
  call_options notify;
  notify.no_reply = true;
  n.sends(worker1, 4, 3, notify);
  n.sends(worker1, 4, 1);  // the owner may use the number again
  n.flush();
  const auto batch = take<call_batch>(n.out, 11);
  REQUIRE(batch.runs.size() == 2);
  CHECK(!batch.runs[0].options);
  CHECK(n.calls.fits(worker1, tasks(1)) == 0);
  n.replies(worker1, 1, 4);
  CHECK(n.answered() == seq_ranges{{4, 4}});
  CHECK(n.calls.fits(worker1, tasks(9)) == 4);
  CHECK(n.calls.size() == 0);

  n.sends(worker1, 5, 1, notify);
  n.flush();
  CHECK(n.calls.lost(worker1).empty());
  CHECK(n.calls.size() == 0);
}

TEST_CASE("a stream's elements come once and in order, and its window slides") {
  calling_node n;
  n.joins(worker1, 11);
  n.sends(worker1, 50, 2, stream_of(4));
  n.flush();
  n.out.sends.clear();
  n.elements(worker1, 2, 1, 3);
  n.elements(worker1, 2, 2, 3);
  n.elements(worker1, 2, 9, 1);   // too early
  n.elements(worker1, 2, 5, 10);  // more than was asked for
  REQUIRE(n.in.parts.size() == 2);
  CHECK(n.in.parts[0].number == 51);
  CHECK(n.in.parts[0].part.elements.size() == 3);
  CHECK(n.in.parts[1].part.first == 4);
  CHECK(n.in.parts[1].part.elements.size() == 1);
  n.in.clear();

  n.calls.grant(51, 8);
  n.calls.grant(51, 10);
  n.calls.grant(51, 9);
  n.calls.grant(50, 5);
  n.calls.grant(1234, 5);
  n.flush();
  CHECK(take<credit>(n.out, 11).entries == std::vector<credit::entry>{{1, 0, 5}, {2, 4, 10}});
  CHECK(silent(n.out));
  n.elements(worker1, 2, 5, 6);
  REQUIRE(n.in.parts.size() == 1);
  CHECK(n.in.parts[0].part.last() == 10);
  CHECK(n.calls.arrived(51) == 10);
}

TEST_CASE("elements of calls that are no streams, or unknown, are dropped") {
  calling_node n;
  n.joins(worker1, 11);
  n.sends(worker1, 1, 1);
  n.flush();
  n.elements(worker1, 1, 1, 1);
  n.elements(worker1, 2, 1, 1);
  n.elements(worker2, 1, 1, 1);
  CHECK(n.in.empty());
}

TEST_CASE("after a reconnect a stream says how far it has got") {
  calling_node n;
  n.joins(worker1, 11);
  n.sends(worker1, 7, 1, stream_of(10));
  n.sends(worker1, 8, 1, stream_of(10));
  n.flush();
  n.out.sends.clear();
  n.elements(worker1, 1, 1, 6);
  n.calls.grant(7, 16);
  n.net.down(peer_id{11}, n.now);
  n.joins(worker1, 21);
  n.flush();
  CHECK(n.sent(21) == seq_ranges{{1, 2}});
  CHECK(take<credit>(n.out, 21).entries == std::vector<credit::entry>{{1, 6, 16}});
  CHECK(silent(n.out));
}

TEST_CASE("a stream's reply that overtakes its elements waits for them") {
  calling_node n;
  n.joins(worker1, 11);
  n.sends(worker1, 7, 2, stream_of(10));
  n.flush();
  n.out.sends.clear();
  n.elements(worker1, 1, 1, 2);
  n.replies(worker1, 1, 1, status::ok, 5);
  CHECK(n.answered().empty());
  n.replies(worker1, 1, 1, status::ok, 5);  // repeated
  n.elements(worker1, 1, 3, 2);
  CHECK(n.answered().empty());
  n.elements(worker1, 1, 5, 1);
  CHECK(n.answered() == seq_ranges{{7, 7}});
  CHECK(n.calls.in_hand(worker1) == 1);

  SUBCASE("unless nobody wants them any more") {
    n.replies(worker1, 2, 1, status::ok, 5);
    CHECK(n.answered().empty());
    CHECK(n.calls.cancel({8, 8}, "enough", n.in).empty());
    REQUIRE(n.in.answers.size() == 1);
    CHECK(n.in.answers[0].reply.code == status::cancelled);  // for elements are missing
    CHECK(n.answered() == seq_ranges{{8, 8}});
    CHECK(n.calls.size() == 0);
  }
  SUBCASE("and one that lacks none comes at once") {
    n.elements(worker1, 2, 1, 5);
    n.replies(worker1, 2, 1, status::ok, 5);
    CHECK(n.answered() == seq_ranges{{8, 8}});
    CHECK(n.calls.arrived(8) == 0);
  }
}

TEST_CASE("a cancelled stream succeeds only if nothing of it was dropped") {
  calling_node n;
  n.joins(worker1, 11);
  n.sends(worker1, 7, 2, stream_of(10));
  n.flush();
  n.elements(worker1, 1, 1, 5);
  n.elements(worker1, 2, 1, 4);
  CHECK(n.calls.cancel({7, 8}, "enough", n.in).empty());
  n.elements(worker1, 2, 5, 1);
  n.in.clear();
  n.replies(worker1, 1, 2, status::ok, 5);
  REQUIRE(n.in.answers.size() == 2);
  CHECK(n.in.answers[0].reply.code == status::ok);
  CHECK(n.in.answers[1].reply.code == status::cancelled);
}

TEST_CASE("progress is reported of calls that are in flight") {
  calling_node n;
  n.joins(worker1, 11);
  n.sends(worker1, 40, 3);
  n.flush();
  n.calls.on_progress(worker1, {2, 10, 100, "ten"}, n.in);
  n.calls.on_progress(worker1, {4, 10, 100, "ten"}, n.in);
  REQUIRE(n.in.reports.size() == 1);
  CHECK(n.in.reports[0].number == 41);
  CHECK(n.in.reports[0].report.done == 10);
}

TEST_CASE("small runs share a message and large ones are split") {
  calling_node n;
  n.joins(worker1, 11, 1 << 20, 1 << 30);
  for (std::uint64_t i = 1; i <= 100; ++i) n.sends(worker1, 2 * i, 1);
  n.flush();
  CHECK(take<call_batch>(n.out, 11).runs.size() == 100);
  CHECK(silent(n.out));

  n.sends(worker1, 1000, 10'000, {}, 100);
  n.flush();
  std::uint64_t next = 101;
  while (!n.out.sends.empty()) {
    const auto batch = take<call_batch>(n.out, 11);
    REQUIRE(batch.runs.size() == 1);
    CHECK(batch.runs[0].first == next);
    CHECK(batch.runs[0].arguments.bytes() <= limits::batch_bytes);
    CHECK(batch.runs[0].arguments.size() <= limits::items);
    next = batch.runs[0].last() + 1;
  }
  CHECK(next == 10'101);

  // One payload always travels, however large.
  n.sends(worker1, 20'000, 2, {}, 1 << 20);
  n.flush();
  CHECK(n.sent(11) == seq_ranges{{10'101, 10'101}});
  CHECK(n.sent(11) == seq_ranges{{10'102, 10'102}});
}

TEST_CASE("calls with much metadata do not make a header that is refused") {
  calling_node n;
  n.joins(worker1, 11, 1 << 20, 1 << 30);
  call_options o;
  o.metadata.emplace_back("k", std::string(8000, 'v'));
  for (std::uint64_t i = 1; i <= 200; ++i) n.sends(worker1, 2 * i, 1, o);
  n.flush();
  std::size_t runs = 0;
  CHECK(n.out.sends.size() > 4);
  while (!n.out.sends.empty()) {
    const auto batch = take<call_batch>(n.out, 11);
    CHECK(encode(batch).header.size() <= limits::header_bytes);
    runs += batch.runs.size();
  }
  CHECK(runs == 200);
}

TEST_CASE("a callee that is sent no more calls learns that its answers have arrived") {
  calling_node n;
  n.joins(worker1, 11, 1 << 20, 1 << 30);
  n.sends(worker1, 1, 1023);
  n.sends(worker1, 3000, 1);
  n.flush();
  n.out.sends.clear();
  n.replies(worker1, 1, 1023);
  n.flush();
  CHECK(silent(n.out));
  n.replies(worker1, 1024, 1);
  n.flush();
  const auto told = take<call_batch>(n.out, 11);
  CHECK(told.low == 1024);
  CHECK(told.runs.empty());
  CHECK(silent(n.out));
}

}  // namespace rpc_caller_test
