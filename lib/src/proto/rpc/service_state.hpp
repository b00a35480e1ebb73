// A worker that offers methods, as a state machine.
#pragma once

#include "proto/links.hpp"
#include "proto/outbox.hpp"
#include "proto/rpc/call_queue.hpp"
#include "proto/rpc/callee.hpp"
#include "proto/rpc/method_stats.hpp"
#include "proto/rpc/reply_cache.hpp"
#include "proto/run_map.hpp"
#include "proto/time.hpp"

#include <cstdint>
#include <map>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

namespace weir::proto {

/// Run these calls; all of one method, not started, not expired.
struct start_calls {
  session_id from{};
  call_run calls;
  std::uint32_t method = 0;  ///< index into the offered methods
  time_point deadline;       ///< the same for all of them: none may be begun after it
};

struct service_outbox : outbox {
  std::vector<start_calls> calls;
  std::vector<call_key> cancels;        ///< tell the handler, if it runs
  std::vector<callee::granted> grants;  ///< streams that may go on, or have to stop
};

/// Offers methods to gateways and clients, takes their calls within its window, answers.
///
/// It binds, connects, or both. Calls wait in here, by priority, until a slot (and the method's
/// concurrency limit) is free; expired and cancelled ones are answered without being started.
/// The slots are given what they do in a few milliseconds, so that priorities and cancels count
/// for the rest.
///
/// The windows of all callers together are about what the slots do in a tenth of a second, as
/// measured: at least one call per slot, at most `max_window`. They are shared equally by those
/// who have sent calls lately; the others may begin with one per slot.
///
/// Of a caller that does not read as fast as it is sent, no more calls are begun until it has
/// read.
///
/// A call with an idempotency key runs once, whoever makes it; the others with that key get its
/// reply, as at a gateway (see gateway_state and reply_cache). It goes on running when its
/// client is gone, for that may come back; a gateway that is gone has clients that ask others.
///
/// The built-in methods `weir.ping`, `weir.services`, `weir.stats` and `weir.drain` are
/// answered in here.
///
/// Delivery   See callee. Each call given to the slots has to be answered with on_replied(),
///            also when nobody waits for it any more.
///
/// Pure: see links. Call tick() after each round of messages and answers: what has to be sent
/// is sent there.
class service_state {
 public:
  struct options {
    std::vector<method_info> methods;
    std::vector<std::string> direct;  ///< endpoints to introduce clients to
    unsigned slots = 1;
    std::uint64_t max_window = 16'384;  ///< calls in hand, over all callers
    std::uint64_t max_bytes = 64 * 1024 * 1024;
    std::size_t reply_cache_bytes = 8 * 1024 * 1024;  ///< idempotency keys
    duration reply_cache_ttl = std::chrono::minutes(5);
  };
  service_state(links::options l, options o, time_point now);

  void link_opened(peer_id peer, time_point now, service_outbox& out) {
    links_.open(peer, now, out);
  }
  void link_up(peer_id peer, time_point now, service_outbox& out) { links_.up(peer, now, out); }
  void link_down(peer_id peer, time_point now) { links_.down(peer, now); }
  /// More waits to be sent to this peer than it takes; or not any more.
  void link_stalled(peer_id peer, bool is);
  void on_message(peer_id from, message m, time_point now, service_outbox& out);

  /// From the slots: consecutive calls of one caller, started in here, are answered. Their
  /// `queued_us` is what they have waited since they were handed out; the rest is added here.
  void on_replied(session_id to, reply_run outcomes, time_point now, service_outbox& out);
  /// Returns how many more elements the stream may send; negative: it should pause;
  /// callee::not_wanted: it should stop.
  std::int64_t on_part(const call_key& key, pack elements, time_point now, service_outbox& out);
  void on_progress(const call_key& key, std::uint64_t done, std::uint64_t total,
                   std::string text);

  void tick(time_point now, service_outbox& out);
  [[nodiscard]] time_point next_deadline() const;

  /// No more calls; what is in hand is finished. done() when it is. A caller can ask for it,
  /// too
  /// (`weir.drain`).
  void drain(time_point now, service_outbox& out);
  [[nodiscard]] bool draining() const { return callee_.draining(); }
  void say_bye(time_point now, service_outbox& out);
  [[nodiscard]] bool done() const;
  [[nodiscard]] const std::string& fatal() const { return fatal_; }
  [[nodiscard]] bool has_caller() const { return !callers_.empty(); }

  struct counts {
    std::uint64_t received = 0;
    std::uint64_t done = 0;
    std::uint64_t failed = 0;
    std::uint64_t expired = 0;  ///< of those: answered without being started
    std::uint64_t cancelled =
        0;  ///< of those: `cancelled`, whether they had been started or not
    std::uint64_t queued = 0;
    std::uint64_t running = 0;
    std::uint64_t window = 0;  ///< the sum over all callers
    std::uint64_t gateways = 0;
    std::uint64_t clients = 0;
  };
  [[nodiscard]] counts stats() const;

 private:
  /// A caller that has sent nothing for so long has no share of the windows.
  static constexpr duration idle_after = std::chrono::seconds(1);
  /// Consecutive calls that the slots have.
  struct running_run {
    std::uint64_t count = 0;
    std::uint32_t method = 0;
    bool streams = false;
    time_point arrived;
    time_point given;
    [[nodiscard]] std::uint64_t size() const { return count; }
    [[nodiscard]] running_run slice(std::uint64_t, std::uint64_t n) const {
      return {n, method, streams, arrived, given};
    }
    void settle() {}
  };
  struct caller_info {
    introduction info;
    time_point last_calls;      // when it sent some
    std::uint64_t window = 0;   // as last decided
    std::uint64_t streams = 0;  // that run; beside the window, as they may wait for its reader
    bool stalled = false;       // its calls wait in aside_
  };
  struct method_state {
    method_info info;
    method_stats stats;
    std::uint64_t told_direct = 0;  // of stats.direct, what gateways have been told
  };

  void on_events(std::vector<links::event>& events, time_point now, service_outbox& out);
  void on_joined(const links::event& e, time_point now, service_outbox& out);
  void on_left(const links::event& e, time_point now, service_outbox& out);
  void stalled(session_id who, bool is);
  void send_stalled_home(time_point now);
  void abandon(session_id who, time_point now, service_outbox& out);
  void on_calls(session_id from, call_batch&& batch, time_point now, service_outbox& out);
  enum class cause : std::uint8_t { cancelled, caller_gone };
  void stop(session_id from, const cancel_calls& which, const std::vector<call_key>& stops,
            cause why, time_point now, service_outbox& out);
  void give(std::uint32_t method, call_queue::waiting calls, time_point now,
            service_outbox& out);
  void start(time_point now, service_outbox& out);
  void expire(time_point now);
  [[nodiscard]] reply_run failed(std::uint64_t first, std::uint64_t count, status code,
                                 const std::string& why, bool never_started) const;
  void refuse(session_id to, std::uint64_t first, std::uint64_t count, status code,
              const std::string& why, time_point now);
  void answer_expired(const call_queue::taken& late, time_point now);
  void tell_direct_calls(time_point now, service_outbox& out);
  void answer_builtin(callee::taken&& calls, time_point now, service_outbox& out);
  void account(const running_run& run, reply_run& outcomes, time_point now);
  void measure(std::uint64_t calls, double seconds, time_point now);
  [[nodiscard]] std::uint64_t paced(duration span) const;
  [[nodiscard]] std::uint64_t room() const;
  void share_windows(time_point now);
  [[nodiscard]] std::uint64_t busy() const { return running_ - streaming_; }
  [[nodiscard]] std::string services() const;
  [[nodiscard]] std::string statistics(time_point now) const;

  // service_keys.cpp: calls with an idempotency key
  /// Of a call that is queued or runs.
  struct keyed_call {
    std::uint32_t method = 0;
    std::string key;
    role caller = role::client;
  };
  using keyed_calls = std::map<call_key, keyed_call>;
  void accept_with_key(call_queue::taken call, time_point now);
  void wait_for_slot(call_queue::taken call);
  [[nodiscard]] bool awaited(const keyed_call& k) const;
  [[nodiscard]] bool awaited_by_others(const call_queue::taken& call) const;
  /// Whether it is not to be stopped now: others wait for it, or its caller may come back.
  bool goes_on(const call_key& call, cause why, const std::string& reason);
  /// Takes them out of those that wait for others.
  std::vector<std::pair<call_key, std::uint32_t>> leave_joined(session_id who, seq_range calls);
  void share_replies(session_id to, const reply_run& outcomes, time_point now);
  void answer_known(const call_key& call, std::uint32_t method, const reply_run& reply);

  options options_;
  links links_;
  callee callee_;
  call_queue queue_;
  call_queue aside_;  // calls of those who are stalled
  reply_cache<call_key> replies_;
  keyed_calls leaders_;                           // those that run, or are to
  std::map<call_key, call_queue::taken> joined_;  // wait for the reply of one of them
  std::vector<method_state> methods_;
  std::unordered_map<std::string, std::uint32_t> by_name_;
  offer offer_;
  std::map<session_id, caller_info> callers_;
  std::map<session_id, run_map<running_run>> in_slots_;        // of lost callers, too
  std::vector<std::pair<std::uint64_t, running_run>> pieces_;  // kept for its memory
  std::uint64_t running_ = 0;
  std::uint64_t streaming_ = 0;  // of them, streams: they may wait without a slot
  // What calls take, from the last thousand or so: slot time, and how many they were.
  double measured_seconds_ = 0;
  double measured_calls_ = 0;
  time_point measured_since_;
  std::uint64_t measurements_ = 0;
  std::uint64_t shared_at_ = 0;  // of measurements_, when windows were last decided
  time_point shared_;
  bool share_now_ = false;
  time_point expired_;          // when the queue was last looked through
  bool untold_direct_ = false;  // gateways are to be told of direct calls, not before
  time_point tell_direct_;
  time_point began_;
  counts counts_;
  std::string fatal_;
};

}  // namespace weir::proto
