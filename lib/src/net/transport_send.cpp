// What the transport sends: at once, or when there is room, or not at all.
#include "net/transport.hpp"

#include <algorithm>
#include <cerrno>
#include <utility>

namespace weir::net {
namespace {

/// What is kept for a peer whose pipe is full before the connection is given up for dead.
constexpr std::size_t most_waiting_bytes = 64 * 1024 * 1024;

/// Roughly what a message costs while it waits: many small ones are mostly bookkeeping.
std::size_t cost(const proto::frames& f) { return 256 + f.header.size() + f.body.size(); }

zmq::message_t header_frame(const std::shared_ptr<unsent>& counter, const std::string& header,
                            bool always) {
  if (header.size() <= unsent::small && !always) return {header.data(), header.size()};
  return unsent::frame(counter, proto::blob::from(header), always);
}

bool is_bounded(const proto::message& m) {
  const auto* elements = std::get_if<proto::part_batch>(&m);
  return elements && elements->bounded;
}

}  // namespace

void transport::send(proto::peer_id to, const proto::message& m) {
  const auto it = peers_.find(to);
  if (it == peers_.end()) return;
  peer& p = it->second;
  if (p.gone || (!p.via->bound && !p.via->up)) return;  // says HELLO again when it is back
  outgoing f{proto::encode(m), is_bounded(m), std::holds_alternative<proto::bye>(m)};
  const sent result = p.waiting.empty() ? try_send(p, f) : sent::full;
  if (result == sent::gone) return lose(to);
  if (result == sent::full) {
    if (p.waiting.empty()) ++waiting_peers_;
    p.waiting_bytes += cost(f.f);
    p.waiting.push_back(std::move(f));
    if (p.waiting_bytes > most_waiting_bytes) return lose(to);
  }
  if (p.stalled || p.owed() <= stall_bytes) return;
  p.stalled = true;
  stalled_.push_back(to);
  pending_.push_back({event::kind::stalled, to, {}});
}

transport::sent transport::try_send(peer& to, const outgoing& what) {
  const proto::frames& f = what.f;
  const auto& counter = what.bounded ? to.uncounted : to.in_pipe;
  to.via->check = true;
  const auto part = [&](zmq::message_t message, bool more) {
    const int flags = ZMQ_DONTWAIT | (more ? ZMQ_SNDMORE : 0);
    for (;;) {
      if (zmq_msg_send(message.handle(), to.via->zmq.handle(), flags) >= 0) return 0;
      if (zmq_errno() != EINTR) return zmq_errno();
    }
  };
  const auto verdict = [](int failure) { return failure == EAGAIN ? sent::full : sent::gone; };
  if (to.via->bound)
    if (const int failure = part({to.routing_id.data(), to.routing_id.size()}, true))
      return verdict(failure);
  const bool has_body = f.body.size() > 0;
  // After the first part the rest of a message is always taken.
  if (const int failure = part(header_frame(counter, f.header, what.last), has_body))
    return verdict(failure);
  if (has_body)
    if (const int failure = part(unsent::frame(counter, f.body), false))
      return verdict(failure);
  return sent::yes;
}

void transport::flush_waiting() {
  if (waiting_peers_ == 0) return;
  std::vector<proto::peer_id> gone;
  for (auto& [id, p] : peers_) {
    while (!p.waiting.empty()) {
      const sent result = try_send(p, p.waiting.front());
      if (result == sent::full) break;
      if (result == sent::gone) {
        gone.push_back(id);
        break;
      }
      p.waiting_bytes -= cost(p.waiting.front().f);
      p.waiting.pop_front();
      if (p.waiting.empty()) --waiting_peers_;
    }
  }
  for (const auto id : gone) lose(id);
}

/// Those that were stalled and have been read by now, or nearly.
void transport::look_for_flow() {
  std::erase_if(stalled_, [this](proto::peer_id id) {
    const auto it = peers_.find(id);
    if (it == peers_.end() || !it->second.stalled) return true;
    peer& p = it->second;
    p.in_pipe->await(stall_bytes / 2);
    if (p.owed() > stall_bytes / 2) return false;
    p.in_pipe->await_nothing();
    p.stalled = false;
    pending_.push_back({event::kind::flowing, id, {}});
    return true;
  });
}

/// The connection is gone: what is said next to this peer is said anew.
void transport::drop_waiting(peer& p) {
  if (!p.waiting.empty()) --waiting_peers_;
  p.waiting.clear();
  p.waiting_bytes = 0;
  if (std::exchange(p.stalled, false)) p.in_pipe->await_nothing();
}

void transport::lose(proto::peer_id id) {
  peer& p = peers_.at(id);
  drop_waiting(p);
  if (!p.via->bound) {
    pending_.push_back({event::kind::down, id, {}});
  } else if (!std::exchange(p.gone, true)) {
    p.via->check = true;
    gone_.push_back(id);
  }
}

}  // namespace weir::net
