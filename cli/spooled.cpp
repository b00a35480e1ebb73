#include "spooled.hpp"

#include "exit_status.hpp"
#include "io/json.hpp"

#include <weir/error.hpp>

namespace weir::cli {
namespace {
constexpr const char* default_gateway = "tcp://127.0.0.1:5555";
}

spooled_options::spooled_options() { link.endpoint = default_gateway; }

void add_spooled(CLI::App& app, spooled_options& target, ids how) {
  if (how == ids::required)
    app.add_option("ID", target.words, "As weir submit printed them")->required();
  else
    app.add_option("ENDPOINT", target.words, "The same as --gateway")->expected(0, 1);
  app.add_option("--gateway", target.link.endpoint, "The gateway that keeps them")
      ->envname("WEIR_GATEWAY")
      ->type_name("ENDPOINT")
      ->group("Link");
  add_patience(app, target.link);
}

void split(spooled_options& target, ids how) {
  target.ids = target.words;
  if (!target.ids.empty() && target.ids.front().find("://") != std::string::npos) {
    target.link.endpoint = target.ids.front();
    target.ids.erase(target.ids.begin());
  }
  if (target.ids.empty() && how == ids::required)
    throw error(exit_code::usage, "there is no id (weir submit prints them)");
  if (!target.ids.empty() && how == ids::none)
    throw error(exit_code::usage, "'" + target.ids.front() + "' is no endpoint");
  target.link.client.introduce = false;
}

bool over(const answer& outcome) {
  const auto state = outcome.text("state");
  return state != "queued" && state != "running";
}

int print_outcome(const answer& outcome, result_format how, nodes::node_context& context) {
  const auto state = outcome.text("state");
  if (state == "done") {
    // The result is bytes that hold a packed value.
    print(shown(outcome.text("result"), how));
    return 0;
  }
  const auto code = status_from(static_cast<std::uint64_t>(outcome.number("code")));
  rpc_error::more more;
  more.type = outcome.text("type");
  const auto attempts = static_cast<std::uint64_t>(outcome.number("attempts"));
  context.say.error(outcome.text("id") + " is " + state + ": " +
                    failure_text(code.value_or(status::unknown), outcome.text("msg"), more) +
                    ", after " + std::to_string(attempts) +
                    (attempts == 1 ? " attempt" : " attempts"));
  return exit_status(code.value_or(status::unknown));
}

}  // namespace weir::cli
