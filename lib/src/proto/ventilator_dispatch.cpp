// Which worker gets which of the ventilator's tasks, suspects and last chances included.
#include "proto/limits.hpp"
#include "proto/ventilator_state.hpp"

#include <algorithm>
#include <tuple>
#include <utility>

namespace weir::proto {
namespace {

/// Tasks in one message at most: enough to make the message's cost vanish, few enough that
/// several workers can be served from one moment's queue.
constexpr std::uint64_t batch_items = 4096;
/// Below this many payload bytes, runs from different packs share a message (and are copied
/// together); above it, a run travels alone and is not copied.
constexpr std::size_t gather_bytes = 8 * 1024;
/// A worker that has been idle this long is reason to ask the others for what they have not
/// begun. Also how often one worker is asked.
constexpr duration recall_interval = std::chrono::milliseconds(50);
/// How long the oldest task waits to have a worker for itself.
constexpr duration alone_patience = std::chrono::seconds(5);

}  // namespace

std::uint32_t ventilator_state::time_limit_ms() const {
  const auto limit =
      std::chrono::duration_cast<std::chrono::milliseconds>(options_.task_timeout).count();
  return static_cast<std::uint32_t>(std::min<std::int64_t>(limit, UINT32_MAX));
}

std::pair<session_id, ventilator_state::worker*> ventilator_state::least_loaded(
    std::uint64_t next_bytes, bool for_suspect, session_id avoid) {
  std::pair<session_id, worker*> best{};
  bool best_avoided = true;
  double best_load = 0;
  for (auto& [id, w] : workers_) {
    if (!w.has_room(next_bytes) || (for_suspect && w.suspects > 0)) continue;
    const double load = static_cast<double>(w.items) / static_cast<double>(w.window_items);
    const bool avoided = id == avoid;
    if (best.second &&
        (avoided > best_avoided || (avoided == best_avoided && load >= best_load)))
      continue;
    best = {id, &w};
    best_load = load;
    best_avoided = avoided;
  }
  return best;
}

std::pair<session_id, ventilator_state::worker*> ventilator_state::taker_of_oldest() {
  std::pair<session_id, worker*> best{};
  for (auto& [id, w] : workers_) {
    if (!w.usable()) continue;
    if (best.second && std::pair(w.set_aside, w.items) >=
                           std::pair(best.second->set_aside, best.second->items))
      continue;
    best = {id, &w};
  }
  return best;
}

void ventilator_state::lease(std::uint64_t first, queued_run task, session_id to, worker& w,
                             bool alone, task_batch& batch) {
  ++task.attempts;
  task.last_worker = to;
  counts_.dispatched += task.size();
  if (task.attempts > 1) counts_.redelivered += task.size();
  w.items += task.size();
  w.bytes += task.bytes();
  if (task.suspect) w.suspects += task.size();
  w.alone = alone;
  if (alone) w.set_aside = true;
  const bool as_command = w.info.takes_commands && !task.commands.empty();
  batch.runs.push_back({first, task.attempts, as_command ? task.commands : task.payloads,
                        time_limit_ms(), as_command});
  leased_.insert(first, leased_run{std::move(task), to});
}

bool ventilator_state::keeps_one_free() {
  if (leased_.empty() || leased_.runs().begin()->first != acked_low_ + 1) return false;
  const leased_run& head = leased_.runs().begin()->second;
  if (!head.task.suspect || head.task.failures + 1 < options_.max_attempts) return false;
  const auto holder = workers_.find(head.worker);
  if (holder == workers_.end() || holder->second.alone) return false;
  for (auto& [id, w] : workers_) {
    if (!w.usable() || w.items > 0) continue;
    w.set_aside = true;
    w.set_aside_since = last_tick_;
    return true;
  }
  return false;
}

void ventilator_state::dispatch_last_chances(time_point now, outbox& out) {
  // The oldest task has its last chance, and not alone: see below. If the worker dies of it, an
  // empty one has to be there, and not to fill up meanwhile with results that wait for it.
  if (keeps_one_free()) return;
  while (!last_chances_.empty()) {
    const session_id avoid = last_chances_.runs().begin()->second.last_worker;
    std::pair<session_id, worker*> best{};
    bool somebody_set_aside = false;
    for (auto& [id, w] : workers_) {
      if (!w.usable()) continue;
      somebody_set_aside |= w.set_aside;
      if (w.set_aside && w.items > 0) continue;  // not yet, or it has another one
      const bool better = !best.second || w.items < best.second->items ||
                          (w.items == best.second->items && best.first == avoid);
      if (better) best = {id, &w};
    }
    if (!best.second) break;
    if (best.second->items > 0) {
      // One worker is kept from getting more until it is empty.
      if (!somebody_set_aside) {
        best.second->set_aside = true;
        best.second->set_aside_since = now;
      }
      break;
    }
    auto [first, task] = last_chances_.pop_front(1);
    task_batch batch{options_.source, {}};
    lease(first, std::move(task), best.first, *best.second, true, batch);
    links_.send(best.first, std::move(batch), now, out);
  }
  if (!last_chances_.empty() && oldest(last_chances_)) {
    // Results that wait for this very task may be all that the worker has left. Then it has to
    // do without being alone; if it is guilty, the worker's successor will be empty.
    for (auto& [id, w] : workers_) {
      if (!w.usable() || !w.set_aside || now - w.set_aside_since < alone_patience) continue;
      auto [first, task] = last_chances_.pop_front(1);
      task_batch batch{options_.source, {}};
      lease(first, std::move(task), id, w, false, batch);
      links_.send(id, std::move(batch), now, out);
      return;
    }
  }
  if (!last_chances_.empty()) return;
  // Whoever was to have the next one is not needed for that any more.
  for (auto& [id, w] : workers_)
    if (w.set_aside && w.suspects == 0) w.set_aside = false;
}

void ventilator_state::dispatch_suspects(time_point now, outbox& out) {
  while (!suspects_.empty()) {
    const queued_run& head = suspects_.runs().begin()->second;
    auto [to, w] = least_loaded(head.first_bytes(), true, head.last_worker);
    if (!w && oldest(suspects_)) std::tie(to, w) = taker_of_oldest();
    if (!w) return;
    auto [first, task] = suspects_.pop_front(1);
    task_batch batch{options_.source, {}};
    lease(first, std::move(task), to, *w, false, batch);
    links_.send(to, std::move(batch), now, out);
  }
}

void ventilator_state::dispatch(time_point now, outbox& out) {
  if (!has_sink()) return;
  if (queued_.empty() && suspects_.empty() && last_chances_.empty()) return;
  for (auto& [id, w] : workers_) w.reachable = links_.reachable(id);
  dispatch_last_chances(now, out);
  dispatch_suspects(now, out);
  // What is there is shared among those who can take some; none gets it all for being first.
  // Once for all: shares of what is left would be halves, quarters and so on, a message each.
  std::uint64_t takers = 0;
  for (const auto& [id, each] : workers_) takers += each.has_room(0);
  takers = std::max<std::uint64_t>(takers, 1);
  const std::uint64_t share =
      std::max<std::uint64_t>((queued_.size() + takers - 1) / takers, 1);
  while (!queued_.empty()) {
    const auto& head = queued_.runs().begin()->second;
    auto [to, w] = least_loaded(head.first_bytes(), false, head.last_worker);
    if (!w) {
      if (!oldest(queued_)) return;
      std::tie(to, w) = taker_of_oldest();
      if (!w) return;
      auto [first, task] = queued_.pop_front(1);
      task_batch batch{options_.source, {}};
      lease(first, std::move(task), to, *w, false, batch);
      links_.send(to, std::move(batch), now, out);
      return;
    }
    const std::uint64_t most =
        std::min({w->window_items - w->items, share, std::uint64_t{batch_items}});
    task_batch batch{options_.source, {}};
    std::uint64_t items = 0;
    std::size_t bytes = 0;
    while (items < most && !queued_.empty() && batch.runs.size() < limits::ranges) {
      const queued_run& next = queued_.runs().begin()->second;
      const std::uint64_t in_window =
          w->window_bytes > w->bytes ? w->window_bytes - w->bytes : 0;
      const std::size_t space = std::min<std::size_t>(
          bytes == 0 ? limits::batch_bytes
                     : (bytes < gather_bytes ? gather_bytes * 2 - bytes : 0),
          in_window);
      std::uint64_t n = std::min<std::uint64_t>(next.count_within(space), most - items);
      if (n == 0 && items == 0 && (w->items == 0 || next.first_bytes() <= in_window)) n = 1;
      if (n == 0) break;
      auto [first, task] = queued_.pop_front(n);
      items += n;
      bytes += task.bytes();
      lease(first, std::move(task), to, *w, false, batch);
      if (bytes >= gather_bytes) break;
    }
    if (batch.runs.empty()) return;
    links_.send(to, std::move(batch), now, out);
  }
}

void ventilator_state::recall(time_point now, outbox& out) {
  if (!queued_.empty() || leased_.empty() || workers_.size() < 2) return;
  bool somebody_idle = false;
  session_id victim{};
  std::uint64_t most = 0;
  for (const auto& [id, w] : workers_) {
    if (!w.ready || w.kept_out || w.window_items == 0) continue;
    if (w.items == 0 && now - w.idle_since >= recall_interval) somebody_idle = true;
    const std::uint64_t slots = std::max<std::uint32_t>(w.info.slots, 1);
    if (w.items > slots && now >= w.recall_after && w.items - slots > most) {
      most = w.items - slots;
      victim = id;
    }
  }
  if (!somebody_idle || most == 0) return;
  workers_.at(victim).recall_after = now + recall_interval;
  std::uint64_t wanted = (most + 1) / 2;
  cancel back{options_.source, {}, cancel_mode::give_back};
  // The newest: those it is least likely to have begun.
  for (auto it = leased_.runs().rbegin(); it != leased_.runs().rend() && wanted > 0; ++it) {
    if (it->second.worker != victim) continue;
    const std::uint64_t n = std::min(wanted, it->second.size());
    const std::uint64_t last = it->first + it->second.size() - 1;
    back.ranges.insert(back.ranges.begin(), {last - n + 1, last});
    wanted -= n;
    if (back.ranges.size() == limits::ranges) break;
  }
  links_.send(victim, std::move(back), now, out);
}

time_point ventilator_state::next_deadline() const {
  time_point next = std::min(links_.next_deadline(), next_ready_);
  if (queued_.empty() && !leased_.empty() && workers_.size() > 1) {
    bool idle = false;
    bool busy = false;
    for (const auto& [id, w] : workers_) {
      idle |= w.ready && !w.kept_out && w.items == 0;
      busy |= w.items > std::max<std::uint32_t>(w.info.slots, 1);
    }
    if (idle && busy) next = std::min(next, last_tick_ + recall_interval);
  }
  if (!last_chances_.empty())
    for (const auto& [id, w] : workers_)
      if (w.set_aside && w.set_aside_since + alone_patience > last_tick_)
        next = std::min(next, w.set_aside_since + alone_patience);
  return next;
}

}  // namespace weir::proto
