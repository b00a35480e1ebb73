// weir drain: workers finish what they have and leave.
#include "connection.hpp"
#include "io/json.hpp"
#include "verb.hpp"

namespace weir::cli {
namespace {

const nodes::program about{
    "weir drain",
    "let workers finish and leave",
    "[OPTION...] ENDPOINT [WORKER]",
    "Tells the worker of that name behind the gateway at ENDPOINT, or all its workers, or the "
    "worker at ENDPOINT itself, to take no more calls, finish those that it has, and leave. "
    "Prints "
    "the names of those that were told.",
    {{"One worker, by the name that weir services and its --name say",
      "weir drain tcp://127.0.0.1:5555 worker-7"}},
    {"weir-worker(1)", "weir-services(1)"},
    call_statuses()};

int run(const connection_options& options, const std::string& worker,
        nodes::node_context& context) {
  auto link_options = options;
  link_options.client.introduce = false;
  connection link(link_options, context);
  std::vector<std::string> arguments;
  if (!worker.empty()) arguments.push_back(io::msgpack_text(worker));
  const auto names = io::msgpack_elements(link.ask("weir.drain", arguments));
  if (names.empty())
    throw rpc_error(status::not_found, worker.empty()
                                           ? "there is no worker"
                                           : "there is no worker called '" + worker + "'");
  for (const auto& name : names)
    print(nodes::escape_controls(io::plain_from_msgpack(name)) + '\n');
  return 0;
}

}  // namespace

int drain_main(int argc, const char* const* argv) {
  connection_options link;
  std::string worker;
  return nodes::node_main(
      argc, argv, about,
      [&](CLI::App& app) {
        add_connection(app, link);
        // A variable that is not set must not send all of them home.
        app.add_option("WORKER", worker, "Its name; all of them if not given")
            ->check([](const std::string& name) {
              return name.empty() ? std::string("the worker's name is empty") : std::string();
            });
      },
      [&](nodes::node_context& context) {
        return reporting(context, [&] { return run(link, worker, context); });
      });
}

}  // namespace weir::cli
