#include "connection.hpp"

#include "exit_status.hpp"
#include "io/json.hpp"
#include "io/output.hpp"

#include <weir/error.hpp>

#include <unistd.h>

namespace weir::cli {
namespace {

constexpr std::chrono::seconds first_patience{5};

/// Several have commas between; one that is not followed by a scheme is part of a path.
std::vector<std::string> endpoints_of(const std::string& list) {
  std::vector<std::string> all{""};
  for (std::size_t at = 0; at < list.size(); ++at) {
    const std::string_view rest = std::string_view(list).substr(at);
    if (rest.starts_with(",tcp://") || rest.starts_with(",ipc://"))
      all.emplace_back();
    else
      all.back() += list[at];
  }
  return all;
}

client_options ready(connection_options options, nodes::node_context& context) {
  options.client.connect = endpoints_of(options.endpoint);
  if (!options.several && options.client.connect.size() > 1)
    throw error(exit_code::usage,
                "one ENDPOINT only, not " + options.endpoint +
                    ": what is asked here is a matter of one gateway, and any of several might "
                    "answer (weir call and weir ping take several)");
  options.client.name = context.name;
  options.client.on_notice = [&say = context.say](bool, const std::string& text) {
    say.detail(text);
  };
  return std::move(options.client);
}

std::string nil() { return io::msgpack_from_json("null"); }

}  // namespace

connection_options::connection_options() { client.connect_timeout = first_patience; }

void add_patience(CLI::App& app, connection_options& target) {
  nodes::add_duration(app, "--connect-timeout", target.client.connect_timeout,
                      "Give up (exit 69) if nobody answers there for so long")
      ->group("Link");
  app.add_flag("--insecure", target.client.insecure,
               "Allow addresses on other machines: nothing is authenticated or encrypted yet")
      ->group("Link");
}

void add_connection(CLI::App& app, connection_options& target) {
  app.add_option("ENDPOINT", target.endpoint,
                 std::string("Of a gateway, or of a worker that has bound it: tcp://HOST:PORT, "
                             "ipc://PATH") +
                     (target.several ? ". Several, with commas between: calls go to any, and "
                                       "elsewhere when one dies"
                                     : ""))
      ->required();
  add_patience(app, target);
}

connection::connection(connection_options options, nodes::node_context& context)
    : client_(ready(options, context)) {
  if (options.ends != nullptr) watch_ = options.ends->watch(client_);
  const auto limit = options.client.connect_timeout;
  if (!client_.wait_connected(limit))
    throw error(exit_code::unavailable,
                "nobody answered at " + options.endpoint + " within " +
                    nodes::format_interval(limit) +
                    " (is a weir-gateway, or a weir-worker with --bind, running there?)");
}

std::string connection::ask(const std::string& method,
                            const std::vector<std::string>& packed_arguments,
                            const call_settings& settings) {
  auto outcome =
      client_.call(method, io::msgpack_array(packed_arguments), prepared_settings(settings));
  if (!outcome.ok()) throw outcome.error();
  return std::move(outcome.result);
}

std::optional<described_method> connection::describe(const std::string& method) {
  for (const auto& service : answers(ask("weir.services", {})))
    if (service.text("name") == method) return method_of(service);
  return std::nullopt;
}

answer::answer(std::string_view packed) {
  try {
    entries_ = io::msgpack_entries(packed);
  } catch (const io::json_error&) {  // as if it were empty
  }
}

std::string answer::packed(const std::string& key) const {
  const auto found = entries_.find(key);
  return found == entries_.end() ? nil() : found->second;
}

std::string answer::text(const std::string& key) const {
  const auto found = entries_.find(key);
  if (found == entries_.end() || !io::is_plain(found->second)) return {};
  return io::plain_from_msgpack(found->second);
}

double answer::number(const std::string& key, double otherwise) const {
  const auto found = entries_.find(key);
  if (found == entries_.end()) return otherwise;
  return io::msgpack_number(found->second).value_or(otherwise);
}

std::vector<answer> answer::list(const std::string& key) const {
  const auto found = entries_.find(key);
  std::vector<answer> all;
  if (found == entries_.end()) return all;
  try {
    for (const auto& element : io::msgpack_elements(found->second)) all.emplace_back(element);
  } catch (const io::json_error&) {  // no array
  }
  return all;
}

answer answer::part(const std::string& key) const { return answer(packed(key)); }

std::vector<answer> answers(std::string_view packed) {
  std::vector<answer> all;
  try {
    for (const auto& element : io::msgpack_elements(packed)) all.emplace_back(element);
  } catch (const io::json_error& e) {
    throw error(exit_code::protocol,
                std::string("the node's answer is not what this version expects: ") + e.what());
  }
  return all;
}

described_method method_of(const answer& service) {
  described_method method;
  method.name = service.text("name");
  method.signature = service.text("sig");
  method.streams = service.flag("stream");
  std::vector<std::string> arguments;
  try {
    arguments = io::msgpack_elements(service.packed("args"));
  } catch (const io::json_error&) {  // nil: anything may be given
    return method;
  }
  method.arguments.emplace();
  for (const auto& one : arguments) {
    const auto parts = io::msgpack_elements(one);
    described_method::argument argument;
    if (!parts.empty()) argument.name = io::plain_from_msgpack(parts[0]);
    if (parts.size() > 1) argument.type = io::plain_from_msgpack(parts[1]);
    if (parts.size() > 2) argument.optional = io::msgpack_number(parts[2]).value_or(0) != 0;
    method.arguments->push_back(std::move(argument));
  }
  return method;
}

std::string failure_text(status code, const std::string& message, const rpc_error::more& more) {
  std::string text = std::string(to_string(code)) + ": " + message;
  std::string aside = more.type;
  const auto add = [&aside](const std::string& what) {
    aside += (aside.empty() ? "" : "; ") + what;
  };
  if (!more.path.empty()) add("via " + more.path);
  if (more.retry_after.count() > 0)
    add("try again in " + nodes::format_interval(more.retry_after));
  return aside.empty() ? text : text + " (" + aside + ")";
}

int reporting(nodes::node_context& context, const std::function<int()>& body) {
  try {
    return body();
  } catch (const rpc_error& e) {
    rpc_error::more more;
    more.type = e.type();
    more.path = e.path();
    more.retry_after = e.retry_after();
    context.say.error(failure_text(e.code(), e.what(), more));
    return exit_status(e.code());
  }
}

std::vector<nodes::status_meaning> call_statuses() {
  return {
      {0, "OK."},
      {1,
       "The method failed: UNKNOWN, ABORTED, FAILED_PRECONDITION, OUT_OF_RANGE, "
       "ALREADY_EXISTS, DATA_LOSS, INTERNAL. With several calls: some of them failed."},
      {2, "The call was wrong: INVALID_ARGUMENT, NOT_FOUND, UNIMPLEMENTED."},
      {3, "DEADLINE_EXCEEDED."},
      {4, "Not now: UNAVAILABLE, RESOURCE_EXHAUSTED."},
      {5, "PERMISSION_DENIED, UNAUTHENTICATED."},
      {6, "CANCELLED."},
  };
}

void print(std::string_view text) {
  auto out = io::output::to_fd(STDOUT_FILENO, "standard output");
  out.write(text);
}

}  // namespace weir::cli
