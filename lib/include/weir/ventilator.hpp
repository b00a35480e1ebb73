// The ventilator node as an embeddable object.
#pragma once

#include <weir/node.hpp>
#include <weir/results.hpp>

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace weir {

struct ventilator_options : node_options {
  /// Where workers deliver results and this ventilator hears that they are committed. Empty: no
  /// sink; results come back here and go to the store or handler given to the constructor.
  std::string sink{};
  /// Bind instead, and let the sink connect.
  bool sink_connects = false;
  /// How often a task may fail, or take its worker down with it, before it is given up.
  std::uint32_t max_attempts = 3;
  /// How often it may fail by itself before it is given up, deaths of its workers apart. 0: as
  /// often as max_attempts says.
  std::uint32_t max_failures = 0;
  /// Wait before the second attempt; doubles from there, up to 30 s, less a random half.
  std::chrono::milliseconds retry_delay{100};
  /// How long a worker may take over one task. Zero: for ever.
  std::chrono::milliseconds task_timeout{0};
  /// Tasks read and not yet acknowledged. More hides more latency and costs memory.
  std::uint64_t window = 65'536;
  /// Payload bytes read and not yet acknowledged; one task always fits.
  std::size_t window_bytes = std::size_t{16} * 1024 * 1024;
  /// Called when tasks have been acknowledged, with how many are done so far. On the loop
  /// thread: it may call submit() as long as less than `window` tasks are under way.
  std::function<void(std::uint64_t done)> on_done{};
  /// Called for each task that is given up, with its payload. After submit_refused() there is
  /// none, and the attempt is 0. On the loop thread.
  std::function<void(const result&, std::string_view payload)> on_given_up{};
  /// A handler's report of how far a task is. On the loop thread.
  std::function<void(const task_id&, std::uint64_t done, std::uint64_t total,
                     std::string_view text)>
      on_progress{};
  /// Only workers that run the command which comes with a task get any: the others would take a
  /// payload that only stands for it for what their own command wants. Local slots get
  /// commands.
  bool commands_only = false;
  /// In order of the tasks; only without a sink. See sink_options.
  bool keep_order = false;
};

struct ventilator_stats {
  std::uint64_t submitted = 0;
  std::uint64_t done = 0;         ///< acknowledged, failed ones included
  std::uint64_t failed = 0;       ///< given up
  std::uint64_t dispatched = 0;   ///< attempts
  std::uint64_t redelivered = 0;  ///< attempts beyond a task's first
  std::uint64_t duplicates = 0;   ///< results dropped as second ones; only without a sink
  std::uint64_t in_flight = 0;    ///< with a worker, or on the way to the sink
  std::uint64_t queued = 0;
  std::uint64_t workers = 0;
  std::uint64_t lost_workers = 0;
  std::uint64_t rejected = 0;  ///< messages that could not be read
};

class local_slots;

/// What ventilator::withdraw() takes from workers elsewhere.
enum class withdrawal : std::uint8_t {
  unstarted,  ///< what they have not begun; they finish the rest
  all,        ///< that too: they end it
};

/// A command as submit() wants it; `input`, if any, is for its standard input.
[[nodiscard]] std::string encode_command(const std::vector<std::string>& argv,
                                         std::optional<std::string_view> input = {});

/// Owns tasks until their outcome is committed: hands them to workers that have room, takes
/// them back from workers that die, retries what fails.
///
///     weir::ventilator v{{{.bind = {"tcp://127.0.0.1:5557"}}, "tcp://127.0.0.1:5558"}};
///     for (const auto& path : paths) v.submit(path);
///     v.wait();  // returns when every task is committed by the sink
///
/// Delivery   Every task ends exactly once at the sink, as done or as failed. Handlers may run
///            more than once: at-least-once execution. Tasks that are not done die with this
///            object.
/// Threads    Runs a loop thread of its own. submit() may be called from any thread.
/// Ownership  Copies payloads.
/// Errors     The constructor throws weir::error for what the caller can mend: a malformed
///            endpoint, an address in use. submit() and wait() throw what went wrong since,
///            e.g. `unavailable` when there was no worker or no sink for
///            options.connect_timeout.
class ventilator {
 public:
  explicit ventilator(ventilator_options options);
  /// Without a sink: the results come here.
  ventilator(ventilator_options options, std::function<void(const result&)> on_result);
  ventilator(ventilator_options options, std::unique_ptr<result_store> store);
  /// Runs tasks here as well: see local_slots.hpp. Then it need not bind or connect to
  /// anything.
  ventilator(ventilator_options options, std::unique_ptr<result_store> store,
             const local_slots& here);
  /// Abandons what is not done; see stop(). If all is done and this object has endpoints that
  /// workers connect to, returns 400 ms after it was made at the earliest: until then workers
  /// that are started with it, and find it late, are told that it has finished.
  ~ventilator();
  ventilator(const ventilator&) = delete;
  ventilator& operator=(const ventilator&) = delete;

  /// Adds a task. Blocks while the window is full. A payload of more than 16 MiB is refused by
  /// failing the task with RESOURCE_EXHAUSTED. False: stop() has been called, the task was not
  /// taken.
  bool submit(std::string_view payload);
  /// The same, with what workers that take commands (command_options::accept_commands) get in
  /// place of the payload: one for each task, or for none, see encode_command().
  bool submit(std::string_view payload, std::string_view command);
  /// Adds a task that fails at once, for input that cannot be sent but must be accounted for.
  bool submit_refused(status code, std::string why);
  /// Says that no more tasks will come, and blocks until all are done. True: all are accounted
  /// for (see stats().failed for those that failed). False: stop() came first.
  bool wait();
  /// Blocks until it is over, without saying that no more tasks will come: somebody else calls
  /// finish() or stop(). Returns and throws as wait() does.
  bool wait_for_end();
  /// Blocks until everything submitted so far is done; more may be submitted afterwards. True
  /// and false as for wait().
  bool wait_idle();
  /// Says that no more tasks will come. Does not block.
  void finish();
  /// Any thread: abandon what is not done. Workers are told to stop it.
  void stop() noexcept;
  /// Any thread: from now on tasks are for this process's own slots alone, which have to be
  /// there: for a run that is to end, and whose slots answer each task at once. May be called
  /// again, to take more.
  void withdraw(withdrawal what) noexcept;
  [[nodiscard]] const std::vector<std::string>& endpoints() const noexcept;
  [[nodiscard]] source_id source() const noexcept;
  [[nodiscard]] ventilator_stats stats() const;

 private:
  struct impl;
  std::unique_ptr<impl> impl_;
};

}  // namespace weir
