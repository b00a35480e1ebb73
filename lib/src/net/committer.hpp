// Hands results to their store, off the loop thread.
#pragma once

#include "io/reorder.hpp"
#include "proto/outbox.hpp"

#include <weir/results.hpp>

#include <condition_variable>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

namespace weir::net {

/// One writer thread in front of one store. Whatever arrived while it was writing is the next
/// batch: group commit without a timer. A small batch that the store can take without waiting
/// is written by the loop thread itself, which saves two thread switches when little is going
/// on.
///
/// Threads    All members are the loop's; the store is called by one thread at a time.
class committer {
 public:
  using done_range = std::pair<source_id, proto::seq_range>;

  /// `wake` is called on the writer thread when there is something to take.
  committer(std::unique_ptr<result_store> store, bool keep_order, std::function<void()> wake);
  /// Waits for what is being written; drops what has not been begun.
  ~committer();

  void open(const proto::opened_source& source);
  void close(const source_id& source);
  void give(std::vector<proto::commit_run> runs);
  /// Appends what is committed since the last call. Throws what the store threw.
  void take(std::vector<done_range>& done);
  /// Nothing is given and not taken. With keep_order, results that wait for earlier ones do not
  /// count: they are not committed.
  [[nodiscard]] bool idle();
  /// Payload bytes given that the writer has not dealt with: what a slow disk or reader makes
  /// pile up in memory. What --keep-order has put aside does not count, it waits in bounded
  /// memory and in a file: whoever stopped reading because of it would never read what it waits
  /// for.
  [[nodiscard]] std::size_t backlog();

 private:
  struct batch {
    std::vector<proto::opened_source> opened;
    std::vector<source_id> closed;
    std::vector<proto::commit_run> runs;
    std::size_t bytes = 0;  // of runs
    [[nodiscard]] bool empty() const {
      return opened.empty() && closed.empty() && runs.empty();
    }
  };

  void work();
  void write(batch& some, std::vector<done_range>& done);
  void write_run(const source_id& source, proto::result_run run, std::vector<done_range>& done);

  const std::unique_ptr<result_store> store_;
  const std::function<void()> wake_;
  std::optional<io::reorder> order_;

  std::mutex mutex_;  // over everything below
  std::condition_variable more_;
  batch waiting_;
  bool writing_ = false;
  std::size_t being_written_ = 0;  // bytes
  bool stopping_ = false;
  std::vector<done_range> done_;
  std::exception_ptr failure_;
  std::thread writer_;
};

/// A store made of a function.
[[nodiscard]] std::unique_ptr<result_store> make_store(
    std::function<void(const result&)> on_result);

}  // namespace weir::net
