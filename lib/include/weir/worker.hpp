// The worker node as an embeddable object.
#pragma once

#include <weir/command.hpp>
#include <weir/method.hpp>
#include <weir/node.hpp>
#include <weir/task.hpp>

#include <chrono>
#include <concepts>
#include <cstdint>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

namespace weir {

namespace exec {
class claim;
}

/// One task in the hands of a handler. Valid during the handler's call only.
class task {
 public:
  [[nodiscard]] std::string_view payload() const;
  [[nodiscard]] task_id id() const;
  /// Counts from 1. More than 1: it was sent before, and may have been run.
  [[nodiscard]] std::uint32_t attempt() const;
  /// True once nobody wants the result any more, or the task's time limit has passed: return
  /// soon, with anything. Cheap enough for an inner loop.
  [[nodiscard]] bool cancelled() const;
  /// Tells the ventilator how far this is. Rarely: a few times a second at most.
  void progress(std::uint64_t done, std::uint64_t total, std::string_view text = {});

 private:
  friend class worker;
  task(exec::claim& c, std::uint32_t index) : claim_(c), index_(index) {}
  exec::claim& claim_;
  std::uint32_t index_;
};

/// Thrown by a handler: this attempt failed. Anything else that is thrown counts as
/// `status::unknown`, worth another attempt.
class task_error : public std::runtime_error {
 public:
  enum class retry { worthwhile, pointless };
  explicit task_error(status code, const std::string& message, retry again = retry::worthwhile)
      : std::runtime_error(message), code_(code), again_(again) {}
  [[nodiscard]] status code() const noexcept { return code_; }
  [[nodiscard]] bool retryable() const noexcept { return again_ == retry::worthwhile; }

 private:
  status code_;
  retry again_;
};

struct worker_options : node_options {
  /// Tasks run at a time, each on its own thread. 0: as many as there are cores; of calls,
  /// which often wait for something, four times as many and at least 16.
  unsigned slots = 0;
  /// Where results go whatever the ventilators say. Empty: where they say.
  std::string results_to{};
  /// Stay when the ventilators are finished, for the next ones.
  bool serve = false;
  /// The most tasks in hand, results apart; the window sizes itself below this.
  std::uint64_t max_window = 16'384;
  /// Methods: endpoints at which clients that a gateway introduces reach this worker. Bound too
  /// if `bind` is empty; otherwise they are what others call those in `bind`.
  std::vector<std::string> direct{};
  /// Methods: replies to calls with an idempotency key are remembered: so much, and for so
  /// long.
  std::size_t reply_cache = 8 * 1024 * 1024;
  std::chrono::milliseconds reply_cache_ttl = std::chrono::minutes(5);
};

struct worker_stats {
  std::uint64_t received = 0;
  std::uint64_t done = 0;
  std::uint64_t failed = 0;    ///< attempts
  std::uint64_t released = 0;  ///< handed back unstarted
  std::uint64_t queued = 0;
  std::uint64_t running = 0;
  std::uint64_t held = 0;  ///< results that are not committed yet
  std::uint64_t window = 0;
  std::uint64_t ventilators = 0;
  std::uint64_t rejected = 0;  ///< messages that could not be read
  std::uint64_t gateways = 0;
  std::uint64_t clients = 0;  ///< that call directly
};

/// What a handler may look like: task in; bytes (string, string_view) or nothing out.
template <class F>
concept task_handler = std::invocable<F&, task&> &&
    (std::is_void_v<std::invoke_result_t<F&, task&>> ||
     std::convertible_to<std::invoke_result_t<F&, task&>, std::string_view>);

/// Takes tasks from ventilators, runs a handler on each, and delivers what it returns. Or
/// offers methods to gateways, to which it connects, and to clients, for which it binds.
///
///     weir::worker w{{{.connect = {"tcp://127.0.0.1:5557"}}, 4},
///                    [](weir::task& t) { return thumbnail(t.payload()); }};
///     w.run();  // returns when the ventilators are finished
///
///     weir::worker m{{{.connect = {"tcp://127.0.0.1:5555"}}}};
///     m.expose("add", [](int a, int b) { return a + b; });  // #include <weir/expose.hpp>
///     m.run();  // returns after stop()
///
/// Delivery   Handlers may see a task twice (t.attempt() counts): after a death, or when an
///            acknowledgement is late. Its outcome is written once. A call is run once, unless
///            its caller or gateway sends it again; they do so only where that is safe.
/// Threads    Construct, run and destroy on one thread. stop() and stats() may be called from
///            any. The handler is called on `slots` threads at a time and must bear that. A
///            handler may take hours: liveness is shown by another thread.
/// Ownership  Copies its options, keeps the handler.
/// Errors     The constructor throws weir::error for what the caller can mend. run() throws
///            `unavailable` when there was no ventilator, or nowhere to deliver, for
///            options.connect_timeout. A handler that throws fails its task, not the node.
class worker {
 public:
  template <task_handler F>
  worker(worker_options options, F handler)
      : worker(std::move(options), runner_of(std::move(handler))) {}
  /// Runs a command for each task; see command.hpp.
  worker(worker_options options, command_options command);
  /// Offers methods, see expose().
  explicit worker(worker_options options);
  ~worker();
  worker(const worker&) = delete;
  worker& operator=(const worker&) = delete;

  /// Offers a function under this name; weir/expose.hpp has the definition, and says what a
  /// function may look like. Before run(), on a worker without a task handler.
  ///
  /// It is called on up to `slots` threads at a time, or on the thread of run() or one beside
  /// it while it has been quick lately (less than 50 us); it may call methods itself. What it
  /// throws is the call's outcome: an rpc_error as it is, anything else as `unknown` with its
  /// type.
  /// Errors     weir::error `usage`: a name that is taken, empty, too long, or weir's own
  ///            ("weir.").
  template <class F>
  worker& expose(std::string name, F handler, method_options options = {});
  /// The same with a command, see weir/method.hpp.
  worker& expose(std::string name, command_method command, method_options options = {});
  /// The same beneath the types.
  worker& offer(method_description what, raw_method handler);
  worker& offer(method_description what, raw_stream_method handler);

  /// Blocks until the ventilators are finished, or stop().
  void run();
  /// Any thread. Once: finish what runs, hand back the rest, leave. Twice: hand back what runs
  /// as well.
  void stop() noexcept;
  [[nodiscard]] const std::vector<std::string>& endpoints() const noexcept;
  [[nodiscard]] worker_stats stats() const;

 private:
  friend class plain_worker;
  friend class local_slots;
  using runner = std::function<void(exec::claim&)>;
  worker(worker_options options, runner each);

  // Defined by the library, so that this header needs nothing of its insides.
  static bool begin(exec::claim& c, std::uint32_t i);
  static void succeed(exec::claim& c, std::uint32_t i, std::string_view result);
  static void fail(exec::claim& c, std::uint32_t i);  // with the exception being handled

  template <class F>
  static runner runner_of(F handler) {
    return [handler = std::move(handler)](exec::claim& c) mutable { run_claim(c, handler); };
  }
  template <class F>
  static void run_claim(exec::claim& c, F& handler) {
    for (std::uint32_t i = 0; begin(c, i); ++i) {
      try {
        task t(c, i);
        if constexpr (std::is_void_v<std::invoke_result_t<F&, task&>>) {
          handler(t);
          succeed(c, i, {});
        } else {
          succeed(c, i, std::string_view(handler(t)));
        }
      } catch (...) {
        fail(c, i);
      }
    }
  }

  struct impl;  // one of the two:
  struct task_worker;
  struct service;
  service& methods();
  std::unique_ptr<impl> impl_;
};

}  // namespace weir
