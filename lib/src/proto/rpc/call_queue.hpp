// Calls that wait in a worker for a slot.
#pragma once

#include "proto/message.hpp"
#include "proto/run_map.hpp"
#include "proto/time.hpp"

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <tuple>
#include <vector>

namespace weir::proto {

/// The calls of all methods of one worker: by priority, then first come, first served, passing
/// over methods that run as many as they may. Calls are kept as runs; what happens to a run
/// costs as much as what happens to a call.
class call_queue {
 public:
  /// Consecutive calls of one caller and one method.
  struct waiting {
    session_id from{};
    call_run calls;
    time_point deadline;
    time_point arrived;
    [[nodiscard]] std::uint64_t size() const { return calls.arguments.size(); }
    [[nodiscard]] waiting slice(std::uint64_t offset, std::uint64_t n) const;
    void settle();
  };
  struct taken {
    std::uint32_t method = 0;
    waiting calls;
  };

  /// `at_a_time`: for each method, how many may run; 0: any number.
  explicit call_queue(const std::vector<std::uint32_t>& at_a_time);

  void push(std::uint32_t method, waiting calls);
  /// The next, at most so many, which then run until finished() says otherwise. Nothing: there
  /// is none that may run. Those that are expired have to be taken out before.
  [[nodiscard]] std::optional<taken> pop(std::uint64_t most);
  void finished(std::uint32_t method, std::uint64_t calls);
  /// How many of this method's may be run past the queue, for nobody waits for its turn.
  [[nodiscard]] std::uint64_t may_pass(std::uint32_t method) const;
  void passed(std::uint32_t method, std::uint64_t calls) { methods_[method].running += calls; }

  /// Takes out those of this caller that are in `range`.
  [[nodiscard]] std::vector<taken> remove(session_id from, seq_range range);
  /// Takes out those whose time is over.
  [[nodiscard]] std::vector<taken> expire(time_point now);
  /// Nothing expires before; max() if nothing does at all.
  [[nodiscard]] time_point next_expiry() const {
    return empty() ? time_point::max() : soonest_;
  }

  [[nodiscard]] bool empty() const { return size_ == 0; }
  [[nodiscard]] std::uint64_t size() const { return size_; }
  [[nodiscard]] std::uint64_t queued(std::uint32_t method) const {
    return methods_[method].queued;
  }
  [[nodiscard]] std::uint64_t running(std::uint32_t method) const {
    return methods_[method].running;
  }

 private:
  using rank = std::uint8_t;  // 0 first
  // Each call has a ticket, ascending in the order of arrival.
  using head = std::tuple<rank, std::uint64_t, std::uint32_t>;  // of a run; its method
  struct method_state {
    std::uint64_t at_a_time = 0;
    std::uint64_t running = 0;
    std::uint64_t queued = 0;
    std::map<rank, run_map<waiting>> levels;  // none of them empty
    std::optional<head> listed;               // in heads_
    [[nodiscard]] std::uint64_t room() const {
      return at_a_time > running ? at_a_time - running : 0;
    }
  };
  void list(std::uint32_t method);
  template <class Wanted>
  std::vector<taken> take_out(Wanted&& wanted);

  std::vector<method_state> methods_;
  std::set<head> heads_;  // of each method that may run more, its first run
  std::uint64_t next_ticket_ = 1;
  std::uint64_t size_ = 0;
  time_point soonest_ = time_point::max();  // or later
};

}  // namespace weir::proto
