// What one seed stands for: a topology, a workload, and which faults there are.
#pragma once

#include "sim/clockwork.hpp"

#include <weir/task.hpp>

#include <cstdint>
#include <string>
#include <vector>

namespace weir::sim {

/// What becomes of a task when it is run.
struct task_spec {
  std::uint32_t size = 0;   ///< payload bytes
  duration runs{};          ///< slot time
  std::uint32_t fails = 0;  ///< so many executions fail before one succeeds
  bool final = false;       ///< its failure says that another attempt cannot succeed
  bool poison = false;      ///< kills the worker that runs it
  bool refused = false;     ///< never sent: the ventilator refuses it
};

/// Something that is broken on purpose, to show that the checker notices.
enum class sabotage : std::uint8_t {
  none,
  // The output lies.
  line_dropped,
  line_doubled,
  payload_altered,
  // Somebody outside the machines interferes.
  ack_forged,
  task_never_fed,
  // A machine that breaks a rule: done with filters on what goes in and out of it.
  commit_not_awaited,      // the sink acknowledges before the commit
  death_ignored,           // the ventilator goes on believing in dead workers
  results_forgotten,       // a worker forgets results when it has sent them
  release_swallowed,       // the ventilator does not hear RELEASE
  resync_swallowed,        // the ventilator does not hear what a worker holds
  resend_swallowed,        // a worker does not hear RESEND
  failure_made_retryable,  // the ventilator does not see that a failure is final
  register_empty,          // the ventilator does not say what is done
  window_ignored,          // the ventilator takes windows for ten times what they are
};

struct scenario {
  std::uint64_t seed = 0;

  // Topology. Without a sink each ventilator collects its own results.
  std::uint32_t ventilators = 1;
  std::uint32_t workers = 1;
  bool sink = true;
  bool workers_bind_tasks = false;     // ventilators connect to workers
  bool workers_bind_results = false;   // the sink connects to workers
  bool ventilators_bind_sink = false;  // the sink connects to ventilators

  // Limits and times.
  duration heartbeat = std::chrono::seconds(1);
  std::uint64_t max_tasks = 65'536;
  std::uint64_t max_bytes = 16 * 1024 * 1024;
  std::uint64_t max_window = 16'384;
  std::uint64_t max_held_bytes = 16 * 1024 * 1024;
  std::uint32_t max_slots = 4;
  std::uint32_t max_attempts = 3;
  duration retry_base{};
  duration retry_most{};

  // Work.
  std::vector<std::vector<task_spec>> work;  // of each ventilator
  duration feed_pause{};                     // between portions of input; zero: all at once
  std::uint64_t feed_most = 1000;            // tasks in a portion
  bool keep_order = false;
  duration commit_time{};
  std::uint64_t most_staged = 16 * 1024 * 1024;  // beyond it the sink does not read

  // Faults.
  bool cuts = false;
  bool delays = false;
  bool long_delays = false;
  bool kills = false;
  bool sink_restarts = false;
  bool pauses = false;
  bool drains = false;
  bool abandons = false;
  bool poison = false;
  bool sends_wait = false;  // what is sent while disconnected waits, rather than being dropped
  duration trouble{};       // faults happen for so long, then all heals

  sabotage broken = sabotage::none;

  [[nodiscard]] bool fault_free() const {
    return !cuts && !long_delays && !kills && !sink_restarts && !pauses && !drains &&
           !abandons && !poison;
  }
  /// Workers die only of what they run.
  [[nodiscard]] bool only_poison() const {
    return !cuts && !long_delays && !kills && !sink_restarts && !pauses && !drains && !abandons;
  }
  [[nodiscard]] std::string describe() const;
};

[[nodiscard]] scenario make_scenario(std::uint64_t seed);

/// The source of ventilator `index`, its number from its id, and its tasks' payloads.
[[nodiscard]] source_id source_of(std::uint32_t index);
[[nodiscard]] std::uint32_t index_of(const source_id& source);
[[nodiscard]] std::string payload_of(std::uint32_t source, std::uint64_t seq,
                                     const task_spec& spec);
/// What a worker makes of a payload, knowing nothing else.
[[nodiscard]] std::string outcome_of(std::string_view payload);

}  // namespace weir::sim
