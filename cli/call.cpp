// weir call: one call, or one for each line of standard input.
#include "call_options.hpp"
#include "connection.hpp"
#include "exit_status.hpp"
#include "many_calls.hpp"
#include "result_text.hpp"
#include "verb.hpp"

#include <weir/error.hpp>

#include <iostream>

namespace weir::cli {
namespace {

const nodes::program about{
    "weir call",
    "call a method and print its result",
    "[OPTION...] ENDPOINT METHOD [ARGUMENT...]",
    "Calls a method that workers offer, through the gateway at ENDPOINT, or a worker that has "
    "bound it, and prints the result: strings and bytes as they are, other values as JSON. A "
    "streaming method's elements are printed as they come, a line each.\n\n"
    "Arguments are checked against the method's signature before they are sent. With - as the "
    "only argument, each line of standard input is a call: a JSON array of arguments, or words "
    "as "
    "a shell would split them. Results appear as they come, or with --keep-order in the order "
    "of "
    "the lines.\n\n"
    "What fails is reported on standard error, with the method's code, message, type, and the "
    "nodes that the answer came through.\n\n"
    "SIGINT, SIGTERM or SIGHUP cancels what is on its way, so that its handlers hear of it at "
    "once, and ends this by that signal.",
    {{"Add two numbers on a worker", "weir call tcp://127.0.0.1:5555 add 1 2"},
     {"A thousand calls, 64 at a time",
      "seq 1000 | weir call -P 64 --keep-order tcp://127.0.0.1:5555 square -"}},
    {"weir-services(1)", "weir-submit(1)", "weir-gateway(1)", "weir-worker(1)"},
    call_statuses()};

struct settings {
  connection_options link;
  call_words words;
  call_settings call;
  many_options many;
  result_format format = result_format::text;
};

void declare(CLI::App& app, settings& s) {
  s.link.several = true;
  add_connection(app, s.link);
  add_call_words(app, s.words);
  add_call_settings(app, s.call);
  app.add_flag_callback(
         "--no-introduce", [&s] { s.link.client.introduce = false; },
         "Always go through the gateway, also to workers that could be called directly")
      ->group("Call");
  app.add_option("-P,--in-flight", s.many.in_flight, "With -: calls on their way at a time")
      ->check(CLI::Range(1, 65536))
      ->type_name("N")
      ->group("Many calls");
  app.add_flag("--keep-order", s.many.keep_order,
               "With -: print results in the order of the lines")
      ->group("Many calls");
  add_result_format(app, s.format);
}

int print_stream(connection& link, settings& s, const std::string& arguments) {
  auto elements = link.client().stream(s.words.method, arguments, prepared_settings(s.call));
  while (const auto element = elements.next()) print(shown(*element, s.format));
  print(shown(elements.outcome().result, result_format::text));
  return 0;
}

int run(settings& s, nodes::node_context& context) {
  const bool many = s.words.words == std::vector<std::string>{"-"};
  // Asking for an introduction takes longer than one call does.
  if (!many) s.link.client.introduce = false;
  s.call.on_progress = [&context](std::uint64_t done, std::uint64_t total,
                                  const std::string& text) {
    context.say.detail(std::to_string(done) + (total > 0 ? "/" + std::to_string(total) : "") +
                       (text.empty() ? "" : " " + text));
  };
  interruption ends;
  s.link.ends = &ends;
  connection link(s.link, context);
  std::optional<described_method> method;
  if (s.words.check) method = link.describe(s.words.method);
  const auto* known = method ? &*method : nullptr;
  if (many) {
    if (known != nullptr && known->streams)
      throw error(exit_code::usage,
                  s.words.method + " streams: call it with its arguments, once");
    s.many.format = s.format;
    return call_each_line(
        link.client(), s.words.method, prepared_settings(s.call), s.many, ends, std::cin,
        [&](std::string_view line) { return pack_line(line, known, s.words.how); }, context);
  }
  const auto arguments = pack_arguments(s.words.words, known, s.words.how);
  if (known != nullptr && known->streams) return print_stream(link, s, arguments);
  const auto outcome = link.client().call(s.words.method, arguments, prepared_settings(s.call));
  if (ends.has_come()) return 0;  // what has come decides
  if (outcome.ok()) {
    if (!outcome.more.path.empty()) context.say.detail("answered by " + outcome.more.path);
    print(shown(outcome.result, s.format));
  } else {
    context.say.error(failure_text(outcome.code, outcome.message, outcome.more));
  }
  return exit_status(outcome.code);
}

}  // namespace

int call_main(int argc, const char* const* argv) {
  settings s;
  const marked_words words(argc, argv);
  return nodes::node_main(
      words.argc(), words.argv(), about, [&](CLI::App& app) { declare(app, s); },
      [&](nodes::node_context& context) {
        return reporting(context, [&] { return run(s, context); });
      });
}

}  // namespace weir::cli
