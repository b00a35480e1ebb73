// Calls of one method that wait for a worker.
#pragma once

#include "proto/limits.hpp"
#include "proto/message.hpp"
#include "proto/run_map.hpp"
#include "proto/time.hpp"

#include <array>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

namespace weir::proto {

/// Consecutive calls of one caller, as a queue holds them.
struct waiting_calls {
  pack arguments;
  time_point deadline;
  time_point arrived;
  std::shared_ptr<const call_options> options;  ///< null: the defaults
  bool aside = false;                           ///< the queue's: set_aside()
  [[nodiscard]] std::uint64_t size() const { return arguments.size(); }
  [[nodiscard]] waiting_calls slice(std::uint64_t offset, std::uint64_t n) const;
  /// Lets go of memory that these calls were a small part of.
  void settle();
  [[nodiscard]] std::uint8_t priority() const {
    return options ? options->priority : call_options::default_priority;
  }
};

/// A queue of runs: by priority, then first come, first served; bounded in calls and bytes.
///
/// Calls can be set aside: they keep their deadlines, but are not served, nor in anybody's way,
/// until they are resumed. Who sets them aside bounds how many they are.
///
/// It measures how fast it is emptied while it is not empty, which is what its workers are
/// capable of, and from which the wait of one more call is foretold.
class method_queue {
 public:
  struct limits_type {
    std::uint64_t calls = 100'000;
    std::size_t bytes = 32 * 1024 * 1024;
  };
  using run = std::pair<std::uint64_t, waiting_calls>;  ///< the first call's number
  enum class end : std::uint8_t { back, front };

  explicit method_queue(limits_type limits) : limits_(limits) {}

  /// How many of these calls, from the front, there is room for.
  [[nodiscard]] std::uint32_t fits(const pack& arguments) const;
  /// Requires that none of these numbers is in here. `front`: those that waited before.
  void push(std::uint64_t first, waiting_calls calls, time_point now, end where = end::back);
  /// The next calls to be served, at most so many. Nothing: the queue is empty.
  [[nodiscard]] std::optional<run> pop(std::uint64_t most);
  /// So many of what was popped last have gone to a worker.
  void served(std::uint64_t calls, time_point now);
  /// Puts what was popped back, until pop_aside() or resume(), which get the longest waiting of
  /// the highest priority first. `whose`: any number; its calls have ascending ones.
  void set_aside(std::uint64_t whose, std::uint64_t first, waiting_calls calls);
  /// Of those that were set aside, the next to be served, at most so many. Nothing: there are
  /// none, or those that are not set aside are more urgent.
  [[nodiscard]] std::optional<run> pop_aside(std::uint64_t whose, std::uint64_t most);
  /// So many calls wait with the others again, before those of their priority.
  void resume(std::uint64_t whose, std::uint64_t calls);
  /// This one does, if it is set aside in here.
  void resume_call(std::uint64_t number);
  [[nodiscard]] bool has_aside(std::uint64_t whose) const { return aside_.contains(whose); }
  /// Makes room by giving up calls of a lower priority than this, the youngest of the lowest
  /// first; stops once `calls` more of `bytes` in all would fit.
  [[nodiscard]] std::vector<run> displace(std::uint8_t priority, std::uint64_t calls,
                                          std::size_t bytes);
  /// Takes out those of these numbers that are in here; `awaited`: except those that want no
  /// reply.
  enum class which : std::uint8_t { all, awaited };
  [[nodiscard]] std::vector<run> take(seq_range numbers, which ones = which::all);
  /// Takes out those whose time is over.
  [[nodiscard]] std::vector<run> expire(time_point now);
  /// Takes out those that are set aside.
  [[nodiscard]] std::vector<run> take_aside(std::uint64_t whose);
  /// Takes out those that have been waiting since `then` or before.
  [[nodiscard]] std::vector<run> arrived_by(time_point then);

  /// Nothing expires before this; max() if nothing does at all.
  [[nodiscard]] time_point next_expiry() const;
  /// When the calls that have waited longest arrived; max() if there are none.
  [[nodiscard]] time_point oldest();
  /// The highest priority of those waiting; nothing: the queue is empty.
  [[nodiscard]] std::optional<std::uint8_t> top_priority() const;

  [[nodiscard]] std::uint64_t size() const { return calls_.size(); }
  /// Of those, the ones that are not set aside.
  [[nodiscard]] std::uint64_t ready() const { return calls_.size() - aside_calls_; }
  /// Of those, how many are served before a new call of this priority.
  [[nodiscard]] std::uint64_t ahead_of(std::uint8_t priority) const;
  /// Of arguments that are not set aside.
  [[nodiscard]] std::size_t bytes() const { return bytes_; }
  [[nodiscard]] bool empty() const { return calls_.empty(); }
  /// Calls per second that it is emptied with; 0: not known, for it has not been full for long.
  [[nodiscard]] double capacity() const { return capacity_; }

 private:
  // The order of service, by reference: what has been taken out meanwhile is passed over.
  struct token {
    std::uint64_t first = 0;
    std::uint64_t last = 0;
  };
  struct expiry {
    time_point at;
    seq_range numbers;
    [[nodiscard]] bool operator<(const expiry& other) const { return at > other.at; }
  };

  /// The first run in `t`'s range, which moves up to it; end() if there is none left.
  [[nodiscard]] run_map<waiting_calls>::map_type::const_iterator first_in(token& t) const;
  /// The first that is still here of those that this line speaks of; null if there is none.
  [[nodiscard]] const waiting_calls* front_of(std::deque<token>& line);
  void insert(std::uint64_t first, waiting_calls calls);
  void count(const waiting_calls& calls, bool in);
  void remove(seq_range numbers, std::vector<run>& to);
  /// At most so many of the first that this token speaks of, which must be here.
  [[nodiscard]] run take_from(token& t, std::uint64_t most);
  void compact();
  void drop_lines();

  limits_type limits_;
  run_map<waiting_calls> calls_;  // by number
  std::map<std::uint8_t, std::deque<token>, std::greater<>> order_;
  using lines = std::map<std::uint8_t, std::deque<token>, std::greater<>>;
  std::map<std::uint64_t, lines> aside_;  // by whose they are; no empty lines
  std::uint64_t aside_calls_ = 0;
  std::array<std::uint64_t, limits::priority + 1> by_priority_{};
  std::vector<expiry> expiries_;  // a heap; may speak of calls that have gone
  std::size_t tokens_ = 0;
  std::size_t bytes_ = 0;
  double capacity_ = 0;
  std::uint64_t served_ = 0;  // since measured_since_
  time_point measured_since_;
};

}  // namespace weir::proto
