// The worker's protocol: asks for what it can do, runs it, and holds results until committed.
#pragma once

#include "proto/links.hpp"
#include "proto/outbox.hpp"
#include "proto/run_map.hpp"
#include "proto/seq_set.hpp"
#include "proto/time.hpp"

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace weir::proto {

/// What became of consecutive tasks, as the slots report it.
struct finished_tasks {
  source_id source;
  std::uint64_t first = 0;
  std::uint64_t last = 0;
  std::vector<result_run> runs;  ///< outcomes, ascending
  seq_ranges released;           ///< never started
  duration busy{};               ///< slot time spent on them
};

/// Takes tasks within its window, starts them as slots come free, delivers outcomes and keeps
/// them until their receiver says COMMITTED, so that a broken connection or a restarted sink
/// costs a repetition of the result and not of the work.
///
/// The window sizes itself: about what the slots do in a tenth of a second, measured, at least
/// one task per slot, plus whatever is done and not yet committed (so that a sink that keeps
/// order does not idle the slots).
///
/// Invariant: a task that arrived is in exactly one of queued, running or holding until it is
/// committed, released, cancelled, or its ventilator is gone for good, or for a minute.
///
/// Pure: see links. Call tick() after each round of messages.
class worker_state {
 public:
  struct options {
    std::uint32_t slots = 1;
    std::uint64_t max_window = 16'384;                ///< tasks in hand, results apart
    std::uint64_t max_bytes = 8 * 1024 * 1024;        ///< task payloads in hand
    std::uint64_t max_held_bytes = 16 * 1024 * 1024;  ///< results not yet committed
    /// Results go here whatever the ventilators say. Empty: they decide.
    std::string results_to;
    /// Stay when the ventilators are finished, for the next ones.
    bool serve = false;
  };
  struct counts {
    std::uint64_t received = 0;
    std::uint64_t done = 0;
    std::uint64_t failed = 0;
    std::uint64_t released = 0;
    std::uint64_t queued = 0;
    std::uint64_t running = 0;
    std::uint64_t held = 0;  ///< results not yet committed
    std::uint64_t held_bytes = 0;
    std::uint64_t window = 0;  ///< as last announced
    std::uint64_t ventilators = 0;
  };

  worker_state(links::options who, options opts, time_point now);

  void link_opened(peer_id peer, time_point now, outbox& out) {
    awaited_.insert(peer);
    links_.open(peer, now, out);
  }
  /// The pump's answer to outbox.connects.
  void sink_opened(const std::string& endpoint, peer_id peer, time_point now, outbox& out);
  void link_up(peer_id peer, time_point now, outbox& out) { links_.up(peer, now, out); }
  void link_down(peer_id peer, time_point now) { links_.down(peer, now); }
  void on_message(peer_id peer, message m, time_point now, outbox& out);
  void on_finished(finished_tasks done, time_point now, outbox& out);
  void on_progress(progress p, time_point now, outbox& out);
  void tick(time_point now, outbox& out);
  [[nodiscard]] time_point next_deadline() const;

  /// Finish what runs, hand back the rest, leave once everything is committed.
  void drain();
  /// Hand back what runs as well.
  void drain_at_once(outbox& out);
  /// Nothing in hand, and either draining or (unless serving) all ventilators are finished,
  /// those that were asked for with link_opened() and have not come yet included.
  [[nodiscard]] bool done() const;
  void say_bye(time_point now, outbox& out);

  /// Whether any ventilator, and any place for results, is connected.
  [[nodiscard]] bool has_ventilator() const { return !ventilators_.empty(); }
  [[nodiscard]] bool lacks_sink() const { return !missing_sink().empty(); }
  /// The address of the one that it lacks.
  [[nodiscard]] std::string missing_sink() const;
  [[nodiscard]] counts stats() const;
  [[nodiscard]] const std::string& fatal() const { return fatal_; }

 private:
  struct task_piece {
    pack payloads;  // of running ones, only to know their bytes
    std::uint32_t attempt = 0;
    std::uint32_t time_limit_ms = 0;
    bool unwanted = false;  // cancelled while running: its outcome is dropped
    bool commands = false;  // see task_run
    [[nodiscard]] std::uint64_t size() const { return payloads.size(); }
    [[nodiscard]] task_piece slice(std::uint64_t offset, std::uint64_t n) const {
      return {payloads.slice(static_cast<std::uint32_t>(offset), static_cast<std::uint32_t>(n)),
              attempt, time_limit_ms, unwanted, commands};
    }
    void settle() {}
  };
  struct held_run {
    result_run outcome;
    std::uint64_t task_bytes = 0;  // of one task's payload, on average
    bool to_ventilator = false;
    [[nodiscard]] std::uint64_t size() const { return outcome.payloads.size(); }
    [[nodiscard]] held_run slice(std::uint64_t offset, std::uint64_t n) const;
    void settle() {}
  };
  struct source {
    session_id owner{};
    run_map<task_piece> queued;  // a task may be here while it still runs, unwanted
    run_map<task_piece> running;
    run_map<held_run> holding;
    std::uint64_t held_ok = 0;  // of holding, what the ventilator still counts as in hand
    std::uint64_t held_task_bytes = 0;
    std::uint64_t highest = 0;     // received so far
    std::string last_destination;  // where its ventilator wanted results
    bool abandoned = false;        // its ventilator is gone for good
  };
  struct ventilator {
    introduction info;
    std::uint64_t sent_items = 0;  // the window as last announced
    std::uint64_t sent_bytes = 0;
    std::uint64_t wanted = 0;        // of it, what is for new work
    std::uint64_t measurements = 0;  // when it was announced
    bool resynced = false;
  };
  struct absence {
    std::string name;
    time_point patience_ends;  // max(): has ended
  };

  void on_events(std::vector<links::event>& events, time_point now, outbox& out);
  void on_joined(const links::event& e, time_point now, outbox& out);
  void on_met(const links::event& e, time_point now, outbox& out);
  void on_left(const links::event& e, time_point now, outbox& out);
  void on_sink_joined(const links::event& e, time_point now, outbox& out);
  void resync(session_id to, time_point now, outbox& out);
  void want_sink(const std::string& endpoint, outbox& out);
  void on_bye(session_id from, const bye& b, time_point now, outbox& out);
  void abandon(session_id owner, outbox& out);
  void drop_work_of_the_missing(time_point now, outbox& out);
  [[nodiscard]] std::uint64_t in_hand_for(session_id owner) const;

  void on_tasks(session_id from, task_batch batch, time_point now, outbox& out);
  [[nodiscard]] seq_set in_hand_already(source& s, seq_range range, const task_run& again);
  void on_cancel(session_id from, const cancel& c, time_point now, outbox& out);
  seq_ranges unqueue(source& s, seq_range range);
  void release_to_owner(const source_id& id, seq_ranges ranges, time_point now, outbox& out);

  // worker_results.cpp
  void hold(const source_id& id, source& s, result_run run, std::uint64_t task_bytes,
            time_point now, outbox& out);
  void drop(source& s, const held_run& run);
  void deliver(const source_id& id, const source& s, const result_run& run, bool to_ventilator,
               time_point now, outbox& out);
  void deliver_all(session_id to, std::optional<source_id> only, time_point now, outbox& out);
  void on_committed(session_id from, const committed& c);
  [[nodiscard]] std::string destination(const source& s) const;
  [[nodiscard]] std::optional<session_id> receiver(const source& s, bool to_ventilator) const;

  // worker_window.cpp
  void start(outbox& out);
  bool start_some(const source_id& id, source& s, std::uint64_t most, outbox& out);
  void announce(time_point now, outbox& out);
  void measure(duration busy, std::uint64_t result_bytes, std::uint64_t tasks);
  /// How many more results there is room for, at about their size so far.
  [[nodiscard]] std::uint64_t result_room() const;
  [[nodiscard]] std::uint64_t paced(duration span) const;
  [[nodiscard]] std::uint64_t desired() const;
  [[nodiscard]] std::uint64_t growing(const ventilator& v) const;
  [[nodiscard]] std::uint64_t window_items(std::uint64_t wanted, std::uint64_t held) const;
  /// What results take up of a ventilator's window: items, and payload bytes of their tasks.
  [[nodiscard]] std::pair<std::uint64_t, std::uint64_t> held_for(session_id owner) const;

  options options_;
  links links_;
  std::uint64_t queued_ = 0;
  std::uint64_t running_ = 0;
  std::uint64_t held_ = 0;
  std::uint64_t held_bytes_ = 0;
  std::map<source_id, source> sources_;
  std::map<session_id, ventilator> ventilators_;
  std::map<std::string, std::optional<peer_id>> sink_links_;
  std::map<session_id, absence> missing_;      // went without a BYE and may come back
  std::map<std::string, session_id> sink_at_;  // who was there last, by endpoint
  source_id last_started_;                     // sources take turns
  double task_seconds_ = 0;                    // slot time per task, smoothed; 0: not known yet
  double result_bytes_ = 0;                    // per task, smoothed
  std::uint64_t measurements_ = 0;
  std::set<peer_id> awaited_;  // opened, and nobody has been there yet
  bool draining_ = false;
  bool ever_joined_ = false;
  bool at_once_ = false;
  counts counts_;
  std::string fatal_;
};

}  // namespace weir::proto
