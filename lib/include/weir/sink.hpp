// The sink node as an embeddable object.
#pragma once

#include <weir/node.hpp>
#include <weir/results.hpp>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace weir {

struct sink_options : node_options {
  /// Hand results over in the order of the tasks, each source for itself. What has to wait is
  /// kept in memory up to 16 MiB, and beyond that in a temporary file in $TMPDIR.
  bool keep_order = false;
  /// Stay when all ventilators are finished, for the next ones.
  bool serve = false;
  /// run() does not end before so many have come and finished; at least 1. A sink that binds is
  /// there for 400 ms in any case: for ventilators that are started with it, and have less to
  /// do than it takes to start the next one.
  std::uint64_t ventilators = 1;
};

struct sink_stats {
  std::uint64_t committed = 0;  ///< tasks, failed ones included
  std::uint64_t failed = 0;
  std::uint64_t duplicates = 0;  ///< results dropped because the task was done already
  std::uint64_t total = 0;       ///< tasks of all sources, once their ventilators know it
  bool total_known = false;
  std::uint64_t staged = 0;  ///< received and not yet committed
  std::uint64_t ventilators = 0;
  std::uint64_t workers = 0;
  std::uint64_t rejected = 0;  ///< messages that could not be read
};

/// Collects results from any number of workers, writes each task's outcome once, and
/// acknowledges it to the task's ventilator.
///
///     weir::sink s{{{.bind = {"tcp://127.0.0.1:5558"}}},
///                  [](const weir::result& r) { std::cout << r.payload << '\n'; }};
///     s.run();  // returns when all ventilators that came have finished
///
/// Delivery   Each task's outcome is handed over once in the life of this object; the first to
///            arrive wins. After a restart, what had been handed over and not yet acknowledged
///            comes again (docs/failure_model.md, "the sink dies").
/// Threads    Construct, run and destroy on one thread. stop() and stats() may be called from
///            any. The handler runs on a thread of its own, one call at a time.
/// Ownership  Copies its options, keeps the handler or store.
/// Errors     The constructor throws weir::error for what the caller can mend: a malformed
///            endpoint, an address in use. run() throws `unavailable` if a ventilator went away
///            for longer than options.connect_timeout before all its tasks were done, or fewer
///            than options.ventilators came and none has been there for so long; and whatever
///            the handler or store throws. Nothing a peer sends can throw.
class sink {
 public:
  sink(sink_options options, std::function<void(const result&)> on_result);
  sink(sink_options options, std::unique_ptr<result_store> store);
  ~sink();
  sink(const sink&) = delete;
  sink& operator=(const sink&) = delete;

  /// Blocks until options.ventilators have come, and everything that came is complete; or
  /// stop().
  void run();
  /// Any thread: commit what has arrived, acknowledge it, then leave.
  void stop() noexcept;
  /// After run(): whether it ended because all was complete. With options.serve: whether
  /// nothing was missing, of all ventilators that came, when it was stopped.
  [[nodiscard]] bool complete() const noexcept;
  /// The endpoints as they are bound, ports filled in.
  [[nodiscard]] const std::vector<std::string>& endpoints() const noexcept;
  [[nodiscard]] sink_stats stats() const;

 private:
  struct impl;
  std::unique_ptr<impl> impl_;
};

}  // namespace weir
