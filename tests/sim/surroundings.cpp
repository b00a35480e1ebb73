#include "sim/surroundings.hpp"

#include <cstdio>

namespace weir::sim {
using namespace std::chrono_literals;

surroundings::surroundings(std::uint64_t seed, conditions c, bool verbose)
    : climate_(c), verbose_(verbose), chance_(seed), net_(*this) {}

void surroundings::print(const std::string& who, const std::string& text) const {
  std::printf("%10.6f  %-5s %s\n",
              std::chrono::duration<double>(clock_.now().time_since_epoch()).count() - 1000,
              who.c_str(), text.c_str());
}

duration surroundings::delay() {
  if (climate_.long_delays && !healed_ && chance_.chance(0.02))
    return chance_.between(0ms, 3 * climate_.heartbeat);
  if (climate_.delays) return chance_.between(20us, 20ms);
  return chance_.between(20us, 200us);
}

void surroundings::trouble(duration every, std::function<void()> what) {
  at(now() + chance_.between(1ms, 2 * every), [this, every, what] {
    if (healed_) return;
    what();
    trouble(every, what);
  });
}

void surroundings::heal() {
  trace("---", [] { return "all heals"; });
  healed_ = true;
  progress();
}

}  // namespace weir::sim
