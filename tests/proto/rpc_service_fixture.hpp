// A worker that offers methods, with callers on connections of the test's choice.
#pragma once

#include "dialogue.hpp"
#include "proto/rpc/service_state.hpp"

#include <memory>
#include <string>
#include <utility>

namespace weir::proto::dialogue {

inline method_info method(std::string name, std::uint32_t at_a_time = 0) {
  method_info m;
  m.name = std::move(name);
  m.concurrency = at_a_time;
  return m;
}

inline call_options urgent(std::uint8_t priority) {
  call_options o;
  o.priority = priority;
  return o;
}

/// A worker that connects to gateway 1 on connection 1, and binds for clients on connections
/// from 10 on.
struct service {
  service_state machine;
  service_outbox out;
  time_point now = t0;

  static service_state::options defaults(unsigned slots = 2) {
    service_state::options o;
    o.methods = {method("echo"), method("slow", 1), method("count")};
    o.slots = slots;
    return o;
  }
  explicit service(service_state::options o = defaults())
      : machine({who(role::worker, 9), std::chrono::seconds(1), {role::gateway, role::client}},
                o, t0) {
    machine.link_opened(peer_id{1}, t0, out);
    (void)take<hello>(out, 1);
    hears(1, welcome{wire_version, who(role::gateway, 1), 1000});
    const offer all = take<offer>(out, 1);
    CHECK(all.methods == o.methods);
    CHECK(all.direct == o.direct);
    tick();
    CHECK(take<window>(out, 1).items == o.slots);
    out.sends.clear();
    CHECK(silent(out));
  }
  void hears(std::uint32_t from, message m) {
    machine.on_message(peer_id{from}, std::move(m), now, out);
  }
  void client_joins(std::uint32_t peer) {
    hears(peer, hello{wire_version, who(role::client, peer)});
    (void)take<welcome>(out, peer);
    (void)take<offer>(out, peer);
    tick();
    (void)find<window>(out, peer);
  }
  void tick(duration later = {}) {
    now += later;
    machine.tick(now, out);
  }
  void gets(std::uint64_t first, std::uint32_t count, std::string name = "echo",
            call_options o = {}, std::uint32_t peer = 1, std::uint32_t ttl_ms = 10'000) {
    call_run run{first, std::move(name), ttl_ms, tasks(count), nullptr};
    if (!o.plain()) run.options = std::make_shared<const call_options>(o);
    hears(peer, call_batch{0, {run}});
    tick();
  }
  /// What the slots are to run, from now on.
  seq_ranges starts(std::uint64_t from = 1) {
    seq_ranges all;
    for (const auto& s : std::exchange(out.calls, {})) {
      CHECK(s.from == session_id{from});
      append_range(all, {s.calls.first, s.calls.last()});
    }
    return all;
  }
  void finishes(std::uint64_t first, std::uint64_t last,
                duration each = std::chrono::seconds(1), std::uint64_t to = 1) {
    reply_run run;
    run.first = first;
    run.results = tasks(static_cast<std::uint32_t>(last - first + 1));
    run.service_us = static_cast<std::uint32_t>(each / std::chrono::microseconds(1));
    machine.on_replied(session_id{to}, std::move(run), now, out);
  }
  reply_run replied(std::uint32_t to = 1) {
    auto runs = find<reply_batch>(out, to).runs;
    REQUIRE(runs.size() == 1);
    return std::move(runs[0]);
  }
  /// Makes the machine believe that calls take so long.
  void measures(duration each, std::uint64_t first = 1) {
    gets(first, 1);
    (void)starts();
    finishes(first, first, each);
    tick();
    out.sends.clear();
  }
};

}  // namespace weir::proto::dialogue
