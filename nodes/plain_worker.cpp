// weir-worker --plain: a command between PULL and PUSH.
#include "plain_nodes.hpp"
#include "watcher.hpp"

#include <weir/error.hpp>

#include <atomic>

namespace weir::nodes {

int run_plain_worker(plain_worker_options node, const command_options& command,
                     node_context& context) {
  signals ends;
  warn_of_plain(context.say);
  node.on_failed = [&](const result& r) {
    const bool known = r.details != nullptr;
    context.say.task_failed(
        "task " + std::to_string(r.id.seq) + " failed, and has no result: " +
            (known && !r.details->message.empty() ? r.details->message
                                                  : std::string(to_string(r.code))),
        known ? std::string_view(r.details->stderr_tail) : "");
  };
  plain_worker worker(std::move(node), command);
  for (const auto& where : worker.endpoints()) context.say.detail("listening on " + where);
  std::atomic<int> signals_seen = 0;
  std::atomic<int> ended_by = 0;
  rate_meter rate;
  {
    watcher watch(
        ends,
        [&](int signal) {
          ended_by = signal;
          if (++signals_seen == 1)
            context.say.notice("leaving: finishing what has been taken (again to stop that)");
          worker.stop();
        },
        [&] {
          const auto stats = worker.stats();
          const auto now = std::chrono::steady_clock::now();
          rate.update(stats.done, now);
          progress_figures figures;
          figures.done = stats.done;
          figures.failed = stats.failed;
          figures.in_flight = stats.in_hand;
          figures.rate = rate.per_second();
          context.say.status(figures, now);
        });
    worker.run();
  }
  const auto stats = worker.stats();
  context.say.detail(std::to_string(stats.done) + " done, " + std::to_string(stats.failed) +
                     " failed, " + std::to_string(stats.in_hand) + " abandoned");
  if (stats.refused > 0)
    context.say.error("messages of several frames, dropped: " + std::to_string(stats.refused) +
                      " (a plain task is one frame)");
  if (signals_seen > 1) return static_cast<int>(exit_code::signalled) + ended_by;
  return static_cast<int>(stats.failed + stats.refused > 0 ? exit_code::some_failed
                                                           : exit_code::ok);
}

}  // namespace weir::nodes
