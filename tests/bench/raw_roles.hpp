// The roles of the raw libzmq fan-out, each run in a process of its own.
//
// This is the yardstick that weir is measured with, so it has to be as fast as plain libzmq
// goes: nothing is counted, checked or kept that the figures do not need.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string>

namespace bench {

inline constexpr std::size_t max_workers = 8;

struct plan {
  std::uint64_t tasks = 0;
  std::size_t size = 64;  ///< bytes of one payload
  std::size_t pack = 1;   ///< payloads in one message
  int hwm = 1000;         ///< of every socket; libzmq's default is 1000
  std::size_t workers = 2;
  std::size_t window = 0;  ///< credit mode: tasks that one worker and its way to the sink hold
};

/// What the processes tell each other beside the sockets: where they are bound, that the way is
/// open, and the times. Lies in shared memory. Touched on the hot path by nobody.
struct board {
  std::atomic<int> task_port{0};    ///< producer, workers connect
  std::atomic<int> result_port{0};  ///< sink, workers connect
  std::atomic<int> ack_port{0};     ///< producer, the sink connects
  std::array<std::atomic<std::uint64_t>, max_workers> warmed{};  ///< warm-ups that arrived
  std::array<std::atomic<std::uint64_t>, max_workers> bytes{};   ///< what each worker forwarded
  std::atomic<std::size_t> workers_left{0};
  std::atomic<std::int64_t> first_send{0};
  std::atomic<std::int64_t> last_receive{0};
  std::atomic<std::int64_t> last_ack{0};
  std::atomic<double> median_us{0};
  std::atomic<double> p99_us{0};
};

/// PUSH of all tasks; `pack` payloads are copied into each message, as a program that has them
/// one by one must.
void push_tasks(const plan& what, board& shared);
/// PULL and PUSH: forwards each message as it is.
void forward_tasks(const plan& what, board& shared, std::size_t self);
/// PULL of all results.
void pull_results(const plan& what, board& shared);

/// The same over ROUTER and DEALER with credit, and acks from the sink to the producer for
/// every 64 results.
void route_tasks(const plan& what, board& shared);
void forward_routed_tasks(const plan& what, board& shared, std::size_t self);
void ack_results(const plan& what, board& shared);

/// One task at a time: producer, worker, sink and back over a third PUSH and PULL.
/// `what.tasks` is the number of round trips that are timed.
void push_one_by_one(const plan& what, board& shared);
void pull_and_echo(const plan& what, board& shared);

}  // namespace bench
