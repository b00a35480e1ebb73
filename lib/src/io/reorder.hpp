// Results in the order of their tasks (--keep-order), in bounded memory.
#pragma once

#include "io/spill_file.hpp"
#include "proto/message.hpp"

#include <weir/task.hpp>

#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <string>

namespace weir::io {

/// Takes the results of each source in any order and gives them out in the order of seq; each
/// source is in order for itself. What has to wait is kept in memory up to a limit and beyond
/// it in a temporary file, sorted, so that it is written once and read once.
///
///   reorder order;
///   order.add(source, std::move(run));
///   while (auto due = order.next()) results.write(due->run, due->source);
///
/// Memory     `memory_limit` bytes of results that wait, and about 100 bytes for each gap
///            between results in the file.
/// Threads    One at a time. add() and next() write and read the temporary file.
/// Errors     io, naming the directory and saying what to do, when the file cannot be made,
///            written or read. What was in memory is lost then: nothing of it may have been
///            acknowledged.
class reorder {
 public:
  struct options {
    std::size_t memory_limit = 16 * 1024 * 1024;
    std::string directory;  ///< of the temporary file; empty: $TMPDIR, or /tmp
  };
  struct ordered {
    source_id source;
    proto::result_run run;
  };

  reorder() : reorder(options{}) {}
  explicit reorder(options limits);

  /// This source's first seq, if it is not 1. Before anything is added for it.
  void start(const source_id& source, std::uint64_t first);
  /// Each seq of a source once. The order between sources is of no account.
  void add(const source_id& source, proto::result_run run);
  /// The next run that is due; nothing while those before the ones that wait are missing.
  [[nodiscard]] std::optional<ordered> next();
  /// Drops what it knows of a source, and what waits of it.
  void forget(const source_id& source);

  /// Whether everything that was added has been given out.
  [[nodiscard]] bool empty() const { return waiting_ == 0; }
  [[nodiscard]] std::uint64_t waiting() const { return waiting_; }      ///< tasks
  [[nodiscard]] std::size_t memory_used() const { return in_memory_; }  ///< bytes
  [[nodiscard]] std::uint64_t spilled() const { return spilled_; }      ///< bytes, ever

 private:
  /// Runs in the file, one behind the other and without a gap between their seqs.
  struct extent {
    std::uint64_t last = 0;
    std::uint64_t offset = 0;
    std::uint64_t bytes = 0;
  };
  struct stream {
    std::uint64_t due = 1;
    std::deque<proto::result_run> ready;                // consecutive, ending before `due`
    std::map<std::uint64_t, proto::result_run> memory;  // by first seq
    std::map<std::uint64_t, extent> file;               // by first seq
    bool queued = false;                                // in queue_
  };

  void make_ready(const source_id& source, stream& of);
  void load(stream& of);
  void spill();
  static std::size_t cost(const proto::result_run& run);

  options limits_;
  spill_file file_;
  std::map<source_id, stream> streams_;
  std::deque<source_id> queue_;  // sources that have something ready
  std::uint64_t waiting_ = 0;
  std::size_t in_memory_ = 0;
  std::uint64_t spilled_ = 0;
  std::uint64_t in_file_ = 0;  // bytes in extents
};

}  // namespace weir::io
