// A worker whose ventilator and sink are the test.
#pragma once

#include "dialogue.hpp"
#include "proto/worker_state.hpp"

#include <cstdint>
#include <string>
#include <utility>

namespace weir::proto::dialogue {

/// A worker that connects to ventilator 1 on connection 1; its results go to sink 2 on
/// connection 2, or, without one, back to the ventilator.
struct worker {
  worker_state machine;
  outbox out;
  time_point now = t0;
  bool has_sink;

  static worker_state::options slots(std::uint32_t n) {
    worker_state::options o;
    o.slots = n;
    return o;
  }
  explicit worker(worker_state::options o = slots(2), bool sink = true)
      : machine({who(role::worker, 9), std::chrono::seconds(1), {role::ventilator, role::sink}},
                o, t0),
        has_sink(sink) {
    machine.link_opened(peer_id{1}, t0, out);
    (void)take<hello>(out, 1);
    ventilator_joins();
    if (sink) {
      REQUIRE(out.connects == std::vector<std::string>{"the sink"});
      out.connects.clear();
      machine.sink_opened("the sink", peer_id{2}, t0, out);
      (void)find<hello>(out, 2);
      sink_joins();
    }
    const auto first = take<window>(out, 1);
    CHECK(first.resync);
    CHECK(first.holding.empty());
    CHECK(first.items == o.slots);
    tick();
    out.sends.clear();
    CHECK(silent(out));
  }
  void hears(std::uint32_t from, message m) {
    machine.on_message(peer_id{from}, std::move(m), now, out);
  }
  void ventilator_joins(std::uint64_t session = 1) {
    auto v = who(role::ventilator, session);
    v.results_to = has_sink ? "the sink" : "";
    hears(1, welcome{wire_version, v, 1000});
  }
  void sink_joins(std::uint64_t session = 2) {
    hears(2, welcome{wire_version, who(role::sink, session), 1000});
  }
  void tick(duration later = {}) {
    now += later;
    machine.tick(now, out);
  }
  void gets(std::uint64_t first, std::uint32_t count, std::uint32_t attempt = 1) {
    hears(1, task_batch{the_source, {{first, attempt, tasks(count), 0}}});
    tick();
  }
  /// What the slots are to run, from now on.
  seq_ranges starts(std::uint32_t attempt = 1) {
    seq_ranges all;
    for (const auto& s : std::exchange(out.starts, {})) {
      CHECK(s.attempt == attempt);
      append_range(all, {s.first, s.first + s.payloads.size() - 1});
    }
    return all;
  }
  void finishes(result_run run, duration busy = std::chrono::seconds(1)) {
    const auto first = run.first;
    const auto last = run.last();
    machine.on_finished({the_source, first, last, {std::move(run)}, {}, busy}, now, out);
  }
  void finishes(std::uint64_t first, std::uint64_t last,
                duration busy = std::chrono::seconds(1)) {
    finishes(results(first, last), busy);
  }
  void reconnects(std::uint32_t peer) {
    machine.link_down(peer_id{peer}, now);
    machine.link_up(peer_id{peer}, now, out);
    (void)find<hello>(out, peer);
    out.sends.clear();
  }
  std::uint64_t in_hand() {
    const auto c = machine.stats();
    return c.queued + c.running + c.held;
  }
};

}  // namespace weir::proto::dialogue
