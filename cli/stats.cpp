// weir stats: what goes through a node, and where the time goes.
#include "connection.hpp"
#include "io/json.hpp"
#include "signals.hpp"
#include "table.hpp"
#include "verb.hpp"

#include <unistd.h>

#include <array>
#include <cstdio>

namespace weir::cli {
namespace {

const nodes::program about{
    "weir stats",
    "show calls, queues and latencies by method",
    "[OPTION...] ENDPOINT",
    "Asks the gateway or worker at ENDPOINT for its figures. The first table counts calls "
    "since "
    "the node's start. DIRECT is how many clients have made of workers themselves: a worker "
    "counts them among its calls, a gateway has them from its workers, within a second, and "
    "counts them apart from those that went through it. RATE is answers per second lately, and "
    "WAIT what a call that came now "
    "would "
    "wait in the queue by Little's law: those that are queued, divided by the rate.\n\n"
    "The second table splits the time of calls: request (gateway to worker), queue (in the "
    "gateway "
    "and in the worker), service (the handler), response (back to the gateway), and total. The "
    "two "
    "clocks of gateway and worker are brought together by an estimate, so request and response "
    "may "
    "be off by half of what the network is uneven.",
    {{"Once", "weir stats tcp://127.0.0.1:5555"},
     {"Every two seconds", "weir stats --watch 2s tcp://127.0.0.1:5555"}},
    {"weir-services(1)", "weir-ping(1)"},
    call_statuses()};

struct settings {
  connection_options link;
  std::chrono::milliseconds watch{0};
  bool json = false;
};

std::string count(double n) { return std::to_string(static_cast<std::uint64_t>(n)); }
std::string counted(double n, const char* what) {
  return nodes::plural(static_cast<std::uint64_t>(n), what);
}

std::string rate(double per_second) {
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), per_second < 100 ? "%.1f" : "%.0f", per_second);
  return text.data();
}

std::string counts_table(const std::vector<answer>& methods) {
  constexpr auto right = align::right;
  table counts({{"METHOD"},
                {"CALLS", right},
                {"ERRORS", right},
                {"EXPIRED", right},
                {"REJECTED", right},
                {"RETRIED", right},
                {"CACHED", right},
                {"DIRECT", right},
                {"QUEUED", right},
                {"RUNNING", right},
                {"RATE/S", right},
                {"WAIT", right}});
  for (const auto& m : methods)
    counts.add({m.text("name"), count(m.number("calls")), count(m.number("errors")),
                count(m.number("expired")), count(m.number("rejected")),
                count(m.number("retried")), count(m.number("cached")),
                count(m.number("direct")), count(m.number("queued")),
                count(m.number("running")), rate(m.number("rate")),
                format_micros(m.number("predicted_queue_us"))});
  return counts.str();
}

std::string latency_table(const std::vector<answer>& methods) {
  constexpr auto right = align::right;
  table times({{"METHOD"},
               {"TIME"},
               {"MEAN", right},
               {"P50", right},
               {"P99", right},
               {"P99.9", right}});
  for (const auto& m : methods) {
    std::string name = m.text("name");
    const auto latency = m.part("latency");
    for (const char* part : {"request", "queue", "service", "response", "total"}) {
      const auto figures = latency.part(part);
      if (figures.number("count") == 0) continue;
      times.add({name, part, format_micros(figures.number("mean")),
                 format_micros(figures.number("p50")), format_micros(figures.number("p99")),
                 format_micros(figures.number("p999"))});
      name.clear();
    }
  }
  return times.empty() ? std::string() : "\n" + times.str();
}

std::string shown_stats(const std::string& packed) {
  const answer node(packed);
  const auto up =
      std::chrono::milliseconds(static_cast<std::int64_t>(node.number("uptime") * 1e3));
  std::string text = nodes::escape_controls(
      node.text("name") + " (" + node.text("role") + " on " + node.text("host") + "), up " +
      nodes::format_interval(std::chrono::floor<std::chrono::seconds>(up)));
  if (node.has("workers")) text += ", " + counted(node.number("workers"), "worker");
  if (node.has("clients")) text += ", " + counted(node.number("clients"), "client");
  const auto methods = node.list("methods");
  if (methods.empty()) return text + ", no calls yet\n";
  return text + "\n\n" + counts_table(methods) + latency_table(methods);
}

int run(const settings& s, nodes::node_context& context) {
  nodes::signals ends;
  auto link_options = s.link;
  link_options.client.introduce = false;
  connection link(link_options, context);
  const bool screen = s.watch.count() > 0 && !s.json && ::isatty(STDOUT_FILENO) == 1;
  do {
    const auto packed = link.ask("weir.stats", {});
    std::string text = s.json ? io::json_from_msgpack(packed) + '\n' : shown_stats(packed);
    if (screen) text.insert(0, "\x1b[H\x1b[2J");
    print(text);
  } while (s.watch.count() > 0 && ends.take_within(s.watch) == 0);
  return 0;
}

}  // namespace

int stats_main(int argc, const char* const* argv) {
  settings s;
  return nodes::node_main(
      argc, argv, about,
      [&](CLI::App& app) {
        add_connection(app, s.link);
        nodes::add_duration(app, "-w,--watch", s.watch, "Again and again; 0: once");
        app.add_flag("--json", s.json, "Print JSON, a line each time, as weir.stats answers");
      },
      [&](nodes::node_context& context) {
        return reporting(context, [&] { return run(s, context); });
      });
}

}  // namespace weir::cli
