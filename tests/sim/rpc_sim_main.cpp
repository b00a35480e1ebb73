// Runs seeds: rpc_sim [--seeds N] [--from S] | --seed X [--verbose] [--twice]
#include "sim/rpc_scenario.hpp"
#include "sim/rpc_world.hpp"

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

namespace {
using namespace weir::sim;

bool run(std::uint64_t seed, bool verbose, bool twice, const char* program) {
  const rpc_scenario plan = make_rpc_scenario(seed);
  if (verbose)
    std::printf("seed %llu: %s\n", static_cast<unsigned long long>(seed),
                plan.describe().c_str());
  auto result = rpc_world(plan, verbose).run();
  if (twice && result.verdict.empty() && rpc_world(plan, false).run().hash != result.hash)
    result.verdict = "a second run of the same seed went another way";
  if (result.verdict.empty()) return true;
  std::printf("seed %llu FAILED: %s\n  %s\n  reproduce: %s --seed %llu --verbose\n",
              static_cast<unsigned long long>(seed), result.verdict.c_str(),
              plan.describe().c_str(), program, static_cast<unsigned long long>(seed));
  std::fflush(stdout);
  return false;
}
}  // namespace

int main(int argc, char** argv) {
  std::uint64_t seeds = 2000;
  std::uint64_t from = 1;
  std::uint64_t only = 0;
  std::uint64_t most_failures = 10;
  bool verbose = false;
  for (int i = 1; i < argc; ++i) {
    const std::string option = argv[i];
    const auto number = [&]() -> std::uint64_t {
      if (i + 1 < argc) return std::strtoull(argv[++i], nullptr, 10);
      std::fprintf(stderr, "%s needs a number\n", option.c_str());
      std::exit(64);
    };
    if (option == "--seeds") {
      seeds = number();
    } else if (option == "--from") {
      from = number();
    } else if (option == "--seed") {
      only = number();
    } else if (option == "--failures") {
      most_failures = number();
    } else if (option == "--verbose") {
      verbose = true;
    } else {
      std::fprintf(stderr,
                   "usage: %s [--seeds N] [--from S] [--failures N] | --seed X [--verbose]\n",
                   argv[0]);
      return 64;
    }
  }
  if (only != 0) return run(only, verbose, true, argv[0]) ? 0 : 1;
  std::uint64_t failures = 0;
  for (std::uint64_t seed = from; seed < from + seeds && failures < most_failures; ++seed)
    failures += !run(seed, verbose, seed % 50 == 0, argv[0]);
  if (failures == 0)
    std::printf("%llu seeds from %llu: no violation\n", static_cast<unsigned long long>(seeds),
                static_cast<unsigned long long>(from));
  return failures == 0 ? 0 : 1;
}
