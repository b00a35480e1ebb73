// What a callee sends: windows, elements of streams, replies.
#include "proto/rpc/callee.hpp"
#include "proto/rpc/reply_batches.hpp"

#include <algorithm>
#include <utility>

namespace weir::proto {
namespace {
/// Runs of a few answers are joined to one: it travels, is kept and is dealt with as one.
constexpr std::size_t join_bytes = 4096;

bool joinable(const reply_run& a, const reply_run& b) {
  return a.last() + 1 == b.first && a.code == b.code && a.received_us == b.received_us &&
         a.details.empty() && b.details.empty() && b.results.bytes() <= join_bytes;
}

/// The runs [from, to), which follow each other.
reply_run join(const std::vector<reply_run>& runs, std::size_t from, std::size_t to,
               pack_builder& builder) {
  reply_run all;
  all.first = runs[from].first;
  all.code = runs[from].code;
  all.received_us = runs[from].received_us;
  std::uint64_t queued = 0;
  std::uint64_t service = 0;
  for (std::size_t i = from; i < to; ++i) {
    const reply_run& run = runs[i];
    for (std::uint32_t k = 0; k < run.results.size(); ++k) builder.add(run.results[k]);
    queued += std::uint64_t{run.queued_us} * run.results.size();
    service += std::uint64_t{run.service_us} * run.results.size();
  }
  all.results = builder.take();
  all.queued_us = static_cast<std::uint32_t>(queued / all.results.size());
  all.service_us = static_cast<std::uint32_t>(service / all.results.size());
  return all;
}

/// Sorts, and joins those that follow each other.
void join_all(std::vector<reply_run>& runs) {
  if (runs.size() < 2) return;
  const auto before = [](const reply_run& a, const reply_run& b) { return a.first < b.first; };
  if (!std::is_sorted(runs.begin(), runs.end(), before))
    std::sort(runs.begin(), runs.end(), before);
  pack_builder builder;
  std::size_t done = 0;
  for (std::size_t i = 0; i < runs.size();) {
    std::size_t past = i + 1;
    if (runs[i].results.bytes() <= join_bytes)
      while (past < runs.size() && joinable(runs[past - 1], runs[past])) ++past;
    if (past == i + 1) {
      if (done != i) runs[done] = std::move(runs[i]);
    } else {
      runs[done] = join(runs, i, past, builder);
    }
    ++done;
    i = past;
  }
  runs.resize(done);
}
}  // namespace

// Streams

void callee::stream::made(const pack& elements) {
  produced += elements.size();
  if (window_bytes == 0) return;
  for (std::uint32_t i = 0; i < elements.size(); ++i) lengths.push_back(elements.length(i));
}

/// The caller has these, and those before them.
void callee::stream::taken(std::uint64_t up_to) {
  for (; got < up_to; ++got) {
    if (lengths.empty()) continue;
    if (got < sent) flying_bytes -= lengths.front();
    got_bytes += lengths.front();
    lengths.pop_front();
  }
  sent = std::max(sent, got);
}

std::uint64_t callee::stream::sendable() {
  const std::uint64_t last = std::min(until, produced);
  if (window_bytes == 0) return last;
  std::uint64_t n = sent;
  while (n < last && flying_bytes < window_bytes) flying_bytes += lengths[n++ - got];
  return n;
}

void callee::drop_elements(caller_state& c, stream& s, std::uint64_t up_to) {
  while (!s.kept.empty() && s.kept.front().first <= up_to) {
    part_run& oldest = s.kept.front();
    c.element_bytes -= oldest.elements.bytes();
    if (oldest.last() <= up_to) {
      s.kept.pop_front();
      continue;
    }
    const auto n = static_cast<std::uint32_t>(up_to + 1 - oldest.first);
    oldest.elements = oldest.elements.slice(n, oldest.elements.size() - n);
    oldest.first = up_to + 1;
    c.element_bytes += oldest.elements.bytes();
  }
}

/// What was sent and not credited is only needed if the connection breaks.
void callee::trim_elements(caller_state& c) {
  for (auto it = c.streams.begin();
       it != c.streams.end() && c.element_bytes > limits_.kept_elements_bytes;) {
    stream& s = it->second;
    drop_elements(c, s, s.sent);
    if (!s.answered) {
      ++it;
      continue;
    }
    // Nor is its answer, which would come without them.
    c.kept.extract({it->first, it->first},
                   [&](std::uint64_t, kept_run&& run) { c.kept_cost -= run.cost(); });
    it = c.streams.erase(it);
  }
}

std::int64_t callee::part(const call_key& key, pack elements) {
  caller_state* c = find(key.from);
  if (!c || !is_open(key)) return not_wanted;
  const auto it = c->streams.find(key.call);
  if (it == c->streams.end()) return not_wanted;
  stream& s = it->second;
  if (s.end || s.closed) return not_wanted;
  if (s.window_bytes == 0 && c->stalled) {
    c->unread.elements += elements.bytes();
    if (c->unread.all() > limits_.stalled_bytes) {
      break_stream(key.from, *c, key.call, s);
      c->streams.erase(it);
      return not_wanted;
    }
  }
  if (!elements.empty()) {
    if (elements.retained() > 4096 && elements.bytes() < elements.retained() / 8)
      elements = elements.compacted();
    const std::uint64_t first = s.produced + 1;
    s.made(elements);
    c->element_bytes += elements.bytes();
    s.kept.push_back({key.call, first, std::move(elements)});
    if (s.sent < s.until) touch(key.from, *c, key.call, s);
  }
  return static_cast<std::int64_t>(s.until) - static_cast<std::int64_t>(s.produced);
}

void callee::end_stream(session_id from, caller_state& c, std::uint64_t call,
                        reply_run outcome) {
  const auto it = c.streams.find(call);
  if (it == c.streams.end()) return;
  stream& s = it->second;
  if (outcome.details.empty()) outcome.details.emplace_back();
  outcome.details[0].parts = s.produced;
  s.end = std::move(outcome);
  touch(from, c, call, s);
}

/// Elements that the caller lacks are not here any more.
void callee::break_stream(session_id from, caller_state& c, std::uint64_t call, stream& s) {
  c.open.extract({call, call}, [&](std::uint64_t, open_run&& run) {
    open_ -= run.count;
    c.open_bytes -= run.count * run.bytes_each;
  });
  c.kept.extract({call, call},
                 [&](std::uint64_t, kept_run&& run) { c.kept_cost -= run.cost(); });
  drop_elements(c, s, limits::seq);
  reply_run broken;
  broken.first = call;
  broken.code = status::unavailable;
  broken.results = pack::of({});
  broken.details.resize(1);
  broken.details[0].message = "elements of the stream were lost";
  broken.details[0].parts = s.got;
  make_ready(c, std::move(broken));
  s.end.reset();
  touch(from, c);
}

/// A stream whose elements nobody has taken by its deadline: its caller may have said so in a
/// message that was lost, or have forgotten it.
void callee::give_up_streams(time_point now) {
  if (now - streams_seen_ < std::chrono::seconds(1)) return;
  streams_seen_ = now;
  for (auto& [id, c] : callers_)
    for (auto& [call, s] : c.streams) {
      if (!s.end || s.answered || s.deadline > now) continue;
      s.end->code = status::deadline_exceeded;
      s.end->results = pack::of({});
      s.end->details.assign(1, {});
      s.end->details[0].message = "its elements were not taken before the deadline";
      s.end->details[0].parts = s.got;
      drop_elements(c, s, limits::seq);
      s.sent = s.produced;
      s.closed = true;
      touch(id, c, call, s);
    }
}

/// Returns whether the answer comes by this way.
bool callee::repeat_stream(session_id from, caller_state& c, std::uint64_t call) {
  stream& s = c.streams.at(call);
  if (!s.closed) {
    s.sent = std::min(s.sent, s.got);
    s.flying_bytes = 0;
    s.rewound = true;
  }
  if (!s.answered) {
    touch(from, c, call, s);
    return true;
  }
  bool here = false;
  c.kept.for_overlap({call, call}, [&](seq_range, const kept_run& run) {
    s.end = part_of_run(run.answer, call - run.answer.first, 1);
    here = true;
  });
  if (!here) return false;
  c.kept.extract({call, call},
                 [&](std::uint64_t, kept_run&& run) { c.kept_cost -= run.cost(); });
  s.answered = false;
  touch(from, c, call, s);
  return true;
}

std::vector<callee::granted> callee::on_credit(session_id from, const credit& news) {
  std::vector<granted> go_on;
  caller_state* c = find(from);
  if (!c) return go_on;
  for (const auto& e : news.entries) {
    const auto it = c->streams.find(e.call);
    if (it == c->streams.end()) continue;
    stream& s = it->second;
    if (e.got > s.got) c->unread.elements = 0;  // it reads
    s.taken(std::min(e.got, s.produced));
    s.until = std::max(s.until, e.until);
    drop_elements(*c, s, s.got);
    const call_key key{from, e.call};
    if (s.rewound && !s.closed && s.first_kept() > s.got + 1) {
      break_stream(from, *c, e.call, s);
      c->streams.erase(it);
      go_on.push_back({key, e.got, 0, 0, true});
      continue;
    }
    s.rewound = false;
    if (s.answered) {
      if (s.got == s.produced) c->streams.erase(it);
      continue;
    }
    if (s.sent < s.produced || s.end) touch(from, *c, e.call, s);
    // A gateway that has more than it can pass on asks for no more.
    if (s.end || s.behind()) continue;
    go_on.push_back({key, s.got, s.until,
                     s.window_bytes == 0 ? UINT64_MAX : s.got_bytes + s.window_bytes, false});
  }
  return go_on;
}

void callee::send_streams(session_id to, caller_state& c, time_point now, links& net,
                          outbox& out) {
  part_batches any(to, now, net, out);
  part_batches bounded(to, now, net, out, {{}, true});
  std::sort(c.streaming.begin(), c.streaming.end());
  std::vector<std::uint64_t> later;
  for (const auto call : c.streaming) {
    const auto it = c.streams.find(call);
    if (it == c.streams.end()) continue;
    stream& s = it->second;
    s.dirty = false;
    if (s.answered) continue;
    // Otherwise some of them were dropped: CREDIT says whether they are needed.
    const bool here = s.first_kept() <= s.sent + 1;
    const std::uint64_t last = here ? s.sendable() : s.sent;
    if (s.sent < last) {
      auto run =
          std::upper_bound(s.kept.begin(), s.kept.end(), s.sent + 1,
                           [](std::uint64_t n, const part_run& r) { return n < r.first; });
      for (--run; run != s.kept.end() && s.sent < last; ++run) {
        const std::uint64_t from = s.sent + 1;
        s.sent = std::min(last, run->last());
        (s.window_bytes > 0 ? bounded : any)
            .add(part_run{call, from,
                          run->elements.slice(static_cast<std::uint32_t>(from - run->first),
                                              static_cast<std::uint32_t>(s.sent + 1 - from))});
      }
    }
    if (!s.end || s.sent < s.produced) continue;
    make_ready(c, std::move(*s.end));
    s.end.reset();
    s.answered = true;
    if (s.kept.empty()) later.push_back(call);
  }
  any.send();
  bounded.send();
  for (const auto call : later) c.streams.erase(call);
  c.streaming.clear();
  trim_elements(c);
}

// Everything else

void callee::send_window(session_id to, caller_state& c, time_point now, links& net,
                         outbox& out) {
  const std::uint64_t calls = draining_ ? 0 : c.window_calls;
  if (!c.tell) return;
  c.tell = false;
  c.told_calls = calls;
  c.told_bytes = c.window_bytes;
  proto::window w;
  w.items = calls;
  w.bytes = c.window_bytes;
  net.send(to, std::move(w), now, out);
}

void callee::send_replies(session_id to, caller_state& c, time_point now, links& net,
                          outbox& out) {
  reply_batches replies(to, now, net, out);
  for (auto& run : c.again) replies.add(std::move(run));
  c.again.clear();
  join_all(c.ready);
  const bool reachable = net.reachable(to);
  for (auto& run : c.ready) {
    keep(c, run);
    if (reachable) replies.add(std::move(run));
  }
  c.ready.clear();
  replies.send();
}

void callee::flush(time_point now, links& net, outbox& out) {
  give_up_streams(now);
  for (std::size_t i = 0; i < dirty_.size(); ++i) {
    const session_id to = dirty_[i];
    caller_state& c = callers_.at(to);
    c.dirty = false;
    // What it misses while it cannot be reached it will ask for: it has to join again first.
    if (net.reachable(to)) {
      send_window(to, c, now, net, out);
      for (auto& [call, report] : c.reports) net.send(to, std::move(report), now, out);
    }
    c.reports.clear();
    if (!c.streaming.empty()) send_streams(to, c, now, net, out);
    if (!c.ready.empty() || !c.again.empty()) send_replies(to, c, now, net, out);
    if (!c.stalled) c.failure_bytes = 0;
  }
  dirty_.clear();
}

}  // namespace weir::proto
