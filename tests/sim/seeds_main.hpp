// The programs that run seeds: PROGRAM [--seeds N] [--from S] | --seed X [--verbose]
#pragma once

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>

namespace weir::sim {

/// Runs seeds one after the other, and prints those that fail with the line that repeats them.
/// `plan_of(seed)` makes the scenario, and `World(plan, verbose).run()` what becomes of it.
template <class World, class PlanOf>
class seeds_main {
 public:
  explicit seeds_main(PlanOf plan_of) : plan_of_(plan_of) {}

  int operator()(int argc, char** argv) {
    program_ = argv[0];
    if (!read_options(argc, argv)) return 64;
    if (only_ != 0) return run(only_, true) ? 0 : 1;
    std::uint64_t failures = 0;
    for (std::uint64_t seed = from_; seed < from_ + seeds_ && failures < most_failures_; ++seed)
      failures += !run(seed, seed % 50 == 0);
    if (failures > 0) return 1;
    std::printf("%llu seeds from %llu: no violation\n", shown(seeds_), shown(from_));
    return 0;
  }

 private:
  static unsigned long long shown(std::uint64_t n) { return n; }

  bool read_options(int argc, char** argv) {
    for (int i = 1; i < argc; ++i) {
      const std::string option = argv[i];
      const auto number = [&]() -> std::uint64_t {
        if (i + 1 < argc) return std::strtoull(argv[++i], nullptr, 10);
        std::fprintf(stderr, "%s needs a number\n", option.c_str());
        std::exit(64);
      };
      if (option == "--seeds") {
        seeds_ = number();
      } else if (option == "--from") {
        from_ = number();
      } else if (option == "--seed") {
        only_ = number();
      } else if (option == "--failures") {
        most_failures_ = number();
      } else if (option == "--verbose") {
        verbose_ = true;
      } else {
        std::fprintf(stderr,
                     "usage: %s [--seeds N] [--from S] [--failures N] | --seed X [--verbose]\n",
                     program_);
        return false;
      }
    }
    return true;
  }

  /// `twice`: a second run of it has to go the same way.
  bool run(std::uint64_t seed, bool twice) {
    const auto plan = plan_of_(seed);
    if (verbose_) std::printf("seed %llu: %s\n", shown(seed), plan.describe().c_str());
    auto result = World(plan, verbose_).run();
    if (twice && result.verdict.empty() && World(plan, false).run().hash != result.hash)
      result.verdict = "a second run of the same seed went another way";
    if (result.verdict.empty()) return true;
    std::printf("seed %llu FAILED: %s\n  %s\n  reproduce: %s --seed %llu --verbose\n",
                shown(seed), result.verdict.c_str(), plan.describe().c_str(), program_,
                shown(seed));
    std::fflush(stdout);
    return false;
  }

  PlanOf plan_of_;
  const char* program_ = "";
  std::uint64_t seeds_ = 2000;
  std::uint64_t from_ = 1;
  std::uint64_t only_ = 0;
  std::uint64_t most_failures_ = 10;
  bool verbose_ = false;
};

}  // namespace weir::sim
