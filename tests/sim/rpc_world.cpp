#include "sim/rpc_world.hpp"

#include "sim/rpc_roles.hpp"

#include <algorithm>

namespace weir::sim {
using namespace std::chrono_literals;

rpc_world::rpc_world(const rpc_scenario& s, bool verbose)
    : surroundings(s.seed, {s.heartbeat, s.fault_free(), s.delays, s.long_delays, s.sends_wait},
                   verbose),
      plan_(s),
      books_(plan_),
      gateways_(s.gateways),
      workers_(s.workers),
      incarnations_(s.workers + s.gateways) {}

rpc_world::~rpc_world() = default;

void rpc_world::start_worker(std::uint32_t slot) {
  auto fresh = std::make_unique<rpc_worker_node>(*this, slot, incarnations_[slot]++);
  workers_[slot] = fresh.get();
  trace(fresh->name(), [] { return "starts"; });
  nodes_.push_back(std::move(fresh));
}

void rpc_world::start_gateway(std::uint32_t slot) {
  auto fresh =
      std::make_unique<rpc_gateway_node>(*this, slot, incarnations_[plan_.workers + slot]++);
  gateways_[slot] = fresh.get();
  trace(fresh->name(), [] { return "starts"; });
  nodes_.push_back(std::move(fresh));
}

void rpc_world::left(node& n) {
  // Only workers leave; another takes the place of one that has.
  progress();
  at(now() + chance().between(1ms, 1s),
     [this, slot = dynamic_cast<rpc_worker_node&>(n).slot()] { start_worker(slot); });
}

void rpc_world::killed(node& n) {
  progress();
  if (auto* c = dynamic_cast<rpc_client_node*>(&n)) return books_.abandoned(c->index());
  const auto later = now() + chance().between(1ms, 2s);
  if (auto* g = dynamic_cast<rpc_gateway_node*>(&n))
    at(later, [this, slot = g->slot()] { start_gateway(slot); });
  else
    at(later, [this, slot = dynamic_cast<rpc_worker_node&>(n).slot()] { start_worker(slot); });
}

void rpc_world::begin_troubles() {
  const auto often = [this] { return chance().between(50ms, 3s); };
  const auto one_of = [this](const auto& all) {
    auto* n = all[chance().between(0, all.size() - 1)];
    return n->runs() ? n : nullptr;
  };
  if (plan_.cuts) trouble(often(), [this] { (void)net().cut_one(); });
  if (plan_.worker_kills)
    trouble(often(), [this, one_of] {
      if (auto* w = one_of(workers_)) w->kill();
    });
  if (plan_.gateway_kills)
    trouble(often(), [this, one_of] {
      if (auto* g = one_of(gateways_)) g->kill();
    });
  if (plan_.drains)
    trouble(often(), [this, one_of] {
      if (auto* w = one_of(workers_)) w->terminate();
    });
  if (plan_.pauses)
    trouble(often(), [this] {
      std::vector<node*> alive;
      for (const auto& n : nodes_)
        if (n->runs()) alive.push_back(n.get());
      if (alive.empty()) return;
      alive[chance().between(0, alive.size() - 1)]->pause_until(
          now() + chance().between(1ms, 15 * plan_.heartbeat));
    });
  if (plan_.client_kills)
    at(now() + chance().between(1ms, plan_.trouble), [this] { clients_.back()->kill(); });
}

bool rpc_world::over() const {
  const auto idle = [](const auto* n) { return !n->runs() || n->idle(); };
  return std::all_of(clients_.begin(), clients_.end(),
                     [](const auto* c) { return !c->runs() || c->finished(); }) &&
         std::all_of(workers_.begin(), workers_.end(), idle) &&
         std::all_of(gateways_.begin(), gateways_.end(), idle);
}

std::string rpc_world::stuck() const {
  std::string all = "R8 nothing goes on any more:";
  for (const auto& n : nodes_)
    if (n->runs()) all += "\n    " + n->standing();
  return all;
}

rpc_world::result rpc_world::run() {
  // Any start order.
  std::vector<int> order(plan_.workers + plan_.gateways + plan_.clients);
  for (std::size_t i = 0; i < order.size(); ++i) order[i] = static_cast<int>(i);
  for (std::size_t i = order.size(); i > 1; --i)
    std::swap(order[i - 1], order[chance().between(0, i - 1)]);
  const auto gateways = static_cast<int>(plan_.gateways);
  const auto workers = static_cast<int>(plan_.workers);
  clients_.resize(plan_.clients);
  for (const int n : order) {
    if (n < workers) {
      start_worker(static_cast<std::uint32_t>(n));
    } else if (n < workers + gateways) {
      start_gateway(static_cast<std::uint32_t>(n - workers));
    } else {
      const auto index = static_cast<std::uint32_t>(n - workers - gateways);
      auto c = std::make_unique<rpc_client_node>(*this, index);
      clients_[index] = c.get();
      nodes_.push_back(std::move(c));
    }
  }
  begin_troubles();
  at(now() + plan_.trouble, [this] { heal(); });

  // What is started after it was said to be over should show.
  const duration calm_end = 5s;
  const duration patience = plan_.longest_deadline + 45 * plan_.heartbeat + 10s;
  const auto end = now() + 1h;
  while (books_.verdict().empty() &&
         !(healed() && now() - last_progress_ > calm_end && over())) {
    if (!clock_.step(end)) {
      books_.violation("R8 it does not end within an hour");
      break;
    }
    if (!healed() || now() - last_progress_ < patience) continue;
    books_.violation(stuck());
    break;
  }
  if (books_.verdict().empty()) books_.finish();
  return {books_.verdict(), hash_, clock_.events()};
}

}  // namespace weir::sim
