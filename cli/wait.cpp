// weir wait, weir result: outcomes of submitted calls.
#include "io/json.hpp"
#include "spooled.hpp"
#include "verb.hpp"

#include <weir/error.hpp>

#include <algorithm>

namespace weir::cli {
namespace {

using clock = std::chrono::steady_clock;

const nodes::program about_wait{
    "weir wait",
    "wait for the outcome of a submitted call",
    "[OPTION...] [ENDPOINT] ID...",
    "Waits until the calls with these ids are over, prints their results in this order, and "
    "reports "
    "failures as weir call does. The exit status is that of the first one that failed.",
    {{"Submit and wait",
      "weir wait \"$(weir submit tcp://127.0.0.1:5555 render scene.xml)\" > picture"}},
    {"weir-submit(1)", "weir-result(1)"},
    call_statuses()};

const nodes::program about_result{
    "weir result",
    "print the outcome of a submitted call, if there is one",
    "[OPTION...] [ENDPOINT] ID...",
    "Prints the results of the calls with these ids as weir wait does, without waiting: a call "
    "that "
    "is not over yet is reported, with exit status 4.",
    {{"Is it there?", "weir result 01hf-3c9a > picture || echo not yet"}},
    {"weir-wait(1)", "weir-submit(1)"},
    call_statuses()};

constexpr int not_yet = 4;
/// One question to the gateway waits at most so long; then it is asked again.
constexpr std::chrono::seconds one_wait{30};

struct settings {
  spooled_options where;
  std::chrono::milliseconds timeout{0};
  bool forget = false;
  result_format format = result_format::text;
};

/// Asks until the call is over or `until` has passed; then the last answer.
answer await(connection& link, const std::string& id, clock::time_point until) {
  for (;;) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(until - clock::now());
    if (left.count() <= 0) return answer(link.ask("weir.result", {io::msgpack_text(id)}));
    call_settings settings;
    settings.deadline = std::min<std::chrono::milliseconds>(left, one_wait);
    try {
      const answer outcome(link.ask("weir.wait", {io::msgpack_text(id)}, settings));
      if (over(outcome)) return outcome;
    } catch (const rpc_error& e) {
      // The gateway may be starting again: what it has said to keep, it has.
      const bool passing =
          e.code() == status::deadline_exceeded || e.code() == status::unavailable;
      if (!passing || link.client().stats().refused) throw;
    }
  }
}

int run(settings& s, bool waits, nodes::node_context& context) {
  split(s.where, ids::required);
  connection link(s.where.link, context);
  const auto until = !waits                  ? clock::now()
                     : s.timeout.count() > 0 ? clock::now() + s.timeout
                                             : clock::time_point::max();
  int first_failure = 0;
  for (const auto& id : s.where.ids) {
    const auto outcome = await(link, id, until);
    int code = not_yet;
    if (over(outcome)) {
      code = print_outcome(outcome, s.format, context);
      if (s.forget) (void)link.ask("weir.forget", {io::msgpack_array({io::msgpack_text(id)})});
    } else {
      context.say.error(id + " is " + outcome.text("state"));
    }
    if (first_failure == 0) first_failure = code;
  }
  return first_failure;
}

int main_of(int argc, const char* const* argv, const nodes::program& about, bool waits) {
  settings s;
  return nodes::node_main(
      argc, argv, about,
      [&](CLI::App& app) {
        add_spooled(app, s.where, ids::required);
        if (waits)
          nodes::add_duration(app, "--timeout", s.timeout,
                              "Wait no longer than this (exit 4); 0: until it is over");
        app.add_flag("--forget", s.forget, "Remove outcomes from the spool once printed");
        add_result_format(app, s.format);
      },
      [&](nodes::node_context& context) {
        return reporting(context, [&] { return run(s, waits, context); });
      });
}

}  // namespace

int wait_main(int argc, const char* const* argv) {
  return main_of(argc, argv, about_wait, true);
}
int result_main(int argc, const char* const* argv) {
  return main_of(argc, argv, about_result, false);
}

}  // namespace weir::cli
