// The called end: what is taken once, answered once, kept, and sent again.
#include "called_node.hpp"
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
using namespace called_nodes;

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
