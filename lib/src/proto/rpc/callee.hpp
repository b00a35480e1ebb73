// The called end of RPC links: what was taken from whom, and is not answered.
#pragma once

#include "proto/links.hpp"
#include "proto/message.hpp"
#include "proto/outbox.hpp"
#include "proto/seq_set.hpp"
#include "proto/time.hpp"

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace weir::proto {

/// Which call of which caller.
struct call_key {
  session_id from{};
  std::uint64_t call = 0;
  [[nodiscard]] bool operator==(const call_key&) const = default;
  [[nodiscard]] auto operator<=>(const call_key&) const = default;
};

/// Calls taken by one node, a worker or a gateway, from its callers. Used by both.
///
/// Delivery   Each (caller session, number) is taken once, however often it arrives, and answered
///            once. An answer is kept until the caller's `low` has passed it, within bounds, and
///            sent again when the caller asks again after a reconnect. If it was dropped for
///            those bounds, the repeated call is answered `unavailable`, "the reply was lost".
///
/// Pure, like links, of which it needs one to send through.
class callee {
 public:
  struct limits_type {
    std::uint64_t window_calls = 16'384;  ///< for each caller
    std::uint64_t window_bytes = 16 * 1024 * 1024;
    std::size_t kept_bytes = 1024 * 1024;  ///< answers kept for each caller
    std::size_t kept_replies = 4096;
  };
  /// Consecutive calls that are new.
  struct taken {
    session_id from{};
    call_run calls;
    time_point deadline;
  };

  explicit callee(limits_type limits) : limits_(limits) {}

  /// A caller's session has joined, for the first time or again: tells it the window.
  void joined(session_id who, time_point now, links& net, outbox& out);
  /// It is dead or has left: its calls that are not answered, to be stopped; nothing is sent to
  /// it any more, and what is answered later is dropped.
  [[nodiscard]] std::vector<call_key> lost(session_id who);

  [[nodiscard]] std::vector<taken> on_calls(session_id from, call_batch&& calls, time_point now);
  /// Those calls among them that are not answered: stop them, and answer `cancelled` or whatever
  /// comes first.
  [[nodiscard]] std::vector<call_key> on_cancel(session_id from, const cancel_calls& which);
  /// Returns the streams that may go on, with how many elements may be sent in all.
  struct granted {
    call_key key;
    std::uint64_t got = 0;
    std::uint64_t until = 0;
  };
  [[nodiscard]] std::vector<granted> on_credit(session_id from, const credit& c);

  /// Answers consecutive calls of one caller. Unknown or answered ones are dropped.
  void reply(session_id to, reply_run outcomes);
  /// The next element of a call's stream. The callee of a stream keeps elements until they are
  /// credited. Returns how many more may be sent now; may be negative: then it waits here.
  std::int64_t part(const call_key& key, pack elements);
  void progress(const call_key& key, std::uint64_t done, std::uint64_t total, std::string text);
  /// No more calls: WINDOW 0 to everybody.
  void drain();
  /// Sends what has piled up, as few messages. At the end of each round.
  void flush(time_point now, links& net, outbox& out);

  /// Taken and not answered.
  [[nodiscard]] std::uint64_t open() const;
  [[nodiscard]] std::uint64_t open_of(session_id who) const;
  /// Bytes of answers that are kept.
  [[nodiscard]] std::size_t kept_bytes() const;
  [[nodiscard]] std::vector<session_id> callers() const;

 private:
  limits_type limits_;
  // ... as the implementation needs
};

}  // namespace weir::proto
