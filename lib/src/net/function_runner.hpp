// A handler written in C++, as the pool's slots want it.
#pragma once

#include "exec/pool.hpp"

#include <algorithm>
#include <functional>
#include <thread>
#include <utility>

namespace weir::net {

class function_runner final : public exec::runner {
 public:
  explicit function_runner(std::function<void(exec::claim&)> each) : each_(std::move(each)) {}
  void run(exec::claim& tasks) override { each_(tasks); }

 private:
  std::function<void(exec::claim&)> each_;
};

/// 0: as many slots as there are cores.
[[nodiscard]] inline unsigned slots_of(unsigned wanted) {
  return wanted > 0 ? wanted : std::max(1U, std::thread::hardware_concurrency());
}

}  // namespace weir::net
