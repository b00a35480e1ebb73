// Writes committed results in the form that the user asked for.
#pragma once

#include "io/output.hpp"
#include "proto/message.hpp"

#include <weir/task.hpp>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace weir::io {

enum class result_format : std::uint8_t {
  raw,      ///< a task's output as it is, task after task
  lines,    ///< the same, with '\n' after output that does not end with one, be it empty
  jsonl,    ///< one JSON object per line; keys below
  msgpack,  ///< a stream of [source bin, seq, attempt, code, output bin, details map]
  null,     ///< nothing; results are counted
};

enum class tagging : std::uint8_t {
  off,
  seq,  ///< "17\t" before each line, and '\n' after a last line without one; raw and lines
};

/// Writes results, failed tasks' output included, to an output.
///
///   result_writer results(output::to_file("-", if_exists::refuse), result_format::raw,
///                         tagging::off, [](auto summary, auto stderr_tail) { ... });
///   results.write(run, source);  // gathers
///   results.flush();             // writes; only now may the run be acknowledged
///
/// jsonl: "source", "seq", "attempt", "code" ("OK", "UNKNOWN", ...), "exit" (null: no command),
/// "signal" (0: none), "host", "start" (seconds since the epoch; 0: unknown), "runtime"
/// (seconds), "stdout", or "stdout_base64" when it is not UTF-8, "stderr" (what is not UTF-8
/// in it becomes U+FFFD), "message". msgpack: the code is its number; the details map holds
/// "exit", "signal", "host", "start", "runtime", "stderr" (bin) and "message" as far as they
/// are known.
///
/// write() costs a run, not a task, for raw and null: the run's body is written as it was
/// received.
///
/// Threads    One at a time. write() never blocks; flush() does unless can_flush_now().
/// Errors     flush: as output::write. Constructor: usage, when tags do not go with the format.
class result_writer {
 public:
  /// Told of each failed task as it is written: "task 17 failed: exit 3 after 3 attempts on
  /// host", and the end of the command's stderr, which may be empty.
  using complaint = std::function<void(std::string_view summary, std::string_view stderr_tail)>;

  result_writer(output out, result_format format, tagging tags, complaint on_failure);

  void write(const proto::result_run& run, const source_id& source);
  void flush();

  [[nodiscard]] std::size_t pending() const { return pending_; }
  /// The last byte that flush() will write; a newline if there is none.
  [[nodiscard]] char last() const;
  [[nodiscard]] bool can_flush_now() const { return can_take(0); }
  /// Whether flush() would not block if `bytes` more had been written.
  [[nodiscard]] bool can_take(std::size_t bytes) const {
    return out_.can_write_now(pending_ + bytes);
  }

  [[nodiscard]] std::uint64_t succeeded() const { return succeeded_; }
  [[nodiscard]] std::uint64_t failed() const { return failed_; }

 private:
  struct piece {
    std::shared_ptr<const void> owner;  // null: the bytes are in scratch_
    const char* data = nullptr;
    std::size_t offset = 0;  // in scratch_
    std::size_t length = 0;
  };

  void complain(const proto::result_run& run, const source_id& source);
  void write_lines(const proto::result_run& run);
  void write_tagged(const proto::result_run& run);
  void write_json(const proto::result_run& run, const source_id& source);
  void write_msgpack(const proto::result_run& run, const source_id& source);
  void add_body(const proto::blob& body);
  void close_scratch();

  output out_;
  result_format format_;
  tagging tags_;
  complaint on_failure_;
  std::optional<source_id> first_source_;
  bool several_sources_ = false;

  std::string scratch_;
  std::size_t scratch_used_ = 0;  // how much of it pieces_ speak of
  std::vector<piece> pieces_;
  std::size_t pending_ = 0;
  std::uint64_t succeeded_ = 0, failed_ = 0;
};

/// "exit 3", "signal 9", or the code's name, and the message: why one attempt failed.
[[nodiscard]] std::string describe_failure(status code, const outcome_details& details);

}  // namespace weir::io
