// What callees are sent: see caller.cpp for what comes of it.
#include "proto/limits.hpp"
#include "proto/rpc/call_batches.hpp"
#include "proto/rpc/caller.hpp"
#include "proto/rpc/link_numbers.hpp"
#include "proto/seq_set.hpp"

#include <algorithm>
#include <memory>
#include <utility>

namespace weir::proto {
namespace {
/// After this many answers, or bytes of them, a callee that is sent no calls is told that they
/// have arrived, so that it need not keep them: an idle client costs a gateway this much.
constexpr std::uint64_t report_answers = 1024;
constexpr std::uint64_t report_bytes = 64 * 1024;
/// Streams in one CREDIT.
constexpr std::size_t credits_in_message = 4096;

/// What nobody wants an answer to is answered all the same, from one node to the next: a callee
/// that were sent calls without ever saying how many it has done would be flooded.
std::shared_ptr<const call_options> with_reply(call_options options) {
  options.no_reply = false;
  options.stream_window = options.stream_bytes = 0;
  if (options.plain()) return nullptr;
  return std::make_shared<const call_options>(std::move(options));
}
}  // namespace

bool caller::callee_state::should_report() const {
  return unreported_answers >= report_answers || unreported_bytes >= report_bytes;
}

void caller::flush(time_point now, links& net, outbox& out) {
  std::vector<session_id> later;
  for (const auto id : dirty_) {
    callee_state& c = callees_.at(id);
    if (!net.reachable(id)) {  // it joins again, or is lost
      later.push_back(id);
      continue;
    }
    c.dirty = false;
    if (c.again) send_again(id, c, now, net, out);
    send_ready(id, c, now, net, out);
    send_credit(id, c, now, net, out);
    send_stops(id, c, now, net, out);
  }
  dirty_ = std::move(later);
}

/// After its session has joined anew: whatever was sent before may have been lost, and what
/// was not is recognised.
void caller::send_again(session_id to, callee_state& c, time_point now, links& net,
                        outbox& out) {
  c.again = false;
  c.stops.clear();
  c.credited.clear();
  call_batches batches(to, c.low(), now, net, out);
  seq_ranges cancelled;
  for (const auto& [first, run] : c.open.runs()) {
    batches.add({first, run.calls.method, remaining_ms(run.calls.deadline, now),
                 run.calls.arguments, run.calls.options});
    if (run.cancelled) append_range(cancelled, {first, first + run.size() - 1});
    if (!run.calls.streams()) continue;
    for (std::uint64_t i = 0; i < run.size(); ++i)
      if (streams_.contains(run.calls.number + i)) c.credited.push_back(first + i);
  }
  batches.send();
  c.unreported_answers = c.unreported_bytes = 0;
  if (!cancelled.empty()) c.stops.push_back({"cancelled", std::move(cancelled)});
}

void caller::send_ready(session_id to, callee_state& c, time_point now, links& net,
                        outbox& out) {
  if (c.ready.empty()) {
    if (!c.should_report()) return;
    net.send(to, call_batch{c.low(), {}}, now, out);
  } else {
    if (c.next == 1) c.next += beginning_of(net.self().session, to);
    call_batches batches(to, c.low(), now, net, out);
    for (auto& calls : c.ready) {
      const std::uint64_t first = c.next;
      const std::uint64_t n = calls.size();
      c.next += n;
      calls.sent = now;
      const bool unasked = calls.no_reply();
      if (unasked) calls.options = with_reply(*calls.options);
      batches.add({first, calls.method, remaining_ms(calls.deadline, now), calls.arguments,
                   calls.options});
      if (!unasked) places_.insert(calls.number, {to, calls.number, first, n});
      c.open.insert(first, {std::move(calls), first, false, unasked});
    }
    batches.send();
    c.ready.clear();
    c.ready_calls = 0;
  }
  c.unreported_answers = c.unreported_bytes = 0;
}

void caller::send_credit(session_id to, callee_state& c, time_point now, links& net,
                         outbox& out) {
  std::sort(c.credited.begin(), c.credited.end());
  c.credited.erase(std::unique(c.credited.begin(), c.credited.end()), c.credited.end());
  credit grants;
  for (const auto call : c.credited) {
    c.open.for_overlap({call, call}, [&](seq_range, const open_run& run) {
      if (run.cancelled) return;
      const auto s = streams_.find(run.calls.number + (call - run.first));
      if (s != streams_.end())
        grants.entries.push_back({call, s->second.arrived, s->second.until});
    });
    if (grants.entries.size() < credits_in_message) continue;
    net.send(to, std::exchange(grants, {}), now, out);
  }
  c.credited.clear();
  if (!grants.entries.empty()) net.send(to, std::move(grants), now, out);
}

void caller::send_stops(session_id to, callee_state& c, time_point now, links& net,
                        outbox& out) {
  for (auto& s : c.stops) {
    std::sort(s.calls.begin(), s.calls.end(),
              [](const seq_range& a, const seq_range& b) { return a.first < b.first; });
    cancel_calls which{{}, s.reason};
    for (const auto& range : s.calls) {
      if (which.calls.size() == limits::ranges)
        net.send(to, std::exchange(which, {{}, s.reason}), now, out);
      append_range(which.calls, range);
    }
    net.send(to, std::move(which), now, out);
  }
  c.stops.clear();
}

}  // namespace weir::proto
