// What a gateway answers itself: weir.ping and its like.
#include "proto/rpc/builtins.hpp"
#include "proto/rpc/gateway_state.hpp"

#include <algorithm>
#include <array>
#include <utility>

namespace weir::proto {
namespace {
constexpr std::array<std::string_view, 7> spool_methods{
    "weir.submit", "weir.wait",    "weir.result", "weir.cancel",
    "weir.dead",   "weir.requeue", "weir.forget"};
/// How long a worker may take to hear that it is to drain.
constexpr duration drain_time = std::chrono::seconds(10);
constexpr std::string_view empty_array = "\x90";

bool is_named(const introduction& who, const std::string& name) {
  return who.name == name || who.name + "@" + who.host == name;
}
}  // namespace

void gateway_state::answer_builtin(session_id from, call_run run, std::uint64_t number,
                                   time_point deadline, time_point now, gateway_outbox& out) {
  const bool of_spool =
      std::find(spool_methods.begin(), spool_methods.end(), run.method) != spool_methods.end();
  for (std::uint32_t i = 0; i < run.arguments.size(); ++i) {
    if (of_spool && options_.spool) {
      const call_key key{from, run.first + i};
      admin_[key] = {number + i, run.method == "weir.wait"};
      out.admin.push_back({key, run.method, run.arguments.slice(i, 1), deadline});
      continue;
    }
    reply_room& room = slots_.taking(number);
    reply_run reply;
    if (of_spool)
      reply =
          failed(1, {status::unimplemented,
                     "this gateway keeps no calls: it was started without --spool", true, 0});
    else if (!room.takes_known(round_, 0))
      reply = failed(1, {status::resource_exhausted, "too many of these at a time", true, 0});
    else
      reply = builtin(run.method, run.arguments[i], now);
    (void)room.takes_known(round_, reply.results.bytes());
    for (reply_details& d : reply.details) d.trace = my_name();
    answer(number + i, 1, std::move(reply));
  }
}

reply_run gateway_state::builtin(const std::string& method, std::string_view arguments,
                                 time_point now) {
  const auto ok = [](std::string value) {
    reply_run reply;
    reply.results = pack::of(std::move(value));
    return reply;
  };
  if (method == "weir.ping") return ok(builtins::ping(links_.self(), now - started_));
  if (method == "weir.services") return ok(describe_services());
  if (method == "weir.stats") return ok(describe_stats(now));
  if (method == "weir.route" || method == "weir.drain") {
    const auto name = builtins::one_text(arguments);
    const bool route = method == "weir.route";
    if (!name.valid || (route && !name.text))
      return failed(1, {status::invalid_argument,
                        route ? "weir.route takes the name of a method"
                              : "weir.drain takes the name of a worker, or nothing",
                        true, 0});
    return ok(route ? describe_routes(*name.text) : drain_workers(name.text));
  }
  return failed(1, {status::unimplemented, "there is no " + method + " here", true, 0});
}

std::string gateway_state::describe_services() const {
  std::vector<builtins::service> all;
  for (const auto& [name, m] : directory_.methods()) {
    if (m.workers.empty()) continue;
    builtins::service s{&m.info, m.workers.size(), m.queue.size(), m.running, 0};
    for (const worker_record* w : m.workers) s.room += workers_.room_of(w->id).calls;
    all.push_back(s);
  }
  std::sort(all.begin(), all.end(),
            [](const auto& a, const auto& b) { return a.info->name < b.info->name; });
  return builtins::services(all);
}

std::string gateway_state::describe_stats(time_point now) const {
  std::vector<builtins::measured> all;
  for (const auto& [name, m] : directory_.methods())
    if (m.stats.calls > 0 || m.stats.direct > 0)
      all.push_back({name, &m.stats, m.queue.size(), m.running});
  std::sort(all.begin(), all.end(),
            [](const auto& a, const auto& b) { return a.name < b.name; });
  return builtins::stats(links_.self(), now - started_, directory_.workers().size(),
                         clients_.callers().size(), all, now);
}

std::string gateway_state::describe_routes(const std::string& method) const {
  std::vector<builtins::route> all;
  const auto it = directory_.methods().find(method);
  if (it != directory_.methods().end())
    for (const worker_record* w : it->second.workers)
      all.push_back({w->direct, w->info.name, workers_.load(w->id), w->id,
                     it->second.info.idempotent, it->second.info.deadline_ms});
  return builtins::routes(all);
}

std::string gateway_state::drain_workers(const std::optional<std::string>& name) {
  std::vector<std::string> told;
  for (auto& [id, w] : directory_.workers()) {
    if (name && !is_named(w.info, *name)) continue;
    told.push_back(w.info.name);
    w.drain_pending = true;
    drains_pending_ = true;
  }
  return builtins::names(told);
}

void gateway_state::pass_on_drain(time_point now) {
  drains_pending_ = false;
  for (auto& [id, w] : directory_.workers()) {
    if (!w.drain_pending) continue;
    caller::flight f;
    f.method = "weir.drain";
    f.arguments = pack::of(std::string(empty_array));
    f.deadline = now + drain_time;
    f.arrived = now;
    if (workers_.fits(id, f.arguments) == 0) {
      // Full: as soon as it has answered something.
      drains_pending_ = drains_pending_ || !w.draining;
      continue;
    }
    f.number = ++last_placed_;
    workers_.send(id, std::move(f));
    w.drain_pending = false;
  }
}

}  // namespace weir::proto
