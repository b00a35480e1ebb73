// weir-worker: runs a command for each task.
#include "link_options.hpp"
#include "method_worker.hpp"
#include "node_main.hpp"
#include "plain_nodes.hpp"
#include "run_worker.hpp"

#include <weir/command.hpp>
#include <weir/error.hpp>
#include <weir/memory.hpp>
#include <weir/worker.hpp>

#include <algorithm>
#include <csignal>
#include <string_view>
#include <thread>

using namespace weir;
using namespace weir::nodes;

namespace {

const program about{
    "weir-worker",
    "run a command for each weir task, or offer commands to be called",
    "[OPTION...] (-- COMMAND [ARG...] | --method NAME=COMMAND...)",
    "Takes tasks from a weir-ventilator, runs COMMAND for each, and delivers its standard "
    "output "
    "to the sink that the ventilator names (or back to it). Start as many workers as you like, "
    "on one machine or many, before or after the ventilator; killing one loses nothing.\n\n"
    "The task replaces {} wherever it stands in an ARG, as one argument, never split and "
    "without "
    "a shell; without any {} it is appended. With --stdin the command reads it instead.\n\n"
    "With --method it takes no tasks. It offers commands to those who call methods: through "
    "gateways (--from; several are served alike), or directly (--bind). A command's exit code "
    "decides: 0 is OK with standard output as the result; 64 and 65 INVALID_ARGUMENT, 66 and "
    "68 "
    "NOT_FOUND, 69 and 75 UNAVAILABLE, 70 INTERNAL, 77 and 126 PERMISSION_DENIED, 127 "
    "UNIMPLEMENTED, others UNKNOWN, a signal ABORTED; the end of standard error is the error's "
    "message. When the caller gives up or its deadline passes, the command is ended.\n\n"
    "SIGTERM or SIGINT: finish what runs, hand back the rest, leave. A second one: hand back "
    "what "
    "runs as well. Nothing that was started for a task survives the worker, even after kill "
    "-9.",
    {{"Hash files, two at a time", "weir-worker -j2 -- sha256sum {}"},
     {"A filter that starts once and answers each line with a line",
      "weir-worker --coproc -- sed -u 's/colour/color/g'"},
     {"A small shell script per task", "weir-worker --shell -- 'wc -l < \"$1\"'"},
     {"Commands that others can call, through a gateway",
      "weir-worker --from tcp://127.0.0.1:5555 --method hash=sha256sum \\\n"
      "  --method 'resize(size, image)->bytes=convert - -resize {size} -'"}},
    {"weir-ventilator(1)", "weir-sink(1)", "weir-gateway(1)", "weir(1)"}};

struct settings {
  worker_options node;
  command_options command;
  bool stdin_mode = false;
  bool shell = false;
  std::string coproc;
  plain_settings plain;
  method_settings methods;
};

void declare(CLI::App& app, settings& s) {
  s.node.connect = {std::string(default_tasks_endpoint)};
  add_endpoints(
      app, "--from", s.node.connect, "WEIR_TASKS",
      "The ventilator to take tasks from; several are served alike. With --method: the "
      "gateway, from WEIR_GATEWAY or tcp://127.0.0.1:5555 unless given")
      ->group("Links");
  add_endpoints(
      app, "--bind", s.node.bind, "WEIR_WORKER_BIND",
      "Bind an endpoint that ventilators and sinks connect to; with --method, clients")
      ->group("Links");
  app.add_option("--to", s.node.results_to,
                 "Deliver results here, whatever the ventilator says")
      ->type_name("ENDPOINT")
      ->envname("WEIR_RESULTS_TO")
      ->group("Links");
  app.add_flag("--serve", s.node.serve,
               "Stay when the ventilators are finished, and without a gateway")
      ->group("Links");
  add_link_options(app, s.node);
  s.node.slots = std::max(1U, std::thread::hardware_concurrency());
  app.add_option("-j,--jobs", s.node.slots, "Tasks at a time")
      ->type_name("N")
      ->check(CLI::Range(1U, 4096U))
      ->group("Running");
  auto* in = app.add_flag("--stdin", s.stdin_mode, "The task is the command's standard input")
                 ->group("Running");
  auto* shell =
      app.add_flag("--shell", s.shell,
                   "COMMAND is a script for sh; the task is \"$1\", never part of the "
                   "script")
          ->group("Running");
  auto* coproc =
      app.add_flag(
             "--coproc{line}", s.coproc,
             "Start the command once per slot; a line in, a line out, in order. The result "
             "is that line without its end (weir-sink --format lines writes one). What else "
             "it writes, a banner for instance, is an error (76). With "
             "--coproc=frame: 4-byte big-endian lengths before each, both ways")
          ->check(CLI::IsMember({"line", "frame"}))
          ->group("Running");
  in->excludes(shell, coproc);
  shell->excludes(coproc);
  auto* accept =
      app.add_flag("--accept-command", s.command.accept_commands,
                   "Run the command that comes with a task (weir run --listen), in place of "
                   "COMMAND, which may be left out then. Whoever can reach --from can run "
                   "anything here")
          ->group("Running");
  accept->excludes(coproc);
  add_size(app, "--max-output", s.command.max_output,
           "A task with a larger result fails; at most 16M")
      ->group("Running");
  app.add_option("--env", s.command.env, "Set NAME=VALUE for the command; repeatable")
      ->type_name("NAME=VALUE")
      ->allow_extra_args(false)
      ->group("Running");
  app.add_option("--cwd", s.command.cwd, "Run the command in this directory")
      ->type_name("DIR")
      ->group("Running");
  add_duration(app, "--grace", s.command.grace,
               "From TERM to KILL, when a task is cancelled or its time is up")
      ->group("Running");
  add_method_options(app, s.methods);
  add_reply_cache(app, s.node.reply_cache, s.node.reply_cache_ttl, "Methods");
  add_plain_option(app, s.plain,
                   "Results are pushed to --to, tcp://127.0.0.1:5558 unless given; a task that "
                   "fails has none. --bind is for tasks");
  add_idle_timeout(app, s.plain);
  app.add_option("command", s.command.argv, "The command and its arguments")
      ->type_name("COMMAND");
}

/// What follows the first "--" is the command, as it is. Not through CLI11, which would take an
/// argument such as '[0-9]' for a list, and strip the brackets.
std::vector<std::string> after_dashes(int& argc, char** argv) {
  char** const end = argv + argc;
  char** const dashes = std::find(argv, end, std::string_view("--"));
  if (dashes == end) return {};
  argc = static_cast<int>(dashes - argv);
  return {dashes + 1, end};
}

/// Completes the command when all else is parsed; throws CLI11's errors.
void settle_command(settings& s, std::vector<std::string> literal, int argc, char** argv) {
  if (!literal.empty()) s.command.argv = std::move(literal);
  if (s.methods.on()) {
    if (!s.command.argv.empty())
      throw CLI::ValidationError("COMMAND", "with --method, commands are given by --method");
    return;
  }
  if (s.command.argv.empty() && !s.command.accept_commands) throw CLI::RequiredError("COMMAND");
  for (const std::string_view given : std::vector<std::string_view>(argv + 1, argv + argc))
    if (given.starts_with('[') && given.ends_with(']'))
      throw CLI::ValidationError("COMMAND", "say -- before it: '" + std::string(given) +
                                                "' would be taken for a list");
}

/// With --method, --from is a gateway: WEIR_TASKS says nothing about it.
void settle_gateways(const CLI::App& app, settings& s, int argc, char** argv) {
  const bool in_arguments = std::any_of(argv + 1, argv + argc, [](std::string_view a) {
    return a == "--from" || a.starts_with("--from=");
  });
  const char* tasks = std::getenv("WEIR_TASKS");
  if (in_arguments || (app.count("--from") > 0 && tasks == nullptr)) return;
  s.node.connect.clear();
  const char* const gateways = std::getenv("WEIR_GATEWAY");
  std::string_view all =
      gateways && *gateways ? std::string_view(gateways) : std::string_view();
  while (!all.empty()) {
    const auto comma = std::min(all.find(','), all.size());
    s.node.connect.emplace_back(all.substr(0, comma));
    all.remove_prefix(std::min(comma + 1, all.size()));
  }
  const bool bound = app.count("--bind") > 0;
  if (s.node.connect.empty() && !bound) s.node.connect = {std::string(default_rpc_endpoint)};
}

command_mode mode_of(const settings& s) {
  if (s.stdin_mode) return command_mode::stdin_;
  if (s.shell) return command_mode::shell;
  if (s.coproc == "frame") return command_mode::coproc_frames;
  if (!s.coproc.empty()) return command_mode::coproc_lines;
  return command_mode::process;
}

int run(settings& s, node_context& context) {
  constexpr std::size_t most_output = std::size_t{16} * 1024 * 1024;
  if (s.command.max_output > most_output)
    throw error(exit_code::usage,
                "--max-output: a result travels as one message of at most 16M");
  s.command.mode = mode_of(s);
  if (s.methods.on()) {
    (void)method_specs(s.methods, s.command);
    start_reaper();
    return run_method_worker(s.node, s.methods, s.command, context);
  }
  check(s.command);
  // Whoever started us may ignore it, and with it how commands end.
  std::signal(SIGCHLD, SIG_DFL);
  start_reaper();
  if (s.plain.on) {
    plain_worker_options node;
    static_cast<node_options&>(node) = s.node;
    if (!s.node.results_to.empty()) node.results_to = s.node.results_to;
    node.slots = s.node.slots;
    node.idle_timeout = s.plain.idle_timeout;
    return run_plain_worker(std::move(node), s.command, context);
  }
  signals ends;
  s.node.name = context.name;
  forward_notices(s.node, context.say);
  weir::worker node(s.node, s.command);
  const int ended =
      run_worker(node, ends, context, "finishing what runs (again to hand that back too)",
                 [](const auto& stats) { return stats.queued + stats.running; });
  const auto stats = node.stats();
  context.say.detail(std::to_string(stats.done) + " done, " + std::to_string(stats.failed) +
                     " failed, " + std::to_string(stats.released) + " handed back");
  return ended;
}

}  // namespace

int main(int argc, char** argv) {
  keep_freed_memory();
  settings s;
  const auto literal = after_dashes(argc, argv);
  return node_main(
      argc, argv, about,
      [&](CLI::App& app) {
        declare(app, s);
        app.parse_complete_callback([&] {
          if (app.count("--bind") > 0 && app.count("--from") == 0) s.node.connect.clear();
          settle_command(s, literal, argc, argv);
          check_methods(app, s.methods,
                        {"--to", "--accept-command", "--stdin", "--coproc", "--plain"});
          if (s.methods.on()) settle_gateways(app, s, argc, argv);
          check_plain(app, s.plain, {"--serve", "--heartbeat", "--accept-command"});
        });
      },
      [&](node_context& context) { return run(s, context); });
}
