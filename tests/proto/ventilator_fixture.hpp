// A ventilator that binds, its sink on connection 1, and workers on connections of the test's
// choice.
#pragma once

#include "dialogue.hpp"
#include "proto/ventilator_state.hpp"

#include <set>

namespace weir::proto::dialogue {

struct ventilator {
  ventilator_state machine;
  outbox out;
  time_point now = t0;

  static ventilator_state::options defaults() {
    ventilator_state::options o;
    o.source = the_source;
    o.retry = {std::chrono::milliseconds(100), std::chrono::seconds(1)};
    return o;
  }
  explicit ventilator(ventilator_state::options o = defaults())
      : machine({who(role::ventilator, 9), std::chrono::seconds(1), {role::worker, role::sink}},
                o, t0) {
    if (!o.collects) sink_joins();
  }

  void hears(std::uint32_t from, message m) {
    auto collected = machine.on_message(peer_id{from}, std::move(m), now, out);
    CHECK(collected.empty());
  }
  void tick(duration later = {}) {
    now += later;
    machine.tick(now, out);
  }
  /// Lets time pass in which everybody but those named is silent.
  void passes(duration time, std::vector<std::uint32_t> alive_ones) {
    for (const auto end = now + time; now < end;) {
      now += std::min<duration>(std::chrono::milliseconds(250), end - now);
      for (const auto peer : alive_ones) hears(peer, alive{});
      machine.tick(now, out);
    }
  }
  void sink_joins(std::uint32_t peer = 1, std::uint64_t session = 1) {
    hears(peer, hello{wire_version, who(role::sink, session)});
    (void)take<welcome>(out, peer);
    const auto r = take<register_source>(out, peer);
    hears(peer, registered{the_source, 1, r.low, r.done});
    tick();
    CHECK(silent(out));
  }
  void worker_joins(std::uint32_t peer, std::uint64_t items, std::uint32_t slots = 1,
                    std::vector<in_hand> holding = {}, std::uint64_t bytes = 1 << 20) {
    hears(peer, hello{wire_version, who(role::worker, peer, slots)});
    (void)find<welcome>(out, peer);
    hears(peer, window{items, bytes, true, std::move(holding)});
    out.notices.clear();
  }
  void acks(std::uint64_t low, seq_ranges done = {}) {
    hears(1, ack{the_source, 1, low, std::move(done)});
  }
  /// Takes the CANCEL that follows when a task that was sent twice is done.
  void cancels(std::uint32_t peer, seq_range range) {
    const auto c = find<cancel>(out, peer);
    CHECK(c.mode == cancel_mode::stop);
    CHECK(c.ranges == seq_ranges{range});
  }
  void fails(std::uint32_t peer, std::uint64_t seq, std::uint32_t attempt,
             bool retryable = true, status code = status::internal) {
    result_run run{seq, attempt, code, pack::of("no"), {outcome_details{}}};
    run.details[0].retryable = retryable;
    hears(peer, result_batch{the_source, {run}});
    CHECK(take<committed>(out, peer).ranges == seq_ranges{{seq, seq}});
  }
  void dies(std::uint32_t peer) {
    machine.link_down(peer_id{peer}, now);
    std::vector<std::uint32_t> others{1};
    for (std::uint32_t p = 10; p < 30; ++p)
      if (p != peer && known.contains(p)) others.push_back(p);
    passes(std::chrono::seconds(1), others);
    known.erase(peer);
    std::erase_if(out.sends,
                  [](const auto& o) { return std::holds_alternative<alive>(o.what); });
    out.notices.clear();
    out.forgets.clear();
  }
  /// The tasks of the next TASK, which must go to `peer`.
  seq_ranges given(std::uint32_t peer, std::uint32_t attempt = 1) {
    seq_ranges all;
    for (const auto& run : find<task_batch>(out, peer).runs) {
      CHECK(run.attempt == attempt);
      append_range(all, {run.first, run.last()});
    }
    return all;
  }
  std::set<std::uint32_t> known{};  // workers on these connections are alive

  void feeds(std::uint32_t count, std::uint32_t size = 1) {
    machine.feed(tasks(count, size));
    tick();
  }
};

}  // namespace weir::proto::dialogue
