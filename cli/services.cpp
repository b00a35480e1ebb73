// weir services: what can be called.
#include "connection.hpp"
#include "console.hpp"
#include "io/json.hpp"
#include "table.hpp"
#include "verb.hpp"

#include <weir/error.hpp>

#include <algorithm>
#include <sstream>

namespace weir::cli {
namespace {

const nodes::program about{
    "weir services",
    "list the methods that can be called",
    "[OPTION...] ENDPOINT [METHOD]",
    "Asks the gateway or worker at ENDPOINT for the methods that can be called there: their "
    "signatures, how many workers offer each, and how busy they are. With METHOD, everything "
    "that is known of that one.",
    {{"What is there", "weir services tcp://127.0.0.1:5555"},
     {"The whole help of one method", "weir services tcp://127.0.0.1:5555 resize"}},
    {"weir-call(1)", "weir-stats(1)"},
    call_statuses()};

struct settings {
  connection_options link;
  std::string method;
  bool json = false;
  bool names = false;
};

std::string count(double n) { return std::to_string(static_cast<std::uint64_t>(n)); }

std::string first_line(const std::string& text) { return text.substr(0, text.find('\n')); }

std::string lines_of(const std::string& text) {
  std::istringstream from(text);
  std::string lines;
  for (std::string line; std::getline(from, line);)
    lines += nodes::escape_controls(line) + '\n';
  return lines;
}

std::string overview(const std::vector<answer>& services) {
  table methods({{"METHOD"},
                 {"WORKERS", align::right},
                 {"QUEUED", align::right},
                 {"RUNNING", align::right},
                 {"HELP"}});
  for (const auto& s : services)
    methods.add({s.text("name") + s.text("sig"), count(s.number("workers")),
                 count(s.number("queued")), count(s.number("running")),
                 first_line(s.text("doc"))});
  return methods.str();
}

std::string in_full(const answer& s) {
  std::string text = nodes::escape_controls(s.text("name") + s.text("sig")) + '\n';
  if (const auto doc = s.text("doc"); !doc.empty()) text += '\n' + lines_of(doc);
  std::string facts;
  const auto fact = [&facts](const std::string& what) {
    facts += (facts.empty() ? "" : ", ") + what;
  };
  const auto interval = [](double ms) {
    return nodes::format_interval(std::chrono::milliseconds(static_cast<std::int64_t>(ms)));
  };
  if (s.flag("idem")) fact("idempotent");
  if (s.flag("stream")) fact("streams");
  if (s.number("par") > 0) fact("at most " + count(s.number("par")) + " at a time in a worker");
  if (s.number("ttl") > 0) fact("deadline " + interval(s.number("ttl")));
  if (s.number("cache") > 0) fact("cached for " + interval(s.number("cache")));
  if (!facts.empty()) text += "\n" + facts + '\n';
  return text + "\nworkers " + count(s.number("workers")) + ", queued " +
         count(s.number("queued")) + ", running " + count(s.number("running")) + ", room for " +
         count(s.number("room")) + '\n';
}

int run(const settings& s, nodes::node_context& context) {
  auto link_options = s.link;
  link_options.client.introduce = false;
  connection link(link_options, context);
  const auto packed = link.ask("weir.services", {});
  auto elements = io::msgpack_elements(packed);
  if (!s.method.empty()) {
    std::erase_if(elements, [&](const auto& e) { return answer(e).text("name") != s.method; });
    if (elements.empty())
      throw rpc_error(status::not_found, "nobody offers '" + s.method + "' at " +
                                             s.link.endpoint + " (see: weir services " +
                                             s.link.endpoint + ")");
  }
  const auto services = answers(io::msgpack_array(elements));
  if (s.json) {
    print(io::json_from_msgpack(io::msgpack_array(elements), io::json_layout::indented) + '\n');
  } else if (s.names) {
    std::string names;
    for (const auto& service : services) names += service.text("name") + '\n';
    print(names);
  } else if (!s.method.empty()) {
    print(in_full(services.front()));
  } else if (services.empty()) {
    context.say.notice("no worker offers a method at " + s.link.endpoint);
  } else {
    print(overview(services));
  }
  return 0;
}

}  // namespace

int services_main(int argc, const char* const* argv) {
  settings s;
  return nodes::node_main(
      argc, argv, about,
      [&](CLI::App& app) {
        add_connection(app, s.link);
        app.add_option("METHOD", s.method, "Only this one, in full");
        auto* json = app.add_flag("--json", s.json, "Print JSON, as weir.services answers");
        app.add_flag("--names", s.names, "Print the names only, a line each")->excludes(json);
      },
      [&](nodes::node_context& context) {
        return reporting(context, [&] { return run(s, context); });
      });
}

}  // namespace weir::cli
