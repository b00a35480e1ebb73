#include "sim/rpc_scenario.hpp"

#include "sim/scenario.hpp"

#include <algorithm>
#include <charconv>

namespace weir::sim {
namespace {
using namespace std::chrono_literals;

duration longest_run(dice& chance) {
  switch (chance.between(0, 4)) {
    case 0:
    case 1:
      return 0ms;
    case 2:
      return 2ms;
    case 3:
      return 30ms;
    default:
      return 300ms;
  }
}

rpc_batch make_batch(dice& chance, const rpc_scenario& s) {
  rpc_batch b;
  b.pause = chance.chance(0.3) ? 0ms : chance.between(0ms, 400ms);
  const rpc_method& m = rpc_methods[chance.between(0, rpc_methods.size() - 1)];
  b.method = chance.chance(0.03) ? no_method : m.name;
  b.count = static_cast<std::uint32_t>(m.streams ? chance.log_between(1, 12)
                                                 : chance.log_between(1, s.calm ? 30 : 200));
  b.deadline = s.calm               ? 60s
               : chance.chance(0.2) ? chance.between(1ms, 200ms)
                                    : chance.between(500ms, 10s);
  if (chance.chance(0.5)) b.retries = static_cast<std::uint32_t>(chance.between(1, 3));
  b.idempotent = chance.chance(0.15);
  b.keyed = chance.chance(0.15);
  b.hashed = chance.chance(0.15);
  b.priority = static_cast<std::uint8_t>(chance.chance(0.6) ? 5 : chance.between(0, 9));
  if (chance.chance(0.1)) b.hedge_after = chance.between(5ms, 300ms);
  if (!s.calm && chance.chance(0.15)) b.cancel_after = chance.between(1ms, 500ms);
  if (m.streams && b.method == m.name) {
    b.stream_window = static_cast<std::uint32_t>(chance.log_between(1, 64));
    if (chance.chance(0.5))
      b.stream_bytes = static_cast<std::uint32_t>(chance.log_between(1, 500));
    if (chance.chance(0.3)) b.reads_every = chance.between(100us, s.calm ? 2ms : 50ms);
  } else {
    b.no_reply = chance.chance(0.05);
  }
  b.size = static_cast<std::uint32_t>(chance.chance(0.05) ? chance.between(1000, 20'000)
                                                          : chance.between(0, 100));
  return b;
}

void make_work(dice& chance, rpc_scenario& s) {
  const duration longest = s.calm ? 2ms : longest_run(chance);
  const bool mixed = chance.chance(0.3);  // most are quick, some are not
  const double failing = chance.chance(0.3) ? 0.1 : 0;
  for (std::uint32_t client = 0; client < s.clients; ++client) {
    auto& batches = s.batches.emplace_back();
    auto& calls = s.calls.emplace_back();
    for (auto n = chance.log_between(1, s.calm ? 12 : 30); n > 0; --n) {
      const auto& b = batches.emplace_back(make_batch(chance, s));
      s.longest_deadline = std::max(s.longest_deadline, b.deadline);
      for (std::uint32_t i = 0; i < b.count; ++i) {
        rpc_call& c = calls.emplace_back();
        c.batch = static_cast<std::uint32_t>(batches.size() - 1);
        if (longest > 0ms && (!mixed || chance.chance(0.05)))
          c.runs = chance.between(longest / 4, longest);
        c.fails = chance.chance(failing);
        if (b.stream_window > 0)
          c.elements = static_cast<std::uint32_t>(chance.log_between(0, 150));
      }
    }
  }
}
}  // namespace

rpc_scenario make_rpc_scenario(std::uint64_t seed) {
  dice chance(seed * 0x9e3779b97f4a7c15U + 2);
  rpc_scenario s;
  s.seed = seed;
  s.clients = static_cast<std::uint32_t>(chance.log_between(1, 4));
  s.workers = static_cast<std::uint32_t>(chance.log_between(1, 5));
  s.gateways = static_cast<std::uint32_t>(chance.chance(0.25) ? 0 : chance.between(1, 2));
  s.introduce = s.gateways > 0 && chance.chance(0.4);
  if (chance.chance(0.5)) s.heartbeat = 200ms;
  s.max_slots = static_cast<std::uint32_t>(chance.between(1, 4));
  if (chance.chance(0.2)) s.max_window = chance.between(1, 16);
  if (chance.chance(0.15)) s.queue_calls = chance.between(1, 200);
  if (chance.chance(0.3)) s.wait = chance.between(1ms, 2s);
  s.delays = chance.chance(0.35);
  s.calm = chance.chance(0.12);
  if (s.calm) {
    s.queue_calls = 100'000;
  } else if (chance.chance(0.85)) {
    // Each class of fault is on or off for a seed: together they would mask one another.
    s.cuts = chance.chance(0.4);
    s.long_delays = chance.chance(0.2);
    s.worker_kills = chance.chance(0.3);
    s.gateway_kills = s.gateways > 0 && chance.chance(0.25);
    s.client_kills = s.clients > 1 && chance.chance(0.2);
    s.pauses = chance.chance(0.25);
    s.drains = chance.chance(0.15);
    s.sends_wait = chance.chance(0.5);
  }
  s.trouble = chance.between(1s, 10s);
  make_work(chance, s);
  return s;
}

bool rpc_scenario::repeatable(std::uint32_t client, std::uint64_t number) const {
  const rpc_batch& b = batch_of(client, number);
  if (b.idempotent || b.keyed) return true;
  return std::any_of(rpc_methods.begin(), rpc_methods.end(),
                     [&](const rpc_method& m) { return m.idempotent && m.name == b.method; });
}

std::string rpc_scenario::describe() const {
  const auto ms = [](duration d) {
    return std::to_string(std::chrono::duration_cast<std::chrono::milliseconds>(d).count()) +
           " ms";
  };
  std::string text = std::to_string(clients) + " clients, " + std::to_string(gateways) +
                     " gateways, " + std::to_string(workers) + " workers of at most " +
                     std::to_string(max_slots) + " slots" + (introduce ? ", introduced" : "") +
                     "; calls";
  for (const auto& c : calls) text += " " + std::to_string(c.size());
  text += ", max_window " + std::to_string(max_window) + ", queue " +
          std::to_string(queue_calls) + ", wait " + ms(wait) + ", heartbeat " + ms(heartbeat) +
          (calm ? ", calm" : "") + "; faults:";
  const std::pair<bool, const char*> faults[] = {{cuts, "cuts"},
                                                 {delays, "delays"},
                                                 {long_delays, "long-delays"},
                                                 {worker_kills, "worker-kills"},
                                                 {gateway_kills, "gateway-kills"},
                                                 {client_kills, "client-kills"},
                                                 {pauses, "pauses"},
                                                 {drains, "drains"},
                                                 {sends_wait, "sends-wait"}};
  for (const auto& [on, name] : faults)
    if (on) text += std::string(" ") + name;
  return text;
}

std::string argument_of(const rpc_name& call, std::uint32_t size) {
  std::string argument = std::to_string(call.client) + ":" + std::to_string(call.number) + ":";
  if (argument.size() < size) argument.resize(size, static_cast<char>('a' + call.number % 26));
  return argument;
}

rpc_name name_of(std::string_view argument) {
  rpc_name name{UINT32_MAX, 0};
  const char* end = argument.data() + argument.size();
  const auto [middle, bad] = std::from_chars(argument.data(), end, name.client);
  if (bad == std::errc() && middle < end) std::from_chars(middle + 1, end, name.number);
  return name;
}

std::string result_of(std::string_view argument) { return outcome_of(argument); }

std::string element_of(std::string_view argument, std::uint64_t number) {
  return std::to_string(number) + " of " + std::string(argument.substr(0, 40));
}

}  // namespace weir::sim
