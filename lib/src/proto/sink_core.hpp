// What a sink does with results, apart from talking: deduplicate, commit, acknowledge.
#pragma once

#include "proto/limits.hpp"
#include "proto/outbox.hpp"
#include "proto/run_map.hpp"
#include "proto/seq_set.hpp"
#include "proto/time.hpp"

#include <cstdint>
#include <map>
#include <set>
#include <utility>
#include <vector>

namespace weir::proto {

/// One of these is in every sink, and in every ventilator that collects its own results.
///
///     RECEIVED -> duplicate? -> dropped, COMMITTED again
///              -> STAGED -> committed (on_committed) -> ACK to the ventilator, COMMITTED to
///              the
///                                                       worker
///
/// Delivery   A task is handed to `commits` once in the life of this object, and acknowledged
///            only after on_committed(). The first outcome to arrive wins, whichever attempt it
///            is of.
/// Memory     Proportional to what is staged, plus one map entry per gap in each source's
///            sequence.
class sink_core {
 public:
  struct counts {
    std::uint64_t committed = 0;     ///< tasks, failed ones included
    std::uint64_t failed = 0;        ///< of which with another status than OK
    std::uint64_t duplicates = 0;    ///< results dropped because the task was done already
    std::uint64_t unregistered = 0;  ///< results dropped because nobody knows their source
    std::uint64_t staged = 0;        ///< received and not committed yet
    std::uint64_t staged_bytes = 0;
  };

  enum class registration { accepted, fenced, too_many };
  /// A ventilator makes its source known, or says again what it knows to be done.
  registration add(const register_source& r, session_id owner);
  [[nodiscard]] bool knows(const source_id& id) const { return sources_.contains(id); }
  /// Whether another source would be too many.
  [[nodiscard]] bool full() const { return sources_.size() >= limits::sources; }
  /// What is committed of it, in messages within the limits; the first is a REGISTERED.
  [[nodiscard]] std::vector<message> what_is_done(const source_id& id) const;
  /// Workers whose results for this source, or for some source that there was no room to
  /// remember, were dropped before it was known.
  [[nodiscard]] std::vector<session_id> take_waiting(const source_id& id);

  /// Results from a worker, or outcomes given up from a ventilator. New ones go to out.commits.
  void on_results(session_id from, result_batch batch, outbox& out);
  /// The commit of these tasks is done: they may be acknowledged.
  void on_committed(const source_id& id, seq_range range);
  void on_finish(const finish& f);
  /// The owner is finished with its source: forget it.
  void remove(const source_id& id);
  /// This worker is gone: it will deliver everything again, should it come back.
  void forget_worker(session_id who);

  struct reply {
    session_id to;
    message what;
  };
  /// ACKs for everything that happened since the last call, and COMMITTEDs when they are due:
  /// many at a time, or after a while. Without a time: everything.
  [[nodiscard]] std::vector<reply> take_replies(time_point now = time_point::max());
  /// When take_replies() should be called at the latest.
  [[nodiscard]] time_point next_deadline() const { return note_by_; }

  /// All tasks of the source are committed, as done or as failed.
  [[nodiscard]] bool complete(const source_id& id) const;
  struct standing {
    source_id id;
    session_id owner{};
    std::uint64_t committed = 0;
    std::uint64_t highest = 0;
    std::uint64_t total = 0;
    bool total_known = false;
  };
  [[nodiscard]] std::vector<standing> sources() const;
  /// Of a source that it knows.
  [[nodiscard]] standing standing_of(const source_id& id) const;
  [[nodiscard]] const counts& stats() const { return counts_; }

 private:
  struct staged_run {
    std::uint64_t n = 0;
    std::uint64_t bytes = 0;  // of the whole run, shared out evenly when it is cut
    session_id from{};
    [[nodiscard]] std::uint64_t size() const { return n; }
    [[nodiscard]] staged_run slice(std::uint64_t, std::uint64_t part) const {
      return {part, bytes * part / n, from};
    }
    void settle() {}
  };
  struct source {
    session_id owner{};
    std::uint64_t epoch = 0;
    seq_set done;
    std::uint64_t done_count = 0;
    run_map<staged_run> staged;
    std::uint64_t total = 0;
    bool total_known = false;
    seq_ranges to_ack;  // committed since the last ACK
    bool owes_ack = false;
    // Of what is still staged, those from whom it came again: for each a COMMITTED.
    std::vector<std::pair<session_id, seq_range>> second_senders;
  };

  void note(session_id to, const source_id& id, seq_range range);

  std::map<source_id, source> sources_;
  std::map<source_id, std::vector<session_id>> waiting_;
  std::set<session_id> waiting_for_others_;  // for sources that waiting_ has no room for
  std::map<std::pair<session_id, source_id>, seq_ranges> to_note_;  // COMMITTED to send
  std::uint64_t noted_tasks_ = 0;
  time_point note_by_ = time_point::max();
  counts counts_;
};

}  // namespace weir::proto
