// A gateway with clients and workers on connections of the test's choice.
#pragma once

#include "dialogue.hpp"
#include "proto/rpc/gateway_state.hpp"

#include <map>
#include <memory>
#include <string>

namespace weir::proto::dialogue {

struct gateway {
  gateway_state machine;
  gateway_outbox out;
  time_point now = t0;
  std::map<std::uint32_t, std::uint64_t> next_call;  // of each client

  explicit gateway(gateway_state::options o = {})
      : machine({who(role::gateway, 9), std::chrono::seconds(1), {role::client, role::worker}},
                o, t0) {}

  void hears(std::uint32_t from, message m) {
    machine.on_message(peer_id{from}, std::move(m), now, out);
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
    std::erase_if(out.sends,
                  [](const auto& o) { return std::holds_alternative<alive>(o.what); });
  }
  void client_joins(std::uint32_t peer, std::uint64_t session = 0) {
    hears(peer, hello{wire_version, who(role::client, session == 0 ? peer : session)});
    tick();
    (void)find<welcome>(out, peer);
    CHECK(find<window>(out, peer).items > 0);
  }
  void worker_joins(std::uint32_t peer, std::vector<method_info> methods,
                    std::uint64_t window_calls = 100, std::vector<std::string> direct = {},
                    std::uint32_t slots = 1) {
    hears(peer, hello{wire_version, who(role::worker, peer, slots)});
    (void)find<welcome>(out, peer);
    hears(peer, offer{std::move(methods), std::move(direct)});
    hears(peer, window{window_calls, 1 << 20, false, {}});
    tick();
    out.notices.clear();
  }
  static method_info method(std::string name, bool idempotent = false) {
    method_info m;
    m.name = std::move(name);
    m.idempotent = idempotent;
    return m;
  }
  static std::shared_ptr<const call_options> with(auto&& set) {
    call_options o;
    set(o);
    return std::make_shared<const call_options>(o);
  }
  /// Makes calls; returns the number of the first.
  std::uint64_t calls(std::uint32_t from, const std::string& name, std::uint32_t count = 1,
                      std::shared_ptr<const call_options> options = {},
                      std::uint32_t ttl_ms = 5000, std::uint32_t size = 8) {
    const std::uint64_t first = next_call[from] + 1;
    next_call[from] += count;
    hears(from, call_batch{0, {{first, name, ttl_ms, tasks(count, size), std::move(options)}}});
    tick();
    return first;
  }
  std::uint64_t call_with(std::uint32_t from, const std::string& name, std::string arguments,
                          std::shared_ptr<const call_options> options = {}) {
    const std::uint64_t first = ++next_call[from];
    hears(from,
          call_batch{
              0, {{first, name, 5000, pack::of(std::move(arguments)), std::move(options)}}});
    tick();
    return first;
  }
  /// The calls of the next CALL, which must go to `peer`.
  std::vector<call_run> given(std::uint32_t peer) { return find<call_batch>(out, peer).runs; }
  [[nodiscard]] bool given_any(std::uint32_t peer) const {
    return std::any_of(out.sends.begin(), out.sends.end(), [peer](const outgoing& o) {
      return o.to == peer_id{peer} && std::holds_alternative<call_batch>(o.what);
    });
  }
  [[nodiscard]] std::uint64_t given_count(std::uint32_t peer) const {
    std::uint64_t n = 0;
    for (const auto& o : out.sends)
      if (const auto* b = std::get_if<call_batch>(&o.what); b && o.to == peer_id{peer})
        for (const auto& run : b->runs) n += run.arguments.size();
    return n;
  }
  void forget_sends() { out.sends.clear(); }
  void replies(std::uint32_t from, std::uint64_t first, std::uint32_t count = 1,
               std::string each = "r", std::uint32_t queued_us = 0,
               std::uint32_t service_us = 0) {
    std::string all;
    for (std::uint32_t i = 0; i < count; ++i) all += each;
    reply_run run;
    run.first = first;
    run.results = {blob::from(all), count, static_cast<std::uint32_t>(each.size())};
    run.queued_us = queued_us;
    run.service_us = service_us;
    hears(from, reply_batch{{run}});
    tick();
  }
  void fails(std::uint32_t from, std::uint64_t first, status code, bool never_started = false,
             std::uint32_t count = 1) {
    reply_run run;
    run.first = first;
    run.code = code;
    run.results = pack({}, count, 0);
    run.details.resize(count);
    for (auto& d : run.details) {
      d.message = "no";
      d.trace = "worker";
      d.never_started = never_started;
    }
    hears(from, reply_batch{{run}});
    tick();
  }
  /// The next REPLY, which must go to `peer` and have one run.
  reply_run answered(std::uint32_t peer) {
    const auto batch = find<reply_batch>(out, peer);
    REQUIRE(batch.runs.size() == 1);
    return batch.runs[0];
  }
  void dies(std::uint32_t peer, std::vector<std::uint32_t> others) {
    machine.link_down(peer_id{peer}, now);
    passes(std::chrono::seconds(1), std::move(others));
    out.notices.clear();
    out.forgets.clear();
  }
};

inline constexpr std::uint32_t client = 1;
inline constexpr std::uint32_t other_client = 2;
inline constexpr std::uint32_t worker = 11;
inline constexpr std::uint32_t other_worker = 12;

/// One client, one worker that offers "add".
struct simple : gateway {
  explicit simple(gateway_state::options o = {}, bool idempotent = false,
                  std::uint64_t window_calls = 100)
      : gateway(o) {
    client_joins(client);
    worker_joins(worker, {method("add", idempotent)}, window_calls);
    REQUIRE(silent(out));
  }
};

}  // namespace weir::proto::dialogue
