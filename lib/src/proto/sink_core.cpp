#include "proto/sink_core.hpp"

#include <algorithm>
#include <iterator>
#include <utility>

namespace weir::proto {
namespace {
/// Workers remembered per unregistered source, and such sources: enough for a sink that has
/// just restarted under a large cluster, small enough for strangers who make sources up.
constexpr std::size_t most_waiting = limits::peers;
constexpr std::size_t most_unknown_sources = 256;
/// COMMITTED only lets a worker forget: it is sent this late, or for this many tasks, so that
/// it does not compete with the ACK for the processors just when the next task could be sent.
constexpr duration note_delay = std::chrono::milliseconds(20);
constexpr std::uint64_t note_tasks = 2048;

result_run part_of(const result_run& run, seq_range range) {
  if (range.first == run.first && range.last == run.last()) return run;
  const auto offset = range.first - run.first;
  const auto n = range.size();
  result_run part{range.first, run.attempt, run.code, {}, {}};
  part.payloads =
      run.payloads.slice(static_cast<std::uint32_t>(offset), static_cast<std::uint32_t>(n));
  if (!run.details.empty()) {
    const auto from = run.details.begin() + static_cast<std::ptrdiff_t>(offset);
    part.details.assign(from, from + static_cast<std::ptrdiff_t>(n));
  }
  return part;
}
}  // namespace

sink_core::registration sink_core::add(const register_source& r, session_id owner) {
  auto it = sources_.find(r.source);
  if (it == sources_.end()) {
    if (full()) return registration::too_many;
    it = sources_.try_emplace(r.source).first;
  }
  source& s = it->second;
  if (r.epoch < s.epoch) return registration::fenced;
  s.epoch = r.epoch;
  s.owner = owner;
  const auto mark = [&](seq_range range) {
    for (const auto& fresh : s.done.insert(range)) s.done_count += fresh.size();
  };
  if (r.low > 0) mark({1, r.low});
  for (const auto& range : r.done) mark(range);
  return registration::accepted;
}

std::vector<message> sink_core::what_is_done(const source_id& id) const {
  const source& s = sources_.at(id);
  std::vector<message> messages;
  const seq_ranges above = s.done.above_low();
  for (std::size_t i = 0; i == 0 || i < above.size(); i += limits::ranges) {
    const auto end = std::min(above.size(), i + limits::ranges);
    seq_ranges portion(above.begin() + static_cast<std::ptrdiff_t>(i),
                       above.begin() + static_cast<std::ptrdiff_t>(end));
    if (i == 0)
      messages.emplace_back(registered{id, s.epoch, s.done.low(), std::move(portion)});
    else
      messages.emplace_back(ack{id, s.epoch, s.done.low(), std::move(portion)});
  }
  return messages;
}

std::vector<session_id> sink_core::take_waiting(const source_id& id) {
  std::vector<session_id> who(waiting_for_others_.begin(), waiting_for_others_.end());
  const auto it = waiting_.find(id);
  if (it == waiting_.end()) return who;
  for (const auto worker : it->second)
    if (!waiting_for_others_.contains(worker)) who.push_back(worker);
  waiting_.erase(it);
  return who;
}

void sink_core::forget_worker(session_id who) {
  waiting_for_others_.erase(who);
  for (auto it = waiting_.begin(); it != waiting_.end();) {
    std::erase(it->second, who);
    it = it->second.empty() ? waiting_.erase(it) : std::next(it);
  }
}

void sink_core::note(session_id to, const source_id& id, seq_range range) {
  append_range(to_note_[{to, id}], range);
  noted_tasks_ += range.size();
}

void sink_core::on_results(session_id from, result_batch batch, outbox& out) {
  const auto it = sources_.find(batch.source);
  if (it == sources_.end()) {
    for (const auto& run : batch.runs) counts_.unregistered += run.payloads.size();
    if (!waiting_.contains(batch.source) && waiting_.size() >= most_unknown_sources) {
      waiting_for_others_.insert(from);
      return;
    }
    auto& who = waiting_[batch.source];
    if (who.size() < most_waiting && std::find(who.begin(), who.end(), from) == who.end())
      who.push_back(from);
    return;
  }
  source& s = it->second;
  for (auto& run : batch.runs) {
    const seq_range whole{run.first, run.last()};
    std::uint64_t fresh_count = 0;
    seq_ranges fresh;
    for (const auto& undone : s.done.missing(whole)) {
      seq_set in_commit;
      s.staged.for_overlap(undone, [&](seq_range part, const staged_run& first) {
        in_commit.insert(part);
        if (first.from == from) return;  // is told anyway
        const std::pair<session_id, seq_range> again{from, part};
        if (std::find(s.second_senders.begin(), s.second_senders.end(), again) ==
            s.second_senders.end())
          s.second_senders.push_back(again);
      });
      for (const auto& part : in_commit.missing(undone)) {
        fresh.push_back(part);
        fresh_count += part.size();
      }
    }
    counts_.duplicates += whole.size() - fresh_count;
    if (fresh_count != whole.size()) {
      // Done already: whoever sent it again may forget it.
      seq_set undone;
      for (const auto& part : s.done.missing(whole)) undone.insert(part);
      for (const auto& part : undone.missing(whole)) {
        note(from, batch.source, part);
        s.owes_ack = true;
      }
    }
    for (const auto& part : fresh) {
      result_run piece = part_of(run, part);
      const std::uint64_t bytes = piece.payloads.bytes();
      s.staged.insert(part.first, staged_run{part.size(), bytes, from});
      counts_.staged += part.size();
      counts_.staged_bytes += bytes;
      if (run.code != status::ok) counts_.failed += part.size();
      out.commits.push_back({batch.source, std::move(piece)});
    }
  }
}

void sink_core::on_committed(const source_id& id, seq_range range) {
  const auto it = sources_.find(id);
  if (it == sources_.end()) return;
  source& s = it->second;
  s.staged.extract(range, [&](std::uint64_t first, staged_run&& run) {
    const seq_range part{first, first + run.n - 1};
    counts_.staged -= run.n;
    counts_.staged_bytes -= run.bytes;
    counts_.committed += run.n;
    s.done_count += run.n;
    s.done.insert(part);
    append_range(s.to_ack, part);
    note(run.from, id, part);
  });
  if (s.second_senders.empty()) return;
  std::erase_if(s.second_senders, [&](const auto& sender) {
    if (!s.done.covers(sender.second)) return false;
    note(sender.first, id, sender.second);
    return true;
  });
}

void sink_core::on_finish(const finish& f) {
  const auto it = sources_.find(f.source);
  if (it == sources_.end() || f.epoch != it->second.epoch) return;
  it->second.total = f.total;
  it->second.total_known = true;
  it->second.owes_ack = true;  // even if nothing is new: this one says that we know the total
}

void sink_core::remove(const source_id& id) {
  const auto it = sources_.find(id);
  if (it == sources_.end()) return;
  for (const auto& [first, run] : it->second.staged.runs()) {
    counts_.staged -= run.n;
    counts_.staged_bytes -= run.bytes;
  }
  sources_.erase(it);
}

std::vector<sink_core::reply> sink_core::take_replies(time_point now) {
  std::vector<reply> replies;
  for (auto& [id, s] : sources_) {
    if (s.to_ack.empty() && !s.owes_ack) continue;
    const std::uint64_t low = s.done.low();
    seq_ranges above;
    for (const auto& range : s.to_ack)
      if (range.last > low) above.push_back({std::max(range.first, low + 1), range.last});
    std::sort(above.begin(), above.end(),
              [](const seq_range& a, const seq_range& b) { return a.first < b.first; });
    for (std::size_t i = 0; i == 0 || i < above.size(); i += limits::ranges) {
      const auto end = std::min(above.size(), i + limits::ranges);
      replies.push_back({s.owner, ack{id,
                                      s.epoch,
                                      low,
                                      {above.begin() + static_cast<std::ptrdiff_t>(i),
                                       above.begin() + static_cast<std::ptrdiff_t>(end)}}});
    }
    s.to_ack.clear();
    s.owes_ack = false;
  }
  if (to_note_.empty()) return replies;
  if (note_by_ == time_point::max() && now != time_point::max()) note_by_ = now + note_delay;
  if (now < note_by_ && noted_tasks_ < note_tasks) return replies;
  note_by_ = time_point::max();
  noted_tasks_ = 0;
  for (auto& [whom, noted] : to_note_) {
    seq_set merged;  // ascending and disjoint, as the wire wants it
    for (const auto& range : noted) merged.insert(range);
    const seq_ranges ranges = merged.all();
    for (std::size_t i = 0; i < ranges.size(); i += limits::ranges) {
      const auto end = std::min(ranges.size(), i + limits::ranges);
      replies.push_back(
          {whom.first, committed{whom.second,
                                 {ranges.begin() + static_cast<std::ptrdiff_t>(i),
                                  ranges.begin() + static_cast<std::ptrdiff_t>(end)}}});
    }
  }
  to_note_.clear();
  return replies;
}

bool sink_core::complete(const source_id& id) const {
  const auto it = sources_.find(id);
  return it != sources_.end() && it->second.total_known &&
         it->second.done.low() >= it->second.total;
}

std::vector<sink_core::standing> sink_core::sources() const {
  std::vector<standing> list;
  for (const auto& entry : sources_) list.push_back(standing_of(entry.first));
  return list;
}

sink_core::standing sink_core::standing_of(const source_id& id) const {
  const source& s = sources_.at(id);
  return {id, s.owner, s.done_count, s.done.highest(), s.total, s.total_known};
}

}  // namespace weir::proto
