// weir-sink --plain: writes what comes in.
#include "plain_nodes.hpp"
#include "watcher.hpp"

#include <weir/error.hpp>

#include <atomic>
#include <cstdlib>

namespace weir::nodes {

int run_plain_sink(const plain_sink_options& node, const output_options& output,
                   node_context& context) {
  signals ends;
  warn_of_plain(context.say);
  plain_sink in(node, open_output(output, context.say));
  for (const auto& where : in.endpoints()) context.say.detail("listening on " + where);
  std::atomic<int> ended_by = 0;
  rate_meter rate;
  {
    watcher watch(
        ends,
        [&](int signal) {
          // The second one: whoever should read the output does not.
          if (ended_by.exchange(signal) != 0)
            std::_Exit(static_cast<int>(exit_code::signalled) + signal);
          in.stop();
        },
        [&] {
          const auto stats = in.stats();
          const auto now = std::chrono::steady_clock::now();
          rate.update(stats.done, now);
          progress_figures figures;
          figures.done = stats.done;
          if (node.expect > 0) figures.total = node.expect;
          figures.rate = rate.per_second();
          figures.note = plural(stats.peers, "peer");
          context.say.status(figures, now);
        });
    in.run();
  }
  const auto stats = in.stats();
  context.say.detail(plural(stats.done, "result"));
  if (stats.refused > 0)
    context.say.error("messages of several frames, dropped: " + std::to_string(stats.refused) +
                      " (a plain result is one frame)");
  if (node.expect > stats.done) {
    context.say.error(std::to_string(stats.done) + " of " + std::to_string(node.expect) +
                      " results have come");
    if (ended_by == 0) return static_cast<int>(exit_code::unavailable);
    return static_cast<int>(exit_code::signalled) + ended_by;
  }
  return static_cast<int>(stats.refused > 0 ? exit_code::some_failed : exit_code::ok);
}

}  // namespace weir::nodes
