// The called end: what is taken once, answered once, kept, and sent again.
#include "dialogue.hpp"
#include "proto/backoff.hpp"
#include "proto/limits.hpp"
#include "proto/rpc/callee.hpp"
#include "proto/rpc/link_numbers.hpp"
#include "proto/seq_set.hpp"
#include "proto/wire.hpp"

namespace rpc_callee_test {

using namespace weir;
using namespace weir::proto;
using namespace weir::proto::dialogue;

namespace {
constexpr session_id client1{11};
constexpr session_id client2{12};

/// A node that binds; callers on connections of the same number as their sessions.
struct called_node {
  links net{{who(role::worker, 9), std::chrono::seconds(1), {role::client}}, t0};
  callee calls;
  outbox out;
  time_point now = t0;

  explicit called_node(callee::limits_type limits = {}) : calls(limits, session_id{9}) {}

  void joins(session_id id) {
    const auto peer = static_cast<std::uint32_t>(id);
    std::vector<links::event> events;
    net.down(peer_id{peer}, now);
    const hello h{wire_version, who(role::client, static_cast<std::uint64_t>(id))};
    CHECK(!net.receive(peer_id{peer}, h, now, out, events));
    out.sends.clear();
    out.forgets.clear();
    for (const auto& e : events) calls.joined(e.who);
    flush();
    (void)take<window>(out, peer);
  }
  void breaks(session_id id) { net.down(peer_id{static_cast<std::uint32_t>(id)}, now); }
  void flush() { calls.flush(now, net, out); }
  /// What is new of calls [first, first + count).
  seq_ranges gets(session_id from, std::uint64_t first, std::uint32_t count,
                  call_options o = {}, std::uint64_t low = 0, std::uint32_t size = 1) {
    call_run run{first, "echo", 1000, tasks(count, size), nullptr};
    if (!o.plain()) run.options = std::make_shared<const call_options>(o);
    seq_ranges fresh;
    for (const auto& t : calls.on_calls(from, {low, {run}}, now)) {
      CHECK(t.from == from);
      CHECK(t.deadline == now + std::chrono::seconds(1));
      append_range(fresh, {t.calls.first, t.calls.last()});
    }
    return fresh;
  }
  void replies(session_id to, std::uint64_t first, std::uint32_t count, std::uint32_t size = 1,
               status code = status::ok) {
    reply_run run;
    run.first = first;
    run.code = code;
    run.results = tasks(count, size);
    calls.reply(to, std::move(run));
  }
  /// The runs of the next REPLY, which must go to `peer`.
  std::vector<reply_run> replied(session_id to) {
    return take<reply_batch>(out, static_cast<std::uint32_t>(to)).runs;
  }
  reply_run replied_once(session_id to) {
    auto runs = replied(to);
    REQUIRE(runs.size() == 1);
    return std::move(runs[0]);
  }
};

call_options stream_of(std::uint32_t elements) {
  call_options o;
  o.stream_window = elements;
  return o;
}
call_options unanswered() {
  call_options o;
  o.no_reply = true;
  return o;
}
}  // namespace

TEST_SUITE("callee: calls") {
  TEST_CASE("a run of calls is taken and answered as one") {
    called_node w;
    w.joins(client1);
    CHECK(w.gets(client1, 1, 100) == seq_ranges{{1, 100}});
    CHECK(w.calls.open() == 100);
    w.replies(client1, 1, 100);
    CHECK(w.calls.open() == 0);
    CHECK(w.out.sends.empty());  // not before flush()
    w.flush();
    const auto run = w.replied_once(client1);
    CHECK(run.first == 1);
    CHECK(run.last() == 100);
    CHECK(run.code == status::ok);
    CHECK(silent(w.out));
  }

  TEST_CASE("callers have their own numbers, and get their own answers") {
    called_node w;
    w.joins(client1);
    w.joins(client2);
    CHECK(w.gets(client1, 1, 2) == seq_ranges{{1, 2}});
    CHECK(w.gets(client2, 1, 3) == seq_ranges{{1, 3}});
    CHECK(w.calls.open_of(client1) == 2);
    w.replies(client2, 1, 3);
    w.replies(client1, 2, 1);
    w.flush();
    CHECK(w.replied_once(client2).last() == 3);
    CHECK(w.replied_once(client1).first == 2);
    CHECK(w.calls.open() == 1);
  }

  TEST_CASE("answers that were given one by one travel as one run, whatever their order") {
    called_node w;
    w.joins(client1);
    (void)w.gets(client1, 1, 6);
    for (const std::uint64_t n : {2, 1, 6, 4, 3}) {
      reply_run run;
      run.first = n;
      run.results = pack::of(std::string(n, static_cast<char>('0' + n)));
      run.service_us = static_cast<std::uint32_t>(n);
      w.calls.reply(client1, std::move(run));
    }
    w.flush();
    const auto runs = w.replied(client1);
    REQUIRE(runs.size() == 2);
    CHECK(runs[0].first == 1);
    REQUIRE(runs[0].last() == 4);
    CHECK(runs[0].results[2] == "333");
    CHECK(runs[0].results[3] == "4444");
    CHECK(runs[0].service_us == 2);
    CHECK(runs[1].first == 6);
    CHECK(runs[1].results[0] == "666666");
  }

  TEST_CASE("answers with different codes stay apart") {
    called_node w;
    w.joins(client1);
    (void)w.gets(client1, 1, 2);
    w.replies(client1, 1, 1);
    w.replies(client1, 2, 1, 1, status::unknown);
    w.flush();
    CHECK(w.replied(client1).size() == 2);
  }

  TEST_CASE("an answer is given once, and only to what was asked") {
    called_node w;
    w.joins(client1);
    (void)w.gets(client1, 1, 3);
    w.replies(client1, 2, 1);
    w.replies(client1, 1, 5);
    w.replies(client2, 1, 1);
    w.flush();
    std::uint64_t answers = 0;
    for (const auto& run : w.replied(client1)) answers += run.results.size();
    CHECK(answers == 3);
    CHECK(silent(w.out));
  }

  TEST_CASE("a call that wants no reply gets none") {
    called_node w;
    w.joins(client1);
    CHECK(w.gets(client1, 1, 2, unanswered()) == seq_ranges{{1, 2}});
    w.replies(client1, 1, 2);
    w.flush();
    CHECK(silent(w.out));
    CHECK(w.calls.open() == 0);
    CHECK(w.calls.kept_bytes() == 0);
  }

  TEST_CASE("cancelling names the calls that are not answered") {
    called_node w;
    w.joins(client1);
    (void)w.gets(client1, 1, 5);
    w.replies(client1, 2, 1);
    CHECK(w.calls.on_cancel(client1, {{{1, 3}}, "enough"}) ==
          std::vector<call_key>{{client1, 1}, {client1, 3}});
    CHECK(w.calls.on_cancel(client2, {{{1, 3}}, "enough"}).empty());
  }

  TEST_CASE("many answers make several messages, none too large") {
    called_node w;
    w.joins(client1);
    (void)w.gets(client1, 1, 1000, {}, 0, 1);
    w.replies(client1, 1, 1000, 1024);
    w.flush();
    std::uint64_t next = 1;
    while (!w.out.sends.empty())
      for (const auto& run : w.replied(client1)) {
        CHECK(run.first == next);
        CHECK(run.results.bytes() <= limits::batch_bytes);
        next = run.last() + 1;
      }
    CHECK(next == 1001);
  }

  TEST_CASE("long error messages make several messages, none with a header too long") {
    called_node w;
    w.joins(client1);
    (void)w.gets(client1, 1, 1000);
    reply_run run;
    run.first = 1;
    run.code = status::unknown;
    run.results = pack({}, 1000, 0);
    run.details.resize(1000);
    for (auto& d : run.details) d.message = std::string(1000, 'e');
    w.calls.reply(client1, std::move(run));
    w.flush();
    std::uint64_t answers = 0;
    while (!w.out.sends.empty()) {
      const auto batch = take<reply_batch>(w.out, 11);
      CHECK(encode(batch).header.size() <= limits::details_bytes + 4096);
      for (const auto& part : batch.runs)
        for (const auto& d : part.details) answers += d.message.size() == 1000;
    }
    CHECK(answers == 1000);
  }
}

TEST_SUITE("callee: reconnects") {
  TEST_CASE("a call that still runs is not taken again") {
    called_node w;
    w.joins(client1);
    (void)w.gets(client1, 1, 3);
    w.joins(client1);
    CHECK(w.gets(client1, 1, 3).empty());
    w.replies(client1, 1, 3);
    w.flush();
    CHECK(w.replied_once(client1).last() == 3);
    CHECK(silent(w.out));
  }

  TEST_CASE("what was lost on the way is taken when it comes again") {
    called_node w;
    w.joins(client1);
    (void)w.gets(client1, 1, 2);
    w.joins(client1);
    CHECK(w.gets(client1, 1, 6) == seq_ranges{{3, 6}});
    CHECK(w.gets(client1, 9, 2) == seq_ranges{{9, 10}});
    CHECK(w.gets(client1, 5, 8) == seq_ranges{{7, 8}, {11, 12}});
    CHECK(w.calls.open() == 12);
  }

  TEST_CASE("an answer that was lost is sent again, the call is not run again") {
    called_node w;
    w.joins(client1);
    (void)w.gets(client1, 1, 4);
    w.replies(client1, 1, 4, 3);
    w.flush();
    (void)w.replied(client1);
    w.joins(client1);
    CHECK(w.gets(client1, 2, 2, {}, 1).empty());
    w.flush();
    const auto run = w.replied_once(client1);
    CHECK(run.first == 2);
    CHECK(run.last() == 3);
    CHECK(run.results[0] == "xxx");
  }

  TEST_CASE("what is answered while the caller cannot be reached waits for it") {
    called_node w;
    w.joins(client1);
    (void)w.gets(client1, 1, 1);
    w.breaks(client1);
    w.replies(client1, 1, 1);
    w.flush();
    CHECK(silent(w.out));
    w.joins(client1);
    CHECK(w.gets(client1, 1, 1).empty());
    w.flush();
    CHECK(w.replied_once(client1).first == 1);
  }

  TEST_CASE("an answer that arrives in the round in which it is asked for again is sent once") {
    called_node w;
    w.joins(client1);
    (void)w.gets(client1, 1, 1);
    w.replies(client1, 1, 1);
    CHECK(w.gets(client1, 1, 1).empty());
    w.flush();
    CHECK(w.replied_once(client1).code == status::ok);
    CHECK(silent(w.out));
  }

  TEST_CASE("an answer is kept until the caller says that it has it") {
    called_node w;
    w.joins(client1);
    (void)w.gets(client1, 1, 4);
    w.replies(client1, 1, 4, 10);
    w.flush();
    CHECK(w.calls.kept_bytes() == 40);
    (void)w.calls.on_calls(client1, {3, {}}, w.now);
    CHECK(w.calls.kept_bytes() == 10);
    (void)w.calls.on_calls(client1, {4, {}}, w.now);
    CHECK(w.calls.kept_bytes() == 0);
  }

  TEST_CASE("an answer that is no longer kept is reported as lost, and the call is not run") {
    callee::limits_type limits;
    limits.kept_bytes = 100;
    called_node w(limits);
    w.joins(client1);
    (void)w.gets(client1, 1, 2);
    w.replies(client1, 1, 1, 80);
    w.flush();
    w.replies(client1, 2, 1, 80);
    w.flush();
    CHECK(w.calls.kept_bytes() == 80);
    w.out.sends.clear();
    w.joins(client1);
    CHECK(w.gets(client1, 1, 2).empty());
    w.flush();
    const auto runs = w.replied(client1);
    REQUIRE(runs.size() == 2);
    CHECK(runs[0].first == 2);
    const reply_run& lost = runs[1];
    CHECK(lost.first == 1);
    CHECK(lost.code == status::unavailable);
    CHECK(!lost.details[0].never_started);
    CHECK(lost.details[0].message == "the reply was lost");
  }

  TEST_CASE(
      "what would wait for a caller that does not read is lost, beyond a bound in bytes") {
    callee::limits_type limits;
    limits.stalled_bytes = 1000;
    called_node w(limits);
    w.joins(client1);
    w.joins(client2);
    w.gets(client1, 1, 10);
    w.gets(client2, 1, 10);
    w.calls.stalled(client1, true);
    w.replies(client1, 1, 2, 500);
    w.flush();
    CHECK(w.replied_once(client1).code == status::ok);
    w.replies(client1, 3, 1, 1);
    w.replies(client2, 3, 1, 5000);
    w.flush();
    const auto lost = w.replied_once(client1);
    CHECK(lost.first == 3);
    CHECK(lost.code == status::unavailable);
    CHECK(lost.results.bytes() == 0);
    CHECK_FALSE(lost.details[0].never_started);
    CHECK(w.replied_once(client2).code == status::ok);
    // A failure is told as it is.
    w.replies(client1, 4, 1, 0, status::not_found);
    w.flush();
    CHECK(w.replied_once(client1).code == status::not_found);
    // It has read on; and then it stops again.
    w.calls.stalled(client1, false);
    w.replies(client1, 5, 1, 2000);
    w.calls.stalled(client1, true);
    w.replies(client1, 6, 1, 1000);
    w.flush();
    const auto both = w.replied_once(client1);
    CHECK(both.first == 5);
    CHECK(both.last() == 6);
    CHECK(both.code == status::ok);
    CHECK(silent(w.out));
  }

  TEST_CASE("streams with windows in bytes, and who proves that it reads, lose nothing") {
    callee::limits_type limits;
    limits.stalled_bytes = 1000;
    called_node w(limits);
    w.joins(client1);
    auto windowed = stream_of(1'000'000);
    windowed.stream_bytes = 500;
    CHECK(w.gets(client1, 1, 2, windowed) == seq_ranges{{1, 2}});
    CHECK(w.gets(client1, 3, 1, stream_of(1'000'000)) == seq_ranges{{3, 3}});
    CHECK(w.gets(client1, 4, 20) == seq_ranges{{4, 23}});
    w.calls.stalled(client1, true);
    for (std::uint64_t n = 1; n <= 50; ++n) {
      for (std::uint64_t call = 1; call <= 3; ++call)
        CHECK(w.calls.part({client1, call}, tasks(1, 400)) != callee::not_wanted);
      w.flush();
      std::size_t bounded = 0;
      for (const auto& sent : std::exchange(w.out.sends, {})) {
        const auto* parts = std::get_if<part_batch>(&sent.what);
        REQUIRE(parts != nullptr);
        for (const auto& run : parts->runs) CHECK(parts->bounded == (run.call != 3));
        bounded += parts->bounded ? parts->runs.size() : 0;
      }
      CHECK(bounded == 2);
      (void)w.calls.on_credit(client1, {{{1, n, n + 100}, {2, n, n + 100}, {3, n, n + 100}}});
    }
    for (std::uint64_t call = 1; call <= 3; ++call) w.replies(client1, call, 1);
    (void)w.calls.on_calls(client1, {3, {}}, w.now);
    for (std::uint64_t call = 4; call <= 23; ++call) {
      w.replies(client1, call, 1, 400);
      w.flush();
      for (const auto& sent : std::exchange(w.out.sends, {}))
        if (const auto* b = std::get_if<reply_batch>(&sent.what))
          for (const auto& run : b->runs) CHECK(run.code == status::ok);
      (void)w.calls.on_calls(client1, {call, {}}, w.now);
    }
  }

  TEST_CASE("answers that are asked for again and again are not sent to who does not read") {
    callee::limits_type limits;
    limits.stalled_bytes = 1000;
    called_node w(limits);
    w.joins(client1);
    w.gets(client1, 1, 1);
    w.replies(client1, 1, 1, 500);
    w.flush();
    w.out.sends.clear();
    w.calls.stalled(client1, true);
    std::size_t sent = 0;
    for (int i = 0; i < 10; ++i) {
      w.joins(client1);
      w.calls.stalled(client1, true);
      CHECK(w.gets(client1, 1, 1).empty());
      w.flush();
      sent += w.out.sends.size();
      w.out.sends.clear();
    }
    CHECK(sent == 2);
    // It gets what it has asked for when it reads on; once.
    w.calls.stalled(client1, false);
    CHECK(w.gets(client1, 1, 1).empty());
    w.flush();
    CHECK(w.replied_once(client1).code == status::ok);
    CHECK(silent(w.out));
    w.calls.stalled(client1, true);
    for (int i = 0; i < 3; ++i) {
      CHECK(w.gets(client1, 1, 1).empty());
      w.flush();
    }
    CHECK(w.replied_once(client1).code == status::ok);
    CHECK(w.replied_once(client1).code == status::ok);
    CHECK(silent(w.out));
    w.calls.stalled(client1, false);
    w.flush();
    CHECK(w.replied_once(client1).code == status::ok);
    CHECK(silent(w.out));
  }

  TEST_CASE("a small answer does not keep the memory of the large ones that came with it") {
    called_node w;
    w.joins(client1);
    (void)w.gets(client1, 1, 1);
    const pack large = tasks(1000, 100);
    reply_run run;
    run.first = 1;
    run.results = large.slice(500, 1);
    const std::weak_ptr<const void> memory = large.body().owner;
    w.calls.reply(client1, std::move(run));
    w.flush();
    w.out.sends.clear();
    CHECK(w.calls.kept_bytes() == 100);
    CHECK(memory.use_count() == 1);  // the test's own
  }
}

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

TEST_SUITE("callee: hostile callers") {
  TEST_CASE("whatever numbers a caller makes up, the books are right and bounded") {
    for (std::uint64_t seed = 1; seed <= 30; ++seed) {
      random_bits dice(seed);
      callee::limits_type limits;
      limits.window_calls = 64;
      limits.window_bytes = 4096;
      limits.kept_bytes = 2000;
      limits.kept_elements_bytes = 1000;
      called_node w(limits);
      w.joins(client1);
      w.joins(client2);
      const auto any = [&](std::uint64_t most) { return dice.next() % (most + 1); };
      for (int step = 0; step < 3000; ++step) {
        const session_id who = any(1) ? client1 : client2;
        const std::uint64_t n = any(40) == 0 ? dice.next() >> any(63) : any(300);
        switch (any(9)) {
          case 0:
          case 1:
          case 2: {
            call_options o;
            o.stream_window = any(2) ? 0 : static_cast<std::uint32_t>(any(10));
            o.no_reply = any(9) == 0;
            const auto count = static_cast<std::uint32_t>(any(20) + 1);
            (void)w.gets(who, std::min(n, proto::limits::seq - 100), count, o,
                         any(3) ? 0 : any(n), static_cast<std::uint32_t>(any(30)));
            break;
          }
          case 3:
            (void)w.calls.on_cancel(who, {{{n, n + any(50)}}, "why not"});
            break;
          case 4:
            for (const auto& g : w.calls.on_credit(who, {{{n, any(50), dice.next() >> 8}}}))
              CHECK(g.key.call == n);
            break;
          case 5:
            w.replies(who, n, static_cast<std::uint32_t>(any(30) + 1),
                      static_cast<std::uint32_t>(any(100)));
            break;
          case 6:
          case 7:
            (void)w.calls.part({who, n}, tasks(static_cast<std::uint32_t>(any(5) + 1), 30));
            break;
          case 8:
            if (any(30) == 0) {
              const std::uint64_t open = w.calls.open_of(who);
              CHECK(w.calls.lost(who).size() == open);
              w.flush();
              w.out.sends.clear();
              w.joins(who);
            }
            break;
          default:
            w.now += std::chrono::milliseconds(any(100));
            w.flush();
            w.out.sends.clear();
        }
        REQUIRE(w.calls.open() == w.calls.open_of(client1) + w.calls.open_of(client2));
        REQUIRE(w.calls.open_of(who) <= 2 * limits.window_calls);
      }
    }
  }
}

}  // namespace rpc_callee_test
