// Queued calls and their outcomes, on disk.
#pragma once

#include "proto/backoff.hpp"
#include "store/database.hpp"

#include <weir/status.hpp>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace weir::store {

/// A call's number in one file, in the order of submission. Never used twice while the file is
/// open.
enum class call_number : std::int64_t {};

/// Milliseconds since 1970, by the wall clock: the only one that goes on over a restart.
using unix_ms = std::int64_t;
inline constexpr unix_ms never = INT64_MAX;

enum class call_state : std::uint8_t { queued, running, done, failed, cancelled, dead };
[[nodiscard]] std::string_view to_string(call_state state) noexcept;
[[nodiscard]] constexpr bool has_ended(call_state s) { return s >= call_state::done; }

struct submission {
  std::string id{};  ///< proto::make_call_id()
  std::string method{};
  std::string arguments{};  ///< a MessagePack array
  unix_ms due = 0;          ///< not before
  std::uint8_t priority = 5;
  /// Failures after which it is tried again; nothing: as in attempt_end.
  std::optional<std::uint32_t> retries{};
  std::uint32_t deadline_ms = 0;  ///< for each attempt
  std::int64_t keep_ms = 0;       ///< how long the outcome is kept; 0: until it is forgotten
  /// Submissions with the same key are one, as long as it is kept. Implies that running it
  /// twice does no harm. Empty: none.
  std::string key{};
};

/// What anybody may know about a call.
struct call_report {
  call_number number{};
  std::string id{};
  std::string method{};
  call_state state = call_state::queued;
  status code = status::ok;
  std::string message{};
  std::string type{};
  std::string result{};
  std::uint32_t attempts = 0;
  unix_ms submitted = 0;
  unix_ms finished = 0;
  unix_ms due = 0;
};

/// A call that is to be made now.
struct due_call {
  call_number number{};
  std::string id{};
  std::string method{};
  std::string arguments{};
  std::uint8_t priority = 0;
  std::uint32_t deadline_ms = 0;
  std::uint32_t attempt = 0;
  std::string key{};
};

struct attempt_result {
  status code = status::ok;
  std::string message{};
  std::string type{};
  std::string result{};  ///< MessagePack, if OK
  bool never_started = false;
  std::int64_t retry_after_ms = 0;  ///< what whoever refused it asked for
};

/// One file of calls. Everything here is part of the caller's transaction (store/spool.hpp has
/// one for whatever piled up), and costs memory only for what it returns.
///
/// Delivery   A call is `running` on disk before it is handed out, and its outcome is written
///            once: finish() of a call that has ended changes nothing.
/// Errors     database's.
class call_table {
 public:
  struct options {
    std::uint64_t max_bytes = 0;  ///< of the file, before submissions are refused; 0: no limit
    proto::backoff retry{std::chrono::milliseconds(500), std::chrono::minutes(5)};
    /// Before a call for which there was no worker after all is looked at again.
    std::chrono::milliseconds absence{250};
    std::uint64_t seed = 0;
  };

  /// Opens the file or makes it, and decides about what was running when its last user ended.
  call_table(const std::string& path, options o, unix_ms now);
  ~call_table();

  [[nodiscard]] database& file();

  enum class submitted : std::uint8_t {
    stored,
    known,            ///< the same id or key again: nothing is changed, `id` is what it has
    other_method,     ///< a call of another method has that id or key, and this `id`
    other_arguments,  ///< one with other arguments has
    full,             ///< max_bytes
  };
  struct submit_result {
    submitted what = submitted::stored;
    std::string id;
  };
  submit_result submit(const submission& call, unix_ms now);

  struct due_calls {
    std::vector<due_call> calls;  ///< highest priority first, then oldest
    unix_ms next = never;         ///< when there may be more of this method
  };
  /// Up to `most` calls of a method that are due, and one at least if any is; they are running
  /// now. `idempotent` is what its workers declare.
  due_calls start(const std::string& method, std::size_t most, std::size_t most_bytes,
                  bool idempotent, unix_ms now);

  struct settled {
    bool ended = false;
    call_report report;  ///< of one that has ended; of others, number, method and due
  };
  /// A running call's attempt is over: its outcome is kept, or it is queued again. Nothing if
  /// it is not running.
  std::optional<settled> finish(call_number which, const attempt_result& how, unix_ms now);

  /// Outcomes whose time is up are not found, whether they have been removed or not.
  [[nodiscard]] std::optional<call_report> find(std::string_view id, unix_ms now);
  /// What find() has read of results since this was last asked.
  [[nodiscard]] std::size_t take_bytes_read() { return std::exchange(bytes_read_, 0); }

  enum class cancelled : std::uint8_t { unknown, ended, now, asked };
  struct cancel_result {
    cancelled what = cancelled::unknown;
    call_number number{};               ///< asked: it is running, and has to be stopped
    std::optional<call_report> report;  ///< now
  };
  cancel_result cancel(std::string_view id, unix_ms now);

  /// Calls that were given up, oldest first, after the one with this id; without results.
  [[nodiscard]] std::vector<call_report> dead(std::string_view after, std::size_t most,
                                              unix_ms now);
  /// What has ended without success gets another chance, with all its retries. Empty if `id` is
  /// not such a call; else its method.
  std::optional<std::string> requeue(std::string_view id, unix_ms now);
  /// Whether there was such an outcome; it is gone now.
  bool forget(std::string_view id);
  /// Removes up to `most` outcomes whose time is up.
  std::size_t expire(unix_ms now, std::size_t most);

  struct waiting_method {
    std::string method;
    unix_ms next = never;
  };
  /// Methods of which calls are queued, and when the first is due.
  [[nodiscard]] std::vector<waiting_method> waiting();
  [[nodiscard]] std::uint64_t count(call_state state);

  /// What was running when the file was last in use, at its opening.
  struct recovered {
    std::uint64_t queued_again = 0;
    std::uint64_t given_up = 0;
  };
  [[nodiscard]] recovered at_opening() const;

 private:
  struct statements;

  void migrate();
  void recover(unix_ms now);
  bool insert(const submission& call, unix_ms now);
  void end(call_number which, call_state state, const attempt_result& how, unix_ms now);
  [[nodiscard]] unix_ms next_due(const std::string& method);

  options options_;
  database db_;
  proto::random_bits random_;
  std::unique_ptr<statements> sql_;
  std::int64_t last_ = 0;
  std::size_t bytes_read_ = 0;
  recovered recovered_;
};

}  // namespace weir::store
