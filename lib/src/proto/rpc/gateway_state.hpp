// The gateway between clients and workers, as a state machine.
#pragma once

#include "proto/links.hpp"
#include "proto/outbox.hpp"
#include "proto/rpc/call_slots.hpp"
#include "proto/rpc/callee.hpp"
#include "proto/rpc/caller.hpp"
#include "proto/rpc/directory.hpp"
#include "proto/rpc/placement.hpp"
#include "proto/rpc/reply_cache.hpp"
#include "proto/rpc/result_cache.hpp"
#include "proto/time.hpp"

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace weir::proto {

/// A call to a `weir.` method that needs more than this machine knows (the spool): answer with
/// on_answered(). Never more than one call in each.
struct admin_call {
  call_key key;
  std::string method;
  pack arguments;
  time_point deadline;
};

/// The outcome of a call that this node made itself (place()).
struct placed_outcome {
  std::uint64_t tag = 0;
  reply_run reply;  ///< one result
};

struct gateway_outbox : outbox {
  std::vector<admin_call> admin;
  std::vector<call_key> abandoned;  ///< of those, the ones that nobody waits for any more
  std::vector<placed_outcome> placed;
};

/// Takes calls from clients, queues them by method and priority, hands each to the worker with
/// the most room, and passes the replies back. Never reads a payload, except of its own methods
/// (`weir.*`); re-batches by slicing.
///
/// Delivery   A call is sent to one worker at a time. When that one dies, calls that may be run
///            twice (method declared idempotent, or an idempotency key) or that were certainly
///            not started are sent to another, the others fail `unavailable`; so does a stream
///            of which the client has elements already. Exactly one reply goes to the client
///            for each call.
///
/// A call that could not be answered in time is refused when it comes, with the time after
/// which it may be tried again: it is foretold from the length of the queue and the speed at
/// which its workers empty it. A full queue gives up its least urgent calls for more urgent
/// ones.
///
/// A call with an idempotency key runs once; the others with that key wait for its reply, and
/// it goes on running when its client is gone, for that may come back. Streams are no part of
/// this: their key says that they may be run again, no more.
///
/// Methods that have no worker wait aside, whatever their number: names that are made up cost
/// those that are served nothing. There are `most_stranded` of them at most.
///
/// A client is sent no more replies than it reads: what is on its way to it, and expected from
/// workers, is bounded in bytes. Beyond that its calls are set aside in their queues.
///
/// Holds nothing that matters beyond the calls in flight. Pure: see links. Call tick() after
/// each round of messages.
class gateway_state {
 public:
  /// Methods that may wait for their first worker at a time.
  static constexpr std::size_t most_stranded = 1024;

  struct options {
    std::uint64_t queue_calls = 100'000;  ///< waiting, for each method
    std::size_t queue_bytes = 32 * 1024 * 1024;
    duration wait{};  ///< how long a call may wait for a first worker of its method
    std::size_t reply_cache_bytes = 8 * 1024 * 1024;  ///< idempotency keys
    duration reply_cache_ttl = std::chrono::minutes(5);
    std::size_t result_cache_bytes = 8 * 1024 * 1024;  ///< methods declared cacheable
    std::uint32_t max_attempts = 3;
    bool spool = false;  ///< weir.submit and the like are answered: see admin_call
  };
  gateway_state(links::options l, options o, time_point now);

  void link_opened(peer_id peer, time_point now, gateway_outbox& out);
  void link_up(peer_id peer, time_point now, gateway_outbox& out);
  void link_down(peer_id peer, time_point now);
  /// More waits to be sent to this peer than it takes; or not any more.
  void link_stalled(peer_id peer, bool is);
  void on_message(peer_id from, message m, time_point now, gateway_outbox& out);
  /// `result` is one MessagePack value; `why` says what was wrong if `code` is not OK.
  void on_answered(const call_key& key, status code, pack result, std::string why);
  /// Of an admin_call: it is not answered, and somebody waits for it.
  [[nodiscard]] bool is_asked(const call_key& key) const { return admin_.contains(key); }

  /// A call of this node's own, e.g. from the spool: its outcome comes as placed_outcome, after
  /// the deadline at the latest. One payload.
  void place(std::uint64_t tag, std::string method, pack argument, time_point deadline,
             std::shared_ptr<const call_options> how, time_point now);
  /// Cancels it; the outcome comes all the same.
  void unplace(std::uint64_t tag, time_point now);
  /// What a placed call would find, so that the spool places no more than can run: it marks
  /// them as running, on disk, before.
  struct openings {
    std::uint64_t calls = 0;  ///< so many would go to a worker at once, by windows and queue
    bool idempotent = false;  ///< declared by all workers that offer the method
    std::uint32_t deadline_ms = 0;  ///< declared; 0: none
  };
  [[nodiscard]] openings openings_of(const std::string& method) const;
  /// Methods that have workers: no other has openings.
  [[nodiscard]] const std::vector<method_record*>& served() const {
    return directory_.served();
  }

  void tick(time_point now, gateway_outbox& out);
  [[nodiscard]] time_point next_deadline();

  /// No more calls from clients; done() when those in hand are answered. Those that wait for a
  /// call in the spool are told to ask again when nothing else is left.
  void drain(time_point now, gateway_outbox& out);
  void say_bye(time_point now, gateway_outbox& out);
  [[nodiscard]] bool done() const;
  [[nodiscard]] const std::string& fatal() const { return fatal_; }

  struct counts {
    std::uint64_t received = 0;
    std::uint64_t answered = 0;  ///< with OK
    std::uint64_t failed = 0;
    std::uint64_t rejected = 0;  ///< of those: overload
    std::uint64_t expired = 0;   ///< of those: never dispatched, for their time was over
    std::uint64_t retried = 0;
    std::uint64_t cached = 0;  ///< answered from memory
    std::uint64_t queued = 0;
    std::uint64_t running = 0;
    std::uint64_t workers = 0;
    std::uint64_t clients = 0;
  };
  [[nodiscard]] counts stats() const;

 private:
  /// Consecutive calls on their way through here.
  struct calls {
    method_record* method = nullptr;
    std::uint64_t number = 0;  // as call_slots has it
    waiting_calls what;
    [[nodiscard]] std::uint64_t size() const { return what.size(); }
    [[nodiscard]] calls slice(std::uint64_t offset, std::uint64_t n) const {
      return {method, number + offset, what.slice(offset, n)};
    }
    [[nodiscard]] bool streams() const {
      return what.options && what.options->stream_window > 0;
    }
    [[nodiscard]] bool no_reply() const { return what.options && what.options->no_reply; }
    /// Not empty if the call shares its reply with others of the same key.
    [[nodiscard]] const std::string& key() const {
      return call_options::shared_key(what.options.get());
    }
  };
  struct failure {
    status code = status::unknown;
    std::string message;
    bool never_started = false;
    std::uint32_t retry_ms = 0;
  };
  /// A call of this node's own.
  struct placed {
    std::uint64_t tag = 0;
    time_point deadline;
  };
  /// A call that on_answered() is to answer.
  struct asked {
    std::uint64_t number = 0;
    bool waits = false;  // for the end of another, which may be long
  };
  enum class cause : std::uint8_t { cancelled, client_gone };

  // Who is there
  void on_events(std::vector<links::event>& events, time_point now, gateway_outbox& out);
  void client_left(session_id who, time_point now);
  void client_stalled(session_id who, bool is);
  void worker_left(session_id who, const std::string& how, time_point now,
                   std::optional<std::uint64_t> seen = {});
  void on_window(session_id from, const window& w, time_point now);

  // The way there
  void on_calls(session_id from, call_batch&& batch, time_point now, gateway_outbox& out);
  void accept(calls c, time_point now);
  void accept_with_key(calls c, time_point now);
  void accept_cacheable(calls c, time_point now);
  void hand_over(calls c, time_point now);
  void enqueue(calls c, time_point now);
  [[nodiscard]] std::optional<failure> overload(const calls& c, time_point now) const;
  /// Returns how many of them, from the front, went to workers.
  std::uint64_t give(const calls& c, time_point now);
  void send(worker_record& to, const calls& c, time_point now);
  void dispatch(method_record& m, time_point now);
  [[nodiscard]] std::uint64_t may_go(const calls& c) const;
  void set_aside(calls c);
  [[nodiscard]] std::optional<method_queue::run> pop_aside(method_record& m,
                                                           std::uint64_t room);
  void look_aside();
  void send_stalled_home(time_point now);
  void came_back(method_record& m, std::uint64_t number, std::uint64_t count);
  void expire(method_record& m, time_point now);
  void give_up_waiting(method_record& m, time_point now);
  void sort_queues(time_point now);
  void look_at_stranded(time_point now);
  [[nodiscard]] time_point look_at(method_record& m) const;
  void serve_queues(time_point now);
  [[nodiscard]] failure no_worker(const method_record& m) const;

  // The way back
  void settle_arrivals(time_point now);
  void on_answers(caller::answered& a, time_point now);
  [[nodiscard]] calls calls_of(caller::flight f, time_point now);
  [[nodiscard]] bool uniform(const calls& c) const;
  void measure(const caller::answered& a, method_record& m, time_point now);
  [[nodiscard]] bool may_retry(const calls& c, bool never_started, time_point now) const;
  void retry(calls c, time_point now);
  void queue(calls c, method_queue::end where, time_point now);
  void fail(const calls& c, const failure& why, time_point now);
  void conclude(const calls& c, reply_run reply, time_point now);
  void share_reply(const calls& c, const reply_run& reply, time_point now);
  void answer_known(const calls& c, const reply_run& reply);
  void answer(std::uint64_t number, std::uint64_t count, reply_run reply);
  [[nodiscard]] reply_run failed(std::uint64_t count, const failure& why) const;

  // Cancelling
  void cancel_all(const std::vector<call_key>& keys, const std::string& reason, cause why,
                  time_point now);
  void cancel(seq_range numbers, const std::string& reason, cause why, time_point now);
  void cancel_at_workers(seq_range numbers, const std::string& reason, time_point now);
  void expire_placed(time_point now);
  void send_waiting_home();

  // Its own methods
  void answer_builtin(session_id from, call_run run, std::uint64_t number, time_point deadline,
                      time_point now, gateway_outbox& out);
  [[nodiscard]] reply_run builtin(const std::string& method, std::string_view arguments,
                                  time_point now);
  [[nodiscard]] std::string describe_services() const;
  [[nodiscard]] std::string describe_stats(time_point now) const;
  [[nodiscard]] std::string describe_routes(const std::string& method) const;
  [[nodiscard]] std::string drain_workers(const std::optional<std::string>& name);
  void pass_on_drain(time_point now);

  [[nodiscard]] std::string my_name() const;

  options options_;
  links links_;
  callee clients_;
  caller workers_;
  directory directory_;
  reply_cache<std::uint64_t> replies_;
  result_cache results_;
  call_slots slots_;
  std::vector<method_record*> waiting_;     // those with a queue, and workers that serve it
  std::vector<method_record*> stranded_;    // those with a queue and no worker
  time_point look_at_ = time_point::max();  // these: nothing is to be done about them before
  bool sort_ = false;                       // some may have got workers, or lost the last one
  std::size_t turn_ = 0;                    // of waiting_, who is first
  std::set<std::uint64_t> aside_;           // places of clients that may have calls set aside
  std::uint64_t aside_turn_ = 0;            // of those, who was served last
  caller::arrivals in_;
  std::map<std::uint64_t, calls> joined_;         // wait for the reply of another
  std::map<std::uint64_t, std::string> leaders_;  // with a key, at a worker: their keys
  std::set<std::uint64_t> cancelled_;             // at a worker
  std::set<std::uint64_t> begun_;                 // streams that the client has elements of
  std::map<call_key, asked> admin_;               // waiting for on_answered()
  std::map<std::uint64_t, placed> placed_;        // by number
  std::map<std::uint64_t, std::uint64_t> tags_;   // number by tag
  std::set<std::pair<time_point, std::uint64_t>> placed_until_;
  std::uint64_t last_placed_ = 0;
  std::vector<placed_outcome> outcomes_;  // for the outbox, as
  std::vector<call_key> abandoned_;
  std::uint64_t round_ = 0;      // counts tick()s
  bool drains_pending_ = false;  // some workers are not told yet
  bool draining_ = false;
  time_point started_;
  counts counts_;
  std::string fatal_;
};

}  // namespace weir::proto
