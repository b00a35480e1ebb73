// The simulator itself: would it notice? Every rule of the checker is broken here once, first
// by an output that lies, then by machines that break theirs.
#include "sim/scenario.hpp"
#include "sim/world.hpp"

#include <doctest/doctest.h>

#include <string>

using namespace weir::sim;

namespace {
struct found {
  std::uint64_t seed = 0;  // 0: nothing noticed
  std::string verdict;
};

/// The first seed in which something is noticed.
found first_noticed(sabotage how, std::uint64_t most_seeds) {
  for (std::uint64_t seed = 1; seed <= most_seeds; ++seed) {
    scenario plan = make_scenario(seed);
    plan.broken = how;
    auto result = world(plan, false).run();
    if (!result.verdict.empty()) return {seed, result.verdict};
  }
  return {};
}

void require_noticed(sabotage how, const std::string& rules) {
  const auto noticed = first_noticed(how, 10'000);
  CAPTURE(noticed.verdict);
  REQUIRE(noticed.seed != 0);
  CHECK(rules.find(noticed.verdict.substr(0, 2)) != std::string::npos);
}
}  // namespace

TEST_SUITE("sim") {
  TEST_CASE("the same seed is the same world, event for event") {
    std::uint64_t last = 0;
    for (std::uint64_t seed = 1; seed <= 40; ++seed) {
      const auto plan = make_scenario(seed);
      const auto once = world(plan, false).run();
      const auto again = world(plan, false).run();
      REQUIRE(once.hash == again.hash);
      REQUIRE(once.events == again.events);
      CHECK(once.hash != last);
      last = once.hash;
    }
  }

  TEST_CASE("every class of fault comes up, alone and with others") {
    int cuts = 0, kills = 0, sinks = 0, pauses = 0, drains = 0, poison = 0, none = 0, alone = 0;
    for (std::uint64_t seed = 1; seed <= 500; ++seed) {
      const auto s = make_scenario(seed);
      cuts += s.cuts, kills += s.kills, sinks += s.sink_restarts, pauses += s.pauses;
      drains += s.drains, poison += s.poison, none += s.fault_free();
      alone += s.cuts + s.kills + s.sink_restarts + s.pauses + s.drains + s.poison == 1;
    }
    for (const int count : {cuts, kills, sinks, pauses, drains, poison, none, alone})
      CHECK(count >= 25);
  }

  TEST_CASE("an output that drops a line is noticed") {
    require_noticed(sabotage::line_dropped, "C1 C5");
  }
  TEST_CASE("an output that has a line twice is noticed") {
    require_noticed(sabotage::line_doubled, "C2");
  }
  TEST_CASE("an altered payload is noticed") {
    require_noticed(sabotage::payload_altered, "C3");
  }
  TEST_CASE("an ACK for what is not in the output is noticed") {
    require_noticed(sabotage::ack_forged, "C5");
  }
  TEST_CASE("a task that was read and never given to the ventilator is noticed") {
    require_noticed(sabotage::task_never_fed, "C1 C7");
  }

  TEST_CASE("a sink that acknowledges before the commit is noticed") {
    require_noticed(sabotage::commit_not_awaited, "C1 C5");
  }
  TEST_CASE("a ventilator that believes in dead workers is noticed") {
    require_noticed(sabotage::death_ignored, "C7");
  }
  TEST_CASE("a worker that forgets results when it has sent them is noticed") {
    require_noticed(sabotage::results_forgotten, "C7");
  }
  TEST_CASE("a ventilator that does not hear RELEASE is noticed") {
    require_noticed(sabotage::release_swallowed, "C7");
  }
  TEST_CASE("a ventilator that does not hear what a worker holds is noticed") {
    require_noticed(sabotage::resync_swallowed, "C1 C6 C7 C8");
  }
  TEST_CASE("a worker that does not hear RESEND is noticed") {
    require_noticed(sabotage::resend_swallowed, "C7");
  }
  TEST_CASE("a ventilator that retries what cannot succeed is noticed") {
    require_noticed(sabotage::failure_made_retryable, "C6");
  }
  TEST_CASE("a ventilator that does not tell a new sink what is done is noticed") {
    require_noticed(sabotage::register_empty, "C2 C7");
  }
  TEST_CASE("a ventilator that sends more than a window holds is noticed") {
    require_noticed(sabotage::window_ignored, "C8");
  }
}
