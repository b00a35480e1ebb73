#include "method_worker.hpp"

#include "link_options.hpp"
#include "option_types.hpp"
#include "run_worker.hpp"

#include <weir/error.hpp>

#include <algorithm>
#include <string_view>
#include <utility>

namespace weir::nodes {
namespace {

[[noreturn]] void refuse(const std::string& what) { throw error(exit_code::usage, what); }

std::string_view trimmed(std::string_view text) {
  const auto first = text.find_first_not_of(" \t\n");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t\n") - first + 1);
}

command_result result_named(std::string_view name, const std::string& where) {
  if (name == "text") return command_result::text;
  if (name == "json") return command_result::json;
  if (name == "bytes") return command_result::bytes;
  refuse(where + ": a result is text, json or bytes, not '" + std::string(name) + "'");
}

/// "resize(size, image) -> bytes"
method_spec parse_head(std::string_view head, command_result by_default,
                       const std::string& where) {
  method_spec spec;
  spec.command.result = by_default;
  if (const auto arrow = head.find("->"); arrow != std::string_view::npos) {
    spec.command.result = result_named(trimmed(head.substr(arrow + 2)), where);
    head = head.substr(0, arrow);
  }
  head = trimmed(head);
  const auto open = head.find('(');
  if (open != std::string_view::npos) {
    if (!head.ends_with(')')) refuse(where + ": there is no ) behind the arguments' names");
    auto names = head.substr(open + 1, head.size() - open - 2);
    while (!trimmed(names).empty()) {
      const auto comma = std::min(names.find(','), names.size());
      const auto name = trimmed(names.substr(0, comma));
      if (name.empty()) refuse(where + ": an argument without a name");
      spec.options.arguments.emplace_back(name);
      names = names.substr(std::min(comma + 1, names.size()));
    }
    head = trimmed(head.substr(0, open));
  }
  if (head.empty()) refuse(where + ": a method needs a name, as in hash='sha256sum'");
  spec.name = head;
  return spec;
}

method_spec parse(const std::string& text, const method_settings& settings,
                  const command_options& common) {
  const std::string where = "--method '" + text + "'";
  const auto equals = text.find('=');
  if (equals == std::string::npos)
    refuse(where + ": expected NAME=COMMAND, as in hash='sha256sum'");
  auto spec = parse_head(std::string_view(text).substr(0, equals),
                         result_named(settings.result, "--result"), where);
  spec.command.command = common;
  const auto command = text.substr(equals + 1);
  if (common.mode == command_mode::shell)
    spec.command.command.argv = {command};
  else
    spec.command.command.argv = split_command(command);
  if (spec.command.command.argv.empty() || trimmed(command).empty())
    refuse(where + ": there is no command");
  return spec;
}

/// NAME=VALUE for one of the methods; without a '=', the value is empty.
template <class Apply>
void for_method(std::vector<method_spec>& all, const std::vector<std::string>& given,
                const char* option, Apply&& apply) {
  for (const auto& text : given) {
    const auto equals = std::min(text.find('='), text.size());
    const auto name = std::string_view(text).substr(0, equals);
    const auto spec =
        std::find_if(all.begin(), all.end(), [&](const auto& s) { return s.name == name; });
    if (spec == all.end())
      refuse(std::string(option) + " '" + text + "': there is no --method of that name");
    apply(spec->options, text.substr(std::min(equals + 1, text.size())));
  }
}

unsigned count_in(const std::string& text) {
  const auto number = parse_size(text);
  if (number < 1 || number > 4096) refuse("--concurrency: from 1 to 4096, not " + text);
  return static_cast<unsigned>(number);
}

CLI::Option* add_repeatable(CLI::App& app, const std::string& flags,
                            std::vector<std::string>& target, const std::string& type,
                            const std::string& description) {
  return app.add_option(flags, target, description)
      ->type_name(type)
      ->allow_extra_args(false)
      ->group("Methods");
}

}  // namespace

void add_method_options(CLI::App& app, method_settings& target) {
  add_repeatable(
      app, "--method", target.methods, "NAME=COMMAND",
      "Instead of tasks: offer COMMAND to callers under this name; repeatable. {1}, {2} and "
      "{name} become the arguments, each within one word and without a shell; without any, a "
      "single text or bytes argument is standard input as it is, anything else one JSON array. "
      "NAME(size, image) names the arguments, and those without a place are the input; "
      "NAME->bytes is --result for this one");
  app.add_option("--result", target.result,
                 "What a method's standard output is: text (without the newline at the end), "
                 "json, or bytes")
      ->type_name("FORM")
      ->check(CLI::IsMember({"text", "json", "bytes"}))
      ->group("Methods");
  add_endpoints(app, "--direct", target.direct, "",
                "Tell gateways that clients may call here directly. It is bound too, unless "
                "there is a --bind")
      ->group("Methods");
  add_repeatable(app, "--describe", target.describe, "NAME=TEXT", "A method's help");
  add_repeatable(
      app, "--idempotent", target.idempotent, "NAME",
      "Running this method twice does no harm: it is tried again when a worker dies");
  add_repeatable(app, "--concurrency", target.concurrency, "NAME=N",
                 "Run at most N calls of this method at a time");
  add_repeatable(app, "--deadline", target.deadline, "NAME=TIME",
                 "How long callers that say nothing else wait for this method");
  add_repeatable(app, "--cacheable", target.cacheable, "NAME=TIME",
                 "A gateway may answer equal calls from memory for this long");
}

void check_methods(const CLI::App& app, const method_settings& settings,
                   std::initializer_list<const char*> tasks_only) {
  if (settings.on()) {
    for (const char* option : tasks_only)
      if (app.count(option) > 0)
        throw CLI::ValidationError(option, "means nothing with --method");
    return;
  }
  for (const char* option :
       {"--result", "--direct", "--describe", "--idempotent", "--concurrency", "--deadline",
        "--cacheable", "--reply-cache", "--reply-cache-time"})
    if (app.count(option) > 0) throw CLI::ValidationError(option, "is for --method only");
}

std::vector<method_spec> method_specs(const method_settings& settings,
                                      const command_options& common) {
  std::vector<method_spec> all;
  for (const auto& text : settings.methods) all.push_back(parse(text, settings, common));
  for_method(all, settings.describe, "--describe",
             [](auto& o, const std::string& v) { o.help = v; });
  for_method(all, settings.idempotent, "--idempotent",
             [](auto& o, const std::string&) { o.idempotent = true; });
  for_method(all, settings.concurrency, "--concurrency",
             [](auto& o, const std::string& v) { o.concurrency = count_in(v); });
  for_method(all, settings.deadline, "--deadline",
             [](auto& o, const std::string& v) { o.deadline = parse_duration(v); });
  for_method(all, settings.cacheable, "--cacheable",
             [](auto& o, const std::string& v) { o.cacheable = parse_duration(v); });
  return all;
}

int run_method_worker(worker_options node, const method_settings& settings,
                      const command_options& common, node_context& context) {
  auto specs = method_specs(settings, common);
  signals ends;
  node.name = context.name;
  node.direct = settings.direct;
  forward_notices(node, context.say);
  weir::worker worker(std::move(node));
  for (auto& s : specs)
    worker.expose(std::move(s.name), std::move(s.command), std::move(s.options));
  const int ended =
      run_worker(worker, ends, context, "finishing the calls in hand (again to stop those)",
                 [](const auto& stats) { return stats.queued + stats.running; });
  const auto stats = worker.stats();
  context.say.detail(plural(stats.done, "call") + " answered, " + std::to_string(stats.failed) +
                     " failed");
  return ended;
}

}  // namespace weir::nodes
