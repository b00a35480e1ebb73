#include "sim/scenario.hpp"

#include <algorithm>

namespace weir::sim {
namespace {
using namespace std::chrono_literals;

std::vector<task_spec> make_work(dice& chance, const scenario& s, std::uint64_t count) {
  const auto longest = [&]() -> duration {
    switch (chance.between(0, 4)) {
      case 0:
      case 1:
        return 0ms;
      case 2:
        return 2ms;
      case 3:
        return 30ms;
      default:
        return 200ms;
    }
  }();
  const bool mixed = chance.chance(0.3);  // most are quick, some are not
  const std::uint64_t largest = chance.chance(0.15) ? 64 * 1024 : chance.between(0, 300);
  const double failing = chance.chance(0.3) ? 0.05 : 0;
  const double refused = chance.chance(0.1) ? 0.02 : 0;
  std::vector<task_spec> work(count);
  for (auto& t : work) {
    t.size = static_cast<std::uint32_t>(largest > 300 && chance.chance(0.9)
                                            ? chance.between(0, 100)
                                            : chance.between(0, largest));
    if (longest > 0ms && (!mixed || chance.chance(0.05)))
      t.runs = chance.between(longest / 4, longest);
    if (chance.chance(failing)) {
      t.fails = static_cast<std::uint32_t>(chance.between(1, s.max_attempts + 1));
      t.final = chance.chance(0.3);
    }
    if (chance.chance(refused)) t.refused = true;
  }
  if (s.poison)
    for (std::uint64_t i = chance.between(1, std::min<std::uint64_t>(3, count)); i > 0; --i)
      work[chance.between(0, count - 1)].poison = true;
  return work;
}
}  // namespace

scenario make_scenario(std::uint64_t seed) {
  dice chance(seed * 0x9e3779b97f4a7c15U + 1);
  scenario s;
  s.seed = seed;
  s.ventilators = chance.chance(0.6) ? 1 : static_cast<std::uint32_t>(chance.between(2, 3));
  s.workers = static_cast<std::uint32_t>(chance.log_between(1, 8));
  s.sink = chance.chance(0.75);
  s.workers_bind_tasks = chance.chance(0.3);
  s.workers_bind_results = s.sink && chance.chance(0.3);
  s.ventilators_bind_sink = s.sink && chance.chance(0.4);

  if (chance.chance(0.5)) s.heartbeat = 200ms;
  if (chance.chance(0.2)) s.max_tasks = chance.between(1, 8);
  if (chance.chance(0.15)) s.max_bytes = chance.between(1, 2000);
  if (chance.chance(0.2)) s.max_window = chance.between(1, 4);
  if (chance.chance(0.1)) s.max_held_bytes = chance.between(1, 1000);
  s.max_slots = static_cast<std::uint32_t>(chance.between(1, 4));
  s.max_attempts = static_cast<std::uint32_t>(chance.chance(0.7) ? 3 : chance.between(1, 5));
  s.retry_base = chance.between(1ms, 200ms);
  s.retry_most = chance.between(200ms, 5s);

  // Each class of fault is on or off for a seed: together they would mask one another.
  if (chance.chance(0.85)) {
    s.cuts = chance.chance(0.4);
    s.delays = chance.chance(0.4);
    s.long_delays = chance.chance(0.2);
    s.kills = chance.chance(0.3);
    s.sink_restarts = s.sink && chance.chance(0.25);
    s.pauses = chance.chance(0.25);
    s.drains = chance.chance(0.2);
    s.abandons = s.ventilators > 1 && chance.chance(0.15);
    s.poison = chance.chance(0.2);
    s.sends_wait = chance.chance(0.5);
  }
  s.trouble = chance.between(1s, 15s);
  s.keep_order = chance.chance(0.25);
  if (chance.chance(0.3)) s.commit_time = chance.between(1ms, 300ms);  // a slow sink
  if (chance.chance(0.15)) s.most_staged = chance.between(1, 20'000);
  if (chance.chance(0.3)) {
    s.feed_pause = chance.between(1ms, 500ms);
    s.feed_most = chance.between(1, 300);
  }
  for (std::uint32_t i = 0; i < s.ventilators; ++i) {
    std::uint64_t count = chance.chance(0.03) ? 0 : chance.log_between(1, 3000);
    // Tiny limits make for many messages; fewer tasks show the same.
    if (s.max_tasks < 10 || s.max_bytes < 5000 || s.commit_time > 20ms || s.max_window < 5)
      count = std::min<std::uint64_t>(count, 250);
    s.work.push_back(count == 0 ? std::vector<task_spec>() : make_work(chance, s, count));
  }
  return s;
}

std::string scenario::describe() const {
  std::string text = std::to_string(ventilators) + " ventilators, " + std::to_string(workers) +
                     " workers of at most " + std::to_string(max_slots) + " slots, " +
                     (sink ? "a sink" : "collecting") + (keep_order ? " keeping order" : "") +
                     ";";
  if (workers_bind_tasks) text += " workers bind tasks,";
  if (workers_bind_results) text += " workers bind results,";
  if (ventilators_bind_sink) text += " sink connects to ventilators,";
  text += " tasks";
  for (const auto& w : work) text += " " + std::to_string(w.size());
  text +=
      ", max_tasks " + std::to_string(max_tasks) + ", max_bytes " + std::to_string(max_bytes) +
      ", max_window " + std::to_string(max_window) + ", max_held " +
      std::to_string(max_held_bytes) + ", attempts " + std::to_string(max_attempts) +
      ", commit " +
      std::to_string(
          std::chrono::duration_cast<std::chrono::milliseconds>(commit_time).count()) +
      " ms, heartbeat " +
      std::to_string(std::chrono::duration_cast<std::chrono::milliseconds>(heartbeat).count()) +
      " ms; faults:";
  const std::pair<bool, const char*> faults[] = {{cuts, "cuts"},
                                                 {delays, "delays"},
                                                 {long_delays, "long-delays"},
                                                 {kills, "kills"},
                                                 {sink_restarts, "sink-restarts"},
                                                 {pauses, "pauses"},
                                                 {drains, "drains"},
                                                 {abandons, "abandons"},
                                                 {poison, "poison"},
                                                 {sends_wait, "sends-wait"}};
  for (const auto& [on, name] : faults)
    if (on) text += std::string(" ") + name;
  return text;
}

source_id source_of(std::uint32_t index) {
  source_id id;
  id.bytes[0] = static_cast<std::uint8_t>(index + 1);
  id.bytes[15] = 0x5e;
  return id;
}

std::uint32_t index_of(const source_id& source) { return source.bytes[0] - 1U; }

std::string payload_of(std::uint32_t source, std::uint64_t seq, const task_spec& spec) {
  std::string payload(spec.size, static_cast<char>('a' + seq % 26));
  const std::string mark = std::to_string(source) + ":" + std::to_string(seq) + ":";
  payload.replace(0, std::min(mark.size(), payload.size()), mark, 0, payload.size());
  return payload;
}

std::string outcome_of(std::string_view payload) {
  std::uint64_t hash = 0xcbf29ce484222325U;
  for (const char c : payload) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3U;
  std::string outcome;
  for (int i = 0; i < 8; ++i) outcome.push_back(static_cast<char>(hash >> (8 * i)));
  outcome.append(payload.substr(0, 200));
  return outcome;
}

}  // namespace weir::sim
