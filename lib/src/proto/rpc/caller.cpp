#include "proto/rpc/caller.hpp"

#include "proto/rpc/link_numbers.hpp"
#include "proto/rpc/reply_batches.hpp"
#include "proto/seq_set.hpp"

#include <algorithm>
#include <utility>

namespace weir::proto {

caller::flight caller::flight::slice(std::uint64_t offset, std::uint64_t n) const {
  flight part = *this;
  part.number = number + offset;
  part.arguments =
      arguments.slice(static_cast<std::uint32_t>(offset), static_cast<std::uint32_t>(n));
  return part;
}

void caller::flight::settle() {
  // One slow call must not keep the memory of the thousands that were made with it.
  if (arguments.retained() > 4096 && arguments.bytes() < arguments.retained() / 8)
    arguments = arguments.compacted();
}

void caller::arrivals::clear() {
  parts.clear();
  answers.clear();
  reports.clear();
}

caller::callee_state* caller::find(session_id id) {
  const auto it = callees_.find(id);
  return it == callees_.end() ? nullptr : &it->second;
}

const caller::callee_state* caller::find(session_id id) const {
  const auto it = callees_.find(id);
  return it == callees_.end() ? nullptr : &it->second;
}

void caller::touch(session_id id, callee_state& c) {
  if (c.dirty) return;
  c.dirty = true;
  dirty_.push_back(id);
}

void caller::joined(session_id callee) {
  const auto [it, fresh] = callees_.try_emplace(callee);
  if (fresh) {
    // It may have been given up here and know nothing of that: no number is used twice.
    if (const auto before = gone_.find(callee); before != gone_.end()) {
      it->second.next = before->second;
      gone_.erase(before);
      std::erase(gone_order_, callee);
      // It may still be at work on what was given up, and need not be.
      // No more than it can have in hand: further down are the numbers of other links.
      const std::uint64_t last = it->second.next - 1;
      const std::uint64_t first = last > most_in_hand ? last - most_in_hand : 1;
      it->second.stops.push_back({"given up", {{first, last}}});
      touch(callee, it->second);
    }
    return;
  }
  if (it->second.open.empty()) return;
  it->second.again = true;
  touch(callee, it->second);
}

std::vector<caller::flight> caller::lost(session_id callee, std::optional<std::uint64_t> seen) {
  std::vector<flight> had;
  const auto it = callees_.find(callee);
  if (it == callees_.end()) return had;
  callee_state& c = it->second;
  had.reserve(c.open.runs().size() + c.ready.size());
  for (const auto& [first, run] : c.open.runs()) {
    forget(c, run);
    if (run.unasked) continue;
    const std::uint64_t n = run.size();
    const std::uint64_t got = !seen ? n : *seen < first ? 0 : std::min(n, *seen - first + 1);
    if (got > 0) had.push_back(run.calls.slice(0, got));
    if (got == n) continue;
    had.push_back(run.calls.slice(got, n - got));
    had.back().sent = {};
  }
  for (auto& calls : c.ready) {
    size_ -= calls.size();
    had.push_back(std::move(calls));
  }
  std::erase(dirty_, callee);
  if (c.next > 1) {
    gone_.insert_or_assign(callee, c.next);
    gone_order_.push_back(callee);
    if (gone_order_.size() > remembered) {
      gone_.erase(gone_order_.front());
      gone_order_.pop_front();
    }
  }
  callees_.erase(it);
  return had;
}

void caller::on_window(session_id from, const window& w) {
  callee_state* c = find(from);
  if (!c) return;
  c->has_window = true;
  c->window_calls = w.items;
  c->window_bytes = w.bytes;
}

// Answers

/// They are not in flight any more.
void caller::forget(callee_state& c, const open_run& run) {
  const flight& calls = run.calls;
  c.bytes -= calls.arguments.bytes();
  size_ -= calls.size();
  if (run.unasked) return;  // their numbers may be others' by now
  places_.extract({calls.number, calls.last()}, [](std::uint64_t, place&&) {});
  if (!calls.streams()) return;
  streams_.erase(streams_.lower_bound(calls.number), streams_.upper_bound(calls.last()));
}

void caller::finish(session_id from, callee_state& c, open_run run, reply_run reply,
                    arrivals& in) {
  flight& calls = run.calls;
  // Cancelled, and its elements were not waited for: it is no success.
  if (calls.streams() && reply.code == status::ok && !reply.details.empty() &&
      reply.details[0].parts > arrived(calls.number)) {
    reply.code = status::cancelled;
    reply.results = pack::of({});
    reply.details[0].message = "cancelled before all elements had come";
  }
  forget(c, run);
  c.unreported_answers += calls.size();
  c.unreported_bytes += reply.results.bytes();
  if (c.should_report()) touch(from, c);
  if (run.unasked) return;
  reply.first = calls.number;
  in.answers.push_back({from, std::move(calls), std::move(reply)});
}

void caller::on_reply(session_id from, reply_batch&& replies, arrivals& in) {
  callee_state* c = find(from);
  if (!c) return;
  for (auto& run : replies.runs)
    if (!run.results.empty()) answer(from, *c, std::move(run), in);
}

void caller::answer(session_id from, callee_state& c, reply_run reply, arrivals& in) {
  const seq_range range{reply.first, reply.last()};
  std::vector<open_run> of_streams;
  c.open.extract(range, [&](std::uint64_t first, open_run&& run) {
    if (run.calls.streams()) {
      of_streams.push_back(std::move(run));
    } else if (run.size() == range.size()) {
      finish(from, c, std::move(run), std::move(reply), in);
    } else {
      const std::uint64_t n = run.size();
      finish(from, c, std::move(run), part_of_run(reply, first - range.first, n), in);
    }
  });
  for (const auto& run : of_streams)
    for (std::uint64_t i = 0; i < run.size(); ++i)
      answer_stream(from, c, run.slice(i, 1),
                    part_of_run(reply, run.first + i - range.first, 1), in);
}

void caller::answer_stream(session_id from, callee_state& c, open_run call, reply_run reply,
                           arrivals& in) {
  // A reply that was repeated after a reconnect can overtake elements that were lost with the
  // old connection and will be repeated as well.
  const std::uint64_t number = call.calls.number;
  const std::uint64_t elements = reply.details.empty() ? 0 : reply.details[0].parts;
  if (!call.cancelled && elements > arrived(number)) {
    stream(number, call.calls).ended = std::move(reply);
    const std::uint64_t first = call.first;
    c.open.insert(first, std::move(call));
    return;
  }
  finish(from, c, std::move(call), std::move(reply), in);
}

// Streams

caller::stream_state& caller::stream(std::uint64_t number, const flight& calls) {
  const auto [it, fresh] = streams_.try_emplace(number);
  if (fresh) it->second.until = calls.options->stream_window;
  return it->second;
}

std::uint64_t caller::arrived(std::uint64_t number) const {
  const auto it = streams_.find(number);
  return it == streams_.end() ? 0 : it->second.arrived;
}

void caller::on_parts(session_id from, part_batch&& parts, arrivals& in) {
  callee_state* c = find(from);
  if (!c) return;
  for (auto& part : parts.runs) on_part(from, *c, std::move(part), in);
}

void caller::on_part(session_id from, callee_state& c, part_run part, arrivals& in) {
  stream_state* s = nullptr;
  std::uint64_t number = 0;
  std::shared_ptr<const call_options> options;
  c.open.for_overlap({part.call, part.call}, [&](seq_range, const open_run& run) {
    if (!run.calls.streams() || run.cancelled) return;
    options = run.calls.options;
    number = run.calls.number + (part.call - run.first);
    s = &stream(number, run.calls);
  });
  if (!s) return;
  // What is here already was sent again after a reconnect. What comes too early means that some
  // was lost with the old connection: it is sent again, as joined() tells how far we have got.
  const std::uint64_t past = part.first + part.elements.size();
  if (part.first > s->arrived + 1 || past <= s->arrived + 1) return;
  const std::uint64_t known = s->arrived + 1 - part.first;
  const std::uint64_t last = std::min(past - 1, s->until);  // no more than was asked for
  if (last <= s->arrived) return;
  part.elements = part.elements.slice(static_cast<std::uint32_t>(known),
                                      static_cast<std::uint32_t>(last - s->arrived));
  const std::uint64_t call = std::exchange(part.call, number);
  part.first = s->arrived + 1;
  s->arrived = last;
  in.parts.push_back({from, number, std::move(part), std::move(options)});
  if (!s->ended || s->ended->details[0].parts > s->arrived) return;
  reply_run reply = std::move(*s->ended);
  c.open.extract({call, call}, [&](std::uint64_t, open_run&& run) {
    finish(from, c, std::move(run), std::move(reply), in);
  });
}

void caller::grant(std::uint64_t number, std::uint64_t until) {
  places_.for_overlap({number, number}, [&](seq_range, const place& where) {
    callee_state& c = callees_.at(where.at);
    const std::uint64_t call = where.call + (number - where.number);
    c.open.for_overlap({call, call}, [&](seq_range, const open_run& run) {
      if (!run.calls.streams() || run.cancelled) return;
      stream_state& s = stream(number, run.calls);
      if (until <= s.until) return;
      s.until = until;
      c.credited.push_back(call);
      touch(where.at, c);
    });
  });
}

void caller::on_progress(session_id from, call_progress&& report, arrivals& in) {
  callee_state* c = find(from);
  if (!c) return;
  c->open.for_overlap({report.call, report.call}, [&](seq_range, const open_run& run) {
    if (run.cancelled || run.unasked) return;
    const std::uint64_t number = run.calls.number + (report.call - run.first);
    report.call = number;
    in.reports.push_back({from, number, std::move(report)});
  });
}

// What there is room for

std::uint32_t caller::fits(session_id callee, const pack& arguments) const {
  const callee_state* c = find(callee);
  if (!c || !c->has_window || c->window_calls <= c->in_hand() || arguments.empty()) return 0;
  const std::uint64_t bytes = c->window_bytes - std::min(c->window_bytes, c->bytes);
  const auto n = static_cast<std::uint32_t>(
      std::min<std::uint64_t>(arguments.count_within(bytes), c->window_calls - c->in_hand()));
  return n == 0 && c->in_hand() == 0 ? 1 : n;
}

caller::room caller::room_of(session_id callee) const {
  const callee_state* c = find(callee);
  if (!c || !c->has_window) return {};
  return {c->window_calls - std::min(c->window_calls, c->in_hand()),
          c->window_bytes - std::min(c->window_bytes, c->bytes)};
}

std::uint64_t caller::in_hand(session_id callee) const {
  const callee_state* c = find(callee);
  return c ? c->in_hand() : 0;
}

double caller::load(session_id callee) const {
  const callee_state* c = find(callee);
  if (!c || !c->has_window || c->window_calls == 0) return 1;
  return static_cast<double>(c->in_hand()) / static_cast<double>(c->window_calls);
}

bool caller::draining(session_id callee) const {
  const callee_state* c = find(callee);
  return c && c->has_window && c->window_calls == 0;
}

bool caller::has_window(session_id callee) const {
  const callee_state* c = find(callee);
  return c && c->has_window;
}

std::vector<caller::held> caller::in_flight(seq_range numbers) const {
  std::vector<held> found;
  places_.for_overlap(numbers, [&](seq_range range, const place& p) {
    const callee_state& c = callees_.at(p.at);
    const std::uint64_t call = p.call + (range.first - p.number);
    c.open.for_overlap(
        {call, call + range.size() - 1}, [&](seq_range part, const open_run& run) {
          found.push_back({p.at, run.calls.slice(part.first - run.first, part.size())});
        });
  });
  return found;
}

std::vector<session_id> caller::callees() const {
  std::vector<session_id> all;
  all.reserve(callees_.size());
  for (const auto& [id, c] : callees_) all.push_back(id);
  return all;
}

// Calls come and go

void caller::send(session_id to, flight calls) {
  if (calls.arguments.empty()) return;
  callee_state& c = callees_.at(to);
  c.ready_calls += calls.size();
  c.bytes += calls.arguments.bytes();
  size_ += calls.size();
  c.ready.push_back(std::move(calls));
  touch(to, c);
}

std::vector<caller::flight> caller::cancel(seq_range numbers, const std::string& reason,
                                           arrivals& in) {
  std::vector<flight> back;
  for (const auto id : dirty_) take_back(callees_.at(id), numbers, back);
  // Looked up before anything is stopped: what ends thereby leaves places_.
  std::vector<place> where;
  places_.for_overlap(numbers, [&](seq_range range, const place& run) {
    where.push_back(run.slice(range.first - run.number, range.size()));
  });
  for (const auto& p : where)
    stop(p.at, callees_.at(p.at), {p.call, p.call + p.count - 1}, reason, in);
  return back;
}

void caller::take_back(callee_state& c, seq_range numbers, std::vector<flight>& back) {
  std::vector<flight> stay;
  for (auto& calls : c.ready) {
    const std::uint64_t from = std::max(calls.number, numbers.first);
    const std::uint64_t to = std::min(calls.last(), numbers.last);
    if (from > to) {
      stay.push_back(std::move(calls));
      continue;
    }
    if (from > calls.number) stay.push_back(calls.slice(0, from - calls.number));
    if (to < calls.last())
      stay.push_back(calls.slice(to + 1 - calls.number, calls.last() - to));
    back.push_back(calls.slice(from - calls.number, to - from + 1));
    const flight& taken = back.back();
    c.ready_calls -= taken.size();
    c.bytes -= taken.arguments.bytes();
    size_ -= taken.size();
  }
  c.ready = std::move(stay);
}

void caller::stop(session_id at, callee_state& c, seq_range calls, const std::string& reason,
                  arrivals& in) {
  seq_ranges stopped;
  std::vector<open_run> stay;
  c.open.extract(calls, [&](std::uint64_t first, open_run&& run) {
    if (!std::exchange(run.cancelled, true))
      append_range(stopped, {first, first + run.size() - 1});
    stay.push_back(std::move(run));
  });
  for (auto& run : stay) {
    const auto ended = streams_.find(run.calls.number);
    if (run.size() == 1 && ended != streams_.end() && ended->second.ended) {
      reply_run reply = std::move(*ended->second.ended);
      finish(at, c, std::move(run), std::move(reply), in);
    } else {
      const std::uint64_t first = run.first;
      c.open.insert(first, std::move(run));
    }
  }
  if (stopped.empty()) return;
  if (c.stops.empty() || c.stops.back().reason != reason) c.stops.push_back({reason, {}});
  seq_ranges& list = c.stops.back().calls;
  list.insert(list.end(), stopped.begin(), stopped.end());
  touch(at, c);
}

}  // namespace weir::proto
