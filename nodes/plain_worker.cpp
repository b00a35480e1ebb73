// weir-worker --plain: a command between PULL and PUSH.
#include "plain_nodes.hpp"
#include "run_worker.hpp"

#include <weir/error.hpp>

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
  const int ended =
      run_worker(worker, ends, context, "finishing what has been taken (again to stop that)",
                 [](const auto& stats) { return stats.in_hand; });
  const auto stats = worker.stats();
  context.say.detail(std::to_string(stats.done) + " done, " + std::to_string(stats.failed) +
                     " failed, " + std::to_string(stats.in_hand) + " abandoned");
  if (stats.refused > 0)
    context.say.error("messages of several frames, dropped: " + std::to_string(stats.refused) +
                      " (a plain task is one frame)");
  if (ended != 0) return ended;
  return static_cast<int>(stats.failed + stats.refused > 0 ? exit_code::some_failed
                                                           : exit_code::ok);
}

}  // namespace weir::nodes
