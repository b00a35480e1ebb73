// A line per task, as GNU parallel's --joblog writes it.
#pragma once

#include "io/output.hpp"
#include "proto/message.hpp"

#include <cstdint>
#include <string>
#include <string_view>

namespace weir::io {

/// One line of it.
struct joblog_entry {
  std::uint64_t seq = 0;
  std::string_view host{};  ///< empty: not known, ':'
  double started = 0;       ///< seconds since the Unix epoch
  double runtime = 0;       ///< seconds
  std::uint64_t sent = 0;   ///< bytes
  std::uint64_t received = 0;
  int exit_value = 0;
  int signal = 0;
  std::string_view command{};  ///< newlines in it become NULs, as GNU parallel has it
};

/// Nine columns with TABs between them, after a header line:
///
///   Seq Host Starttime JobRuntime Send Receive Exitval Signal Command
///
/// As in GNU parallel, the file is begun afresh, or appended to if it is written `+FILE`.
/// Before that, a task's line that has no end is cut off, as a crash has left it; any other
/// gets an end.
///
/// Differences for results, as the sink does not see what a task was: Command holds the task's
/// identity (source, ':', seq), Send is 0. Receive is the length of the output. Exitval is the
/// command's exit code; without one, 0 for a task that succeeded, else the number of its
/// status, which is never 0. Host is ':' where it is not known.
///
///   joblog log("+jobs.tsv");
///   log.write(run, source);
///   log.flush();
///
/// Threads    One at a time. flush() may block.
/// Errors     Constructor: as output::to_file. flush: as output::write.
class joblog {
 public:
  explicit joblog(const std::string& file, claim held = claim::whole_run);

  void write(const proto::result_run& run, const source_id& source);
  /// For who knows what the tasks are.
  void write(const joblog_entry& entry);
  void flush();

 private:
  output out_;
  std::string pending_;
};

}  // namespace weir::io
