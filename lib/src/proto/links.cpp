#include "proto/links.hpp"

#include "proto/limits.hpp"

#include <weir/version.hpp>

#include <algorithm>
#include <utility>

namespace weir::proto {
namespace {
constexpr duration first_hello_interval = std::chrono::milliseconds(250);
/// A peer is gone after this many heartbeats of silence: DESIGN section 4, and what NATS and
/// the ZeroMQ guide settle on. Fewer would take a loaded machine's scheduling for death.
constexpr int patience = 5;
}  // namespace

links::links(options opts, time_point now)
    : options_(std::move(opts)), shortest_heartbeat_(options_.heartbeat), last_tick_(now) {}

bool links::accepts(role r) const {
  return std::find(options_.accepts.begin(), options_.accepts.end(), r) !=
         options_.accepts.end();
}

bool links::admits(role r) const {
  return accepts(r) &&
         (options_.admits.empty() || std::find(options_.admits.begin(), options_.admits.end(),
                                               r) != options_.admits.end());
}

void links::greet(peer_id peer, connection& c, time_point now, outbox& out) {
  out.send(peer, hello{wire_version, options_.self});
  c.next_hello = now + c.hello_interval;
  c.hello_interval = std::min(c.hello_interval * 2, options_.heartbeat);
}

void links::start_greeting(peer_id peer, connection& c, time_point now, outbox& out) {
  look_at_.reset();
  // The other end takes this HELLO for a repetition, and does not begin again, if it has heard
  // nothing else from us since the last one.
  if (c.joined && !sessions_.at(c.session).spoken) out.send(peer, alive{});
  c.greeting = true;
  c.hello_interval = std::min(first_hello_interval, options_.heartbeat);
  greet(peer, c, now, out);
}

void links::open(peer_id peer, time_point now, outbox& out) {
  look_at_.reset();
  connection& c = connections_[peer];
  c.ours = true;
  start_greeting(peer, c, now, out);
}

void links::up(peer_id peer, time_point now, outbox& out) {
  const auto it = connections_.find(peer);
  if (it == connections_.end() || !it->second.ours) return;
  start_greeting(peer, it->second, now, out);
}

void links::down(peer_id peer, time_point now) {
  look_at_.reset();
  const auto it = connections_.find(peer);
  if (it == connections_.end()) return;
  if (it->second.joined) {
    session& s = sessions_.at(it->second.session);
    if (s.via == peer && s.connected) {
      s.connected = false;
      s.down_since = now;
    }
  }
  it->second.stalled = false;
  // A bound socket never sees this number again; an opened one reconnects under the same.
  if (!it->second.ours) connections_.erase(it);
}

std::optional<session_id> links::stalled(peer_id peer, bool is) {
  const auto it = connections_.find(peer);
  if (it == connections_.end()) return std::nullopt;
  it->second.stalled = is;
  return on(peer);
}

void links::refuse(peer_id peer, wire_error code, std::string text, outbox& out) {
  out.send(peer, error_message{code, std::move(text)});
  const auto it = connections_.find(peer);
  if (it == connections_.end()) out.forgets.push_back(peer);
}

std::optional<session_id> links::receive(peer_id peer, const message& m, time_point now,
                                         outbox& out, std::vector<event>& events) {
  if (const auto* h = std::get_if<hello>(&m)) {
    on_hello(peer, *h, now, out, events);
    return std::nullopt;
  }
  if (const auto* w = std::get_if<welcome>(&m)) {
    on_welcome(peer, *w, now, out, events);
    return std::nullopt;
  }
  if (const auto* e = std::get_if<error_message>(&m)) {
    on_error(peer, *e, now, out, events);
    return std::nullopt;
  }
  const auto it = connections_.find(peer);
  // A second connection on which it has said HELLO and goes on to speak: it has lost the first,
  // and we have not heard of that yet.
  if (it != connections_.end() && !it->second.joined && !it->second.ours)
    if (const auto known = sessions_.find(it->second.session); known != sessions_.end())
      join(peer, introduction(known->second.info), options_.heartbeat, now, out, events);
  if (it == connections_.end() || !it->second.joined) {
    // We may be the ones who forgot: the other end says HELLO again with its old session. One
    // that we opened gets a HELLO from us anyway.
    if (it == connections_.end() || !it->second.ours)
      refuse(peer, wire_error::say_hello, "no session on this connection: say HELLO", out);
    return std::nullopt;
  }
  session& s = sessions_.at(it->second.session);
  s.last_heard = now;
  it->second.spoken = true;
  if (!std::holds_alternative<alive>(m)) return it->second.session;
  // Answered at once if ours is due before long: then both ends wake up once for both.
  if (now - s.last_sent >= s.heartbeat / 2) send(it->second.session, alive{}, now, out);
  return std::nullopt;
}

void links::on_hello(peer_id peer, const hello& h, time_point now, outbox& out,
                     std::vector<event>& events) {
  look_at_.reset();
  if (h.version != wire_version)
    return refuse(peer, wire_error::version,
                  "this node speaks protocol version " + std::to_string(wire_version) +
                      ", you sent " + std::to_string(h.version),
                  out);
  if (!admits(h.self.role))
    return refuse(peer, wire_error::role,
                  "a " + std::string(to_string(options_.self.role)) + " has no use for a " +
                      std::string(to_string(h.self.role)) + " here: check the endpoint",
                  out);
  const auto known = sessions_.find(h.self.session);
  if (known == sessions_.end() && sessions_.size() >= limits::peers)
    return refuse(peer, wire_error::too_many,
                  "this node serves " + std::to_string(limits::peers) + " peers already", out);
  connection& c = connections_[peer];
  // Answered even if it is a repetition: the first WELCOME may be on its way, or lost.
  out.send(peer,
           welcome{wire_version, options_.self,
                   static_cast<std::uint32_t>(
                       std::chrono::duration_cast<std::chrono::milliseconds>(options_.heartbeat)
                           .count())});
  const bool repetition =
      c.joined && c.session == h.self.session && !c.spoken && !sessions_.at(c.session).parted;
  c.spoken = false;
  if (repetition) {
    sessions_.at(c.session).last_heard = now;
    return;
  }
  if (is_second(peer, h.self.session)) {
    end_predecessor(peer, h.self, events);
    c.joined = false;
    c.session = h.self.session;
    return;
  }
  join(peer, h.self, options_.heartbeat, now, out, events);
}

void links::on_welcome(peer_id peer, const welcome& w, time_point now, outbox& out,
                       std::vector<event>& events) {
  look_at_.reset();
  const auto it = connections_.find(peer);
  if (it == connections_.end() || !it->second.ours) return;
  connection& c = it->second;
  if (!c.greeting && c.joined && c.session == w.self.session) return;  // a repetition
  if (w.version != wire_version || !accepts(w.self.role)) {
    c.greeting = false;
    events.push_back(
        {change::refused,
         {},
         w.self,
         w.version != wire_version
             ? "it speaks protocol version " + std::to_string(w.version) + ", this node " +
                   std::to_string(wire_version)
             : "it is a " + std::string(to_string(w.self.role)) + ": check the endpoint"});
    return;
  }
  c.greeting = false;
  if (is_second(peer, w.self.session)) {
    end_predecessor(peer, w.self, events);
    c.joined = false;
    c.session = w.self.session;
    events.push_back({change::met, w.self.session, w.self, {}});
    return;
  }
  const auto beat = std::max<duration>(std::chrono::milliseconds(w.heartbeat_ms),
                                       std::chrono::milliseconds(10));
  join(peer, w.self, beat, now, out, events);
  // ALIVE is due unless something else is said now: see start_greeting().
  sessions_.at(w.self.session).last_sent = now - beat;
}

bool links::is_second(peer_id peer, session_id who) const {
  const auto known = sessions_.find(who);
  if (known == sessions_.end() || known->second.via == peer || !known->second.connected)
    return false;
  const auto first = connections_.find(known->second.via);
  const bool ours = connections_.at(peer).ours;
  // Two that the same end has opened: the later one, it has come back or means to replace it.
  if (first == connections_.end() || first->second.ours == ours) return false;
  return ours != (options_.self.session < who);
}

void links::greet_elsewhere(session_id who, time_point now, outbox& out) {
  for (auto& [peer, c] : connections_)
    if (c.ours && !c.joined && !c.greeting && c.session == who)
      start_greeting(peer, c, now, out);
}

void links::end_predecessor(peer_id peer, const introduction& who, std::vector<event>& events) {
  const session_id before = connections_.at(peer).session;
  if (before == session_id{} || before == who.session) return;
  const auto old = sessions_.find(before);
  const bool here = old != sessions_.end() && old->second.via == peer;
  if (here || old == sessions_.end())
    events.push_back({change::restarted, before, here ? old->second.info : who, {}});
  if (here) sessions_.erase(old);
}

void links::join(peer_id peer, const introduction& who, duration heartbeat, time_point now,
                 outbox& out, std::vector<event>& events) {
  look_at_.reset();
  connection& c = connections_[peer];
  end_predecessor(peer, who, events);
  const auto known = sessions_.find(who.session);
  if (known != sessions_.end() && known->second.via != peer) {
    // It came back under a new number before we noticed that the old one is closed.
    const auto old = connections_.find(known->second.via);
    if (old != connections_.end()) {
      if (old->second.ours) {
        old->second.joined = false;
      } else {
        out.forgets.push_back(old->first);
        connections_.erase(old);
      }
    }
  }
  c.joined = true;
  c.session = who.session;
  shortest_heartbeat_ = std::min(shortest_heartbeat_, heartbeat);
  sessions_[who.session] = session{who, peer, true, now, now, {}, heartbeat, false};
  events.push_back({change::joined, who.session, who, {}});
}

void links::on_error(peer_id peer, const error_message& e, time_point now, outbox& out,
                     std::vector<event>& events) {
  const auto it = connections_.find(peer);
  if (it == connections_.end()) return;
  connection& c = it->second;
  if (e.code == wire_error::malformed) return;  // counted by the sender's own tests, not fatal
  if (e.code == wire_error::say_hello) {
    const bool parted = c.joined && sessions_.at(c.session).parted;
    if (c.ours && !c.greeting && !parted) start_greeting(peer, c, now, out);
    return;
  }
  const auto of = c.joined ? c.session : session_id{};
  const auto info = c.joined ? sessions_.at(of).info : introduction{};
  // Who came to us may leave, but has no say in whether we go on: but for a sink, which may
  // come to its ventilator and have to refuse its source.
  if (!c.ours &&
      !(options_.self.role == role::ventilator && info.role == role::sink && c.joined))
    return;
  c.greeting = false;
  events.push_back({change::refused, of, info, e.text});
}

void links::tick(time_point now, outbox& out, std::vector<event>& events) {
  // Stopped (SIGSTOP, a suspended laptop) for longer than a heartbeat: the silence was ours.
  if (now - last_tick_ > 2 * shortest_heartbeat_) {
    for (auto& [id, s] : sessions_) {
      if (now - last_tick_ <= 2 * s.heartbeat) continue;
      s.last_heard = now;
      if (!s.connected) s.down_since = now;
    }
    look_at_.reset();
  }
  last_tick_ = now;
  if (look_at_ && now < *look_at_) return;
  for (auto& [peer, c] : connections_)
    if (c.greeting && now >= c.next_hello) greet(peer, c, now, out);
  const bool beat = std::any_of(sessions_.begin(), sessions_.end(), [now](const auto& s) {
    return now - s.second.last_sent >= s.second.heartbeat;
  });
  for (auto it = sessions_.begin(); it != sessions_.end();) {
    session& s = it->second;
    const bool closed = !s.connected && now - s.down_since >= s.heartbeat;
    const bool silent = now - s.last_heard >= patience * s.heartbeat;
    if (closed || silent) {
      events.push_back({closed ? change::broken : change::expired, it->first, s.info, {}});
      const auto c = connections_.find(s.via);
      if (c != connections_.end()) {
        c->second.joined = false;
        if (!c->second.ours) {
          // If it speaks again after all it is told to say HELLO, like anybody unknown.
          out.forgets.push_back(c->first);
          connections_.erase(c);
        } else if (!c->second.greeting) {
          start_greeting(s.via, c->second, now, out);
        }
      }
      const session_id gone = it->first;
      it = sessions_.erase(it);
      greet_elsewhere(gone, now, out);
      continue;
    }
    // When somebody's is due, those that are nearly due go with it, so that a node with
    // hundreds of idle peers wakes up once per heartbeat and not hundreds of times.
    if (beat && now - s.last_sent >= s.heartbeat - s.heartbeat / 4) {
      // Kept in step even if there is nobody to send to, so that next_deadline() moves on.
      if (reachable(s)) {
        out.send(s.via, alive{});
        s.spoken = true;
      }
      s.last_sent = now;
    }
    ++it;
  }
  look_at_ = earliest();
}

time_point links::earliest() const {
  time_point next = time_point::max();
  for (const auto& [peer, c] : connections_)
    if (c.greeting) next = std::min(next, c.next_hello);
  for (const auto& [id, s] : sessions_) {
    next = std::min(next, s.last_heard + patience * s.heartbeat);
    next = std::min(next, s.last_sent + s.heartbeat);
    if (!s.connected) next = std::min(next, s.down_since + s.heartbeat);
  }
  return next;
}

time_point links::next_deadline() const {
  // Never later than a heartbeat from the last tick: that is how a pause of ours is noticed.
  return std::min(last_tick_ + options_.heartbeat, look_at_ ? *look_at_ : earliest());
}

void links::send(session_id to, message what, time_point now, outbox& out) {
  const auto it = sessions_.find(to);
  if (it == sessions_.end() || !reachable(it->second)) return;
  it->second.last_sent = now;
  it->second.spoken = true;
  out.send(it->second.via, std::move(what));
}

void links::part(session_id who, bye_reason reason, time_point now, outbox& out) {
  send(who, bye{reason}, now, out);
  if (const auto it = sessions_.find(who); it != sessions_.end()) it->second.parted = true;
}

void links::drop(session_id who, time_point now, outbox& out) {
  look_at_.reset();
  const auto it = sessions_.find(who);
  if (it == sessions_.end()) return;
  const peer_id via = it->second.via;
  sessions_.erase(it);
  const auto c = connections_.find(via);
  if (c == connections_.end()) return;
  if (c->second.ours) {
    c->second.joined = false;
    c->second.session = {};
    c->second.greeting = true;
    c->second.hello_interval = options_.heartbeat;
    c->second.next_hello = now + options_.heartbeat;
  } else {
    connections_.erase(c);
    out.forgets.push_back(via);
  }
}

void links::renew(session_id who, time_point now, outbox& out) {
  const auto it = sessions_.find(who);
  if (it == sessions_.end() || !reachable(it->second)) return;  // it will join again anyway
  const peer_id via = it->second.via;
  connection& c = connections_.at(via);
  if (c.ours)
    start_greeting(via, c, now, out);
  else
    out.send(via, error_message{wire_error::say_hello, "let us begin again: say HELLO"});
}

void links::close(peer_id peer, outbox& out) {
  look_at_.reset();
  const auto c = connections_.find(peer);
  if (c == connections_.end()) return;
  if (c->second.joined) sessions_.erase(c->second.session);
  connections_.erase(c);
  out.forgets.push_back(peer);
}

const introduction* links::info(session_id who) const {
  const auto it = sessions_.find(who);
  return it == sessions_.end() ? nullptr : &it->second.info;
}

bool links::reachable(const session& s) const {
  if (!s.connected || s.parted) return false;
  const auto c = connections_.find(s.via);
  return c != connections_.end() && !c->second.greeting;
}

bool links::reachable(session_id who) const {
  const auto it = sessions_.find(who);
  return it != sessions_.end() && reachable(it->second);
}

void links::not_listening(time_point now) {
  for (auto& [id, s] : sessions_) s.last_heard = now;
}

bool links::stalled(session_id who) const {
  const auto it = sessions_.find(who);
  if (it == sessions_.end()) return false;
  const auto c = connections_.find(it->second.via);
  return c != connections_.end() && c->second.stalled;
}

std::optional<session_id> links::on(peer_id peer) const {
  const auto it = connections_.find(peer);
  if (it == connections_.end() || !it->second.joined) return std::nullopt;
  return it->second.session;
}

std::optional<session_id> links::behind(peer_id peer) const {
  const auto it = connections_.find(peer);
  if (it == connections_.end() || !sessions_.contains(it->second.session)) return std::nullopt;
  return it->second.session;
}

bool links::met_all() const {
  return std::none_of(connections_.begin(), connections_.end(), [](const auto& entry) {
    return entry.second.ours && entry.second.session == session_id{};
  });
}

std::vector<session_id> links::with_role(role r) const {
  std::vector<session_id> found;
  for (const auto& [id, s] : sessions_)
    if (s.info.role == r) found.push_back(id);
  return found;
}

}  // namespace weir::proto
