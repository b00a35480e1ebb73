// The plain transport: bare PUSH and PULL sockets, for peers that are not weir.
#pragma once

#include <weir/endpoint.hpp>
#include <weir/node.hpp>
#include <weir/results.hpp>
#include <weir/worker.hpp>

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace weir {

/// One payload per ZeroMQ message, in a single frame, and nothing else: any ZeroMQ program in
/// any language can take the place of any of the three below. It costs all that the other
/// transport promises. What is in the buffers of a process that dies is lost, nobody notices,
/// nobody is told that a task failed, and nobody can tell when all is done. Prefer
/// weir::ventilator, worker and sink wherever all ends are weir's.
///
/// Of node_options, `name` and `heartbeat` mean nothing here.
///
/// Messages that this end may hold for one connection, each way; there are as many again at the
/// other end. ZeroMQ deals tasks to connections in turn whether they have work or not, so a
/// small figure spreads long tasks better and loses fewer.
inline constexpr int plain_high_water = 100;

struct plain_stats {
  std::uint64_t done = 0;     ///< ventilator: handed over; worker: delivered; sink: written
  std::uint64_t failed = 0;   ///< worker: by the handler; others: longer than a message may be
  std::uint64_t in_hand = 0;  ///< worker: received and not delivered
  std::uint64_t refused = 0;  ///< messages of several frames: not one payload
  std::uint64_t peers = 0;    ///< connections that stand
};

/// Pushes tasks to whoever pulls.
///
///     weir::plain_ventilator v{{.bind = {"tcp://127.0.0.1:5557"}}};
///     for (const auto& path : paths) v.submit(path);
///     v.finish();  // returns when everything is on its way
///
/// Delivery   At most once.
/// Threads    One at a time, except stop() and stats().
/// Errors     The constructor throws weir::error for what the caller can mend. submit() throws
///            `unavailable` when nobody has been connected for options.connect_timeout.
class plain_ventilator {
 public:
  explicit plain_ventilator(node_options options);
  /// Gives what was submitted no more time.
  ~plain_ventilator();
  plain_ventilator(const plain_ventilator&) = delete;
  plain_ventilator& operator=(const plain_ventilator&) = delete;

  /// Blocks while nobody has room. False: stop() has been called, or the payload is longer than
  /// 16 MiB (see stats().failed); it was not taken.
  bool submit(std::string_view payload);
  /// Blocks until all that was submitted has been handed to the network (over ipc: been read by
  /// the peer), at most options.connect_timeout (zero: for ever), and 2 s after a stop(). True:
  /// it has. That is not to say that anybody has run it. Nothing can be submitted afterwards.
  bool finish();
  /// Any thread: submit() returns false from now on.
  void stop() noexcept;
  [[nodiscard]] const std::vector<std::string>& endpoints() const noexcept;
  [[nodiscard]] plain_stats stats() const;

 private:
  struct impl;
  std::unique_ptr<impl> impl_;
};

struct plain_worker_options : node_options {
  /// Where results are pushed.
  std::string results_to{default_results_endpoint};
  /// Tasks run at a time, each on its own thread. 0: as many as there are cores.
  unsigned slots = 0;
  /// End when there has been nothing to do for this long since somebody first connected. Zero:
  /// only stop() ends it.
  std::chrono::milliseconds idle_timeout{0};
  /// Called for each task that failed; nobody else hears of it. On the thread of run().
  std::function<void(const result&)> on_failed{};
};

/// Pulls tasks, runs a handler on each, and pushes what it returns.
///
///     weir::plain_worker w{{{.connect = {"tcp://127.0.0.1:5557"}}, "tcp://127.0.0.1:5558"},
///                          [](weir::task& t) { return thumbnail(t.payload()); }};
///     w.run();
///
/// The task's id counts what this worker has received, and says nothing about other workers.
///
/// Delivery   At most once. A task whose handler fails has no result.
/// Threads    Construct, run and destroy on one thread. stop() and stats() may be called from
///            any. The handler is called on `slots` threads at a time.
/// Errors     The constructor throws weir::error for what the caller can mend. run() throws
///            `unavailable` when no task came for options.connect_timeout because nobody ever
///            connected, or when there has been nobody to take a result for as long.
class plain_worker {
 public:
  template <task_handler F>
  plain_worker(plain_worker_options options, F handler)
      : plain_worker(std::move(options), worker::runner_of(std::move(handler))) {}
  /// Runs a command for each task; see command.hpp.
  plain_worker(plain_worker_options options, command_options command);
  ~plain_worker();
  plain_worker(const plain_worker&) = delete;
  plain_worker& operator=(const plain_worker&) = delete;

  /// Blocks until stop(), or options.idle_timeout.
  void run();
  /// Any thread. Once: take no more tasks, finish and deliver those in hand. Twice: stop those
  /// as well.
  void stop() noexcept;
  [[nodiscard]] const std::vector<std::string>& endpoints() const noexcept;
  [[nodiscard]] plain_stats stats() const;

 private:
  plain_worker(plain_worker_options options, worker::runner each);

  struct impl;
  std::unique_ptr<impl> impl_;
};

struct plain_sink_options : node_options {
  /// End with this many results. Zero: however many there are.
  std::uint64_t expect = 0;
  /// End when no result has come for this long since somebody first connected. Zero: never.
  std::chrono::milliseconds idle_timeout{0};
};

/// Pulls results and writes them.
///
///     weir::plain_sink s{{{.bind = {"tcp://127.0.0.1:5558"}}, 1000},
///                        [](const weir::result& r) { std::cout << r.payload << '\n'; }};
///     s.run();  // returns when a thousand have come
///
/// All results are of one source, are OK, and are numbered as they arrive.
///
/// Delivery   At most once, and it cannot tell what is missing.
/// Threads    Construct, run and destroy on one thread. stop() and stats() may be called from
///            any. The handler or store is called on the thread of run().
/// Errors     The constructor throws weir::error for what the caller can mend. run() throws
///            `unavailable` if nobody connected for options.connect_timeout, and whatever the
///            handler or store throws.
class plain_sink {
 public:
  plain_sink(plain_sink_options options, std::function<void(const result&)> on_result);
  plain_sink(plain_sink_options options, std::unique_ptr<result_store> store);
  ~plain_sink();
  plain_sink(const plain_sink&) = delete;
  plain_sink& operator=(const plain_sink&) = delete;

  /// Blocks until stop(), or one of the ends in the options.
  void run();
  /// Any thread: write what has been taken, then leave.
  void stop() noexcept;
  [[nodiscard]] const std::vector<std::string>& endpoints() const noexcept;
  [[nodiscard]] plain_stats stats() const;

 private:
  struct impl;
  std::unique_ptr<impl> impl_;
};

}  // namespace weir
