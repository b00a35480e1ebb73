// weir cancel, dead, requeue: submitted calls that should not run, have failed, should run
// again.
#include "io/json.hpp"
#include "spooled.hpp"
#include "table.hpp"
#include "verb.hpp"

#include <weir/error.hpp>

#include <array>
#include <ctime>

namespace weir::cli {
namespace {

const nodes::program about_cancel{"weir cancel",
                                  "cancel a submitted call",
                                  "[OPTION...] [ENDPOINT] ID...",
                                  "Cancels submitted calls: those that wait never run, "
                                  "handlers of those that run are told. Exit "
                                  "status 1 if one of them was over already.",
                                  {{"One of them", "weir cancel 01hf-3c9a"}},
                                  {"weir-submit(1)"},
                                  call_statuses()};

const nodes::program about_dead{
    "weir dead",
    "list submitted calls that have failed for good",
    "[OPTION...] [ENDPOINT]",
    "Lists the submitted calls that have been given up, with the reason.",
    {{"All of them once more", "weir dead --ids | xargs weir requeue"}},
    {"weir-requeue(1)", "weir-submit(1)"},
    call_statuses()};

const nodes::program about_requeue{"weir requeue",
                                   "give calls that have failed for good another chance",
                                   "[OPTION...] [ENDPOINT] ID...",
                                   "Puts calls that weir dead lists back into the queue, with "
                                   "all their attempts; those that have failed or were "
                                   "cancelled, too. Prints how many it were; exit status 1 if "
                                   "it were not all.",
                                   {{"One of them", "weir requeue 01hf-3c9a"}},
                                   {"weir-dead(1)"},
                                   call_statuses()};

constexpr int some = static_cast<int>(exit_code::some_failed);

std::string when(double seconds) {
  const auto whole = static_cast<std::time_t>(seconds);
  std::tm local{};
  localtime_r(&whole, &local);
  std::array<char, 32> text{};
  std::strftime(text.data(), text.size(), "%Y-%m-%d %H:%M:%S", &local);
  return text.data();
}

int cancel(spooled_options& s, nodes::node_context& context) {
  split(s, ids::required);
  connection link(s.link, context);
  int code = 0;
  for (const auto& id : s.ids) {
    const auto done = io::msgpack_number(link.ask("weir.cancel", {io::msgpack_text(id)}));
    if (done.value_or(0) != 0) continue;
    context.say.error(id + " was over already (see: weir result " + id + ")");
    code = some;
  }
  return code;
}

struct listing {
  bool json = false;
  bool only_ids = false;
};

int dead(spooled_options& s, const listing& how, nodes::node_context& context) {
  split(s, ids::none);
  connection link(s.link, context);
  const auto packed = link.ask("weir.dead", {});
  if (how.json) {
    print(io::json_from_msgpack(packed, io::json_layout::indented) + '\n');
    return 0;
  }
  const auto calls = answers(packed);
  if (how.only_ids) {
    std::string all;
    for (const auto& c : calls) all += c.text("id") + '\n';
    print(all);
    return 0;
  }
  if (calls.empty()) {
    context.say.notice("none");
    return 0;
  }
  table rows({{"ID"}, {"METHOD"}, {"ATTEMPTS", align::right}, {"GIVEN UP"}, {"WHY"}});
  for (const auto& c : calls) {
    const auto code = status_from(static_cast<std::uint64_t>(c.number("code")));
    rows.add({c.text("id"), c.text("method"),
              std::to_string(static_cast<std::uint64_t>(c.number("attempts"))),
              when(c.number("finished")),
              std::string(to_string(code.value_or(status::unknown))) + ": " + c.text("msg")});
  }
  print(rows.str());
  return 0;
}

int requeue(spooled_options& s, nodes::node_context& context) {
  split(s, ids::required);
  connection link(s.link, context);
  std::vector<std::string> all;
  for (const auto& id : s.ids) all.push_back(io::msgpack_text(id));
  const auto back =
      io::msgpack_number(link.ask("weir.requeue", {io::msgpack_array(all)})).value_or(0);
  print(std::to_string(static_cast<std::uint64_t>(back)) + '\n');
  return back < static_cast<double>(all.size()) ? some : 0;
}

int main_of(int argc, const char* const* argv, const nodes::program& about, ids how,
            const std::function<int(spooled_options&, nodes::node_context&)>& body,
            const std::function<void(CLI::App&)>& declare = {}) {
  spooled_options s;
  return nodes::node_main(
      argc, argv, about,
      [&](CLI::App& app) {
        add_spooled(app, s, how);
        if (declare) declare(app);
      },
      [&](nodes::node_context& context) {
        return reporting(context, [&] { return body(s, context); });
      });
}

}  // namespace

int cancel_main(int argc, const char* const* argv) {
  return main_of(argc, argv, about_cancel, ids::required, cancel);
}

int dead_main(int argc, const char* const* argv) {
  listing how;
  return main_of(
      argc, argv, about_dead, ids::none,
      [&](spooled_options& s, nodes::node_context& context) { return dead(s, how, context); },
      [&](CLI::App& app) {
        auto* json = app.add_flag("--json", how.json, "Print JSON, as weir.dead answers");
        app.add_flag("--ids", how.only_ids, "Print ids only, a line each")->excludes(json);
      });
}

int requeue_main(int argc, const char* const* argv) {
  return main_of(argc, argv, about_requeue, ids::required, requeue);
}

}  // namespace weir::cli
