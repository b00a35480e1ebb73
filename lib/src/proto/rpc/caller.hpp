// The calling end of RPC links: what was sent to whom, and is not answered.
#pragma once

#include "proto/links.hpp"
#include "proto/message.hpp"
#include "proto/outbox.hpp"
#include "proto/run_map.hpp"
#include "proto/time.hpp"

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace weir::proto {

/// Calls in flight from one node, a client or a gateway, to its callees. Used by both.
///
/// The owner numbers its calls as it likes; towards each callee they are numbered anew, densely
/// from 1, so that consecutive calls travel, are kept and are answered as one run. A callee's
/// WINDOW bounds what it is sent; the owner asks room() before it sends. After a reconnect
/// everything that is not answered is sent again under the same numbers, for the callee
/// recognises what it has seen: a call is run once, and one that was lost on the way is not
/// lost.
///
/// Pure, like links, of which it needs one to send through.
class caller {
 public:
  /// Consecutive calls that went to one callee together.
  struct flight {
    std::uint64_t number = 0;  ///< the owner's, of the first; the others follow
    std::string method;
    pack arguments;
    time_point deadline;
    time_point sent;
    std::shared_ptr<const call_options> options;  ///< null: the defaults
    [[nodiscard]] std::uint64_t size() const { return arguments.size(); }
    [[nodiscard]] flight slice(std::uint64_t offset, std::uint64_t n) const;
    void settle() {}
  };
  /// Outcomes of consecutive calls: `calls.size()` of them, in the same order in both.
  struct answered {
    session_id from{};
    flight calls;
    reply_run reply;
  };
  struct stream_part {
    session_id from{};
    std::uint64_t number = 0;  ///< the owner's
    part_run part;             ///< elements in order, none twice, none left out
  };
  struct progressed {
    std::uint64_t number = 0;
    call_progress report;
  };
  struct room {
    std::uint64_t calls = 0;
    std::uint64_t bytes = 0;
  };

  /// A callee's session has joined, for the first time or again (links::change::joined).
  void joined(session_id callee, time_point now, links& net, outbox& out);
  /// It is dead, or has left: what it had in hand, oldest first. Nothing more comes of it.
  [[nodiscard]] std::vector<flight> lost(session_id callee);

  void on_window(session_id from, const window& w);
  [[nodiscard]] std::vector<answered> on_reply(session_id from, reply_batch&& replies);
  [[nodiscard]] std::vector<stream_part> on_parts(session_id from, part_batch&& parts);
  [[nodiscard]] std::vector<progressed> on_progress(session_id from, call_progress&& report);

  /// What the callee may still be sent; one call always fits an idle one whose window is not 0.
  [[nodiscard]] room room_of(session_id callee) const;
  [[nodiscard]] std::uint64_t in_hand(session_id callee) const;
  /// 0 to 1 and above: in hand relative to the window. 1 if there is no window.
  [[nodiscard]] double load(session_id callee) const;
  [[nodiscard]] bool draining(session_id callee) const;  ///< its window is 0
  [[nodiscard]] std::vector<session_id> callees() const;

  /// Requires room for it. Travels with the next flush(). Calls with `no_reply` are forgotten
  /// with it.
  void send(session_id to, flight calls);
  /// Asks for these (the owner's numbers) to be stopped, wherever they are; their outcome still
  /// comes. Those that flush() has not sent yet are taken back, and returned.
  [[nodiscard]] std::vector<flight> cancel(seq_range numbers, std::string reason);
  /// A stream's elements have been taken up to `got`; `until` may come.
  void grant(std::uint64_t number, std::uint64_t got, std::uint64_t until);
  /// Sends what has piled up, as few messages. At the end of each round.
  void flush(time_point now, links& net, outbox& out);

  /// In flight, over all callees.
  [[nodiscard]] std::uint64_t size() const;

 private:
  struct callee_state;
  struct stream_state;
  // ... as the implementation needs
};

}  // namespace weir::proto
