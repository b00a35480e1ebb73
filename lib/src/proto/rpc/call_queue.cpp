#include "proto/rpc/call_queue.hpp"

#include "proto/limits.hpp"

#include <algorithm>
#include <limits>
#include <utility>

namespace weir::proto {

call_queue::waiting call_queue::waiting::slice(std::uint64_t offset, std::uint64_t n) const {
  return {
      from,
      {calls.first + offset, calls.method, calls.ttl_ms,
       calls.arguments.slice(static_cast<std::uint32_t>(offset), static_cast<std::uint32_t>(n)),
       calls.options},
      deadline,
      arrived};
}

void call_queue::waiting::settle() {
  // What waits long must not keep the memory of the thousands that came with it.
  if (calls.arguments.retained() > 4096 &&
      calls.arguments.bytes() < calls.arguments.retained() / 8)
    calls.arguments = calls.arguments.compacted();
}

call_queue::call_queue(const std::vector<std::uint32_t>& at_a_time)
    : methods_(at_a_time.size()) {
  for (std::size_t i = 0; i < at_a_time.size(); ++i)
    methods_[i].at_a_time =
        at_a_time[i] == 0 ? std::numeric_limits<std::uint64_t>::max() : at_a_time[i];
}

/// Brings a method's entry in heads_ up to date.
void call_queue::list(std::uint32_t method) {
  method_state& m = methods_[method];
  std::optional<head> first;
  if (m.queued > 0 && m.room() > 0) {
    const auto& [r, runs] = *m.levels.begin();
    first = head{r, runs.runs().begin()->first, method};
  }
  if (first == m.listed) return;
  if (m.listed) heads_.erase(*m.listed);
  if (first) heads_.insert(*first);
  m.listed = first;
}

void call_queue::push(std::uint32_t method, waiting calls) {
  method_state& m = methods_[method];
  const auto& options = calls.calls.options;
  const std::uint8_t priority = options ? options->priority : call_options::default_priority;
  const auto r = static_cast<rank>(limits::priority - std::min(priority, limits::priority));
  const std::uint64_t n = calls.size();
  soonest_ = empty() ? calls.deadline : std::min(soonest_, calls.deadline);
  m.queued += n;
  size_ += n;
  m.levels[r].insert(std::exchange(next_ticket_, next_ticket_ + n), std::move(calls));
  list(method);
}

std::optional<call_queue::taken> call_queue::pop(std::uint64_t most) {
  if (heads_.empty() || most == 0) return std::nullopt;
  const auto [r, ticket, method] = *heads_.begin();
  method_state& m = methods_[method];
  const auto level = m.levels.find(r);
  taken next{method, level->second.pop_front(std::min(most, m.room())).second};
  if (level->second.empty()) m.levels.erase(level);
  const std::uint64_t n = next.calls.size();
  m.queued -= n;
  m.running += n;
  size_ -= n;
  list(method);
  return next;
}

void call_queue::finished(std::uint32_t method, std::uint64_t calls) {
  methods_[method].running -= calls;
  list(method);
}

std::uint64_t call_queue::may_pass(std::uint32_t method) const {
  // Others may wait for their method only: they do not mind.
  return heads_.empty() && methods_[method].queued == 0 ? methods_[method].room() : 0;
}

/// Removes the calls of each run that `wanted(run)` names.
template <class Wanted>
std::vector<call_queue::taken> call_queue::take_out(Wanted&& wanted) {
  std::vector<taken> out;
  if (size_ == 0) return out;
  for (std::uint32_t method = 0; method < methods_.size(); ++method) {
    method_state& m = methods_[method];
    if (m.queued == 0) continue;
    for (auto level = m.levels.begin(); level != m.levels.end();) {
      std::vector<seq_range> tickets;
      for (const auto& [ticket, run] : level->second.runs())
        if (const std::optional<seq_range> part = wanted(run))
          tickets.push_back({ticket + (part->first - run.calls.first),
                             ticket + (part->last - run.calls.first)});
      for (const auto& range : tickets)
        level->second.extract(range, [&](std::uint64_t, waiting&& run) {
          m.queued -= run.size();
          size_ -= run.size();
          out.push_back({method, std::move(run)});
        });
      level = level->second.empty() ? m.levels.erase(level) : std::next(level);
    }
    list(method);
  }
  return out;
}

std::vector<call_queue::taken> call_queue::remove(session_id from, seq_range range) {
  return take_out([&](const waiting& run) -> std::optional<seq_range> {
    if (run.from != from) return std::nullopt;
    const seq_range part{std::max(range.first, run.calls.first),
                         std::min(range.last, run.calls.last())};
    if (part.first > part.last) return std::nullopt;
    return part;
  });
}

std::vector<call_queue::taken> call_queue::expire(time_point now) {
  if (empty() || now < soonest_) return {};
  soonest_ = time_point::max();
  return take_out([&](const waiting& run) -> std::optional<seq_range> {
    if (run.deadline > now) {
      soonest_ = std::min(soonest_, run.deadline);
      return std::nullopt;
    }
    return seq_range{run.calls.first, run.calls.last()};
  });
}

}  // namespace weir::proto
