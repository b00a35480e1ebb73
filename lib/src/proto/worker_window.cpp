// How much a worker asks for, and how much of that its slots are given.
#include "proto/worker_state.hpp"

#include <algorithm>
#include <chrono>
#include <utility>

namespace weir::proto {
namespace {

/// The window is this much work: long enough to hide a round trip and an ACK, short enough that
/// a task never waits long behind others while another worker is idle.
constexpr duration window_span = std::chrono::milliseconds(100);
/// What is handed to the slots at a time. Beyond it tasks stay here, where they can be given
/// back.
constexpr duration start_span = std::chrono::milliseconds(20);
/// The window grows by at most this factor per measurement: one quick task says little.
constexpr std::uint64_t growth = 8;

}  // namespace

void worker_state::measure(duration busy, std::uint64_t result_bytes, std::uint64_t tasks) {
  const double sample =
      std::max(std::chrono::duration<double>(busy).count(), 1e-9) / static_cast<double>(tasks);
  const double bytes = static_cast<double>(result_bytes) / static_cast<double>(tasks);
  result_bytes_ = measurements_ == 0 ? bytes : 0.75 * result_bytes_ + 0.25 * bytes;
  ++measurements_;
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

std::uint64_t worker_state::growing(const ventilator& v) const {
  const std::uint64_t before = std::max<std::uint64_t>(v.wanted, options_.slots);
  return std::min(desired(), v.measurements == measurements_ ? before : before * growth);
}

std::uint64_t worker_state::result_room() const {
  if (held_bytes_ >= options_.max_held_bytes) return 0;
  if (result_bytes_ < 1) return options_.max_window;
  const double left = static_cast<double>(options_.max_held_bytes - held_bytes_);
  return std::max(static_cast<std::uint64_t>(left / result_bytes_), std::uint64_t{1});
}

bool worker_state::start_some(const source_id& id, source& s, std::uint64_t most, outbox& out) {
  for (const auto& [first, run] : s.queued.runs()) {
    // No room for more results. But what we hold may be waiting for just this one, if the sink
    // keeps order.
    if (most == 0 && !s.holding.empty() && first > s.holding.runs().begin()->first)
      return false;
    const seq_range whole{first, first + run.size() - 1};
    // What still runs although it was cancelled, and is wanted again, has to end first.
    seq_set running;
    s.running.for_overlap(whole,
                          [&](seq_range part, const task_piece&) { running.insert(part); });
    const auto ready = running.missing(whole);
    if (ready.empty()) continue;
    const seq_range part{ready.front().first,
                         std::min(ready.front().last,
                                  ready.front().first + std::max<std::uint64_t>(most, 1) - 1)};
    s.queued.extract(part, [&](std::uint64_t from, task_piece&& piece) {
      out.starts.push_back(
          {id, from, piece.attempt, piece.payloads, piece.time_limit_ms, piece.commands});
      running_ += piece.size();
      queued_ -= piece.size();
      s.running.insert(from, std::move(piece));
    });
    return true;
  }
  return false;
}

void worker_state::start(outbox& out) {
  if (draining_) return;
  const std::uint64_t room = result_room();
  const std::uint64_t target =
      std::min(paced(start_span), std::max<std::uint64_t>(room, options_.slots));
  while (running_ < target && queued_ > 0) {
    std::uint64_t waiting = 0;
    for (const auto& [id, s] : sources_) waiting += !s.queued.empty();
    // Shared among the sources, beginning with the one after the last that had its turn.
    bool any = false;
    auto next = sources_.upper_bound(last_started_);
    for (std::size_t i = 0; i < sources_.size() && running_ < target; ++i, ++next) {
      if (next == sources_.end()) next = sources_.begin();
      if (next->second.queued.empty()) continue;
      const std::uint64_t share =
          room == 0 ? 0 : std::max<std::uint64_t>((target - running_) / waiting, 1);
      if (start_some(next->first, next->second, share, out)) {
        any = true;
        last_started_ = next->first;
      }
    }
    if (!any) return;
  }
}

std::uint64_t worker_state::window_items(std::uint64_t wanted, std::uint64_t held) const {
  if (draining_) return 0;
  // Never 0 otherwise: that says that we drain. A sink that keeps order may be waiting for just
  // the task that this lets in.
  return std::max<std::uint64_t>(wanted + held, 1);
}

std::pair<std::uint64_t, std::uint64_t> worker_state::held_for(session_id owner) const {
  std::pair<std::uint64_t, std::uint64_t> held{};
  for (const auto& [id, s] : sources_) {
    if (s.owner != owner) continue;
    held.first += s.held_ok;
    held.second += s.held_task_bytes;
  }
  return held;
}

void worker_state::announce(time_point now, outbox& out) {
  for (auto& [id, v] : ventilators_) {
    if (!v.resynced) continue;
    // What the window leaves for new work. Results that are held take up the rest, and may do
    // so for long if the sink keeps order.
    const auto [held, held_bytes] = held_for(id);
    const std::uint64_t left = v.sent_items > held ? v.sent_items - held : 0;
    const std::uint64_t left_bytes = v.sent_bytes > held_bytes ? v.sent_bytes - held_bytes : 0;
    const std::uint64_t wanted = draining_ ? 0 : growing(v);
    const std::uint64_t items = window_items(wanted, held);
    const std::uint64_t bytes = options_.max_bytes + held_bytes;
    const bool more = left < wanted - wanted / 4 || left_bytes < options_.max_bytes / 4 * 3;
    const bool fewer = items < v.sent_items / 2 || (items == 0 && v.sent_items != 0);
    if (!more && !fewer) continue;
    v.wanted = wanted;
    v.measurements = measurements_;
    v.sent_items = items;
    v.sent_bytes = bytes;
    links_.send(id, window{items, bytes, false, {}}, now, out);
  }
}

}  // namespace weir::proto
