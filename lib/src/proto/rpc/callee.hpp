// The called end of RPC links: what was taken from whom, and is not answered.
#pragma once

#include "proto/links.hpp"
#include "proto/message.hpp"
#include "proto/outbox.hpp"
#include "proto/run_map.hpp"
#include "proto/seq_set.hpp"
#include "proto/time.hpp"

#include <cstdint>
#include <deque>
#include <limits>
#include <map>
#include <memory>
#include <optional>
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
/// Delivery   Each (caller session, number) is taken once, however often it arrives, and
///            answered once. An answer is kept until the caller's `low` has passed it, within
///            bounds, and sent again when the caller asks again after a reconnect. If it was
///            dropped for those bounds, the repeated call is answered `unavailable`, "the reply
///            was lost". A session that was lost and comes back after all is still remembered
///            for what it has sent (the last `remembered` of them), so that nothing is run
///            twice.
/// Errors     A caller that goes far beyond the largest window is answered
///            `resource_exhausted`. What would wait for a caller that does not read, beyond a
///            bound in bytes, is answered `unavailable`, "the reply was lost".
///
/// Pure, like links, of which it needs one to send through. Nothing is sent before flush().
class callee {
 public:
  struct limits_type {
    /// For each caller, unless window() has said otherwise; and the most that it may say.
    std::uint64_t window_calls = 16'384;
    std::uint64_t window_bytes = 16 * 1024 * 1024;
    std::size_t kept_bytes = 1024 * 1024;  ///< answers kept for each caller
    std::size_t kept_replies = 16'384;
    /// Elements of streams that were sent to one caller, kept until they are credited.
    std::size_t kept_elements_bytes = 4 * 1024 * 1024;
    /// Results, and elements of streams without a window in bytes, that one caller is sent
    /// while it is stalled and does not say that it has got them; what is more is lost.
    /// A backstop: its owner begins no calls of a stalled caller.
    std::size_t stalled_bytes = 64 * 1024 * 1024;
    /// Of failures, in one round or while it is stalled. What is more comes without details.
    std::size_t failure_bytes = 32 * 1024 * 1024;
  };
  /// Consecutive calls that are new.
  struct taken {
    session_id from{};
    call_run calls;
    time_point deadline;
  };
  /// part() of a call that wants no elements: it is answered, cancelled, gone, or no stream.
  static constexpr std::int64_t not_wanted = std::numeric_limits<std::int64_t>::min();
  /// Sessions that are remembered after they are lost.
  static constexpr std::size_t remembered = 4096;

  /// `self`: this node's session. Calls that were meant for another incarnation of it are
  /// dropped.
  callee(limits_type limits, session_id self) : limits_(limits), self_(self) {}

  /// A caller's session has joined, for the first time or again: is told the window.
  void joined(session_id who);
  /// It is dead or has left: its calls that are not answered, to be stopped; nothing is sent to
  /// it any more, and what is answered later is dropped.
  [[nodiscard]] std::vector<call_key> lost(session_id who);
  /// More waits to be sent to it than it takes; or not any more.
  void stalled(session_id who, bool is);

  /// `unwanted`: gets the calls that the caller has given up without a word, because it had
  /// taken this node for dead: to be stopped.
  [[nodiscard]] std::vector<taken> on_calls(session_id from, call_batch&& calls, time_point now,
                                            std::vector<call_key>* unwanted = nullptr);
  /// Those calls among them that are not answered: stop them, and answer `cancelled` or
  /// whatever comes first.
  [[nodiscard]] std::vector<call_key> on_cancel(session_id from, const cancel_calls& which);
  /// Returns the streams that may go on, with how many elements may be sent in all.
  struct granted {
    call_key key;
    std::uint64_t got = 0;
    std::uint64_t until = 0;
    std::uint64_t until_bytes = 0;  ///< none beyond it, however many there may be
    bool stop = false;  ///< the contrary: it cannot be continued, and has been answered so
  };
  [[nodiscard]] std::vector<granted> on_credit(session_id from, const credit& c);

  /// Answers consecutive calls of one caller. Unknown or answered ones are dropped. The answer
  /// of a stream follows when all its elements have been sent.
  void reply(session_id to, reply_run outcomes);
  /// The next elements of a call's stream; they are kept until they are credited. Returns how
  /// many more may be sent now; negative: so many wait here; or not_wanted.
  std::int64_t part(const call_key& key, pack elements);
  void progress(const call_key& key, std::uint64_t done, std::uint64_t total, std::string text);
  /// From now on this is the caller's window, and beside it there is room for the streams that
  /// run. It is told so if what is left for other calls has changed by much.
  void window(session_id who, std::uint64_t calls, std::uint64_t bytes,
              std::uint64_t streams = 0);
  /// No more calls: WINDOW 0 to everybody, and to whoever joins later. What arrives all the
  /// same is handed out by on_calls(), for the owner to refuse.
  void drain();
  /// Sends what has piled up, as few messages. At the end of each round.
  void flush(time_point now, links& net, outbox& out);

  /// Taken and not answered.
  [[nodiscard]] std::uint64_t open() const { return open_; }
  /// Whether anything is not answered, or waits in here to be sent: streams that lack credit.
  [[nodiscard]] bool busy() const;
  [[nodiscard]] std::uint64_t open_of(session_id who) const;
  /// No higher number of this caller's calls has come.
  [[nodiscard]] std::uint64_t seen_of(session_id who) const;
  [[nodiscard]] bool is_open(const call_key& key) const;
  /// Bytes of answers and elements that are kept.
  [[nodiscard]] std::size_t kept_bytes() const;
  [[nodiscard]] bool knows(session_id who) const { return callers_.contains(who); }
  [[nodiscard]] std::vector<session_id> callers() const;
  [[nodiscard]] bool draining() const { return draining_; }

 private:
  /// Calls that are taken and not answered.
  struct open_run {
    std::uint64_t count = 0;
    std::uint64_t bytes_each = 0;  // of arguments, on average
    bool no_reply = false;
    bool streams = false;
    [[nodiscard]] std::uint64_t size() const { return count; }
    [[nodiscard]] open_run slice(std::uint64_t, std::uint64_t n) const {
      return {n, bytes_each, no_reply, streams};
    }
    void settle() {}
  };
  /// Answers that were sent.
  struct kept_run {
    reply_run answer;
    [[nodiscard]] std::uint64_t size() const { return answer.results.size(); }
    [[nodiscard]] kept_run slice(std::uint64_t offset, std::uint64_t n) const;
    void settle();
    [[nodiscard]] std::size_t cost() const;
  };
  /// Which numbers were seen: nearly always all from 1 to the highest.
  struct seen_numbers {
    std::uint64_t dense = 0;
    std::optional<seq_set> sparse;  // if there are gaps; then `dense` says nothing
    [[nodiscard]] std::uint64_t highest() const { return sparse ? sparse->highest() : dense; }
    /// The parts that are new.
    seq_ranges insert(seq_range range);
    void insert_next(std::uint64_t last) { dense = last; }
    [[nodiscard]] bool is_next(std::uint64_t first) const {
      return !sparse && first == dense + 1;
    }
  };
  struct stream {
    std::uint64_t got = 0;       // elements that the caller has taken
    std::uint64_t sent = 0;      // ... that were sent to it
    std::uint64_t until = 0;     // ... that may be sent
    std::uint64_t produced = 0;  // ... that there are
    // As long as those that are on their way come to `window_bytes`, no more are sent. 0: any.
    std::uint64_t window_bytes = 0;
    std::uint64_t got_bytes = 0;        // of elements that the caller has taken
    std::uint64_t flying_bytes = 0;     // ... that were sent to it beyond those
    std::deque<std::uint32_t> lengths;  // of all elements beyond those
    std::deque<part_run> kept;          // those that it may not have yet, ascending
    time_point deadline;                // nobody waits any longer
    std::optional<reply_run> end;
    bool answered = false;  // `end` is on its way; kept for a reconnect only
    bool closed = false;    // cancelled: no more elements
    bool rewound = false;   // to be sent again, from where CREDIT says
    bool dirty = false;     // in caller_state::streaming
    [[nodiscard]] std::uint64_t first_kept() const {
      return kept.empty() ? produced + 1 : kept.front().first;
    }
    void made(const pack& elements);
    void taken(std::uint64_t up_to);
    /// How far it may be sent now; counts those that it says.
    [[nodiscard]] std::uint64_t sendable();
    /// What is here is more than may be on its way.
    [[nodiscard]] bool behind() const {
      return window_bytes > 0 && flying_bytes >= window_bytes && sent < produced;
    }
  };
  /// Bytes that were sent to somebody who has not said that it has got them.
  struct unread_bytes {
    std::map<std::uint64_t, std::size_t> results;  // by the number of a run's last call
    std::size_t all_results = 0;
    std::size_t elements = 0;  // since it has last credited some
    void add(std::uint64_t last, std::size_t bytes);
    void settle_up_to(std::uint64_t low);
    [[nodiscard]] std::size_t all() const { return all_results + elements; }
  };
  struct caller_state {
    seen_numbers seen;
    std::uint64_t low = 0;
    run_map<open_run> open;
    std::uint64_t open_bytes = 0;
    run_map<kept_run> kept;
    std::size_t kept_cost = 0;
    std::vector<reply_run> ready;  // to be sent
    std::vector<reply_run> again;  // sent already, asked for again
    seq_set later;                 // the same, once it reads on
    std::map<std::uint64_t, stream> streams;
    std::size_t element_bytes = 0;
    std::vector<std::uint64_t> streaming;  // streams with something to send
    std::map<std::uint64_t, call_progress> reports;
    std::uint64_t window_calls = 0;
    std::uint64_t window_bytes = 0;
    std::uint64_t told_calls = 0;
    std::uint64_t told_bytes = 0;
    bool stalled = false;
    unread_bytes unread;            // sent since then
    std::size_t failure_bytes = 0;  // of failures since then; else in this round
    bool tell = true;               // the window, whatever it was told before
    bool dirty = false;             // in dirty_
  };

  [[nodiscard]] caller_state* find(session_id id);
  void touch(session_id id, caller_state& c);
  void touch(session_id id, caller_state& c, std::uint64_t call, stream& s);
  void settle_up_to(session_id from, caller_state& c, std::uint64_t low,
                    std::vector<call_key>* unwanted);
  void take(session_id from, caller_state& c, call_run run, time_point now,
            std::vector<taken>& fresh);
  void repeat(session_id from, caller_state& c, seq_range range);
  bool repeat_stream(session_id from, caller_state& c, std::uint64_t call);
  void refuse(session_id from, caller_state& c, const call_run& run);
  void end_stream(session_id from, caller_state& c, std::uint64_t call, reply_run outcome);
  void break_stream(session_id from, caller_state& c, std::uint64_t call, stream& s);
  void drop_elements(caller_state& c, stream& s, std::uint64_t up_to);
  void trim_elements(caller_state& c);
  void make_ready(caller_state& c, reply_run outcomes);
  void shorten(caller_state& c, reply_run& outcomes) const;
  [[nodiscard]] bool overflows(caller_state& c, std::uint64_t last, std::size_t bytes) const;
  void keep(caller_state& c, const reply_run& answer);
  void give_up_streams(time_point now);
  void send_window(session_id to, caller_state& c, time_point now, links& net, outbox& out);
  void send_streams(session_id to, caller_state& c, time_point now, links& net, outbox& out);
  void send_replies(session_id to, caller_state& c, time_point now, links& net, outbox& out);

  limits_type limits_;
  session_id self_;
  std::map<session_id, caller_state> callers_;
  std::vector<session_id> dirty_;  // those with something to send
  std::map<session_id, seen_numbers> gone_;
  std::deque<session_id> gone_order_;  // the longest gone first
  time_point streams_seen_;            // when they were last looked through
  std::uint64_t open_ = 0;
  bool draining_ = false;
};

}  // namespace weir::proto
