// weir-sink: collects results, writes each once, acknowledges.
#include "link_options.hpp"
#include "node_main.hpp"
#include "plain_nodes.hpp"
#include "result_output.hpp"
#include "watcher.hpp"

#include <weir/error.hpp>
#include <weir/memory.hpp>
#include <weir/sink.hpp>

#include <atomic>

using namespace weir;
using namespace weir::nodes;

namespace {

const program about{
    "weir-sink",
    "collect the results of weir tasks",
    "[OPTION...]",
    "Receives the results of tasks from weir-worker processes, writes each of them once, and "
    "acknowledges them to the weir-ventilator that the tasks came from.\n\n"
    "It ends when every ventilator that came has finished and all tasks are written, with exit "
    "status 0 only if none is missing and none failed. Output of a task is never mixed with "
    "another's. What failed tasks wrote to standard error goes to standard error.",
    {{"Collect into a file, in the order of the tasks",
      "weir-sink --keep-order --out results.txt"},
     {"One JSON object per task", "weir-sink --format jsonl | jq .runtime"}},
    {"weir-ventilator(1)", "weir-worker(1)"}};

struct settings {
  sink_options node;
  output_options output;
  plain_settings plain;
};

void declare(CLI::App& app, settings& s) {
  s.node.bind = {std::string(default_results_endpoint)};
  add_endpoints(app, "--bind", s.node.bind, "WEIR_SINK_BIND",
                "Where workers and ventilators connect to")
      ->group("Links");
  add_endpoints(app, "--connect", s.node.connect, "WEIR_SINK_CONNECT",
                "Connect to a worker or ventilator that has bound this endpoint")
      ->group("Links");
  add_link_options(app, s.node);
  app.add_flag("--serve", s.node.serve, "Stay when all ventilators are finished")
      ->group("Links");
  app.add_option("--ventilators", s.node.ventilators,
                 "Do not end before so many ventilators have come and finished")
      ->type_name("N")
      ->check(CLI::Range(1U, 4096U))
      ->excludes("--serve")
      ->group("Links");
  app.add_flag(
         "--keep-order", s.node.keep_order,
         "Write results in the order of the tasks; what waits for earlier ones is kept in "
         "memory up to 16 MiB, then in a temporary file")
      ->group("Output");
  add_output_options(app, s.output, "--format");
  add_plain_option(app, s.plain,
                   "It cannot know when all is done: ends by a signal, --expect or "
                   "--idle-timeout");
  app.add_option("--expect", s.plain.expect, "With --plain: end when N results have come")
      ->type_name("N")
      ->check(CLI::NonNegativeNumber)
      ->group("Plain transport");
  add_idle_timeout(app, s.plain);
}

int run(settings& s, node_context& context) {
  if (s.plain.on)
    return run_plain_sink({s.node, s.plain.expect, s.plain.idle_timeout}, s.output, context);
  signals ends;
  s.node.name = context.name;
  forward_notices(s.node, context.say);
  weir::sink node(s.node, open_output(s.output, context.say));
  for (const auto& where : node.endpoints()) context.say.detail("listening on " + where);
  std::atomic<int> ended_by = 0;
  rate_meter rate;
  {
    watcher watch(
        ends,
        [&](int signal) {
          ended_by = signal;
          context.say.notice("ending: writing what has arrived");
          node.stop();
        },
        [&] {
          const auto stats = node.stats();
          const auto now = std::chrono::steady_clock::now();
          rate.update(stats.committed, now);
          progress_figures figures;
          figures.done = stats.committed;
          if (stats.total_known) figures.total = stats.total;
          figures.failed = stats.failed;
          figures.rate = rate.per_second();
          figures.note = plural(stats.workers, "worker");
          context.say.status(figures, now);
        });
    node.run();
  }
  context.say.clear();
  const auto stats = node.stats();
  context.say.detail(plural(stats.committed, "result") + ", " + std::to_string(stats.failed) +
                     " failed, " + std::to_string(stats.duplicates) + " duplicates dropped");
  if (ended_by != 0 && !node.complete()) {
    const int code = static_cast<int>(exit_code::signalled) + ended_by;
    leave_soon(code);
    return code;
  }
  if (!node.complete()) {
    context.say.error(
        "a ventilator gave up before all its tasks were done: results are missing");
    return static_cast<int>(exit_code::unavailable);
  }
  return static_cast<int>(stats.failed > 0 ? exit_code::some_failed : exit_code::ok);
}

}  // namespace

int main(int argc, char** argv) {
  keep_freed_memory();
  settings s;
  return node_main(
      argc, argv, about,
      [&](CLI::App& app) {
        declare(app, s);
        app.parse_complete_callback([&] {
          prefer_connect(app, s.node, "--connect", "--bind");
          check_plain(app, s.plain,
                      {"--serve", "--ventilators", "--heartbeat", "--keep-order", "--joblog"});
        });
      },
      [&](node_context& context) { return run(s, context); });
}
