// What weir::worker is inside: one of two nodes.
#pragma once

#include <weir/worker.hpp>

#include <memory>
#include <string>
#include <vector>

namespace weir {

struct worker::impl {
  virtual ~impl() = default;
  virtual void run() = 0;
  virtual void stop() noexcept = 0;
  [[nodiscard]] virtual const std::vector<std::string>& endpoints() const noexcept = 0;
  [[nodiscard]] virtual worker_stats stats() const = 0;
};

}  // namespace weir
