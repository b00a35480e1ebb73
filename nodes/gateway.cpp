// weir-gateway: takes calls from clients, gives them to workers, keeps those that are
// submitted.
#include "link_options.hpp"
#include "node_main.hpp"
#include "watcher.hpp"

#include <weir/error.hpp>
#include <weir/gateway.hpp>
#include <weir/memory.hpp>

#include <atomic>
#include <cstdio>

using namespace weir;
using namespace weir::nodes;

namespace {

const program about{
    "weir-gateway",
    "route calls to the workers that offer their methods",
    "[OPTION...]",
    "Takes calls from clients (weir call, weir::client) and gives each to the worker that "
    "offers "
    "its method and has the most room. Workers (weir-worker --method, weir::worker) connect to "
    "it; any number of gateways can serve the same workers and clients.\n\n"
    "With --spool it also keeps calls that are handed over by weir submit: they are on disk "
    "before the submitter is told their id, are made when a worker can take them, and have "
    "exactly one outcome each, which is kept until it is fetched and forgotten, or "
    "--spool-keep "
    "is over. One gateway at a time can use a spool. A call that was running when the gateway "
    "was "
    "killed runs again if its method is idempotent, it has an idempotency key, or there are "
    "retries left; otherwise it is dead: weir dead lists those, and weir requeue gives them "
    "another chance.\n\n"
    "SIGTERM or SIGINT: no more calls are taken; it ends when those in hand are answered. The "
    "same again: it leaves at once.",
    {{"On this machine",
      "weir-gateway & weir-worker --from tcp://127.0.0.1:5555 --method "
      "hash=sha256sum"},
     {"With a spool", "weir-gateway --spool calls.spool"}},
    {"weir(1)", "weir-worker(1)"},
    {{0, "It has answered all calls that it had in hand when it was told to end."}}};

struct settings {
  gateway_options node;
  std::string summary;
};

void declare_queue(CLI::App& app, gateway_options& node) {
  add_duration(
      app, "--wait", node.wait,
      "How long a call waits for a worker if none offers its method; then it fails, as "
      "NOT_FOUND or, if there was one, UNAVAILABLE. Of methods that were never offered, 1024 "
      "can be waited for")
      ->group("Queue");
  app.add_option("--queue", node.queue_calls,
                 "Calls that may wait for a worker, for each method; more are refused as "
                 "RESOURCE_EXHAUSTED")
      ->type_name("N")
      ->check(CLI::Range(1U, 1'000'000'000U))
      ->group("Queue");
  add_size(app, "--queue-bytes", node.queue_bytes, "The same in bytes of arguments")
      ->group("Queue");
  app.add_option("--max-attempts", node.max_attempts,
                 "How often a call that may run twice is tried when workers die of it")
      ->type_name("N")
      ->check(CLI::Range(1U, 1000U))
      ->group("Queue");
  add_reply_cache(app, node.reply_cache, node.reply_cache_ttl, "Caches");
  add_size(app, "--result-cache", node.result_cache,
           "Remember this much of results of methods that are declared cacheable; 0: nothing")
      ->group("Caches");
}

void declare_spool(CLI::App& app, gateway_options& node) {
  app.add_option(
         "--spool", node.spool,
         "Keep submitted calls and their outcomes in FILE, an SQLite database; it is made "
         "if it is not there")
      ->type_name("FILE")
      ->group("Spool");
  add_size(app, "--spool-size", node.spool_size,
           "Refuse submissions when FILE has grown to this; 0: when the disk is full")
      ->group("Spool");
  add_duration(app, "--spool-keep", node.spool_keep,
               "How long outcomes are kept, unless the submitter says so; 0: until they are "
               "forgotten")
      ->group("Spool");
}

void declare(CLI::App& app, settings& s) {
  s.node.bind = {std::string(default_rpc_endpoint)};
  add_endpoints(app, "--bind", s.node.bind, "WEIR_GATEWAY_BIND",
                "Where clients and workers connect to")
      ->group("Links");
  add_endpoints(app, "--connect", s.node.connect, "WEIR_GATEWAY_CONNECT",
                "Connect to a worker that has bound this endpoint")
      ->group("Links");
  add_link_options(app, s.node);
  // A gateway waits for whoever comes.
  app.remove_option(app.get_option("--connect-timeout"));
  declare_queue(app, s.node);
  declare_spool(app, s.node);
  app.add_option("--summary", s.summary, "At the end, print what was done to standard output")
      ->type_name("FORMAT")
      ->check(CLI::IsMember({"json"}))
      ->group("Output");
}

void print_summary(const gateway_stats& c, double seconds) {
  const auto number = [](std::uint64_t n) { return static_cast<unsigned long long>(n); };
  std::printf(
      "{\"calls\": %llu, \"answered\": %llu, \"failed\": %llu, \"rejected\": %llu, "
      "\"expired\": %llu, \"retried\": %llu, \"cached\": %llu, \"malformed\": %llu, "
      "\"spooled\": %llu, \"seconds\": %.3f}\n",
      number(c.received), number(c.answered), number(c.failed), number(c.rejected),
      number(c.expired), number(c.retried), number(c.cached), number(c.malformed),
      number(c.spooled), seconds);
  if (std::fflush(stdout) != 0) throw error(exit_code::io, "cannot write to standard output");
}

progress_figures figures_of(const gateway_stats& c, double rate) {
  progress_figures figures;
  figures.done = c.answered + c.failed;
  figures.failed = c.failed;
  figures.in_flight = c.queued + c.running;
  figures.rate = rate;
  figures.note = plural(c.workers, "worker") + "  " + plural(c.clients, "client");
  if (c.spooled > 0)
    figures.note += "  " + format_count(static_cast<double>(c.spooled)) + " in the spool";
  return figures;
}

int run(settings& s, node_context& context) {
  signals ends;
  s.node.name = context.name;
  forward_notices(s.node, context.say);
  weir::gateway node(s.node);
  for (const auto& where : node.endpoints()) context.say.detail("listening on " + where);
  const auto start = std::chrono::steady_clock::now();
  std::atomic<int> ended_by = 0;
  rate_meter rate;
  {
    const watcher watch(
        ends,
        [&](int signal) {
          if (ended_by.exchange(signal) == 0) {
            context.say.notice(
                "taking no more calls; answering those in hand (again to leave)");
            node.drain();
          } else {
            node.stop();
          }
        },
        [&] {
          const auto c = node.stats();
          const auto now = std::chrono::steady_clock::now();
          rate.update(c.answered + c.failed, now);
          context.say.status(figures_of(c, rate.per_second()), now);
        });
    node.run();
  }
  context.say.clear();
  const auto c = node.stats();
  const double seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  if (s.summary == "json") print_summary(c, seconds);
  context.say.detail(plural(c.answered, "call") + " answered, " + std::to_string(c.failed) +
                     " failed");
  if (!node.drained()) return static_cast<int>(exit_code::signalled) + ended_by;
  return static_cast<int>(exit_code::ok);
}

}  // namespace

int main(int argc, char** argv) {
  keep_freed_memory();
  settings s;
  return node_main(
      argc, argv, about, [&](CLI::App& app) { declare(app, s); },
      [&](node_context& context) { return run(s, context); });
}
