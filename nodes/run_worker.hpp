// What the three kinds of worker do while they run.
#pragma once

#include "node_main.hpp"
#include "signals.hpp"
#include "watcher.hpp"

#include <weir/error.hpp>

#include <atomic>
#include <chrono>
#include <string>

namespace weir::nodes {

/// Runs `worker` to its end, with the status line. The first signal is answered with `leaving`
/// and stop(), each further one with stop() again. `in_hand(stats)`: the figure for "in
/// flight".
///
/// Returns 0, also after one signal: drained is well ended. 128 + n after more: interrupted.
template <class Worker, class InHand>
int run_worker(Worker& worker, signals& ends, node_context& context, const std::string& leaving,
               InHand in_hand) {
  for (const auto& where : worker.endpoints()) context.say.detail("listening on " + where);
  std::atomic<int> signals_seen = 0;
  std::atomic<int> ended_by = 0;
  rate_meter rate;
  {
    watcher watch(
        ends,
        [&](int signal) {
          ended_by = signal;
          if (++signals_seen == 1) context.say.notice("leaving: " + leaving);
          worker.stop();
        },
        [&] {
          const auto stats = worker.stats();
          const auto now = std::chrono::steady_clock::now();
          rate.update(stats.done, now);
          progress_figures figures;
          figures.done = stats.done;
          figures.failed = stats.failed;
          figures.in_flight = in_hand(stats);
          figures.rate = rate.per_second();
          context.say.status(figures, now);
        });
    worker.run();
  }
  context.say.clear();
  return signals_seen > 1 ? static_cast<int>(exit_code::signalled) + ended_by : 0;
}

}  // namespace weir::nodes
