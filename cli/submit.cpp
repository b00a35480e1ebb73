// weir submit: a call that is kept until it is done.
#include "call_options.hpp"
#include "connection.hpp"
#include "io/json.hpp"
#include "verb.hpp"

#include <weir/error.hpp>

#include <cmath>
#include <ctime>
#include <optional>

namespace weir::cli {
namespace {

const nodes::program about{
    "weir submit",
    "hand a call to a gateway's spool and print its id",
    "[OPTION...] ENDPOINT METHOD [ARGUMENT...]",
    "Hands a call to the gateway at ENDPOINT, which must have been started with --spool, and "
    "prints "
    "an id once the call is on disk there. From then on it survives everything but that disk: "
    "it is "
    "made when a worker can take it, again when that fails and another attempt does no harm or "
    "is asked for, and its outcome is kept for weir wait and weir result.",
    {{"Now, and the result later",
      "id=$(weir submit tcp://127.0.0.1:5555 resize photo.jpg)\nweir wait \"$id\" > small.jpg"},
     {"Tonight", "weir submit --at 23:30 tcp://127.0.0.1:5555 report"}},
    {"weir-wait(1)", "weir-result(1)", "weir-cancel(1)", "weir-dead(1)", "weir-gateway(1)"},
    call_statuses()};

struct settings {
  connection_options link;
  call_words words;
  std::string at;
  std::chrono::milliseconds delay{0};
  std::chrono::milliseconds deadline{0};
  std::chrono::milliseconds keep{0};
  int priority = 5;
  std::optional<unsigned> retries;
  std::string key;
};

/// "23:30", the next one; "2026-12-24 18:00[:00]", local time; "@1700000000". Seconds since
/// 1970.
double parse_time(const std::string& text) {
  const std::time_t now = std::time(nullptr);
  std::tm local{};
  localtime_r(&now, &local);
  if (text.starts_with('@')) {
    char* end = nullptr;
    const double seconds = std::strtod(text.c_str() + 1, &end);
    if (text.size() > 1 && *end == '\0' && std::isfinite(seconds) && seconds >= 0)
      return seconds;
  }
  for (const char* format : {"%Y-%m-%d %H:%M:%S", "%Y-%m-%d %H:%M", "%Y-%m-%dT%H:%M:%S",
                             "%Y-%m-%dT%H:%M", "%H:%M:%S", "%H:%M"}) {
    std::tm when = local;
    when.tm_sec = 0;
    const char* end = strptime(text.c_str(), format, &when);
    if (end == nullptr || *end != '\0') continue;
    when.tm_isdst = -1;
    std::time_t seconds = std::mktime(&when);
    const bool time_only = format[1] == 'H';
    if (time_only && seconds <= now) {
      ++when.tm_mday;
      when.tm_isdst = -1;
      seconds = std::mktime(&when);
    }
    return static_cast<double>(seconds);
  }
  throw error(exit_code::usage, "--at: '" + text +
                                    "' is no time; write 23:30, \"2026-12-24 18:00\" or "
                                    "@SECONDS since 1970");
}

int run(const settings& s, nodes::node_context& context) {
  auto link_options = s.link;
  link_options.client.introduce = false;
  connection link(link_options, context);
  std::optional<described_method> method;
  if (s.words.check) method = link.describe(s.words.method);
  const auto arguments =
      pack_arguments(s.words.words, method ? &*method : nullptr, s.words.how);
  std::vector<std::pair<std::string, std::string>> options;
  const auto number = [&options](const char* key, auto value) {
    options.emplace_back(key, io::msgpack_from_json(std::to_string(value)));
  };
  number("priority", s.priority);
  if (s.retries) number("retries", *s.retries);
  if (s.delay.count() > 0) number("delay_ms", s.delay.count());
  if (!s.at.empty()) number("at", parse_time(s.at));
  if (s.deadline.count() > 0) number("deadline_ms", s.deadline.count());
  if (s.keep.count() > 0) number("keep_s", (s.keep.count() + 999) / 1000);
  if (!s.key.empty()) options.emplace_back("idem_key", io::msgpack_bytes(s.key));
  const auto id =
      link.ask("weir.submit", {io::msgpack_text(s.words.method), io::msgpack_bytes(arguments),
                               io::msgpack_map(options)});
  print(io::plain_from_msgpack(id) + '\n');
  return 0;
}

}  // namespace

int submit_main(int argc, const char* const* argv) {
  settings s;
  const marked_words words(argc, argv);
  return nodes::node_main(
      words.argc(), words.argv(), about,
      [&](CLI::App& app) {
        add_connection(app, s.link);
        add_call_words(app, s.words);
        nodes::add_duration(app, "--delay", s.delay, "Not before so long from now")
            ->group("Call");
        app.add_option("--at", s.at,
                       "Not before this time: 23:30, \"2026-12-24 18:00\" (local), @SECONDS")
            ->type_name("TIME")
            ->excludes("--delay")
            ->group("Call");
        nodes::add_duration(app, "--deadline", s.deadline,
                            "How long one attempt may take; 0: what the gateway allows")
            ->group("Call");
        app.add_option("--retries", s.retries,
                       "Attempts beyond the first, also if an earlier one may have done "
                       "something; by default 3 where that does no harm (the method is "
                       "idempotent, there is a key, nobody has started it), and else none")
            ->type_name("N")
            ->group("Call");
        app.add_option("--priority", s.priority, "0 to 9, 9 first")
            ->check(CLI::Range(0, 9))
            ->type_name("N")
            ->group("Call");
        app.add_option("--key", s.key,
                       "Idempotency key: submitting it again gives the same id; another "
                       "method, or other "
                       "arguments, are refused (ALREADY_EXISTS), naming it")
            ->type_name("KEY")
            ->group("Call");
        nodes::add_duration(app, "--keep", s.keep,
                            "How long the outcome is kept; 0: what the gateway allows")
            ->group("Call");
      },
      [&](nodes::node_context& context) {
        return reporting(context, [&] { return run(s, context); });
      });
}

}  // namespace weir::cli
