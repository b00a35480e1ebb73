// What plain libzmq reaches in weir's topology: producer, workers and sink, each a process,
// over TCP on loopback. Prints one JSON line.
//
//   raw_fanout --mode push     PUSH -> PULL,PUSH -> PULL; --pack payloads in a message
//   raw_fanout --mode credit   ROUTER and DEALER, a window per worker, an ack per 64 results
//   raw_fanout --mode latency  one task at a time over three PUSH -> PULL hops
#include "bench.hpp"
#include "processes.hpp"
#include "raw_roles.hpp"

#include <CLI/CLI.hpp>
#include <zmq.hpp>

#include <algorithm>
#include <exception>
#include <iostream>
#include <string>

namespace {

using bench::board;
using bench::plan;

std::string libzmq_version() {
  const auto [major, minor, patch] = zmq::version();
  return std::to_string(major) + '.' + std::to_string(minor) + '.' + std::to_string(patch);
}

/// The least that any worker did, as a share of the whole.
double least_share(const plan& what, const board& shared) {
  double least = 1;
  const double all = static_cast<double>(what.tasks * what.size);
  for (std::size_t i = 0; i < what.workers; ++i)
    least = std::min(least, static_cast<double>(shared.bytes[i].load()) / all);
  return least;
}

void start_roles(bench::processes& roles, const std::string& mode, const plan& what,
                 board& shared) {
  shared.workers_left = what.workers;
  const bool credit = mode == "credit";
  const bool latency = mode == "latency";
  roles.start("producer", [&] {
    credit    ? route_tasks(what, shared)
    : latency ? push_one_by_one(what, shared)
              : push_tasks(what, shared);
  });
  roles.start("sink", [&] {
    credit    ? ack_results(what, shared)
    : latency ? pull_and_echo(what, shared)
              : pull_results(what, shared);
  });
  for (std::size_t i = 0; i < what.workers; ++i)
    roles.start("worker " + std::to_string(i), [&] {
      credit ? forward_routed_tasks(what, shared, i) : forward_tasks(what, shared, i);
    });
}

void report(const std::string& mode, const plan& what, const board& shared, double cpu) {
  bench::json_line line;
  line.add("mode", mode).add("tasks", what.tasks).add("size", what.size);
  line.add("pack", what.pack).add("hwm", what.hwm).add("workers", what.workers);
  line.add("libzmq", libzmq_version());
  if (mode == "latency") {
    line.add("median_us", shared.median_us.load()).add("p99_us", shared.p99_us.load());
  } else {
    const auto tasks = static_cast<double>(what.tasks);
    const auto seconds = [&](const auto& end) {
      return static_cast<double>(end.load() - shared.first_send.load()) / 1e9;
    };
    line.add("seconds", seconds(shared.last_receive));
    line.add("tasks_per_second", tasks / seconds(shared.last_receive));
    if (mode == "credit") {
      line.add("window", what.window);
      line.add("acked_seconds", seconds(shared.last_ack));
    }
    line.add("least_share", least_share(what, shared));
    line.add("cpu_us_per_task", cpu * 1e6 / tasks);
  }
  line.add("cpu_seconds", cpu);
  std::cout << line.str() << std::endl;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app{"What plain libzmq reaches in weir's topology"};
  std::string mode = "push";
  plan what{.tasks = 2'000'000};
  unsigned deadline = 120;
  app.add_option("--mode", mode, "push, credit or latency")
      ->check(CLI::IsMember({"push", "credit", "latency"}))
      ->capture_default_str();
  app.add_option("--tasks", what.tasks, "tasks, or round trips")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  app.add_option("--size", what.size, "bytes of a payload")
      ->check(CLI::Range(2, 16 << 20))
      ->capture_default_str();
  app.add_option("--pack", what.pack, "payloads in one message")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  app.add_option("--hwm", what.hwm, "high-water mark of PUSH and PULL; 0: none")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  app.add_option("--workers", what.workers, "worker processes")
      ->check(CLI::Range(std::size_t{1}, bench::max_workers))
      ->capture_default_str();
  app.add_option("--window", what.window, "credit mode: tasks in hand per worker (0: 64 packs)")
      ->capture_default_str();
  app.add_option("--deadline", deadline, "seconds")->capture_default_str();
  CLI11_PARSE(app, argc, argv);

  if (what.window == 0) what.window = 64 * what.pack;
  what.window = std::max({what.window, what.pack, std::size_t{64}});  // the acks' own step
  try {
    auto& shared = bench::shared<board>();
    bench::processes roles(deadline);
    start_roles(roles, mode, what, shared);
    report(mode, what, shared, roles.wait());
  } catch (const std::exception& e) {
    std::cerr << "raw_fanout: " << e.what() << '\n';
    return 1;
  }
}
