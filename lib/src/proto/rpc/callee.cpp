#include "proto/rpc/callee.hpp"

#include "proto/rpc/link_numbers.hpp"
#include "proto/rpc/reply_batches.hpp"

#include <algorithm>
#include <utility>

namespace weir::proto {
namespace {
/// Gaps in what one caller has sent. An honest one has a gap for what was lost with a
/// connection, until it has sent it again.
constexpr std::size_t most_gaps = 4096;
/// A caller that exceeds its window by so much is not counting.
constexpr std::uint64_t tolerance = 2;

reply_run failure(std::uint64_t first, std::uint64_t count, status code, std::string why,
                  bool never_started) {
  reply_run run;
  run.first = first;
  run.code = code;
  run.results = pack({}, static_cast<std::uint32_t>(count), 0);
  reply_details details;
  details.message = std::move(why);
  details.never_started = never_started;
  run.details.assign(count, details);
  return run;
}

std::size_t text_bytes(const reply_run& run) {
  std::size_t all = 0;
  for (const auto& d : run.details)
    all += d.message.size() + d.type.size() + d.data.size() + d.trace.size();
  return all;
}

/// A failure, or failures, as a code alone.
bool is_bare(const reply_run& run) {
  return run.code != status::ok && run.details.empty() && run.results.bytes() == 0;
}

/// One small answer must not keep the memory of the thousands that came with it.
bool wasteful(const pack& payloads) {
  return payloads.retained() > 4096 && payloads.bytes() < payloads.retained() / 8;
}
}  // namespace

callee::kept_run callee::kept_run::slice(std::uint64_t offset, std::uint64_t n) const {
  return {part_of_run(answer, offset, n)};
}

void callee::kept_run::settle() {
  if (wasteful(answer.results)) answer.results = answer.results.compacted();
}

std::size_t callee::kept_run::cost() const {
  return answer.results.bytes() + text_bytes(answer);
}

seq_ranges callee::seen_numbers::insert(seq_range range) {
  if (!sparse) {
    if (range.last <= dense) return {};
    sparse.emplace();
    if (dense > 0) sparse->insert({1, dense});
  }
  seq_ranges fresh = sparse->insert(range);
  // Closing the gaps means that what was sent in them and never arrived is "lost", not run.
  if (sparse->fragments() > most_gaps) sparse->insert({1, sparse->highest()});
  if (sparse->low() == sparse->highest()) {
    dense = sparse->low();
    sparse.reset();
  }
  return fresh;
}

callee::caller_state* callee::find(session_id id) {
  const auto it = callers_.find(id);
  return it == callers_.end() ? nullptr : &it->second;
}

void callee::touch(session_id id, caller_state& c) {
  if (c.dirty) return;
  c.dirty = true;
  dirty_.push_back(id);
}

void callee::touch(session_id id, caller_state& c, std::uint64_t call, stream& s) {
  if (!s.dirty) {
    s.dirty = true;
    c.streaming.push_back(call);
  }
  touch(id, c);
}

// Who is there

void callee::joined(session_id who) {
  const auto [it, fresh] = callers_.try_emplace(who);
  caller_state& c = it->second;
  if (fresh) {
    c.window_calls = limits_.window_calls;
    c.window_bytes = limits_.window_bytes;
    if (const auto before = gone_.find(who); before != gone_.end()) {
      c.seen = std::move(before->second);
      gone_.erase(before);
      std::erase(gone_order_, who);
    }
  }
  c.tell = true;
  touch(who, c);
}

void callee::stalled(session_id who, bool is) {
  caller_state* c = find(who);
  if (!c || c->stalled == is) return;
  c->stalled = is;
  c->unread = {};
  c->failure_bytes = 0;
  if (is) return;
  const seq_set asked = std::exchange(c->later, {});
  for (const seq_range& range : asked.all()) repeat(who, *c, range);
}

std::vector<call_key> callee::lost(session_id who) {
  std::vector<call_key> stops;
  const auto it = callers_.find(who);
  if (it == callers_.end()) return stops;
  caller_state& c = it->second;
  stops.reserve(c.open.size());
  for (const auto& [first, run] : c.open.runs())
    for (std::uint64_t i = 0; i < run.count; ++i) stops.push_back({who, first + i});
  open_ -= c.open.size();
  if (c.seen.highest() > 0) {
    gone_.insert_or_assign(who, std::move(c.seen));
    gone_order_.push_back(who);
    if (gone_order_.size() > remembered) {
      gone_.erase(gone_order_.front());
      gone_order_.pop_front();
    }
  }
  std::erase(dirty_, who);
  callers_.erase(it);
  return stops;
}

void callee::window(session_id who, std::uint64_t calls, std::uint64_t bytes,
                    std::uint64_t streams) {
  caller_state* c = find(who);
  if (!c) return;
  c->window_calls = std::min(calls + streams, limits_.window_calls);
  c->window_bytes = std::min(bytes, limits_.window_bytes);
  // A little more or less is not worth a message.
  const auto differs = [](std::uint64_t wanted, std::uint64_t told) {
    return wanted > told ? wanted - told > told / 4 : told - wanted > told / 2;
  };
  if (draining_ || c->tell) return;
  // Streams may wait for their readers for ever: what they take of a window says nothing about
  // the room that others have.
  const auto beside = [streams](std::uint64_t all) { return all - std::min(all, streams); };
  if (!differs(beside(c->window_calls), beside(c->told_calls)) &&
      !differs(c->window_bytes, c->told_bytes))
    return;
  c->tell = true;
  touch(who, *c);
}

void callee::drain() {
  if (draining_) return;
  draining_ = true;
  for (auto& [id, c] : callers_) {
    c.tell = true;
    touch(id, c);
  }
}

// Calls

std::vector<callee::taken> callee::on_calls(session_id from, call_batch&& calls, time_point now,
                                            std::vector<call_key>* unwanted) {
  std::vector<taken> fresh;
  caller_state* c = find(from);
  if (!c) return fresh;
  if (misdirected(calls.low, c->seen.highest(), beginning_of(from, self_))) return fresh;
  settle_up_to(from, *c, calls.low, unwanted);
  fresh.reserve(calls.runs.size());
  for (auto& run : calls.runs) {
    if (run.first == 0 || run.arguments.empty()) continue;
    const seq_range whole{run.first, run.last()};
    if (c->seen.is_next(run.first)) {  // as nearly always
      c->seen.insert_next(whole.last);
      take(from, *c, std::move(run), now, fresh);
      continue;
    }
    std::uint64_t next = whole.first;  // nothing below is left to be looked at
    for (const auto& part : c->seen.insert(whole)) {
      if (part.first > next) repeat(from, *c, {next, part.first - 1});
      next = part.last + 1;
      take(from, *c,
           {part.first, run.method, run.ttl_ms,
            run.arguments.slice(static_cast<std::uint32_t>(part.first - whole.first),
                                static_cast<std::uint32_t>(part.size())),
            run.options},
           now, fresh);
    }
    if (next <= whole.last) repeat(from, *c, {next, whole.last});
  }
  return fresh;
}

void callee::take(session_id from, caller_state& c, call_run run, time_point now,
                  std::vector<taken>& fresh) {
  const std::uint64_t n = run.arguments.size();
  const std::uint64_t each = run.arguments.bytes() / n;
  if (c.open.size() + n > tolerance * limits_.window_calls ||
      c.open_bytes > tolerance * limits_.window_bytes)
    return refuse(from, c, run);
  const bool no_reply = run.options && run.options->no_reply;
  const bool streams = !no_reply && run.options && run.options->stream_window > 0;
  c.open.insert(run.first, {n, each, no_reply, streams});
  c.open_bytes += n * each;
  open_ += n;
  const time_point deadline = now + std::chrono::milliseconds(run.ttl_ms);
  if (streams)
    for (std::uint64_t i = 0; i < n; ++i) {
      stream& s = c.streams[run.first + i];
      s.until = run.options->stream_window;
      s.window_bytes = run.options->stream_bytes;
      s.deadline = deadline;
    }
  fresh.push_back({from, std::move(run), deadline});
}

void callee::refuse(session_id from, caller_state& c, const call_run& run) {
  if (run.options && run.options->no_reply) return;
  make_ready(c, failure(run.first, run.arguments.size(), status::resource_exhausted,
                        "more calls than the window allows", true));
  touch(from, c);
}

/// The caller has every outcome up to there.
void callee::settle_up_to(session_id from, caller_state& c, std::uint64_t low,
                          std::vector<call_key>* unwanted) {
  if (low <= c.low) return;
  if (unwanted && !c.open.empty() && c.open.runs().begin()->first <= low)
    c.open.for_overlap({c.low + 1, low}, [&](seq_range part, const open_run& run) {
      for (std::uint64_t n = part.first; n <= part.last && !run.no_reply; ++n)
        unwanted->push_back({from, n});
    });
  c.low = low;
  c.unread.settle_up_to(low);
  if (low > c.seen.highest() || c.seen.sparse) (void)c.seen.insert({1, low});
  if (!c.kept.empty() && c.kept.runs().begin()->first <= low)
    c.kept.extract({1, low}, [&](std::uint64_t, kept_run&& run) { c.kept_cost -= run.cost(); });
  while (!c.streams.empty() && c.streams.begin()->first <= low) {
    drop_elements(c, c.streams.begin()->second, limits::seq);
    c.streams.erase(c.streams.begin());
  }
}

/// The caller asks again, after a reconnect, for what it has sent before.
void callee::repeat(session_id from, caller_state& c, seq_range range) {
  if (range.last <= c.low) return;  // not an honest one
  range.first = std::max(range.first, c.low + 1);
  seq_set known;
  for (auto s = c.streams.lower_bound(range.first);
       s != c.streams.end() && s->first <= range.last; ++s)
    if (repeat_stream(from, c, s->first)) known.insert({s->first, s->first});
  c.open.for_overlap(range, [&](seq_range part, const open_run&) { known.insert(part); });
  for (const auto* runs : {&c.ready, &c.again})
    for (const auto& run : *runs) {
      const seq_range part{std::max(range.first, run.first), std::min(range.last, run.last())};
      if (part.first <= part.last) known.insert(part);
    }
  for (const auto& rest : known.missing(range)) {
    c.kept.for_overlap(rest, [&](seq_range part, const kept_run& run) {
      known.insert(part);
      reply_run once_more = part_of_run(run.answer, part.first - run.answer.first, part.size());
      shorten(c, once_more);
      if (overflows(c, part.last, once_more.results.bytes()))
        c.later.insert(part);
      else
        c.again.push_back(std::move(once_more));
    });
    for (const auto& gone : known.missing(rest))
      make_ready(c, failure(gone.first, gone.size(), status::unavailable, "the reply was lost",
                            false));
  }
  touch(from, c);
}

std::vector<call_key> callee::on_cancel(session_id from, const cancel_calls& which) {
  std::vector<call_key> stops;
  caller_state* c = find(from);
  if (!c) return stops;
  for (const auto& range : which.calls) {
    c->open.for_overlap(range, [&](seq_range part, const open_run&) {
      for (std::uint64_t n = part.first; n <= part.last; ++n) stops.push_back({from, n});
    });
    // No more elements, not even those that are here already: the answer need not wait.
    for (auto s = c->streams.lower_bound(range.first);
         s != c->streams.end() && s->first <= range.last; ++s) {
      if (s->second.answered) continue;
      drop_elements(*c, s->second, limits::seq);
      s->second.sent = s->second.produced;
      s->second.closed = true;
      if (s->second.end) touch(from, *c, s->first, s->second);
    }
  }
  return stops;
}

// Answers

void callee::reply(session_id to, reply_run outcomes) {
  caller_state* c = find(to);
  if (!c || outcomes.results.empty()) return;
  const seq_range whole{outcomes.first, outcomes.last()};
  bool any = false;
  c->open.extract(whole, [&](std::uint64_t first, open_run&& run) {
    open_ -= run.count;
    c->open_bytes -= run.count * run.bytes_each;
    if (run.no_reply || first + run.count - 1 <= c->low) return;
    any = true;
    if (run.streams) {
      for (std::uint64_t i = 0; i < run.count; ++i)
        end_stream(to, *c, first + i, part_of_run(outcomes, first + i - whole.first, 1));
    } else if (run.count == whole.size()) {
      make_ready(*c, std::move(outcomes));
    } else {
      make_ready(*c, part_of_run(outcomes, first - whole.first, run.count));
    }
  });
  if (any) touch(to, *c);
}

void callee::unread_bytes::add(std::uint64_t last, std::size_t bytes) {
  results[last] += bytes;
  all_results += bytes;
}

void callee::unread_bytes::settle_up_to(std::uint64_t low) {
  while (!results.empty() && results.begin()->first <= low) {
    all_results -= results.begin()->second;
    results.erase(results.begin());
  }
}

/// Whether these bytes, of results up to this one, are more than may wait for it.
bool callee::overflows(caller_state& c, std::uint64_t last, std::size_t bytes) const {
  if (!c.stalled || bytes == 0) return false;
  if (c.unread.all() + bytes > limits_.stalled_bytes) return true;
  c.unread.add(last, bytes);
  return false;
}

/// That calls fail costs their caller nothing, and `low` may say that it has read all of it.
void callee::shorten(caller_state& c, reply_run& outcomes) const {
  if (outcomes.results.bytes() > 0 || outcomes.details.empty()) return;
  c.failure_bytes += text_bytes(outcomes) + outcomes.details.size() * sizeof(reply_details);
  if (c.failure_bytes <= limits_.failure_bytes) return;
  bool streams = false;
  for (reply_details& d : outcomes.details) {
    streams = streams || d.parts > 0;
    d = {.parts = d.parts};
  }
  if (!streams) outcomes.details.clear();
}

void callee::make_ready(caller_state& c, reply_run outcomes) {
  const std::uint64_t n = outcomes.results.size();
  if (overflows(c, outcomes.last(), outcomes.results.bytes()))
    outcomes = failure(outcomes.first, n, status::unavailable,
                       "the reply was lost: it came faster than its caller takes it", false);
  shorten(c, outcomes);
  // One by one, thousands of these would come to a lot after all.
  if (!c.ready.empty() && is_bare(outcomes) && is_bare(c.ready.back()) &&
      c.ready.back().code == outcomes.code && c.ready.back().last() + 1 == outcomes.first) {
    pack& all = c.ready.back().results;
    all = pack({}, static_cast<std::uint32_t>(all.size() + n), 0);
    return;
  }
  c.ready.push_back(std::move(outcomes));
}

void callee::progress(const call_key& key, std::uint64_t done, std::uint64_t total,
                      std::string text) {
  if (!is_open(key)) return;
  caller_state& c = callers_.at(key.from);
  c.reports.insert_or_assign(key.call, call_progress{key.call, done, total, std::move(text)});
  touch(key.from, c);
}

void callee::keep(caller_state& c, const reply_run& answer) {
  kept_run run{answer};
  run.settle();
  c.kept_cost += run.cost();
  c.kept.insert(answer.first, std::move(run));
  while (c.kept_cost > limits_.kept_bytes || c.kept.size() > limits_.kept_replies) {
    const std::uint64_t over =
        c.kept.size() > limits_.kept_replies ? c.kept.size() - limits_.kept_replies : 1;
    const auto [first, oldest] = c.kept.pop_front(std::max<std::uint64_t>(over, 64));
    c.kept_cost -= std::min(c.kept_cost, oldest.cost());
  }
}

// How it stands

std::uint64_t callee::open_of(session_id who) const {
  const auto it = callers_.find(who);
  return it == callers_.end() ? 0 : it->second.open.size();
}

bool callee::busy() const {
  if (open_ > 0 || !dirty_.empty()) return true;
  for (const auto& [id, c] : callers_)
    for (const auto& [call, s] : c.streams)
      if (!s.answered) return true;
  return false;
}

std::uint64_t callee::seen_of(session_id who) const {
  const auto it = callers_.find(who);
  return it == callers_.end() ? 0 : it->second.seen.highest();
}

bool callee::is_open(const call_key& key) const {
  const auto it = callers_.find(key.from);
  if (it == callers_.end()) return false;
  bool found = false;
  it->second.open.for_overlap({key.call, key.call},
                              [&](seq_range, const open_run&) { found = true; });
  return found;
}

std::size_t callee::kept_bytes() const {
  std::size_t all = 0;
  for (const auto& [id, c] : callers_) all += c.kept_cost + c.element_bytes;
  return all;
}

std::vector<session_id> callee::callers() const {
  std::vector<session_id> all;
  all.reserve(callers_.size());
  for (const auto& [id, c] : callers_) all.push_back(id);
  return all;
}

}  // namespace weir::proto
