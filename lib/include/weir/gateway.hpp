// The gateway as an embeddable object.
#pragma once

#include <weir/node.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace weir {

struct gateway_options : node_options {
  /// Calls that may wait for a worker, for each method: so many, and so many bytes of
  /// arguments.
  std::uint64_t queue_calls = 100'000;
  std::size_t queue_bytes = 32 * 1024 * 1024;
  /// How long a call waits for a worker that offers its method, if there is none.
  std::chrono::milliseconds wait{1000};
  /// How often a call that may be run twice is tried, when its workers die.
  std::uint32_t max_attempts = 3;
  /// Replies to calls with an idempotency key are remembered: so much, and for so long.
  std::size_t reply_cache = 8 * 1024 * 1024;
  std::chrono::milliseconds reply_cache_ttl = std::chrono::minutes(5);
  /// Results of methods that are declared cacheable.
  std::size_t result_cache = 8 * 1024 * 1024;
  /// A file for calls that are handed over, to be made when there is a worker, and whose
  /// outcomes are kept (weir/submit.hpp). Empty: there is none.
  std::string spool{};
  std::uint64_t spool_size = 0;  ///< bytes of the file, before submissions are refused; 0: any
  /// How long the outcome of a submitted call is kept, unless its submitter says so. Zero:
  /// until it is forgotten.
  std::chrono::milliseconds spool_keep = std::chrono::hours(7 * 24);
};

struct gateway_stats {
  std::uint64_t received = 0;  ///< calls
  std::uint64_t answered = 0;  ///< with a result
  std::uint64_t failed = 0;    ///< with an error
  std::uint64_t rejected = 0;  ///< of those: there was no room
  std::uint64_t expired = 0;   ///< of those: their time was up before there was a worker
  std::uint64_t retried = 0;
  std::uint64_t cached = 0;  ///< answered from memory
  std::uint64_t queued = 0;
  std::uint64_t running = 0;
  std::uint64_t workers = 0;
  std::uint64_t clients = 0;
  std::uint64_t malformed = 0;  ///< messages that could not be read
  std::uint64_t spooled = 0;    ///< in the spool and neither running nor ended
  std::uint64_t spool_running = 0;
};

/// Takes calls from clients and gives each to a worker that offers its method and has room.
///
///     weir::gateway g{{{.bind = {"tcp://127.0.0.1:5555"}}}};
///     g.run();  // until drain() or stop()
///
/// Delivery   Holds nothing that matters but the calls in flight, and the spool, which is on
///            disk: a submitted call has exactly one outcome, whatever is killed
///            (docs/failure_model.md, "a gateway").
/// Threads    Construct, run and destroy on one thread. drain(), stop() and stats() may be
///            called from any.
/// Errors     The constructor throws weir::error for what the caller can mend: a malformed
///            endpoint, an address in use; a spool that is in use (`in_use`), damaged (`data`),
///            or cannot be made. run() throws `io` or `data` if the spool's file cannot be used
///            any more; a disk that is full only makes it refuse submissions. Nothing a peer
///            sends can throw.
class gateway {
 public:
  explicit gateway(gateway_options options);
  ~gateway();
  gateway(const gateway&) = delete;
  gateway& operator=(const gateway&) = delete;

  /// Blocks until drain() has come to its end, or stop().
  void run();
  /// Any thread: no more calls; leave when those in hand are answered. What is queued in the
  /// spool stays there.
  void drain() noexcept;
  /// Any thread: leave at once. Calls in hand fail at their clients, who are told.
  void stop() noexcept;
  /// After run(): whether all calls in hand were answered.
  [[nodiscard]] bool drained() const noexcept;
  /// The endpoints as they are bound, ports filled in.
  [[nodiscard]] const std::vector<std::string>& endpoints() const noexcept;
  [[nodiscard]] gateway_stats stats() const;

 private:
  struct impl;
  std::unique_ptr<impl> impl_;
};

}  // namespace weir
