#include "sim/rpc_checker.hpp"

namespace weir::sim {
namespace {
using namespace std::chrono_literals;
/// Deadlines travel in milliseconds, rounded down at each hop.
constexpr duration early = 4ms;
/// From when a timer is due until its node has looked at it.
constexpr duration late = 20ms;

std::string text(const rpc_name& call) {
  return "call " + std::to_string(call.client) + ":" + std::to_string(call.number);
}
}  // namespace

rpc_checker::rpc_checker(const rpc_scenario& s) : scenario_(s), abandoned_(s.clients) {
  for (const auto& calls : s.calls) clients_.emplace_back(calls.size());
}

void rpc_checker::violation(std::string what) {
  if (verdict_.empty()) verdict_ = std::move(what);
}

rpc_checker::record* rpc_checker::find(const rpc_name& call, const char* what) {
  if (call.client < clients_.size() && call.number >= 1 &&
      call.number <= clients_[call.client].size() &&
      clients_[call.client][call.number - 1].made)
    return &clients_[call.client][call.number - 1];
  violation("R3 " + text(call) + " was never made, but " + what);
  return nullptr;
}

void rpc_checker::made(const rpc_name& call, time_point deadline) {
  record& r = clients_[call.client][call.number - 1];
  r.made = true;
  r.deadline = deadline;
}

void rpc_checker::cancel_asked(const rpc_name& call) {
  clients_[call.client][call.number - 1].cancel_asked = true;
}

void rpc_checker::started(const rpc_name& call, time_point now) {
  record* r = find(call, "is run");
  if (!r) return;
  ++r->started;
  if (r->started > 1 && !scenario_.repeatable(call.client, call.number))
    violation("R2 " + text(call) + " is run again, and may not be");
  if (!r->never_again.empty())
    violation(r->never_again + ": " + text(call) + " is started after that");
  // What is under way for long takes its time left with it.
  const bool prompt = !scenario_.delays && !scenario_.long_delays && !scenario_.pauses &&
                      !scenario_.cuts && !scenario_.sends_wait;
  if (prompt && now > r->deadline + late)
    violation("R4 " + text(call) + " is started after its deadline");
}

void rpc_checker::ran(const rpc_name& call, bool ok) {
  if (record* r = find(call, "has been run")) ++(ok ? r->succeeded : r->failed);
}

void rpc_checker::element(const rpc_name& call, std::uint64_t number, std::string_view value) {
  record* r = find(call, "has an element");
  if (!r) return;
  if (r->ended > 0) violation("R6 an element of " + text(call) + " comes after its end");
  if (number != r->elements + 1)
    violation("R6 element " + std::to_string(number) + " of " + text(call) + " comes after " +
              std::to_string(r->elements));
  r->elements = number;
  if (value !=
      element_of(argument_of(call, scenario_.batch_of(call.client, call.number).size), number))
    violation("R3 element " + std::to_string(number) + " of " + text(call) + " is another's");
}

void rpc_checker::ended(const rpc_name& call, const outcome& what, time_point now,
                        time_point awake_since) {
  record* r = find(call, "has ended");
  if (!r) return;
  const rpc_batch& b = scenario_.batch_of(call.client, call.number);
  if (++r->ended > 1) violation("R1 " + text(call) + " ends twice");
  if (now > std::max(r->deadline, awake_since) + late)
    violation("R1 " + text(call) + " ends long after its deadline");
  const bool repeatable = scenario_.repeatable(call.client, call.number);
  if (what.never_started && !repeatable) {
    if (r->started > 0)
      violation("R3 " + text(call) +
                " was started, and is said not to have been: " + what.message);
    r->never_again = "R3 it was said never to have been started (" + what.message + ")";
  }
  if (what.code == status::cancelled && what.from_elsewhere && !repeatable)
    r->never_again = "R5 it was confirmed to be cancelled";
  if (what.code != status::ok) return check_reason(*r, call, what, now);
  if (b.no_reply) return;
  if (r->succeeded == 0) violation("R3 " + text(call) + " is answered, and no run succeeded");
  if (what.result != result_of(argument_of(call, b.size)))
    violation("R3 " + text(call) + " has the result of another");
  const std::uint64_t elements = scenario_.call_of(call.client, call.number).elements;
  if (r->elements != elements)
    violation("R6 " + text(call) + " ends after " + std::to_string(r->elements) + " of " +
              std::to_string(elements) + " elements");
}

void rpc_checker::check_reason(const record& r, const rpc_name& call, const outcome& what,
                               time_point now) {
  const rpc_batch& b = scenario_.batch_of(call.client, call.number);
  const auto unfounded = [&](const char* why) {
    violation("R9 " + text(call) + " fails with " + std::string(to_string(what.code)) + " (" +
              what.message + "): " + why);
  };
  switch (what.code) {
    case status::cancelled:
      if (!r.cancel_asked) unfounded("nobody asked for that");
      break;
    case status::deadline_exceeded:
      if (now + early < r.deadline) unfounded("there was time left");
      if (scenario_.calm) unfounded("there was time enough");
      break;
    case status::unknown:
      if (r.failed == 0) unfounded("no run of it failed");
      break;
    case status::not_found:
      if (scenario_.fault_free() && b.method != no_method) unfounded("it is offered");
      break;
    case status::resource_exhausted:
      if (scenario_.calm) unfounded("there was little to do");
      break;
    case status::unavailable:
      if (scenario_.fault_free() && b.method != no_method) unfounded("everybody was there");
      break;
    default:
      unfounded("no such thing can happen");
  }
}

void rpc_checker::abandoned(std::uint32_t client) { abandoned_[client] = true; }

void rpc_checker::finish() {
  for (std::uint32_t client = 0; client < clients_.size(); ++client) {
    if (abandoned_[client]) continue;
    for (std::uint64_t n = 1; n <= clients_[client].size(); ++n) {
      const record& r = clients_[client][n - 1];
      const rpc_name call{client, n};
      if (!r.made) return violation("R8 " + text(call) + " was not made");
      if (r.ended != 1) return violation("R1 " + text(call) + " did not end");
      if (!scenario_.calm || scenario_.batch_of(client, n).method == no_method) continue;
      const rpc_batch& b = scenario_.batch_of(client, n);
      const bool again = b.hedge_after > 0ms ||
                         (r.failed > 0 && b.retries > 0 && scenario_.repeatable(client, n));
      if (r.started == 0 || (r.started > 1 && !again))
        return violation("R9 " + text(call) + " ran " + std::to_string(r.started) +
                         " times, without a fault");
    }
  }
}

}  // namespace weir::sim
