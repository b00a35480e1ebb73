// The called end: callers that do not read.
#include "called_node.hpp"
#include "dialogue.hpp"
#include "proto/rpc/callee.hpp"

namespace rpc_callee_stall_test {

using namespace weir;
using namespace weir::proto;
using namespace weir::proto::dialogue;
using namespace called_nodes;

namespace {
/// What may wait for one caller that does not read: 1000 bytes.
callee::limits_type little_room() {
  callee::limits_type limits;
  limits.stalled_bytes = 1000;
  return limits;
}
}  // namespace

TEST_SUITE("callee: callers that do not read") {
  TEST_CASE(
      "what would wait for a caller that does not read is lost, beyond a bound in bytes") {
    called_node w(little_room());
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

  TEST_CASE("why calls failed is told to who does not read up to a bound, whatever it says") {
    callee::limits_type limits;
    limits.failure_bytes = 10'000;
    called_node w(limits);
    w.joins(client1);
    const auto told = [&](std::uint64_t call) {
      w.gets(client1, call, 1, {}, call - 1);  // it has all that was sent, it says
      reply_run failed;
      failed.first = call;
      failed.code = status::not_found;
      failed.results = tasks(1, 0);
      failed.details.resize(1);
      failed.details[0].message = std::string(1000, 'x');
      w.calls.reply(client1, std::move(failed));
    };
    // However often it asks in one round, and while it is stalled: no matter how many rounds.
    for (const bool stalled : {false, true}) {
      w.calls.stalled(client1, stalled);
      std::size_t details = 0;
      for (std::uint64_t call = 1; call <= 20; ++call) {
        told(call + (stalled ? 20 : 0));
        if (stalled || call == 20) w.flush();
      }
      for (const auto& sent : std::exchange(w.out.sends, {}))
        for (const auto& run : std::get<reply_batch>(sent.what).runs) {
          CHECK(run.code == status::not_found);
          details += run.details.size();
        }
      CHECK(details > 5);
      CHECK(details <= 10);
    }
    w.calls.stalled(client1, false);
    told(41);
    w.flush();
    CHECK(w.replied_once(client1).details.size() == 1);
  }

  TEST_CASE("streams with windows in bytes, and who proves that it reads, lose nothing") {
    called_node w(little_room());
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

  TEST_CASE("who reads more slowly than it is sent does not prove that it has read all of it") {
    called_node w(little_room());
    w.joins(client1);
    w.gets(client1, 1, 40);
    w.calls.stalled(client1, true);
    std::size_t sent = 0;
    std::uint64_t low = 0;
    for (std::uint64_t call = 1; call <= 40; ++call) {
      w.replies(client1, call, 1, 100);
      w.flush();
      sent += w.replied_once(client1).results.bytes();
      if (call % 4 == 0) (void)w.calls.on_calls(client1, {++low, {}}, w.now);
    }
    CHECK(sent <= 1000 + low * 100);
    CHECK(sent >= 1000);
  }

  TEST_CASE("answers that are asked for again and again are not sent to who does not read") {
    called_node w(little_room());
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
}

}  // namespace rpc_callee_stall_test
