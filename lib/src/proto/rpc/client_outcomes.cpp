// How calls end, or begin again.
#include "proto/rpc/client_numbers.hpp"
#include "proto/rpc/client_state.hpp"
#include "proto/rpc/reply_batches.hpp"

#include <algorithm>
#include <iterator>
#include <utility>

namespace weir::proto {
namespace {
/// How often a call is sent elsewhere without that counting as one of its retries: because its
/// callee died, or would not have it. A call that kills whoever runs it must not kill them all.
constexpr std::uint32_t most_moves = 3;

/// What another attempt may mend.
bool passing(status code) {
  switch (code) {
    case status::unavailable:
    case status::resource_exhausted:
    case status::aborted:
    case status::unknown:
    case status::internal:
      return true;
    default:
      return false;
  }
}
}  // namespace

bool client_state::settled(seq_range range) const {
  const auto& runs = calls_.runs();
  auto it = runs.upper_bound(range.last);
  if (it == runs.begin()) return true;
  --it;
  return it->first + it->second.count - 1 < range.first;
}

bool client_state::repeatable(const record& r, const method_state& m,
                              std::uint64_t number) const {
  // Elements that the user has seen already would come twice.
  return (r.idempotent || m.idempotent) && !streams_.contains(number);
}

void client_state::measure(method_state& m, const caller::answered& a) {
  for (auto& w : m.workers)
    if (w.who == a.from) w.in_hand -= std::min(w.in_hand, a.calls.size());
  if (better_elsewhere(a.reply)) ++m.first;
  // Without it, 0 may as well mean that it was not measured.
  if (a.reply.code != status::ok || a.reply.received_us == 0) return;
  const double us = std::max(0.5, static_cast<double>(a.reply.service_us));
  m.service_us = m.measured ? 0.8 * m.service_us + 0.2 * us : us;
  m.measured = true;
}

void client_state::on_answered(caller::answered a, time_point now, client_outbox& out) {
  measure(method(a.calls.method, now), a);
  if (a.reply.code != status::ok) return on_failed(std::move(a), now, out);
  const seq_range range{call_of(a.calls.number), call_of(a.calls.last())};
  const auto from = peers_.find(a.from);
  const bool direct = from != peers_.end() && !from->second.gateway;
  calls_.extract(range, [&](std::uint64_t first, record&& r) {
    reply_run part = r.count == range.size()
                         ? std::move(a.reply)
                         : part_of_run(a.reply, first - range.first, r.count);
    finish(first, r, {first, std::move(part), a.from, direct}, out);
  });
}

void client_state::on_failed(caller::answered a, time_point now, client_outbox& out) {
  const seq_range range{call_of(a.calls.number), call_of(a.calls.last())};
  const seq_range other =
      is_hedge(a.calls.number) ? range : hedge_of(range);  // the other copies
  const method_state& m = method(a.calls.method, now);
  const auto from = peers_.find(a.from);
  const bool direct = from != peers_.end() && !from->second.gateway;
  static const reply_details none;
  std::vector<std::pair<std::uint64_t, record>> open;
  calls_.extract(range, [&](std::uint64_t first, record&& r) { open.emplace_back(first, r); });
  for (auto& [first, r] : open) {
    const std::uint64_t offset = first - range.first;
    if (r.hedged && passing(a.reply.code) && !r.cancelled &&
        !caller_.in_flight({other.first + offset, other.first + offset + r.count - 1})
             .empty()) {
      calls_.insert(first, r);  // that one may yet succeed
      continue;
    }
    const auto why = [&](std::uint64_t i) -> const reply_details& {
      return a.reply.details.empty() ? none : a.reply.details[offset + i];
    };
    // As long as the same is to be done about them, they stay together.
    for (std::uint64_t i = 0; i < r.count;) {
      time_point when;
      const verdict what = judge(r, m, a.reply.code, why(i), first + i, a.from, now, when);
      std::uint64_t end = i + 1;
      while (end < r.count && why(end).never_started == why(i).never_started &&
             why(end).retry_ms == why(i).retry_ms && !a.calls.streams())
        ++end;
      record part = r.slice(i, end - i);
      if (what == verdict::over) {
        finish(first + i, part,
               {first + i, part_of_run(a.reply, offset + i, end - i), a.from, direct}, out);
      } else {
        // What it may have run it is asked for again: the others do not remember it.
        part.avoid =
            a.calls.shared_key().empty() || why(i).never_started ? a.from : session_id{};
        if (what == verdict::elsewhere)
          ++part.moves;
        else
          --part.retries;
        again(first + i, part, a.calls.slice(offset + i, end - i), when, now);
      }
      i = end;
    }
  }
}

client_state::verdict client_state::judge(const record& r, const method_state& m, status code,
                                          const reply_details& why, std::uint64_t number,
                                          session_id from, time_point now, time_point& when) {
  if (r.cancelled || now >= r.deadline) return verdict::over;
  if (!why.never_started && !repeatable(r, m, number)) return verdict::over;
  const auto who = peers_.find(from);
  const bool from_worker = who != peers_.end() && !who->second.gateway;
  // It drains, has never heard of the method, or is full where somebody else need not be.
  const bool only_there = code == status::unavailable || code == status::not_found ||
                          (code == status::resource_exhausted && from_worker);
  if (why.never_started && only_there && r.moves < most_moves && elsewhere(m, from)) {
    when = now;
    return verdict::elsewhere;
  }
  if (r.retries == 0 || !passing(code)) return verdict::over;
  when = now + std::max<duration>(options_.retry.after(r.attempts, random_),
                                  std::chrono::milliseconds(why.retry_ms));
  return when < r.deadline ? verdict::later : verdict::over;
}

void client_state::on_lost(caller::flight calls, session_id who, const std::string& name,
                           const std::string& how, time_point now, client_outbox& out) {
  if (is_question(calls.number)) return give_up_on_routes(calls);
  if (calls.no_reply()) return;
  const seq_range range{call_of(calls.number), call_of(calls.last())};
  const seq_range other = is_hedge(calls.number) ? range : hedge_of(range);
  const method_state& m = method(calls.method, now);
  const bool sent = calls.sent != time_point{};
  std::vector<std::pair<std::uint64_t, record>> open;
  calls_.extract(range, [&](std::uint64_t first, record&& r) {
    // Of a stream it matters whether there were elements: each for itself.
    const std::uint64_t each = calls.streams() ? 1 : r.count;
    for (std::uint64_t i = 0; i < r.count; i += each)
      open.emplace_back(first + i, r.slice(i, each));
  });
  for (auto& [first, r] : open) {
    const std::uint64_t offset = first - range.first;
    if (r.hedged &&
        !caller_.in_flight({other.first + offset, other.first + offset + r.count - 1})
             .empty()) {
      calls_.insert(first, r);
    } else if (r.cancelled) {
      fail(first, r, status::cancelled, "cancelled by the caller", !sent, out);
    } else if (!sent || (r.moves < most_moves && repeatable(r, m, first))) {
      r.avoid = who;
      if (sent) ++r.moves;
      again(first, r, calls.slice(offset, r.count), now, now);
    } else {
      fail(first, r, status::unavailable,
           name + " " + how + " before it answered: the call may have run", false, out, name);
    }
  }
}

/// Another attempt, now or later.
void client_state::again(std::uint64_t first, record r, caller::flight calls, time_point when,
                         time_point now) {
  r.hedged = false;
  if (calls.sent != time_point{}) {
    ++r.attempts;
    auto asked = calls.options ? *calls.options : call_options{};
    asked.attempt = r.attempts;
    calls.options = std::make_shared<const call_options>(std::move(asked));
    calls.sent = {};
  }
  calls.number = first;
  calls_.insert(first, r);
  if (when > now) {
    delayed_.emplace(when, std::move(calls));
    return;
  }
  method_state& m = method(calls.method, now);
  enqueue(m, std::move(calls));
}

void client_state::finish(std::uint64_t first, const record& r, call_outcomes outcome,
                          client_outbox& out) {
  const seq_range range{first, first + r.count - 1};
  if (!streams_.empty())
    streams_.erase(streams_.lower_bound(range.first), streams_.upper_bound(range.last));
  if (r.hedged) stop_copies(range, true, "answered by another");
  outcome.reply.first = first;  // and not that of a second copy
  if (outcome.reply.code != status::ok) {
    outcome.reply.details.resize(r.count);
    for (auto& d : outcome.reply.details)
      d.trace = d.trace.empty() ? self_ : self_ + " " + d.trace;
  }
  out.outcomes.push_back(std::move(outcome));
}

void client_state::fail(std::uint64_t first, const record& r, status code,
                        const std::string& text, bool never_started, client_outbox& out,
                        const std::string& via) {
  reply_details why;
  why.trace = via;
  why.message = text;
  why.never_started = never_started;
  reply_run run;
  run.first = first;
  run.code = code;
  run.results = pack(blob(), static_cast<std::uint32_t>(r.count), 0);
  run.details.assign(r.count, why);
  finish(first, r, {first, std::move(run), {}, false}, out);
}

/// Whoever has copies of these need not go on. Their outcomes, if any come, are dropped.
void client_state::stop_copies(seq_range range, bool hedged, const std::string& reason) {
  (void)caller_.cancel(range, reason, in_);
  if (hedged) (void)caller_.cancel(hedge_of(range), reason, in_);
}

void client_state::expire(seq_range range, time_point now, client_outbox& out) {
  std::vector<std::pair<std::uint64_t, record>> late;
  calls_.extract(range, [&](std::uint64_t first, record&& r) { late.emplace_back(first, r); });
  for (auto& [first, r] : late) {
    const seq_range calls{first, first + r.count - 1};
    if (now < r.deadline) {  // cannot be, but must not end it early
      calls_.insert(first, r);
      deadlines_.add(r.deadline, calls);
      continue;
    }
    std::vector<caller::held> held = caller_.in_flight(calls);
    if (r.hedged)
      for (auto& h : caller_.in_flight(hedge_of(calls))) held.push_back(std::move(h));
    stop_copies(calls, r.hedged, "deadline exceeded");
    r.hedged = false;
    if (r.cancelled) {
      fail(first, r, status::cancelled, "cancelled by the caller, and not confirmed", false,
           out);
      continue;
    }
    fail(first, r, status::deadline_exceeded, excuse(held), held.empty() && r.attempts == 1,
         out, held.empty() ? std::string() : name_of(held.front().at));
  }
}

/// Why there is no answer, as far as this end knows.
std::string client_state::excuse(const std::vector<caller::held>& held) const {
  if (!held.empty()) {
    std::string who = name_of(held.front().at);
    return "no answer from " + who + " within the deadline";
  }
  if (peers_.empty())
    return "not sent within the deadline: no gateway or worker has answered so far";
  return "not sent within the deadline: nobody who is connected had room for it";
}

}  // namespace weir::proto
