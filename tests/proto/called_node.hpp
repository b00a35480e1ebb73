// The called end of a connection, as the tests of callee use it.
#pragma once
#include "dialogue.hpp"
#include "proto/rpc/callee.hpp"
#include "proto/seq_set.hpp"

#include <memory>

namespace called_nodes {

using namespace weir;
using namespace weir::proto;
using namespace weir::proto::dialogue;

inline constexpr session_id client1{11};
inline constexpr session_id client2{12};

/// A node that binds; callers on connections of the same number as their sessions.
struct called_node {
  links net{{who(role::worker, 9), std::chrono::seconds(1), {role::client}}, t0};
  callee calls;
  outbox out;
  time_point now = t0;

  explicit called_node(callee::limits_type limits = {}) : calls(limits, session_id{9}) {}

  void joins(session_id id) {
    const auto peer = static_cast<std::uint32_t>(id);
    std::vector<links::event> events;
    net.down(peer_id{peer}, now);
    const hello h{wire_version, who(role::client, static_cast<std::uint64_t>(id))};
    CHECK(!net.receive(peer_id{peer}, h, now, out, events));
    out.sends.clear();
    out.forgets.clear();
    for (const auto& e : events) calls.joined(e.who);
    flush();
    (void)take<window>(out, peer);
  }
  void breaks(session_id id) { net.down(peer_id{static_cast<std::uint32_t>(id)}, now); }
  void flush() { calls.flush(now, net, out); }
  /// What is new of calls [first, first + count).
  seq_ranges gets(session_id from, std::uint64_t first, std::uint32_t count,
                  call_options o = {}, std::uint64_t low = 0, std::uint32_t size = 1) {
    call_run run{first, "echo", 1000, tasks(count, size), nullptr};
    if (!o.plain()) run.options = std::make_shared<const call_options>(o);
    seq_ranges fresh;
    for (const auto& t : calls.on_calls(from, {low, {run}}, now)) {
      CHECK(t.from == from);
      CHECK(t.deadline == now + std::chrono::seconds(1));
      append_range(fresh, {t.calls.first, t.calls.last()});
    }
    return fresh;
  }
  void replies(session_id to, std::uint64_t first, std::uint32_t count, std::uint32_t size = 1,
               status code = status::ok) {
    reply_run run;
    run.first = first;
    run.code = code;
    run.results = tasks(count, size);
    calls.reply(to, std::move(run));
  }
  /// The runs of the next REPLY, which must go to `peer`.
  std::vector<reply_run> replied(session_id to) {
    return take<reply_batch>(out, static_cast<std::uint32_t>(to)).runs;
  }
  reply_run replied_once(session_id to) {
    auto runs = replied(to);
    REQUIRE(runs.size() == 1);
    return std::move(runs[0]);
  }
};

inline call_options stream_of(std::uint32_t elements) {
  call_options o;
  o.stream_window = elements;
  return o;
}
inline call_options unanswered() {
  call_options o;
  o.no_reply = true;
  return o;
}

}  // namespace called_nodes
