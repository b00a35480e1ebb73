#include "proto/worker_state.hpp"

#include "proto/limits.hpp"
#include "proto/wire.hpp"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <utility>

namespace weir::proto {
namespace {
/// The window is this much work: long enough to hide a round trip and an ACK, short enough that
/// a task never waits long behind others while another worker is idle.
constexpr duration window_span = std::chrono::milliseconds(100);
/// What is handed to the slots at a time. Beyond it tasks stay here, where they can be given
/// back.
constexpr duration start_span = std::chrono::milliseconds(5);
/// The window grows by at most this factor per measurement: one quick task says little.
constexpr std::uint64_t growth = 8;

std::string name_of(const introduction& who) {
  std::string name = who.name.empty() ? "?" : who.name;
  if (!who.host.empty()) name += "@" + who.host;
  return name;
}
}  // namespace

worker_state::held_run worker_state::held_run::slice(std::uint64_t offset,
                                                     std::uint64_t n) const {
  held_run part{{outcome.first + offset, outcome.attempt, outcome.code, {}, {}},
                task_bytes,
                to_ventilator};
  part.outcome.payloads =
      outcome.payloads.slice(static_cast<std::uint32_t>(offset), static_cast<std::uint32_t>(n));
  if (!outcome.details.empty()) {
    const auto from = outcome.details.begin() + static_cast<std::ptrdiff_t>(offset);
    part.outcome.details.assign(from, from + static_cast<std::ptrdiff_t>(n));
  }
  return part;
}

worker_state::worker_state(links::options who, options opts, time_point now)
    : options_(std::move(opts)), links_(std::move(who), now) {
  links_.self().slots = options_.slots;
}

void worker_state::sink_opened(const std::string& endpoint, peer_id peer, time_point now,
                               outbox& out) {
  sink_links_[endpoint] = peer;
  links_.open(peer, now, out);
}

void worker_state::want_sink(const std::string& endpoint, outbox& out) {
  if (endpoint.empty() || endpoint == any_sink) return;
  if (sink_links_.try_emplace(endpoint).second) out.connects.push_back(endpoint);
}

std::string worker_state::destination(const source& s) const {
  if (!options_.results_to.empty()) return options_.results_to;
  const auto owner = ventilators_.find(s.owner);
  return owner == ventilators_.end() ? s.last_destination : owner->second.info.results_to;
}

std::optional<session_id> worker_state::receiver(const source& s, bool to_ventilator) const {
  const std::string endpoint = destination(s);
  if (to_ventilator || endpoint.empty()) return s.owner;
  if (endpoint == any_sink) {
    const auto sinks = links_.with_role(role::sink);
    if (sinks.empty()) return std::nullopt;
    return sinks.front();
  }
  const auto link = sink_links_.find(endpoint);
  if (link == sink_links_.end() || !link->second) return std::nullopt;
  return links_.on(*link->second);
}

bool worker_state::lacks_sink() const {
  if (!options_.results_to.empty()) return links_.with_role(role::sink).empty();
  for (const auto& [id, v] : ventilators_)
    if (!v.info.results_to.empty()) return links_.with_role(role::sink).empty();
  return false;
}

void worker_state::on_message(peer_id peer, message m, time_point now, outbox& out) {
  std::vector<links::event> events;
  const auto from = links_.receive(peer, m, now, out, events);
  on_events(events, now, out);
  if (!from) return;
  if (auto* t = std::get_if<task_batch>(&m)) {
    on_tasks(*from, std::move(*t), now, out);
  } else if (auto* c = std::get_if<committed>(&m)) {
    on_committed(*c);
  } else if (auto* stop = std::get_if<cancel>(&m)) {
    on_cancel(*from, *stop, now, out);
  } else if (auto* r = std::get_if<resend>(&m)) {
    deliver_all(*from, r->source, now, out);
  } else if (auto* b = std::get_if<bye>(&m)) {
    on_bye(*from, *b, now, out);
  }
}

void worker_state::on_events(std::vector<links::event>& events, time_point now, outbox& out) {
  for (const auto& e : events) {
    if (e.what == links::change::joined)
      on_joined(e, now, out);
    else
      on_left(e, out);
  }
  events.clear();
}

void worker_state::on_joined(const links::event& e, time_point now, outbox& out) {
  if (e.info.role == role::sink) {
    out.info("sink " + name_of(e.info) + " joined");
    deliver_all(e.who, std::nullopt, now, out);
    return;
  }
  const auto [it, fresh] = ventilators_.try_emplace(e.who);
  it->second.info = e.info;
  it->second.resynced = false;
  ever_joined_ = true;
  missing_.erase(e.who);
  if (fresh) out.info("ventilator " + name_of(e.info) + " joined");
  for (auto& [id, s] : sources_)
    if (s.owner == e.who) s.last_destination = e.info.results_to;
  if (options_.results_to.empty()) want_sink(e.info.results_to, out);
  deliver_all(e.who, std::nullopt, now, out);
  resync(e.who, now, out);
}

void worker_state::on_left(const links::event& e, outbox& out) {
  if (e.what == links::change::refused) {
    fatal_ = "refused by the other end: " + e.text;
    return;
  }
  const bool for_good = e.what == links::change::restarted;
  const std::string how = e.what == links::change::expired  ? "has been silent for too long"
                          : e.what == links::change::broken ? "closed its connection"
                                                            : "has restarted";
  out.warn(std::string(to_string(e.info.role)) + " " + name_of(e.info) + " " + how +
           (for_good ? "" : ": waiting for it"));
  if (e.info.role != role::ventilator) return;
  // It may only be cut off or stopped for a while: what it gave us is kept, and compared when
  // it comes back. A new incarnation knows nothing of it.
  ventilators_.erase(e.who);
  if (for_good) {
    missing_.erase(e.who);
    abandon(e.who, out);
  } else {
    missing_.insert(e.who);
  }
}

void worker_state::resync(session_id to, time_point now, outbox& out) {
  ventilator& v = ventilators_.at(to);
  window w;
  w.resync = true;
  v.sent_items = w.items = draining_ ? 0 : desired() + held_;
  v.sent_bytes = w.bytes = options_.max_bytes + held_task_bytes_;
  for (const auto& [id, s] : sources_) {
    if (s.owner != to) continue;
    seq_set mine;
    for (const auto& run : queue_)
      if (run.source == id) mine.insert(run.range());
    for (const auto& range : s.running.ranges()) mine.insert(range);
    // Failures have just been reported, and are the ventilator's to send again.
    for (const auto& [first, run] : s.holding.runs())
      if (!run.to_ventilator) mine.insert({first, first + run.size() - 1});
    if (!mine.empty()) w.holding.push_back({id, mine.all()});
  }
  v.resynced = true;
  links_.send(to, std::move(w), now, out);
}

void worker_state::on_tasks(session_id from, task_batch batch, time_point now, outbox& out) {
  source& s = sources_[batch.source];
  s.owner = from;
  const auto owner = ventilators_.find(from);
  if (owner == ventilators_.end()) return;
  s.last_destination = owner->second.info.results_to;
  seq_ranges refused;
  for (auto& run : batch.runs) {
    const seq_range range{run.first, run.last()};
    // A repetition of what is in hand already, from before a broken connection.
    seq_set mine;
    s.running.for_overlap(range, [&](seq_range part) { mine.insert(part); });
    s.holding.for_overlap(range, [&](seq_range part) { mine.insert(part); });
    if (range.first <= s.highest)
      for (const auto& queued : queue_)
        if (queued.source == batch.source) mine.insert(queued.range());
    counts_.received += run.payloads.size();
    s.highest = std::max(s.highest, range.last);
    for (const auto& fresh : mine.missing(range)) {
      if (draining_) {
        append_range(refused, fresh);
        continue;
      }
      queued_ += fresh.size();
      queue_.push_back({batch.source, fresh.first, run.attempt,
                        run.payloads.slice(static_cast<std::uint32_t>(fresh.first - run.first),
                                           static_cast<std::uint32_t>(fresh.size())),
                        run.time_limit_ms});
    }
  }
  if (!refused.empty()) release_to_owner(batch.source, std::move(refused), now, out);
}

void worker_state::unqueue(const source_id& id, seq_range range,
                           std::vector<queued_run>& taken) {
  std::deque<queued_run> kept;
  for (auto& run : queue_) {
    const seq_range whole = run.range();
    if (run.source != id || whole.last < range.first || whole.first > range.last) {
      kept.push_back(std::move(run));
      continue;
    }
    const auto part = [&](seq_range want) {
      queued_run cut = run;
      cut.first = want.first;
      cut.payloads = run.payloads.slice(static_cast<std::uint32_t>(want.first - whole.first),
                                        static_cast<std::uint32_t>(want.size()));
      return cut;
    };
    const seq_range middle{std::max(whole.first, range.first),
                           std::min(whole.last, range.last)};
    if (whole.first < middle.first) kept.push_back(part({whole.first, middle.first - 1}));
    taken.push_back(part(middle));
    queued_ -= middle.size();
    if (whole.last > middle.last) kept.push_back(part({middle.last + 1, whole.last}));
  }
  queue_ = std::move(kept);
}

void worker_state::on_cancel(session_id from, const cancel& c, time_point now, outbox& out) {
  const auto it = sources_.find(c.source);
  if (it == sources_.end() || it->second.owner != from) return;
  std::vector<queued_run> taken;
  for (const auto& range : c.ranges) {
    unqueue(c.source, range, taken);
    if (c.mode == cancel_mode::give_back) continue;
    it->second.running.for_overlap(range, [&](seq_range part) {
      it->second.unwanted.insert(part);
      out.stops.push_back({c.source, part});
    });
  }
  if (c.mode == cancel_mode::stop) return;
  seq_ranges back;
  for (const auto& run : taken) append_range(back, run.range());
  if (!back.empty()) release_to_owner(c.source, std::move(back), now, out);
}

void worker_state::release_to_owner(const source_id& id, seq_ranges ranges, time_point now,
                                    outbox& out) {
  for (const auto& range : ranges) counts_.released += range.size();
  for (std::size_t i = 0; i < ranges.size(); i += limits::ranges) {
    const auto end = std::min(ranges.size(), i + limits::ranges);
    links_.send(sources_.at(id).owner,
                release{id,
                        {ranges.begin() + static_cast<std::ptrdiff_t>(i),
                         ranges.begin() + static_cast<std::ptrdiff_t>(end)}},
                now, out);
  }
}

void worker_state::on_committed(const committed& c) {
  const auto it = sources_.find(c.source);
  if (it == sources_.end()) return;
  for (const auto& range : c.ranges)
    it->second.holding.extract(range, [&](std::uint64_t, held_run&& run) {
      held_ -= run.size();
      held_bytes_ -= run.outcome.payloads.bytes();
      held_task_bytes_ -= run.task_bytes * run.size();
    });
}

void worker_state::on_bye(session_id from, const bye& b, time_point now, outbox& out) {
  if (const introduction* who = links_.info(from))
    out.info(std::string(to_string(who->role)) + " " + name_of(*who) +
             (b.reason == bye_reason::finished ? " is finished" : " left"));
  if (ventilators_.contains(from)) {
    abandon(from, out);
    ventilators_.erase(from);
  }
  links_.drop(from, now, out);
}

void worker_state::abandon(session_id owner, outbox& out) {
  for (auto it = sources_.begin(); it != sources_.end();) {
    source& s = it->second;
    if (s.owner != owner) {
      ++it;
      continue;
    }
    std::vector<queued_run> taken;
    unqueue(it->first, {1, limits::seq}, taken);
    s.holding.extract({1, limits::seq}, [&](std::uint64_t, held_run&& run) {
      held_ -= run.size();
      held_bytes_ -= run.outcome.payloads.bytes();
      held_task_bytes_ -= run.task_bytes * run.size();
    });
    for (const auto& range : s.running.ranges()) {
      s.unwanted.insert(range);
      out.stops.push_back({it->first, range});
    }
    s.abandoned = true;
    // What still runs is waited for; its source goes with the last of it, in on_finished().
    it = s.running.empty() ? sources_.erase(it) : std::next(it);
  }
}

void worker_state::on_finished(finished_tasks done, time_point now, outbox& out) {
  const auto it = sources_.find(done.source);
  if (it == sources_.end()) return;
  source& s = it->second;
  std::uint64_t bytes = 0;
  std::uint64_t count = 0;
  s.running.extract({done.first, done.last}, [&](std::uint64_t, running_run&& run) {
    bytes += run.payloads.bytes();
    count += run.size();
  });
  running_ -= count;
  if (count == 0) return;
  measure(done.busy, count);
  for (auto& run : done.runs) {
    if (s.unwanted.empty()) {
      hold(done.source, s, std::move(run), bytes / count, now, out);
      continue;
    }
    for (const auto& wanted : s.unwanted.missing({run.first, run.last()})) {
      held_run whole{run, 0, false};
      hold(done.source, s, whole.slice(wanted.first - run.first, wanted.size()).outcome,
           bytes / count, now, out);
    }
  }
  seq_ranges back;
  for (const auto& range : done.released)
    for (const auto& wanted : s.unwanted.missing(range)) append_range(back, wanted);
  if (!back.empty()) release_to_owner(done.source, std::move(back), now, out);
  if (s.running.empty()) {
    s.unwanted = {};
    if (s.abandoned) sources_.erase(it);
  }
}

void worker_state::hold(const source_id& id, source& s, result_run run,
                        std::uint64_t task_bytes, time_point now, outbox& out) {
  const bool failed = run.code != status::ok;
  if (failed && at_once_) {
    // Stopped because we are leaving at once: not the task's fault, so not an attempt.
    release_to_owner(id, {{run.first, run.last()}}, now, out);
    return;
  }
  (failed ? counts_.failed : counts_.done) += run.payloads.size();
  held_ += run.payloads.size();
  held_bytes_ += run.payloads.bytes();
  held_task_bytes_ += task_bytes * run.payloads.size();
  deliver(id, s, run, failed, now, out);
  const std::uint64_t first = run.first;
  s.holding.insert(first, held_run{std::move(run), task_bytes, failed});
}

void worker_state::deliver(const source_id& id, const source& s, const result_run& run,
                           bool to_ventilator, time_point now, outbox& out) {
  const auto to = receiver(s, to_ventilator);
  if (!to) return;
  if (fitting_results(run) == run.payloads.size()) {
    links_.send(*to, result_batch{id, {run}}, now, out);
    return;
  }
  held_run rest{run, 0, to_ventilator};
  while (rest.size() > 0) {
    const auto n = fitting_results(rest.outcome);
    links_.send(*to, result_batch{id, {rest.slice(0, n).outcome}}, now, out);
    rest = rest.slice(n, rest.size() - n);
  }
}

void worker_state::deliver_all(session_id to, std::optional<source_id> only, time_point now,
                               outbox& out) {
  for (const auto& [id, s] : sources_) {
    if (only && *only != id) continue;
    for (const auto& [first, run] : s.holding.runs())
      if (receiver(s, run.to_ventilator) == to)
        deliver(id, s, run.outcome, run.to_ventilator, now, out);
  }
}

void worker_state::on_progress(progress p, time_point now, outbox& out) {
  const auto it = sources_.find(p.source);
  if (it != sources_.end()) links_.send(it->second.owner, std::move(p), now, out);
}

void worker_state::measure(duration busy, std::uint64_t tasks) {
  const double sample =
      std::max(std::chrono::duration<double>(busy).count(), 1e-9) / static_cast<double>(tasks);
  task_seconds_ = task_seconds_ == 0 ? sample : 0.75 * task_seconds_ + 0.25 * sample;
}

std::uint64_t worker_state::paced(duration span) const {
  if (task_seconds_ == 0) return options_.slots;
  const double tasks =
      std::chrono::duration<double>(span).count() / task_seconds_ * options_.slots;
  return static_cast<std::uint64_t>(std::clamp(tasks, static_cast<double>(options_.slots),
                                               static_cast<double>(options_.max_window)));
}

std::uint64_t worker_state::desired() const {
  if (held_bytes_ >= options_.max_held_bytes) return 0;
  const std::uint64_t sharers = std::max<std::size_t>(ventilators_.size(), 1);
  return std::max<std::uint64_t>(paced(window_span) / sharers, 1);
}

void worker_state::start(outbox& out) {
  if (draining_) return;
  const std::uint64_t target = paced(start_span);
  while (!queue_.empty() && running_ < target) {
    queued_run& head = queue_.front();
    const std::uint64_t n = std::min<std::uint64_t>(head.payloads.size(), target - running_);
    pack payloads = head.payloads.slice(0, static_cast<std::uint32_t>(n));
    out.starts.push_back({head.source, head.first, head.attempt, payloads, head.time_limit_ms});
    sources_.at(head.source)
        .running.insert(head.first, running_run{std::move(payloads), head.attempt});
    running_ += n;
    queued_ -= n;
    if (n == head.payloads.size()) {
      queue_.pop_front();
    } else {
      head.payloads = head.payloads.slice(static_cast<std::uint32_t>(n),
                                          head.payloads.size() - static_cast<std::uint32_t>(n));
      head.first += n;
    }
  }
}

void worker_state::announce(time_point now, outbox& out) {
  for (auto& [id, v] : ventilators_) {
    if (!v.resynced) continue;
    std::uint64_t items = 0;
    if (!draining_) {
      // No faster than `growth` times what was asked for before.
      const std::uint64_t before = v.sent_items > held_ ? v.sent_items - held_ : options_.slots;
      items =
          std::min(desired(), std::max<std::uint64_t>(before, options_.slots) * growth) + held_;
    }
    const std::uint64_t bytes = options_.max_bytes + held_task_bytes_;
    const bool more =
        items > v.sent_items + v.sent_items / 4 || bytes > v.sent_bytes + v.sent_bytes / 4;
    const bool fewer = items < v.sent_items / 2 || (items == 0 && v.sent_items != 0);
    if (!more && !fewer) continue;
    v.sent_items = items;
    v.sent_bytes = bytes;
    links_.send(id, window{items, bytes, false, {}}, now, out);
  }
}

void worker_state::drain() { draining_ = true; }

void worker_state::drain_at_once(outbox& out) {
  draining_ = at_once_ = true;
  for (const auto& [id, s] : sources_)
    for (const auto& range : s.running.ranges()) out.stops.push_back({id, range});
}

void worker_state::tick(time_point now, outbox& out) {
  if (!options_.results_to.empty()) want_sink(options_.results_to, out);
  std::vector<links::event> events;
  links_.tick(now, out, events);
  on_events(events, now, out);
  if (draining_ && !queue_.empty()) {
    std::map<source_id, seq_ranges> back;
    for (const auto& run : queue_) append_range(back[run.source], run.range());
    queue_.clear();
    queued_ = 0;
    for (auto& [id, ranges] : back) release_to_owner(id, std::move(ranges), now, out);
  }
  start(out);
  announce(now, out);
}

time_point worker_state::next_deadline() const { return links_.next_deadline(); }

bool worker_state::done() const {
  if (queued_ + running_ + held_ != 0) return false;
  if (draining_) return true;
  return !options_.serve && ever_joined_ && ventilators_.empty() && missing_.empty();
}

void worker_state::say_bye(time_point now, outbox& out) {
  for (const role r : {role::ventilator, role::sink})
    for (const auto id : links_.with_role(r))
      links_.send(id, bye{bye_reason::leaving}, now, out);
}

worker_state::counts worker_state::stats() const {
  counts c = counts_;
  c.queued = queued_;
  c.running = running_;
  c.held = held_;
  c.held_bytes = held_bytes_;
  c.ventilators = ventilators_.size();
  for (const auto& [id, v] : ventilators_) c.window = std::max(c.window, v.sent_items);
  return c;
}

}  // namespace weir::proto
