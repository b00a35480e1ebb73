#include "sim/world.hpp"

#include "sim/roles.hpp"

#include <algorithm>

namespace weir::sim {
using namespace std::chrono_literals;

world::world(const scenario& s, bool verbose)
    : surroundings(s.seed, {s.heartbeat, s.fault_free(), s.delays, s.long_delays, s.sends_wait},
                   verbose),
      plan_(s),
      books_(plan_) {}

world::~world() = default;

std::vector<std::string> world::ventilator_endpoints() const {
  std::vector<std::string> all;
  for (std::uint32_t i = 0; i < plan_.ventilators; ++i) all.push_back("v" + std::to_string(i));
  return all;
}

std::vector<std::string> world::worker_endpoints() const {
  std::vector<std::string> all;
  for (std::uint32_t i = 0; i < plan_.workers; ++i) all.push_back("w" + std::to_string(i));
  return all;
}

bool world::last_ventilator_is_known_to(const std::set<std::uint32_t>& met) const {
  return std::all_of(ventilators_.begin(), ventilators_.end(),
                     [&](const auto* v) { return !v->runs() || met.contains(v->index()); });
}

void world::start_worker(std::uint32_t slot) {
  std::uint32_t before = 0;
  for (const auto& n : nodes_)
    if (const auto* w = dynamic_cast<const worker_node*>(n.get())) before += w->slot() == slot;
  auto fresh = std::make_unique<worker_node>(*this, slot, before);
  workers_[slot] = fresh.get();
  trace(fresh->name(), [] { return "starts"; });
  nodes_.push_back(std::move(fresh));
}

void world::start_sink() {
  std::uint32_t before = 0;
  for (const auto& n : nodes_) before += dynamic_cast<const sink_node*>(n.get()) != nullptr;
  auto fresh = std::make_unique<sink_node>(*this, before);
  sink_ = fresh.get();
  trace(fresh->name(), [] { return "starts"; });
  nodes_.push_back(std::move(fresh));
}

void world::left(node& n) {
  progress();
  if (auto* s = dynamic_cast<sink_node*>(&n)) {
    for (const auto* v : ventilators_)
      if (v->runs()) {
        // It may have been gone for so long that the sink no longer waits for its goodbye.
        if (plan_.fault_free()) books_.violation("C7 the sink leaves before " + v->name());
      }
    (void)s;
    return;
  }
  auto* w = dynamic_cast<worker_node*>(&n);
  if (!w) return;
  const bool needed = std::any_of(ventilators_.begin(), ventilators_.end(),
                                  [](const auto* v) { return v->runs(); });
  if (!w->draining() && needed && plan_.fault_free() && !plan_.workers_bind_tasks)
    books_.violation("C7 " + w->name() + " leaves before its ventilators");
  // Somebody must be there to do the work.
  if (needed)
    at(now() + chance().between(1ms, 1s), [this, slot = w->slot()] {
      if (!workers_[slot]->runs()) start_worker(slot);
    });
}

void world::killed(node& n) {
  progress();
  if (auto* v = dynamic_cast<ventilator_node*>(&n)) return books_.abandoned(v->index());
  if (dynamic_cast<sink_node*>(&n)) {
    at(now() + chance().between(1ms, 3s), [this] { start_sink(); });
    return;
  }
  const auto slot = dynamic_cast<worker_node&>(n).slot();
  at(now() + chance().between(1ms, 2s), [this, slot] {
    if (!workers_[slot]->runs()) start_worker(slot);
  });
}

void world::begin_troubles() {
  const auto pick = [this]() -> node* {
    std::vector<node*> alive;
    for (const auto& n : nodes_)
      if (n->runs()) alive.push_back(n.get());
    return alive.empty() ? nullptr : alive[chance().between(0, alive.size() - 1)];
  };
  const auto a_worker = [this]() -> worker_node* {
    auto* w = workers_[chance().between(0, workers_.size() - 1)];
    return w->runs() ? w : nullptr;
  };
  const auto often = [this] { return chance().between(50ms, 3s); };
  if (plan_.cuts) trouble(often(), [this] { (void)net().cut_one(); });
  if (plan_.kills)
    trouble(often(), [a_worker] {
      if (auto* w = a_worker()) w->kill();
    });
  if (plan_.drains)
    trouble(often(), [a_worker] {
      if (auto* w = a_worker()) w->terminate();
    });
  if (plan_.sink_restarts)
    trouble(often() + 500ms, [this] {
      if (sink_->runs()) sink_->kill();
    });
  if (plan_.pauses)
    trouble(often(), [this, pick] {
      if (auto* n = pick()) n->pause_until(now() + chance().between(1ms, 15 * plan_.heartbeat));
    });
  if (plan_.abandons)
    at(now() + chance().between(1ms, plan_.trouble), [this] {
      auto* v = ventilators_.back();
      if (!v->runs()) return;
      if (chance().chance(0.5))
        v->kill();
      else
        v->abandon();
    });
}

bool world::over() const {
  const auto runs = [](const node* n) { return n->runs(); };
  if (std::any_of(ventilators_.begin(), ventilators_.end(), runs)) return false;
  if (sink_ && sink_->runs()) return false;
  return std::none_of(workers_.begin(), workers_.end(), runs);
}

std::string world::stuck() const {
  // Ventilators that went without a word, because they were killed or their last message was
  // cut off, or that are missed by a worker that came too late, are waited for until its
  // --connect-timeout: that is no fault.
  const bool met_end = std::all_of(workers_.begin(), workers_.end(), [](const auto* w) {
    return !w->runs() || w->was_told_all();
  });
  const bool faults = !plan_.fault_free();
  // A ventilator that was away for so long that the sink, with all of its results written, has
  // left without its BYE, never learns that: it waits for its --connect-timeout as well.
  const bool sink_left = sink_ && sink_->now() == node::state::exited && !plan_.fault_free();
  const bool ventilators =
      std::any_of(ventilators_.begin(), ventilators_.end(),
                  [&](const auto* v) { return v->runs() && !(sink_left && v->lacks_sink()); });
  const bool sink = sink_ && sink_->runs() && !sink_->met_nobody() &&
                    !(plan_.abandons && sink_->waits_for_lost());
  if ((faults || met_end) && !ventilators && !sink) return {};
  std::string all = "C7 nothing goes on any more:";
  for (const auto& n : nodes_)
    if (n->runs()) all += "\n    " + n->standing();
  return all;
}

world::result world::run() {
  for (std::uint32_t i = 0; i < plan_.ventilators; ++i) {
    auto v = std::make_unique<ventilator_node>(*this, i);
    ventilators_.push_back(v.get());
    nodes_.push_back(std::move(v));
  }
  workers_.resize(plan_.workers);
  // Any start order.
  const bool sink_first = chance().chance(0.5);
  if (plan_.sink && sink_first) start_sink();
  for (std::uint32_t i = 0; i < plan_.workers; ++i) start_worker(i);
  if (plan_.sink && !sink_first) start_sink();
  begin_troubles();
  at(now() + plan_.trouble, [this] { heal(); });

  const duration patience =
      45 * plan_.heartbeat + plan_.retry_most + 2 * plan_.commit_time + 10s;
  const auto end = now() + 3h;
  while (books_.verdict().empty() && !over()) {
    if (!clock_.step(end)) {
      books_.violation("C7 it does not end within three hours");
      break;
    }
    if (!healed() || now() - last_progress_ < patience) continue;
    if (auto why = stuck(); !why.empty()) books_.violation(std::move(why));
    break;
  }
  if (books_.verdict().empty()) books_.finish();
  return {books_.verdict(), hash_, clock_.events()};
}

}  // namespace weir::sim
