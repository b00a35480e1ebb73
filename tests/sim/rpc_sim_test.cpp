// The simulator of calls itself: would it notice? Rules of the checker are broken here, first
// by users and handlers that lie, then by machines that break theirs.
#include "sim/rpc_scenario.hpp"
#include "sim/rpc_world.hpp"

#include <doctest/doctest.h>

#include <string>

using namespace weir::sim;

namespace {
struct found {
  std::uint64_t seed = 0;  // 0: nothing noticed
  std::string verdict;
};

/// The first seed in which something is noticed.
found first_noticed(rpc_sabotage how, std::uint64_t most_seeds) {
  for (std::uint64_t seed = 1; seed <= most_seeds; ++seed) {
    rpc_scenario plan = make_rpc_scenario(seed);
    plan.broken = how;
    auto result = rpc_world(plan, false).run();
    if (!result.verdict.empty()) return {seed, result.verdict};
  }
  return {};
}

void require_noticed(rpc_sabotage how, const std::string& rules) {
  const auto noticed = first_noticed(how, 3000);
  CAPTURE(noticed.verdict);
  REQUIRE(noticed.seed != 0);
  CHECK(rules.find(noticed.verdict.substr(0, 2)) != std::string::npos);
}
}  // namespace

TEST_SUITE("sim of calls") {
  TEST_CASE("the same seed is the same world, event for event") {
    std::uint64_t last = 0;
    for (std::uint64_t seed = 1; seed <= 40; ++seed) {
      const auto plan = make_rpc_scenario(seed);
      const auto once = rpc_world(plan, false).run();
      const auto again = rpc_world(plan, false).run();
      REQUIRE(once.hash == again.hash);
      REQUIRE(once.events == again.events);
      CHECK(once.hash != last);
      last = once.hash;
    }
  }

  TEST_CASE("every class of fault comes up, alone and with others") {
    int cuts = 0, workers = 0, gateways = 0, clients = 0, pauses = 0, drains = 0, calm = 0,
        alone = 0, direct = 0, introduced = 0;
    for (std::uint64_t seed = 1; seed <= 1000; ++seed) {
      const auto s = make_rpc_scenario(seed);
      cuts += s.cuts, workers += s.worker_kills, gateways += s.gateway_kills;
      clients += s.client_kills, pauses += s.pauses, drains += s.drains, calm += s.calm;
      alone += s.cuts + s.worker_kills + s.gateway_kills + s.pauses + s.drains == 1;
      direct += s.gateways == 0, introduced += s.introduce;
    }
    for (const int count :
         {cuts, workers, gateways, clients, pauses, drains, calm, alone, direct, introduced})
      CHECK(count >= 25);
  }

  TEST_CASE("a call whose outcome nobody gets is noticed") {
    require_noticed(rpc_sabotage::outcome_dropped, "R1");
  }
  TEST_CASE("a call that ends twice is noticed") {
    require_noticed(rpc_sabotage::outcome_doubled, "R1");
  }
  TEST_CASE("the result of another call is noticed") {
    require_noticed(rpc_sabotage::result_altered, "R3");
  }
  TEST_CASE("an element that is missing is noticed") {
    require_noticed(rpc_sabotage::element_dropped, "R6");
  }
  TEST_CASE("a call that runs twice is noticed") {
    require_noticed(rpc_sabotage::run_twice, "R2 R9");
  }
  TEST_CASE("a call that is run after its deadline is noticed") {
    require_noticed(rpc_sabotage::run_late, "R4");
  }
  TEST_CASE("a call that is run although it was said not to have been is noticed") {
    require_noticed(rpc_sabotage::run_cancelled, "R3 R4 R5");
  }
  TEST_CASE("a worker that never answers some calls is noticed") {
    require_noticed(rpc_sabotage::answer_forgotten, "R8 R9");
  }
  TEST_CASE("a worker that does not hear CREDIT is noticed") {
    require_noticed(rpc_sabotage::credit_swallowed, "R9");
  }
  TEST_CASE("callers that ignore windows are noticed") {
    require_noticed(rpc_sabotage::window_ignored, "R7");
  }
}
