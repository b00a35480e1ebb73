// Between the spool and the gateway: who submits, what runs, who waits.
#pragma once

#include "proto/rpc/gateway_state.hpp"
#include "store/spool.hpp"
#include "store/spool_wire.hpp"

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

namespace weir::net {

/// Answers `weir.submit`, `weir.wait`, `weir.result`, `weir.cancel`, `weir.dead`,
/// `weir.requeue` and `weir.forget`, and has due calls run.
///
/// Delivery   `weir.submit` is answered when the call is on the disk. A call is marked as
///            running, on the disk, before it is placed, so that after a crash it is known
///            which may have done something (store/retry_policy.hpp says what follows).
/// Bounds     Of queued calls only methods are in memory, of those that run arguments too, and
///            of whoever waits for an outcome a few words.
/// Threads    The loop's.
/// Errors     Those of store::spool.
class spool_desk {
 public:
  struct options {
    std::string file;
    std::uint64_t max_bytes = 0;       ///< of the file; 0: no limit
    std::chrono::milliseconds keep{};  ///< outcomes of which the submitter says nothing
    std::uint64_t seed = 0;
  };
  /// `wake` is called on another thread when tick() has something to do.
  spool_desk(options o, proto::gateway_state& machine, std::function<void()> wake);

  void on_call(const proto::admin_call& call);
  void on_abandoned(const proto::call_key& key);  ///< nobody waits for its answer
  void on_outcome(const proto::placed_outcome& outcome);
  void tick(proto::time_point now);
  [[nodiscard]] proto::time_point next_deadline() const { return next_; }

  /// Starts nothing more.
  void drain() { draining_ = true; }
  /// Nothing runs, and everything that was decided is on the disk.
  [[nodiscard]] bool idle();

  struct counts {
    std::uint64_t queued = 0;
    std::uint64_t running = 0;
    std::uint64_t done = 0;  ///< since the start
    std::uint64_t dead = 0;  ///< since the start
  };
  [[nodiscard]] const counts& stats() const { return counts_; }
  [[nodiscard]] std::string trouble() { return spool_.trouble(); }
  [[nodiscard]] const store::spool::opening& at_opening() const { return spool_.at_opening(); }

 private:
  /// A method with calls in the queue.
  struct waiting_method {
    store::unix_ms next = store::never;
    bool starting = false;  // the writer is asked for some
  };
  using method_table = std::map<std::string, waiting_method>;
  /// Who waits until when, and for which call, by number.
  using wait_ends = std::multimap<proto::time_point, std::pair<proto::call_key, std::uint64_t>>;

  void submit(const proto::admin_call& call);
  void wait(const proto::admin_call& call);
  void result(const proto::admin_call& call);
  void cancel(const proto::admin_call& call);
  void dead(const proto::admin_call& call);
  void requeue(const proto::admin_call& call);
  void forget(const proto::admin_call& call);

  void answer(const proto::call_key& key, std::string result);
  void refuse(const proto::call_key& key, status code, const std::string& why);
  [[nodiscard]] store::spool::refusal refusing(const proto::call_key& key);
  void queued(const std::string& method, store::unix_ms due);
  void ended(const store::call_report& report);
  void start_some(proto::time_point now);
  void start_some_of(method_table::value_type& one, proto::time_point now, store::unix_ms wall);
  void started(const std::string& method, const store::call_table::due_calls& some,
               std::uint32_t declared_deadline_ms);
  void stop_waiting(wait_ends::iterator end);
  void expire_waits(proto::time_point now);
  void expire_outcomes(proto::time_point now);

  const options options_;
  proto::gateway_state& machine_;
  store::spool spool_;
  method_table methods_;
  std::unordered_map<std::uint64_t, std::size_t> running_;  // bytes, by number
  std::size_t running_bytes_ = 0;
  std::uint64_t asked_ = 0;  // calls that the writer is asked for, at most
  std::unordered_map<std::uint64_t, std::vector<proto::call_key>> waiters_;  // by number
  std::map<proto::call_key, wait_ends::iterator> waits_;
  wait_ends wait_ends_;
  counts counts_;
  proto::time_point expiry_at_{};
  proto::time_point next_ = proto::time_point::max();
  bool draining_ = false;
};

}  // namespace weir::net
