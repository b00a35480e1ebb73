// What `weir.stats` says of one method.
#pragma once

#include "proto/rpc/histogram.hpp"
#include "proto/rpc/rate_meter.hpp"
#include "proto/time.hpp"

#include <cstdint>

namespace weir::proto {

/// Counters and latencies of one method, at a gateway, a worker or a client: each fills in what
/// it can see.
struct method_stats {
  std::uint64_t calls = 0;
  std::uint64_t errors = 0;    ///< answered with anything but OK
  std::uint64_t expired = 0;   ///< of those: never dispatched, for their time was over
  std::uint64_t rejected = 0;  ///< of those: refused at once
  std::uint64_t retried = 0;   ///< further attempts
  std::uint64_t cached = 0;    ///< answered from memory
  /// Made by clients of workers themselves. A worker counts them among its calls; a gateway
  /// has them from its workers, and beside those that went through it.
  std::uint64_t direct = 0;

  /// Where an answered call's time went. `total` is the sum of the others, and what a caller
  /// at this node waits for.
  struct split {
    histogram request;   ///< on the way to the worker
    histogram queue;     ///< waiting, here and at the worker
    histogram service;   ///< in the handler
    histogram response;  ///< on the way back
    histogram total;
  } latency;

  rate_meter answered;
};

}  // namespace weir::proto
