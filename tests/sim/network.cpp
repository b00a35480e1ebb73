#include "sim/network.hpp"

#include "sim/node.hpp"
#include "sim/surroundings.hpp"

#include <algorithm>

namespace weir::sim {
using namespace std::chrono_literals;

void network::bind(node& n, const std::string& endpoint) { bound_[endpoint] = &n; }

proto::peer_id network::connect(node& n, const std::string& endpoint) {
  lane& l = lanes_.emplace_back();
  l.connector = &n;
  l.at_connector = n.next_peer();
  l.endpoint = endpoint;
  opened_[{&n, l.at_connector}] = &l;
  around_.at(around_.now() + around_.chance().between(0ms, 20ms),
             [this, &l] { try_connect(l); });
  return l.at_connector;
}

void network::try_connect(lane& l) {
  if (l.closed || l.now) return;
  const auto to = bound_.find(l.endpoint);
  // A stopped process does not complete the handshake.
  if (to == bound_.end() || !to->second->runs() || to->second->paused() ||
      l.connector->paused()) {
    around_.at(around_.now() + around_.chance().between(20ms, 100ms),
               [this, &l] { try_connect(l); });
    return;
  }
  auto c = std::make_shared<connection>();
  c->of = &l;
  c->binder = to->second;
  c->at_binder = c->binder->next_peer();
  l.now = c;
  standing_.push_back(c);
  accepted_[{c->binder, c->at_binder}] = c;
  for (auto& m : std::exchange(l.waiting, {})) launch(c, true, std::move(m));
  node* connector = l.connector;
  const auto peer = l.at_connector;
  const auto tell = [connector, peer] {
    if (connector->runs()) connector->told_up(peer);
  };
  if (around_.climate().fault_free || around_.chance().chance(0.7))
    tell();
  else if (around_.chance().chance(0.5))
    around_.at(around_.now() + around_.chance().between(1ms, 3s), tell);
}

void network::send(node& from, proto::peer_id to, proto::message m) {
  if (const auto opened = opened_.find({&from, to}); opened != opened_.end()) {
    lane& l = *opened->second;
    if (l.now) return launch(l.now, true, std::move(m));
    if (around_.climate().sends_wait || around_.climate().fault_free)
      l.waiting.push_back(std::move(m));
    return;
  }
  const auto accepted = accepted_.find({&from, to});
  if (accepted == accepted_.end())
    return around_.violation(from.name() + " sends to a peer that never was");
  connection& c = *accepted->second;
  if (c.alive) return launch(accepted->second, false, std::move(m));
  if (around_.now() < c.noticed || c.down_told) return;
  c.down_told = true;
  from.told_down(to);
}

void network::launch(const std::shared_ptr<connection>& c, bool up, proto::message m) {
  auto f = std::make_shared<flight>();
  f->what = std::move(m);
  (up ? c->to_binder : c->to_connector).push_back(f);
  time_point& last = up ? c->last_to_binder : c->of->last_to_connector;
  last = std::max(last, around_.now() + around_.delay());
  around_.at(last, [this, c, up, f] {
    f->ready = true;
    land(c, up);
  });
}

void network::land(const std::shared_ptr<connection>& c, bool up) {
  flights& list = up ? c->to_binder : c->to_connector;
  while (!list.empty() && (list.front()->ready || list.front()->lost)) {
    const auto f = list.front();
    if (!f->lost && f->not_before > around_.now()) {
      around_.at(f->not_before, [this, c, up] { land(c, up); });
      return;
    }
    list.pop_front();
    node* to = up ? c->binder : c->of->connector;
    if (f->lost || !to->runs()) continue;
    to->deliver(up ? c->at_binder : c->of->at_connector, std::move(f->what));
  }
}

void network::lose(flights& list, bool shift) {
  const auto kept = around_.chance().between(0, list.size());
  const auto later =
      shift && around_.chance().chance(0.3) ? around_.chance().between(1ms, 1s) : 0ms;
  for (std::size_t i = 0; i < list.size(); ++i) {
    list[i]->lost = i >= kept;
    if (later > 0ms) list[i]->not_before = around_.now() + later;
  }
}

void network::cut(connection& c, bool lossless) {
  if (!c.alive) return;
  c.alive = false;
  std::erase_if(standing_, [&](const auto& other) { return other.get() == &c; });
  if (!lossless) {
    lose(c.to_binder, true);
    lose(c.to_connector, false);
  }
  auto& chance = around_.chance();
  c.noticed = around_.now();
  if (!lossless && chance.chance(0.5))
    c.noticed += chance.between(1ms, 3 * around_.climate().heartbeat);
  lane& l = *c.of;
  l.now.reset();
  if (l.connector->runs()) {
    if (lossless || chance.chance(0.5)) l.connector->told_down(l.at_connector);
    const auto wait = chance.chance(0.7) ? chance.between(1ms, 100ms)
                                         : chance.between(1ms, 2 * around_.climate().heartbeat);
    around_.at(around_.now() + wait, [this, &l] { try_connect(l); });
  }
}

void network::die(node& n) {
  for (auto& l : lanes_)
    if (l.connector == &n) l.closed = true;
  const auto all = standing_;
  for (const auto& c : all)
    if (c->binder == &n || c->of->connector == &n) cut(*c, false);
}

void network::leave(node& n) {
  for (auto& l : lanes_)
    if (l.connector == &n) l.closed = true;
  const auto all = standing_;
  for (const auto& c : all)
    if (c->binder == &n || c->of->connector == &n) cut(*c, true);
}

void network::close(node& n, proto::peer_id peer) {
  const auto opened = opened_.find({&n, peer});
  if (opened == opened_.end()) return;
  lane& l = *opened->second;
  l.closed = true;
  if (l.now) cut(*l.now, true);
}

bool network::cut_one() {
  if (standing_.empty()) return false;
  const auto c = standing_[around_.chance().between(0, standing_.size() - 1)];
  around_.trace("net", [&] {
    return "cut " + c->of->connector->name() + " -> " + c->of->endpoint + ", under way " +
           std::to_string(c->to_binder.size()) + " and " +
           std::to_string(c->to_connector.size());
  });
  cut(*c, false);
  return true;
}

}  // namespace weir::sim
