// What is known of tasks between their reading and the printing of their output.
#pragma once

#include "halt_policy.hpp"
#include "spool.hpp"
#include "task_source.hpp"

#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_map>

namespace weir::cli::run {

/// One attempt, as it ended on one of our own slots. Its output does not travel: results have
/// limits that output has not.
struct local_attempt {
  explicit local_attempt(spool& room) : out(room), err(room) {}
  std::uint32_t attempt = 0;
  unsigned slot = 1;
  task_end end;
  double started = 0;          ///< seconds since the Unix epoch
  double runtime = 0;          ///< seconds
  std::uint64_t sent = 0;      ///< bytes of input
  std::uint64_t received = 0;  ///< bytes of output
  kept_output out;
  kept_output err;
};

struct task_record {
  std::uint64_t number = 0;  ///< {#}: counts those that --resume skips too, unlike seq
  arguments values;
  std::string input{};  ///< --pipe: for standard input, of any size; gone once it is read
  // Under the table's lock:
  std::optional<local_attempt> last;  ///< the newest local attempt
  std::uint32_t failures = 0;         ///< local attempts that failed by themselves
  bool counted = false;               ///< by the governor
  bool skipped = false;               ///< not run, or ended, because the run ends
};

/// By seq, from the reading to the printing.
///
/// A record lives as long as anybody holds it: when a worker was taken for dead and was not,
/// its result may come, and be printed, while a slot here still runs the task again.
///
/// Threads    Any.
class task_table {
 public:
  /// More than `most` are not taken in: with --keep-order, what is done may wait for long. Nor
  /// more input than `most_bytes`, though one task always fits.
  task_table(std::size_t most, std::size_t most_bytes) : most_(most), most_bytes_(most_bytes) {}

  /// Blocks while the table is full, until abandon().
  void add(std::uint64_t seq, std::uint64_t number, arguments values, std::string input = {});
  /// For who runs it.
  [[nodiscard]] std::shared_ptr<const task_record> find(std::uint64_t seq);
  /// A local attempt is over. True: so is the task, as far as can be seen here, and it is to be
  /// counted now: it has succeeded, or failed for the `most_failures`th time.
  [[nodiscard]] bool finish(std::uint64_t seq, local_attempt attempt,
                            std::uint32_t most_failures);
  /// Its input has been read, and nobody will read it again: there is room for more.
  void drop_input(std::uint64_t seq);
  /// It is not to be run, or was ended, because the run ends.
  void skip(std::uint64_t seq);
  /// For who writes its outcome; null if it was taken before.
  [[nodiscard]] std::shared_ptr<task_record> take(std::uint64_t seq);
  /// So many that were taken are printed as well: there is room for others.
  void printed(std::size_t tasks);
  /// Nothing will be printed any more: add() need not wait for that.
  void abandon();

 private:
  const std::size_t most_;
  const std::size_t most_bytes_;
  std::mutex mutex_;
  std::condition_variable room_;
  std::unordered_map<std::uint64_t, std::shared_ptr<task_record>> records_;
  std::size_t in_hand_ = 0;
  std::size_t bytes_ = 0;  // of input that is not taken
  bool abandoned_ = false;
};

}  // namespace weir::cli::run
