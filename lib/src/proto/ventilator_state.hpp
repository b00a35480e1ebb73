// The ventilator's protocol: owns tasks until they are acknowledged.
#pragma once

#include "proto/backoff.hpp"
#include "proto/links.hpp"
#include "proto/outbox.hpp"
#include "proto/run_map.hpp"
#include "proto/seq_set.hpp"
#include "proto/time.hpp"

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace weir::proto {

/// Queues tasks, leases them to workers within their windows, takes them back from the dead,
/// retries the failed, gives up the hopeless, and forgets what the sink has acknowledged.
///
///     QUEUED -> LEASED(attempt, worker) -> done, on the sink's ACK
///        ^         | failed               FAILED for good -> outcome to the sink -> done, on
///        ACK
///        +- DELAYED+---------------------------^
///
/// Invariants
///  1. Every number from 1 to assigned() is in exactly one of queued_, suspects_,
///  last_chances_,
///     delayed_, leased_, dying_, or acknowledged. Only an ACK moves a task to acknowledged.
///  2. A worker never holds more than its window, except that one task always fits, and so does
///     the oldest one: if the sink keeps order, nothing else can be committed before it, and
///     all windows may be full of results that wait for it.
///  3. outstanding() never exceeds options.max_tasks, nor their bytes options.max_bytes by more
///     than one feed().
///
/// Pure: see links. Call tick() after each round of messages; dispatching happens there, so
/// that whatever became ready meanwhile goes out together.
class ventilator_state {
 public:
  struct options {
    source_id source;
    std::uint64_t epoch = 1;
    std::uint32_t max_attempts = 3;
    /// How often a task may be reported as failed, deaths of workers apart; 0: max_attempts.
    std::uint32_t max_failures = 0;
    backoff retry{std::chrono::milliseconds(100), std::chrono::seconds(30)};
    duration task_timeout{};  ///< zero: none
    std::uint64_t max_tasks = 65'536;
    std::uint64_t max_bytes = 16 * 1024 * 1024;
    /// No sink elsewhere: results come back on the workers' links and the owner of this machine
    /// commits them with a sink_core, calling on_ack().
    bool collects = false;
    /// Workers that do not run commands which come with tasks get none.
    bool commands_only = false;
    std::uint64_t seed = 0;
  };
  struct counts {
    std::uint64_t read = 0;          ///< tasks fed
    std::uint64_t done = 0;          ///< acknowledged, failed ones included
    std::uint64_t failed = 0;        ///< given up
    std::uint64_t dispatched = 0;    ///< attempts sent
    std::uint64_t redelivered = 0;   ///< attempts beyond a task's first
    std::uint64_t retried = 0;       ///< failures that were tried again
    std::uint64_t lost_workers = 0;  ///< workers that died with or without tasks
    std::uint64_t queued = 0;
    std::uint64_t leased = 0;
    std::uint64_t workers = 0;
    std::uint64_t bytes = 0;  ///< payload bytes of everything outstanding
  };

  ventilator_state(links::options who, options opts, time_point now);

  // Input.
  struct room {
    std::uint64_t tasks = 0;
    std::uint64_t bytes = 0;
  };
  /// How much may be fed now; nothing until some is acknowledged if tasks or bytes are 0.
  [[nodiscard]] room free() const;
  /// Adds tasks; they get the next sequence numbers.
  /// `commands`: empty, or one for each, which workers that take commands get in its place.
  void feed(pack payloads, pack commands = {});
  /// Adds one task that cannot be sent, e.g. because it is too long: it fails at once.
  void feed_refused(status code, std::string why, outbox& out);
  /// No more tasks will come.
  void end_input() { input_ended_ = true; }

  // The transport.
  void link_opened(peer_id peer, time_point now, outbox& out) { links_.open(peer, now, out); }
  void link_up(peer_id peer, time_point now, outbox& out) { links_.up(peer, now, out); }
  void link_down(peer_id peer, time_point now) { links_.down(peer, now); }
  /// Returns what is left for a sink_core in the same process: a RESULT with status OK, which
  /// comes here only if this ventilator collects.
  struct collected {
    session_id from;
    result_batch results;
  };
  [[nodiscard]] std::vector<collected> on_message(peer_id peer, message m, time_point now,
                                                  outbox& out);
  void tick(time_point now, outbox& out);
  [[nodiscard]] time_point next_deadline() const;
  /// From now on only the worker on this connection gets tasks. From all others comes back what
  /// they have not begun (give_back), or whatever they have, and they stop it (stop). False: it
  /// has not joined, and nothing has changed.
  bool withdraw(peer_id keeper, cancel_mode how, time_point now, outbox& out);

  // A sink_core in the same process.
  void on_ack(const ack& a, time_point now, outbox& out);
  [[nodiscard]] register_source registration() const;
  [[nodiscard]] std::vector<result_batch> take_given_up();
  void send(session_id to, message what, time_point now, outbox& out) {
    links_.send(to, std::move(what), now, out);
  }

  /// Everything read is acknowledged, no more will come, and the sink knows that.
  [[nodiscard]] bool complete() const;
  /// Says BYE to everybody who has not heard it. `finished` once complete(), `leaving` if it is
  /// abandoned. A sink that comes after this is not registered with: the source has ended.
  void say_bye(bye_reason reason, time_point now, outbox& out);

  [[nodiscard]] std::uint64_t assigned() const { return next_seq_ - 1; }
  [[nodiscard]] std::uint64_t outstanding() const;
  [[nodiscard]] counts stats() const;
  [[nodiscard]] bool has_sink() const { return options_.collects || sink_registered_; }
  /// Whether everybody has been there that this node connects to.
  [[nodiscard]] bool met_all() const { return links_.met_all(); }
  /// A reason to stop that waiting cannot mend: refused by a peer, fenced. Empty: none.
  [[nodiscard]] const std::string& fatal() const { return fatal_; }

 private:
  /// A task that a worker lost track of may have its ACK under way: wait this long first.
  static constexpr duration settle_time = std::chrono::milliseconds(100);

  struct queued_run {
    pack payloads;
    pack commands;               // empty, or one for each payload
    std::uint32_t attempts = 0;  // dispatches so far
    std::uint32_t failures = 0;  // of which failed, or took their worker with them
    std::uint32_t reported = 0;  // failures that count towards max_failures, not in `failures`
    session_id last_worker{};
    bool suspect = false;   // was in hand when a worker died, and has not been cleared
    time_point ready_at{};  // when delayed
    [[nodiscard]] std::uint64_t size() const { return payloads.size(); }
    /// What windows and memory are reckoned by: both, whichever of the two a worker gets.
    [[nodiscard]] std::size_t bytes() const { return payloads.bytes() + commands.bytes(); }
    /// Of the first task.
    [[nodiscard]] std::size_t first_bytes() const {
      return payloads.length(0) + (commands.empty() ? 0 : commands.length(0));
    }
    /// How many tasks from the front certainly fit into `most` bytes.
    [[nodiscard]] std::uint32_t count_within(std::size_t most) const {
      if (commands.empty()) return payloads.count_within(most);
      return std::min(payloads.count_within(most / 2), commands.count_within(most / 2));
    }
    [[nodiscard]] queued_run slice(std::uint64_t offset, std::uint64_t n) const;
    void settle();
  };
  struct leased_run {
    queued_run task;
    session_id worker{};
    [[nodiscard]] std::uint64_t size() const { return task.size(); }
    [[nodiscard]] leased_run slice(std::uint64_t offset, std::uint64_t n) const;
    void settle() { task.settle(); }
  };
  struct dying_run {
    result_run outcome;
    std::uint64_t bytes = 0;
    [[nodiscard]] std::uint64_t size() const { return outcome.payloads.size(); }
    [[nodiscard]] dying_run slice(std::uint64_t offset, std::uint64_t n) const;
    void settle() {}
  };
  struct worker {
    introduction info;
    bool ready = false;  // has sent its first WINDOW on this connection
    std::uint64_t window_items = 0;
    std::uint64_t window_bytes = 0;
    std::uint64_t items = 0;  // leased
    std::uint64_t bytes = 0;
    std::uint64_t suspects = 0;
    bool reachable = true;   // as of this round
    bool set_aside = false;  // has, or is to have, a last chance and nothing else
    bool alone = false;      // has it: if the worker dies, we know of what
    bool kept_out = false;   // gets no more, see withdraw() and commands_only
    time_point set_aside_since;
    time_point idle_since;
    time_point recall_after;
    [[nodiscard]] bool usable() const {
      return ready && reachable && !kept_out && window_items > 0;
    }
    [[nodiscard]] bool has_room(std::uint64_t next_bytes) const {
      return usable() && !set_aside && items < window_items &&
             (items == 0 || bytes + next_bytes <= window_bytes);
    }
  };

  void handle(session_id from, message m, time_point now, outbox& out,
              std::vector<collected>& results);

  // ventilator_links.cpp
  void on_events(std::vector<links::event>& events, time_point now, outbox& out);
  void on_joined(const links::event& e, time_point now, outbox& out);
  void on_left(const links::event& e, time_point now, outbox& out);
  void on_registered(registered r, time_point now, outbox& out);
  void take_sink(session_id who, time_point now, outbox& out);
  void lose_sink(time_point now, outbox& out);
  void register_with_sink(time_point now, outbox& out);
  void on_window(session_id from, const window& w, time_point now, outbox& out);
  void resync(session_id from, const window& w, time_point now, outbox& out);

  // ventilator_outcomes.cpp
  void on_results(session_id from, result_batch batch, time_point now, outbox& out,
                  std::vector<collected>& results);
  void on_failure(std::uint64_t first, queued_run task, status code, const result_run* report,
                  std::uint64_t offset, time_point now, outbox& out);
  void on_release(session_id from, const release& r, time_point now);
  void take_back(session_id from, bool died, time_point now, outbox& out);
  void give_up(std::uint64_t first, const queued_run& task, result_run outcome, outbox& out);
  void send_outcomes(outbox& out, time_point now);
  void requeue(std::uint64_t first, queued_run task);
  void delay(std::uint64_t first, queued_run task, duration wait, time_point now);
  void forget(seq_range range, time_point now, std::map<session_id, seq_ranges>& running);
  void unlease(const leased_run& run, time_point now);
  [[nodiscard]] seq_ranges leased_to(session_id who) const;
  void keep_out(session_id who, time_point now, outbox& out);

  // ventilator_dispatch.cpp
  void dispatch(time_point now, outbox& out);
  void dispatch_suspects(time_point now, outbox& out);
  void dispatch_last_chances(time_point now, outbox& out);
  [[nodiscard]] bool keeps_one_free();
  void lease(std::uint64_t first, queued_run task, session_id to, worker& w, bool alone,
             task_batch& batch);
  [[nodiscard]] std::pair<session_id, worker*> least_loaded(std::uint64_t next_bytes,
                                                            bool for_suspect, session_id avoid);
  [[nodiscard]] std::pair<session_id, worker*> taker_of_oldest();
  [[nodiscard]] bool oldest(const run_map<queued_run>& queue) const {
    return queue.runs().begin()->first == acked_low_ + 1;
  }
  void recall(time_point now, outbox& out);
  [[nodiscard]] std::uint32_t time_limit_ms() const;

  options options_;
  links links_;
  random_bits random_;
  std::uint64_t next_seq_ = 1;
  bool input_ended_ = false;
  run_map<queued_run> queued_;    // ready, oldest first
  run_map<queued_run> suspects_;  // were in hand when a worker died: one at a time from now on
  run_map<queued_run> last_chances_;  // suspects whose next death would be their last
  run_map<queued_run> delayed_;       // waiting to be tried again
  time_point next_ready_ = time_point::max();
  run_map<leased_run> leased_;
  run_map<dying_run> dying_;  // given up; the sink has not acknowledged it yet
  std::vector<result_batch> given_up_unsent_;
  std::uint64_t bytes_ = 0;
  std::map<session_id, worker> workers_;
  struct withdrawn {
    session_id keeper;
    cancel_mode how;
  };
  std::optional<withdrawn> withdrawn_;
  session_id sink_{};
  bool sink_joined_ = false;
  bool sink_registered_ = false;
  std::uint64_t registers_unanswered_ = 0;
  // An ACK up to the total may be older than our FINISH, which can still be lost. So when all
  // is acknowledged we REGISTER once more: the answer to what was sent after FINISH proves that
  // FINISH has arrived.
  enum class ending : std::uint8_t { not_begun, finish_sent, confirmation_asked, confirmed };
  ending ending_ = ending::not_begun;
  bool over_ = false;  // BYE has been said
  bool ever_registered_ = false;
  time_point sinkless_since_{};
  std::uint64_t acked_low_ = 0;
  time_point last_tick_;  // of the last tick: what next_deadline() counts from
  counts counts_;
  std::string fatal_;
};

}  // namespace weir::proto
