// A client that has opened connections, and the gateways and workers at their other ends, whose
// sessions have the numbers of their connections.
#pragma once

#include "dialogue.hpp"
#include "proto/rpc/client_state.hpp"
#include "proto/seq_set.hpp"

#include <msgpack.hpp>

#include <chrono>
#include <map>
#include <memory>
#include <optional>
#include <set>

namespace weir::proto::dialogue {

/// Calls `offset` to `offset + n` of a run.
inline call_run part(const call_run& run, std::uint32_t offset, std::uint32_t n) {
  call_run cut = run;
  cut.first += offset;
  cut.arguments = run.arguments.slice(offset, n);
  return cut;
}

inline call_options keyed(std::string key) {
  call_options o;
  o.idempotency_key = std::move(key);
  return o;
}

/// How many elements there are, which are taken.
inline std::size_t take_parts(client_outbox& out) {
  std::size_t n = 0;
  for (const auto& p : out.parts) n += p.part.elements.size();
  out.parts.clear();
  return n;
}

struct how {
  std::string method = "work";
  std::uint32_t retries = 0;
  bool idempotent = false;
  duration within = std::chrono::seconds(5);
  duration hedge_after{};
  call_options options{};
  bool unstated = false;  ///< `within` is the client's default
};

struct calling_client {
  client_state machine;
  client_outbox out;
  time_point now = t0;
  std::set<std::uint32_t> here{};
  std::map<std::uint32_t, std::vector<call_run>> asked{};  // weir.route, by connection

  explicit calling_client(client_state::options o = {})
      : machine({who(role::client, 99), std::chrono::seconds(1), {role::gateway, role::worker}},
                o, t0) {}

  void hears(std::uint32_t from, message m) {
    machine.on_message(peer_id{from}, std::move(m), now, out);
    check_outcomes();
  }
  void tick(duration later = {}) {
    now += later;
    machine.tick(now, out);
    put_questions_aside();
    std::erase_if(out.sends,
                  [](const auto& o) { return std::holds_alternative<alive>(o.what); });
    check_outcomes();
  }
  /// Lets time pass in which everybody but those named is silent.
  void passes(duration time, const std::set<std::uint32_t>& alive_ones) {
    for (const auto end = now + time; now < end;) {
      now += std::min<duration>(std::chrono::milliseconds(250), end - now);
      for (const auto peer : alive_ones) hears(peer, alive{});
      machine.tick(now, out);
      put_questions_aside();
      std::erase_if(out.sends, [](const auto& o) {
        return std::holds_alternative<alive>(o.what) || std::holds_alternative<hello>(o.what);
      });
    }
    out.notices.clear();
  }
  void welcomes(std::uint32_t peer, role r, std::uint64_t session) {
    hears(peer, welcome{wire_version, who(r, session, 1), 1000});
  }
  void gateway_joins(std::uint32_t peer, std::uint64_t items = 10'000) {
    machine.link_opened(peer_id{peer}, now, out);
    welcomes(peer, role::gateway, peer);
    settles(peer, items);
  }
  void worker_joins(std::uint32_t peer, const std::vector<std::string>& methods,
                    std::uint64_t items = 10'000) {
    machine.link_opened(peer_id{peer}, now, out);
    welcomes(peer, role::worker, peer);
    offer o;
    for (const auto& name : methods) o.methods.emplace_back().name = name;
    hears(peer, o);
    settles(peer, items);
  }
  /// Its connection closes, and does not come back.
  void loses(std::uint32_t peer) {
    machine.link_down(peer_id{peer}, now);
    here.erase(peer);
    passes(std::chrono::seconds(1), here);
    out.forgets.clear();
  }

  void calls(std::uint64_t first, std::uint32_t count = 1, const how& h = {}) {
    new_calls c;
    c.first = first;
    c.method = h.method;
    c.arguments = tasks(count);
    c.deadline = now + h.within;
    if (h.unstated) c.unstated_since = now;
    if (!h.options.plain()) c.options = std::make_shared<const call_options>(h.options);
    c.retries = h.retries;
    c.idempotent = h.idempotent;
    c.hedge_after = h.hedge_after;
    machine.call(std::move(c), now, out);
    check_outcomes();
  }
  /// The only run of the next CALL to this peer.
  call_run call_to(std::uint32_t peer) {
    const auto batch = find<call_batch>(out, peer);
    REQUIRE(batch.runs.size() == 1);
    return batch.runs[0];
  }
  /// How many calls have been sent to it since the last look; they are taken.
  std::size_t calls_sent(std::uint32_t peer) {
    std::size_t n = 0;
    std::erase_if(out.sends, [&](const outgoing& o) {
      const auto* batch = std::get_if<call_batch>(&o.what);
      if (!batch || o.to != peer_id{peer}) return false;
      for (const auto& run : batch->runs) n += run.arguments.size();
      return true;
    });
    return n;
  }
  /// Which of the two has got one call; the other has none.
  std::uint32_t calls_sent_to_only(std::uint32_t a, std::uint32_t b) {
    const std::size_t at_a = calls_sent(a);
    CHECK(at_a + calls_sent(b) == 1);
    return at_a == 1 ? a : b;
  }

  void replies(std::uint32_t from, const call_run& calls_answered, std::uint32_t count = 1,
               std::uint32_t service_us = 1, std::uint32_t queued_us = 0) {
    reply_run run;
    run.first = calls_answered.first;
    run.results = tasks(count);
    run.service_us = service_us;
    run.queued_us = queued_us;
    run.received_us = 1;
    hears(from, reply_batch{{run}});
  }
  void fails(std::uint32_t from, const call_run& calls_answered, status code,
             bool never_started = false, std::uint32_t retry_ms = 0) {
    reply_run run;
    run.first = calls_answered.first;
    run.code = code;
    run.results = tasks(calls_answered.arguments.size(), 0);
    run.details.resize(calls_answered.arguments.size());
    for (auto& d : run.details) {
      d.never_started = never_started;
      d.retry_ms = retry_ms;
    }
    hears(from, reply_batch{{run}});
  }
  /// Answers the oldest weir.route that was sent to it.
  void answers_route(std::uint32_t from, const std::vector<route_entry>& workers,
                     bool idempotent = false, std::uint32_t ttl_ms = 0) {
    put_questions_aside();
    auto& open = asked[from];
    REQUIRE(!open.empty());
    msgpack::sbuffer packed;
    msgpack::packer<msgpack::sbuffer> p(packed);
    p.pack_array(static_cast<std::uint32_t>(workers.size()));
    for (const auto& w : workers) {
      p.pack_map(7);
      p.pack("ttl");
      p.pack(ttl_ms);
      p.pack("idem");
      p.pack(idempotent);
      p.pack("ep");
      p.pack(w.endpoints);
      p.pack("name");
      p.pack(w.name);
      p.pack("load");
      p.pack(w.load);
      p.pack("session");
      p.pack_bin(8);
      for (int i = 7; i >= 0; --i) {
        const char byte = static_cast<char>(static_cast<std::uint64_t>(w.session) >> (8 * i));
        p.pack_bin_body(&byte, 1);
      }
      p.pack("newer");
      p.pack_array(0);
    }
    reply_run run;
    run.first = open.front().first;
    run.results = pack::of(std::string(packed.data(), packed.size()));
    open.erase(open.begin());
    hears(from, reply_batch{{run}});
  }
  /// How many weir.route were sent to it since the last look, and are not answered.
  std::size_t questions(std::uint32_t peer) {
    put_questions_aside();
    return asked[peer].size();
  }

  /// The numbers of all that has succeeded or failed since the last look.
  seq_ranges ended() {
    seq_ranges all;
    for (const auto& o : out.outcomes)
      append_range(all, {o.first, o.first + o.reply.results.size() - 1});
    out.outcomes.clear();
    return all;
  }
  /// The next outcome.
  call_outcomes outcome() {
    REQUIRE(!out.outcomes.empty());
    auto first = std::move(out.outcomes.front());
    out.outcomes.erase(out.outcomes.begin());
    return first;
  }

 private:
  void settles(std::uint32_t peer, std::uint64_t items) {
    here.insert(peer);
    hears(peer, window{items, 1 << 24, false, {}});
    std::erase_if(out.sends,
                  [](const auto& o) { return std::holds_alternative<hello>(o.what); });
    out.notices.clear();
  }
  /// So that tests see the calls alone.
  void put_questions_aside() {
    for (auto& o : out.sends) {
      auto* batch = std::get_if<call_batch>(&o.what);
      if (!batch) continue;
      for (const auto& run : batch->runs)
        if (run.method == "weir.route") asked[static_cast<std::uint32_t>(o.to)].push_back(run);
      std::erase_if(batch->runs, [](const auto& run) { return run.method == "weir.route"; });
    }
    std::erase_if(out.sends, [](const outgoing& o) {
      const auto* batch = std::get_if<call_batch>(&o.what);
      return batch && batch->runs.empty();
    });
  }
  void check_outcomes() const {
    for (const auto& o : out.outcomes) {
      CHECK(o.reply.first == o.first);
      CHECK((o.reply.details.empty() || o.reply.details.size() == o.reply.results.size()));
    }
  }
};

}  // namespace weir::proto::dialogue
