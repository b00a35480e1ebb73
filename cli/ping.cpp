// weir ping: whether a node is there, and how long it takes to answer.
#include "connection.hpp"
#include "exit_status.hpp"
#include "signals.hpp"
#include "table.hpp"
#include "verb.hpp"

#include <algorithm>
#include <cmath>
#include <optional>

namespace weir::cli {
namespace {

using clock = std::chrono::steady_clock;

const nodes::program about{
    "weir ping",
    "measure how long a node takes to answer",
    "[OPTION...] ENDPOINT",
    "Calls weir.ping of the gateway or worker at ENDPOINT again and again, one call at a time, "
    "and "
    "prints how long each answer took: both ways through the network, and the node's loop.",
    {{"Four times", "weir ping tcp://127.0.0.1:5555"},
     {"Ten thousand times, as fast as it goes, the summary only",
      "weir ping -s -c 10000 -i 0 tcp://127.0.0.1:5555"}},
    {"weir-stats(1)"},
    call_statuses()};

struct settings {
  connection_options link;
  std::uint64_t count = 4;
  std::chrono::milliseconds interval{1000};
  std::chrono::milliseconds deadline{5000};
  bool quiet = false;
};

std::string summary(std::vector<double>& micros, std::uint64_t sent) {
  std::sort(micros.begin(), micros.end());
  const auto at = [&](double share) {
    return format_micros(micros[static_cast<std::size_t>(
        std::lround(share * static_cast<double>(micros.size() - 1)))]);
  };
  std::string text =
      nodes::plural(sent, "call") + ", " + nodes::plural(micros.size(), "answer");
  if (!micros.empty())
    text += "; min " + at(0) + ", median " + at(0.5) + ", p99 " + at(0.99) + ", max " + at(1);
  return text + '\n';
}

struct ping_answer final : reply_receiver {
  void on_reply(std::uint32_t, const reply_view& reply) noexcept override {
    outcome = raw_outcome(reply);
    client->complete(done);
  }
  raw_client* client = nullptr;
  raw_outcome outcome;
  completion done;
};

/// False: a signal came first.
bool wait_for(ping_answer& answer, nodes::signals& ends) {
  using namespace std::chrono_literals;
  while (!answer.client->wait(answer.done, clock::now() + 100ms))
    if (ends.take() != 0) return false;
  return true;
}

int run(const settings& s, nodes::node_context& context) {
  nodes::signals ends;
  std::optional<ping_answer> pong;  // before the link: it ends what is open
  auto link_options = s.link;
  link_options.client.introduce = false;
  connection link(link_options, context);
  call_settings each;
  each.deadline = s.deadline;
  const prepared_settings prepared(each);
  const std::string none("\x90", 1);
  std::vector<double> micros;
  status worst = status::ok;
  std::uint64_t sent = 0;
  for (auto next = clock::now(); s.count == 0 || sent < s.count;) {
    const auto start = clock::now();
    pong.emplace().client = &link.client();
    link.client().start("weir.ping", none, prepared, *pong);
    if (!wait_for(*pong, ends)) break;
    const raw_outcome& outcome = pong->outcome;
    const std::chrono::duration<double, std::micro> took = clock::now() - start;
    ++sent;
    if (!outcome.ok()) {
      worst = outcome.code;
      context.say.error(failure_text(outcome.code, outcome.message, outcome.more));
    } else {
      micros.push_back(took.count());
      const answer who(outcome.result);
      if (!s.quiet)
        print("from " +
              nodes::escape_controls(who.text("name") + " (" + who.text("role") + " on " +
                                     who.text("host") + ", weir " + who.text("version") + ")") +
              ": " + format_micros(took.count()) + '\n');
    }
    next += s.interval;
    if (s.count != 0 && sent == s.count) break;
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(next - clock::now());
    if (ends.take_within(std::max(left, std::chrono::milliseconds(0))) != 0) break;
  }
  print(summary(micros, sent));
  return exit_status(micros.empty() ? worst : status::ok);
}

}  // namespace

int ping_main(int argc, const char* const* argv) {
  settings s;
  return nodes::node_main(
      argc, argv, about,
      [&](CLI::App& app) {
        s.link.several = true;
        add_connection(app, s.link);
        app.add_option("-c,--count", s.count, "Calls; 0: until interrupted")
            ->check(CLI::NonNegativeNumber)
            ->type_name("N");
        nodes::add_duration(app, "-i,--interval", s.interval, "From one call to the next");
        nodes::add_duration(app, "--deadline", s.deadline, "How long an answer may take");
        app.add_flag("-s,--summary", s.quiet, "Print the summary only");
      },
      [&](nodes::node_context& context) {
        return reporting(context, [&] { return run(s, context); });
      });
}

}  // namespace weir::cli
