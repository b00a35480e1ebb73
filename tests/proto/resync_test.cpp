#include "proto/ventilator_state.hpp"
#include "proto/wire.hpp"
#include "proto/worker_state.hpp"

#include <weir/version.hpp>

#include <doctest/doctest.h>

#include <algorithm>

namespace resync_test {

using namespace std::chrono_literals;
using namespace weir;
using namespace weir::proto;

namespace {

constexpr source_id s{{7}};
constexpr time_point t0{};

introduction who(role r, std::uint64_t session) {
  introduction self;
  self.role = r;
  self.session = session_id{session};
  self.slots = r == role::worker ? 1 : 0;
  return self;
}

/// The messages of one kind among those to be sent, in order.
template <class Message>
std::vector<Message> sent(const outbox& out) {
  std::vector<Message> all;
  for (const auto& each : out.sends)
    if (const auto* m = std::get_if<Message>(&each.what)) all.push_back(*m);
  return all;
}

/// A worker in a session with a ventilator on connection 1, with tasks 1 to `count` running.
struct busy_worker {
  worker_state machine;
  outbox out;

  explicit busy_worker(std::uint32_t count)
      : machine({who(role::worker, 1), 1s, {role::ventilator}}, options(count), t0) {
    machine.link_opened(peer_id{1}, t0, out);
    welcome_it();
    machine.on_message(
        peer_id{1},
        task_batch{s, {{1, 1, pack(blob::from(std::string(count, 'x')), count, 1), 0}}}, t0,
        out);
    while (true) {
      out = {};
      machine.tick(t0, out);
      if (out.starts.empty()) break;
      for (const auto& start : out.starts) started += start.payloads.size();
    }
  }
  static worker_state::options options(std::uint32_t slots) {
    worker_state::options o;
    o.slots = slots;
    return o;
  }
  void welcome_it() {
    machine.on_message(peer_id{1}, welcome{wire_version, who(role::ventilator, 2), 1000}, t0,
                       out);
  }
  std::uint64_t started = 0;
};

}  // namespace

TEST_SUITE("resync") {
  TEST_CASE(
      "a worker that comes back reports its failures first, and then does not hold them") {
    busy_worker w(1);
    REQUIRE(w.started == 1);
    w.machine.on_finished({s, 1, 1, {{1, 1, status::unknown, pack::of(""), {}}}, {}, 1ms}, t0,
                          w.out);
    w.machine.link_down(peer_id{1}, t0);
    w.machine.link_up(peer_id{1}, t0, w.out);
    w.out = {};
    w.welcome_it();
    REQUIRE(w.out.sends.size() == 2);
    CHECK(std::holds_alternative<result_batch>(w.out.sends[0].what));
    const auto windows = sent<window>(w.out);
    REQUIRE(windows.size() == 1);
    CHECK(windows[0].resync);
    CHECK(windows[0].holding.empty());
  }

  TEST_CASE("results with long tails of stderr go in several messages, and none is lost") {
    busy_worker w(100);
    REQUIRE(w.started == 100);
    outcome_details d;
    d.stderr_tail = std::string(16'000, 'e');
    result_run run{1, 1, status::unknown, pack(blob::from(std::string(100, 'p')), 100, 1), {}};
    run.details.assign(100, d);
    w.out = {};
    w.machine.on_finished({s, 1, 100, {run}, {}, 1ms}, t0, w.out);
    const auto batches = sent<result_batch>(w.out);
    CHECK(batches.size() > 1);
    std::uint64_t next = 1;
    for (const auto& batch : batches)
      for (const auto& part : batch.runs) {
        CHECK(part.first == next);
        CHECK(part.details.size() == part.payloads.size());
        CHECK(fitting_results(part) == part.payloads.size());
        next = part.last() + 1;
      }
    CHECK(next == 101);
  }

  TEST_CASE("a task that came back with its first worker and then fails is tried again") {
    ventilator_state::options options;
    options.source = s;
    options.collects = true;
    options.max_attempts = 5;
    ventilator_state v({who(role::ventilator, 9), 1s, {role::worker}}, options, t0);
    outbox out;
    v.feed(pack::of("x"));
    auto now = t0;
    const auto joins = [&](std::uint32_t peer, std::uint64_t session, seq_ranges holding) {
      (void)v.on_message(peer_id{peer}, hello{wire_version, who(role::worker, session)}, now,
                         out);
      window w{1, 1000, true, {}};
      if (!holding.empty()) w.holding.push_back({s, std::move(holding)});
      (void)v.on_message(peer_id{peer}, w, now, out);
      out = {};
      v.tick(now, out);
      return sent<task_batch>(out);
    };
    const auto dies = [&](std::uint32_t peer) {
      v.link_down(peer_id{peer}, now);
      v.tick(now += 1s, out);
    };
    REQUIRE(joins(1, 101, {}).size() == 1);
    dies(1);
    REQUIRE(joins(2, 102, {}).size() == 1);  // attempt 2
    dies(2);
    // The first one was only cut off, and is still at it.
    REQUIRE(joins(3, 101, {{1, 1}}).empty());
    CHECK(v.stats().leased == 1);
    (void)v.on_message(peer_id{3}, result_batch{s, {{1, 1, status::unknown, pack::of(""), {}}}},
                       now, out);
    CHECK(v.stats().leased == 0);
    now += 200ms;
    (void)v.on_message(peer_id{3}, alive{}, now, out);
    out = {};
    v.tick(now, out);
    const auto again = sent<task_batch>(out);
    REQUIRE(again.size() == 1);
    CHECK(again[0].runs[0].attempt == 3);
  }
}

}  // namespace resync_test
