// What must hold, whatever happens.
#pragma once

#include "proto/message.hpp"
#include "sim/scenario.hpp"

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace weir::sim {

/// Sees everything that is done to a task, from outside the machines, and keeps books of its
/// own in the plainest way. The first violation is kept.
///
///   C1  each task fed ends in exactly one committed outcome
///   C2  nothing is written twice, but what was written and not acknowledged when a sink that
///       forgets was killed
///   C3  nothing is written that was not fed, and payloads arrive intact
///   C5  nothing is acknowledged, or forgotten by a worker, that is not in the output
///   C6  without faults each task runs exactly as often as it must; a task fails for good only
///       for a reason
///   C7  when all has healed, everything ends, and nobody leaves earlier
///   C8  books stay within their limits
class checker {
 public:
  explicit checker(const scenario& s);

  void fed(std::uint32_t source, std::uint64_t seq);
  void dispatched(std::uint32_t source, proto::seq_range range);
  void started(std::uint32_t source, std::uint64_t seq);
  void ended(std::uint32_t source, std::uint64_t seq, bool ok, bool final);
  void written(std::uint32_t source, std::uint64_t seq, status code, std::string_view payload);
  /// A ventilator is told that these are done.
  void check_acked(std::uint32_t source, std::uint64_t low, const proto::seq_ranges& ranges);
  /// It has heard it, and forgets them.
  void acked(std::uint32_t source, std::uint64_t low, const proto::seq_ranges& ranges);
  /// A worker is told that its results are where they belong.
  void told_committed(std::uint32_t source, const proto::seq_ranges& ranges);
  void sink_killed();
  void abandoned(std::uint32_t source);
  /// A ventilator, or a sink, says that all is well with this source.
  void says_complete(std::uint32_t source, const char* who);
  /// The end of the world.
  void finish();

  void violation(std::string what);
  [[nodiscard]] const std::string& verdict() const { return verdict_; }
  [[nodiscard]] std::uint64_t written() const { return written_; }
  /// How many executions of the task have begun so far.
  [[nodiscard]] std::uint32_t executions(std::uint32_t source, std::uint64_t seq) const {
    return sources_[source].tasks[seq - 1].started;
  }

 private:
  struct task {
    std::uint32_t dispatched = 0;
    std::uint32_t started = 0;
    std::uint32_t failed = 0;
    std::uint32_t succeeded = 0;
    std::uint32_t written = 0;
    bool fed = false;
    bool final_failure = false;
    bool acked = false;
    bool may_repeat = false;
    bool gave_up = false;
  };
  struct stream {
    std::vector<task> tasks;
    std::uint64_t low = 0;          // acknowledged up to here
    std::uint64_t checked_low = 0;  // and so far the acknowledgements were right
    std::uint64_t fed = 0;
    bool abandoned = false;
  };
  [[nodiscard]] task* find(std::uint32_t source, std::uint64_t seq, const char* what);
  void check_failed_for_good(const task& t, const task_spec& spec, status code,
                             const std::string& name);

  const scenario& scenario_;
  std::vector<stream> sources_;
  std::uint64_t written_ = 0;
  std::string verdict_;
};

}  // namespace weir::sim
