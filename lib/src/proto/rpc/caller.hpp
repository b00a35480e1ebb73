// The calling end of RPC links: what was sent to whom, and is not answered.
#pragma once

#include "proto/links.hpp"
#include "proto/message.hpp"
#include "proto/outbox.hpp"
#include "proto/run_map.hpp"
#include "proto/time.hpp"

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace weir::proto {

/// Calls in flight from one node, a client or a gateway, to its callees. Used by both.
///
/// The owner numbers its calls as it likes, but no two in flight alike; towards each callee
/// they are numbered anew, densely from 1, so that consecutive calls travel, are kept and are
/// answered as one run. A callee's WINDOW bounds what it is sent; the owner asks fits() before
/// it sends.
///
/// Delivery   After a reconnect everything that is not answered is sent again under the same
///            numbers, for the callee recognises what it has seen: a call is run once, and one
///            that was lost on the way is not lost. Each call is reported once, in `answers` or
///            by lost() or cancel(). The elements of a stream come in order, none twice, none
///            left out, and before its answer.
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
    time_point sent{};  ///< of the first attempt to send; time_point{}: never
    std::shared_ptr<const call_options> options;  ///< null: the defaults
    time_point arrived{};  ///< the owner's: when it was asked for them; carried along, no more
    [[nodiscard]] std::uint64_t size() const { return arguments.size(); }
    [[nodiscard]] std::uint64_t last() const { return number + arguments.size() - 1; }
    [[nodiscard]] flight slice(std::uint64_t offset, std::uint64_t n) const;
    [[nodiscard]] bool streams() const { return options && options->stream_window > 0; }
    [[nodiscard]] bool no_reply() const { return options && options->no_reply; }
    [[nodiscard]] const std::string& shared_key() const {
      return call_options::shared_key(options.get());
    }
    /// Lets go of memory that this flight was a small part of.
    void settle();
  };
  /// Outcomes of consecutive calls: `calls.size()` of them, in the same order in both.
  struct answered {
    session_id from{};
    flight calls;
    reply_run reply;  ///< its `first` is calls.number
  };
  struct stream_part {
    session_id from{};
    std::uint64_t number = 0;                     ///< the owner's
    part_run part;                                ///< its `call` is `number`
    std::shared_ptr<const call_options> options;  ///< the call's
  };
  struct progressed {
    session_id from{};
    std::uint64_t number = 0;
    call_progress report;  ///< its `call` is `number`
  };
  /// What messages bring. An element of a stream and its answer may come in one: parts first.
  struct arrivals {
    std::vector<stream_part> parts;
    std::vector<answered> answers;
    std::vector<progressed> reports;
    [[nodiscard]] bool empty() const {
      return parts.empty() && answers.empty() && reports.empty();
    }
    void clear();
  };
  struct room {
    std::uint64_t calls = 0;
    std::uint64_t bytes = 0;
  };

  /// A callee's session has joined, for the first time or again (links::change::joined).
  void joined(session_id callee);
  /// It is dead, or has left: what it had in hand, oldest first. Nothing more comes of it. What
  /// has `sent == time_point{}` among them has never reached it: it has never left this node,
  /// or is beyond `seen`, with which the callee has said BYE.
  [[nodiscard]] std::vector<flight> lost(session_id callee,
                                         std::optional<std::uint64_t> seen = {});

  void on_window(session_id from, const window& w);
  void on_reply(session_id from, reply_batch&& replies, arrivals& in);
  void on_parts(session_id from, part_batch&& parts, arrivals& in);
  void on_progress(session_id from, call_progress&& report, arrivals& in);

  /// How many of these, from the front, the callee may be sent now. One always fits an idle
  /// callee whose window is not 0.
  [[nodiscard]] std::uint32_t fits(session_id callee, const pack& arguments) const;
  [[nodiscard]] room room_of(session_id callee) const;
  [[nodiscard]] std::uint64_t in_hand(session_id callee) const;
  /// 0 to 1 and above: in hand relative to the window. 1 if there is no window.
  [[nodiscard]] double load(session_id callee) const;
  [[nodiscard]] bool draining(session_id callee) const;  ///< its window is 0
  [[nodiscard]] bool has_window(session_id callee) const;
  [[nodiscard]] std::vector<session_id> callees() const;

  struct held {
    session_id at{};
    flight calls;
  };
  /// Those of these (the owner's numbers) that were sent and are not answered.
  [[nodiscard]] std::vector<held> in_flight(seq_range numbers) const;

  /// Requires a callee that has joined and is not lost. Travels with the next flush() at which
  /// the callee can be reached. Those with `no_reply` are over for their owner then; in here
  /// they are in hand until the callee has answered nevertheless, for they count in its window.
  void send(session_id to, flight calls);
  /// Asks for these (the owner's numbers) to be stopped, wherever they are; their outcome still
  /// comes. Those that have not been sent yet are taken back, and returned. Streams that are
  /// answered and only lack elements end now.
  [[nodiscard]] std::vector<flight> cancel(seq_range numbers, const std::string& reason,
                                           arrivals& in);
  /// A stream that has been sent may go on up to element `until`.
  void grant(std::uint64_t number, std::uint64_t until);
  /// Elements of this stream that have arrived.
  [[nodiscard]] std::uint64_t arrived(std::uint64_t number) const;
  /// Sends what has piled up, as few messages. At the end of each round.
  void flush(time_point now, links& net, outbox& out);

  /// In flight, over all callees; those that are not sent yet included.
  [[nodiscard]] std::uint64_t size() const { return size_; }

 private:
  struct open_run {
    flight calls;
    std::uint64_t first = 0;  // the callee's number for the first of them
    bool cancelled = false;
    bool unasked = false;  // nobody wants to know how it ends
    [[nodiscard]] std::uint64_t size() const { return calls.size(); }
    [[nodiscard]] open_run slice(std::uint64_t offset, std::uint64_t n) const {
      return {calls.slice(offset, n), first + offset, cancelled, unasked};
    }
    void settle() { calls.settle(); }
  };
  /// Where consecutive calls are.
  struct place {
    session_id at{};
    std::uint64_t number = 0;  // the owner's, of the first
    std::uint64_t call = 0;    // its number there
    std::uint64_t count = 0;
    [[nodiscard]] std::uint64_t size() const { return count; }
    [[nodiscard]] place slice(std::uint64_t offset, std::uint64_t n) const {
      return {at, number + offset, call + offset, n};
    }
    void settle() {}
  };
  struct stopping {
    std::string reason;
    seq_ranges calls;
  };
  struct callee_state {
    std::uint64_t next = 1;  // the number of the next call that is sent
    bool has_window = false;
    std::uint64_t window_calls = 0;
    std::uint64_t window_bytes = 0;
    run_map<open_run> open;     // sent, by the callee's numbers
    std::vector<flight> ready;  // not sent yet
    std::uint64_t ready_calls = 0;
    std::uint64_t bytes = 0;              // arguments, of both
    std::vector<stopping> stops;          // to be sent
    std::vector<std::uint64_t> credited;  // the owner's numbers of streams to be credited
    std::uint64_t unreported_bytes = 0;   // answers that it does not know to have arrived
    std::uint64_t unreported_answers = 0;
    bool again = false;  // joined anew: everything open has to be sent once more
    bool dirty = false;  // in dirty_
    [[nodiscard]] std::uint64_t in_hand() const { return open.size() + ready_calls; }
    [[nodiscard]] std::uint64_t low() const {
      return open.empty() ? next - 1 : open.runs().begin()->first - 1;
    }
    [[nodiscard]] bool should_report() const;
  };
  struct stream_state {
    std::uint64_t arrived = 0;
    std::uint64_t until = 0;
    std::optional<reply_run> ended;  // answered, before all elements were here
  };

  void touch(session_id id, callee_state& c);
  [[nodiscard]] callee_state* find(session_id id);
  [[nodiscard]] const callee_state* find(session_id id) const;
  [[nodiscard]] stream_state& stream(std::uint64_t number, const flight& calls);
  void on_part(session_id from, callee_state& c, part_run part, arrivals& in);
  void answer(session_id from, callee_state& c, reply_run reply, arrivals& in);
  void answer_stream(session_id from, callee_state& c, open_run call, reply_run reply,
                     arrivals& in);
  void finish(session_id from, callee_state& c, open_run run, reply_run reply, arrivals& in);
  void forget(callee_state& c, const open_run& run);
  void take_back(callee_state& c, seq_range numbers, std::vector<flight>& back);
  void stop(session_id at, callee_state& c, seq_range calls, const std::string& reason,
            arrivals& in);
  void send_ready(session_id to, callee_state& c, time_point now, links& net, outbox& out);
  void send_again(session_id to, callee_state& c, time_point now, links& net, outbox& out);
  void send_credit(session_id to, callee_state& c, time_point now, links& net, outbox& out);
  void send_stops(session_id to, callee_state& c, time_point now, links& net, outbox& out);

  std::map<session_id, callee_state> callees_;
  run_map<place> places_;  // of what has been sent, by the owner's numbers
  std::map<std::uint64_t, stream_state> streams_;  // by the owner's numbers, once there is news
  std::vector<session_id> dirty_;                  // those with something to send
  /// Callees that are remembered after they are lost, for the numbers that are used up.
  static constexpr std::size_t remembered = 4096;
  std::map<session_id, std::uint64_t> gone_;
  std::deque<session_id> gone_order_;  // the longest gone first
  std::uint64_t size_ = 0;
};

}  // namespace weir::proto
