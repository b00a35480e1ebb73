#include "net/transport.hpp"

#include "net/zmq_errors.hpp"
#include "proto/limits.hpp"

#include <weir/error.hpp>

#include <sched.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

namespace weir::net {
namespace {
using namespace std::chrono_literals;

/// Messages a peer may have waiting in our pipe. A backstop only: windows bound what is under
/// way, in tasks and in bytes.
constexpr int receive_high_water = 100;
constexpr int send_high_water = 1000;
/// After a connection of a bound socket closed, which peer it was is found out by trying: the
/// pipe is torn down a little after the notice, or only once it has been read empty.
constexpr int probe_count = 4;
constexpr auto probe_interval = 20ms;
/// A thousand workers that start together (libzmq's default is 100; research: pitfalls).
constexpr int backlog = 1024;

}  // namespace

transport::transport() {
  wake_fd_ = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
  if (wake_fd_ < 0) throw error(exit_code::io, std::string("eventfd: ") + std::strerror(errno));
}

transport::~transport() {
  close(0ms);
  ::close(wake_fd_);
}

transport::socket& transport::open(zmq::socket_type type, const endpoint& where, bool insecure,
                                   const char* verb) {
  require_local(where, insecure, verb);
  socket s;
  if (!context_) {
    context_.emplace(1);
    context_->set(zmq::ctxopt::max_sockets, 65535);
    context_->set(zmq::ctxopt::ipv6, 1);
  }
  s.zmq = zmq::socket_t(*context_, type);
  s.endpoint = where.str();
  s.zmq.set(zmq::sockopt::linger, 0);
  s.zmq.set(zmq::sockopt::rcvhwm, receive_high_water);
  s.zmq.set(zmq::sockopt::sndhwm, send_high_water);
  s.zmq.set(zmq::sockopt::maxmsgsize, static_cast<std::int64_t>(proto::limits::payload_bytes +
                                                                proto::limits::batch_bytes));
  s.zmq.set(zmq::sockopt::backlog, backlog);
  // Doubles up to the most: see shortest_life.
  s.zmq.set(zmq::sockopt::reconnect_ivl, 20);
  s.zmq.set(zmq::sockopt::reconnect_ivl_max, 250);
  s.zmq.set(zmq::sockopt::handshake_ivl, 5000);
  s.zmq.set(zmq::sockopt::tcp_keepalive, 1);
  s.zmq.set(zmq::sockopt::tcp_keepalive_idle, 30);
  // Not ZMQ_IMMEDIATE: with it, libzmq 4.3.4 throws away what has arrived and has not been read
  // when the connection closes (socket_base_t::hiccuped), so that a last BYE gets lost. Instead
  // send() looks at whether the connection is up.
  if (type == zmq::socket_type::router) s.zmq.set(zmq::sockopt::router_mandatory, true);
  const std::string monitor = "inproc://weir-monitor-" + std::to_string(sockets_.size());
  const int events = ZMQ_EVENT_HANDSHAKE_SUCCEEDED | ZMQ_EVENT_DISCONNECTED;
  if (zmq_socket_monitor(s.zmq.handle(), monitor.c_str(), events) != 0)
    throw error(exit_code::software, std::string("monitor: ") + zmq_strerror(zmq_errno()));
  s.monitor = zmq::socket_t(*context_, zmq::socket_type::pair);
  s.monitor.set(zmq::sockopt::linger, 0);
  s.monitor.connect(monitor);
  s.fd = s.zmq.get(zmq::sockopt::fd);
  s.monitor_fd = s.monitor.get(zmq::sockopt::fd);
  wake();  // whoever sleeps in wait() does not look at this one yet
  return sockets_.emplace_back(std::move(s));
}

std::string transport::bind(const endpoint& where, bool insecure) {
  socket& s = open(zmq::socket_type::router, where, insecure, "bind");
  s.bound = true;
  try {
    s.zmq.bind(where.str());
  } catch (const zmq::error_t& e) {
    const error failure(code_of(e), "bind " + where.str() + ": " + describe(e));
    sockets_.pop_back();
    throw failure;
  }
  // As it was asked for, but with the port that the system chose. (With IPv6 on, libzmq reports
  // 127.0.0.1 as ::ffff:127.0.0.1.)
  if (s.endpoint.starts_with("tcp://") && s.endpoint.ends_with(":*")) {
    const std::string bound = s.zmq.get(zmq::sockopt::last_endpoint);
    s.endpoint.replace(s.endpoint.size() - 1, 1, bound.substr(bound.rfind(':') + 1));
  }
  return s.endpoint;
}

proto::peer_id transport::connect(const endpoint& where, bool insecure) {
  if (where.str().starts_with("tcp://*") || where.str().ends_with(":*"))
    throw error(exit_code::usage, "connect " + where.str() + ": * only makes sense for bind");
  socket& s = open(zmq::socket_type::dealer, where, insecure, "connect");
  const proto::peer_id id{next_peer_++};
  s.only = id;
  try {
    s.zmq.connect(where.str());
  } catch (const zmq::error_t& e) {
    const error failure(code_of(e), "connect " + where.str() + ": " + describe(e));
    sockets_.pop_back();
    throw failure;
  }
  add_peer(id, s);
  return id;
}

transport::peer& transport::add_peer(proto::peer_id id, socket& via) {
  peer& p = peers_[id];
  p.via = &via;
  p.in_pipe = std::make_shared<unsent>(wake_fd_);
  p.uncounted = std::make_shared<unsent>(wake_fd_);
  return p;
}

bool transport::readable(bool reading) {
  if (!pending_.empty() || (reading && !gone_.empty())) return true;
  bool any = false;
  for (auto& s : sockets_) {
    if (!s.zmq) continue;
    any |= s.monitor_check;
    if (reading && s.check)
      any |= s.check = (s.zmq.get(zmq::sockopt::events) & ZMQ_POLLIN) != 0;
  }
  return any;
}

void transport::wait(proto::time_point deadline, bool reading,
                     std::unique_lock<std::mutex>* held) {
  flush_waiting();
  if (!stalled_.empty()) look_for_flow();
  const auto now = proto::clock::now();
  for (const auto& s : sockets_)
    if (s.probes > 0) deadline = std::min(deadline, s.probe_at);
  // A full pipe gives no notice when it has room again.
  if (waiting_peers_ > 0) deadline = std::min(deadline, now + 5ms);
  if (deadline <= now || readable(reading)) return;
  fds_.clear();
  watched_.clear();
  fds_.push_back({wake_fd_, POLLIN, 0});
  for (auto& s : sockets_) {
    if (!s.zmq) continue;  // forgotten
    watched_.push_back(&s);
    fds_.push_back({s.monitor_fd, POLLIN, 0});
    fds_.push_back({reading ? s.fd : -1, POLLIN, 0});
  }
  reading_ = reading;
  sleeping_until_ = deadline;
  // Rounded up: waking a moment early would only mean to wait again.
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - now);
  const int timeout = static_cast<int>(std::min<std::int64_t>(left.count(), 60'000));
  spin_ = spinner_.worthwhile();
  if (held) held->unlock();
  const int ready = sleep(now, deadline, timeout);
  const int failure = errno;
  if (held) held->lock();
  spinner_.waited(proto::clock::now() - now, ready > 0);
  if (ready < 0 && failure != EINTR)
    throw error(exit_code::software, std::string("poll: ") + std::strerror(failure));
  sleeping_until_ = {};
  if (ready <= 0) return;
  if (fds_[0].revents != 0) drain_wake();
  for (std::size_t i = 0; i < watched_.size(); ++i) {
    watched_[i]->monitor_check |= fds_[2 * i + 1].revents != 0;
    watched_[i]->check |= fds_[2 * i + 2].revents != 0;
  }
}

int transport::sleep(proto::time_point now, proto::time_point deadline, int timeout) {
  if (spin_) {
    const auto until = std::min(now + spinner::longest, deadline);
    for (auto before = now;;) {
      if (const int ready = ::poll(fds_.data(), fds_.size(), 0); ready != 0) return ready;
      // To libzmq's own thread, if it waits for this processor: it has what we look for.
      sched_yield();
      const auto after = proto::clock::now();
      if (after >= until || after - before > spinner::crowded) break;
      before = after;
    }
  }
  return ::poll(fds_.data(), fds_.size(), timeout);
}

void transport::drain_wake() {
  std::uint64_t count = 0;
  [[maybe_unused]] const auto n = ::read(wake_fd_, &count, sizeof count);
}

void transport::nudge(proto::time_point deadline) {
  if (deadline < sleeping_until_ || waiting_peers_ > 0 || readable(reading_)) wake();
}

void transport::receive(std::vector<event>& events, std::size_t most) {
  const auto now = proto::clock::now();
  for (auto& s : sockets_) {
    if (!s.zmq) continue;
    if (std::exchange(s.monitor_check, false)) watch(s, events);
    if (s.probes > 0 && now >= s.probe_at) probe(s, now);
  }
  // One message from each in turn, so that no socket can starve another.
  std::size_t dry = 0;
  for (std::size_t got = 0; got < most && dry < sockets_.size();) {
    turn_ = (turn_ + 1) % sockets_.size();
    socket& s = sockets_[turn_];
    if (s.zmq && s.check && (s.check = receive_one(s, events))) {
      dry = 0;
      ++got;
    } else {
      ++dry;
    }
  }
  for (auto& e : pending_) events.push_back(std::move(e));
  pending_.clear();
  if (most == 0 || dry < sockets_.size()) return;
  for (const auto id : gone_) {
    events.push_back({event::kind::down, id, {}});
    forget(id);
  }
  gone_.clear();
}

bool transport::receive_one(socket& s, std::vector<event>& events) {
  proto::peer_id id = s.only;
  zmq::message_t frame;
  const auto next = [&](zmq::message_t& into) {
    while (zmq_msg_recv(into.handle(), s.zmq.handle(), ZMQ_DONTWAIT) < 0) {
      if (zmq_errno() == EINTR) continue;
      if (zmq_errno() == EAGAIN) return false;
      throw error(exit_code::software, std::string("receive: ") + zmq_strerror(zmq_errno()));
    }
    return true;
  };
  if (!next(frame)) return false;
  if (s.bound) {
    std::string routing_id(frame.data<char>(), frame.size());
    const auto known = s.ids.find(routing_id);
    if (known != s.ids.end()) {
      id = known->second;
    } else {
      id = proto::peer_id{next_peer_++};
      s.ids.emplace(routing_id, id);
      peer& p = add_peer(id, s);
      if (const auto before = s.forgotten.find(routing_id); before != s.forgotten.end()) {
        if (auto counter = before->second.lock()) p.in_pipe = std::move(counter);
        s.forgotten.erase(before);
      }
      p.routing_id = std::move(routing_id);
    }
    if (!frame.more() || !next(frame)) return true;
  }
  // A REQ or an old client puts an empty delimiter first: let it.
  if (frame.size() == 0 && frame.more() && !next(frame)) return true;
  auto header = std::move(frame);
  bool more = header.more();
  proto::blob body;
  std::size_t extra = 0;
  while (more) {
    auto part = std::make_shared<zmq::message_t>();
    if (!next(*part)) break;
    more = part->more();
    if (extra++ > 0) continue;
    const std::string_view bytes(part->data<char>(), part->size());
    body = {std::move(part), bytes};
  }
  auto decoded = extra > 1
                     ? std::variant<proto::message, proto::reject>(proto::reject::body_mismatch)
                     : proto::decode({header.data<char>(), header.size()}, std::move(body));
  if (auto* m = std::get_if<proto::message>(&decoded)) {
    events.push_back({event::kind::message, id, std::move(*m)});
    return true;
  }
  const auto why = std::get<proto::reject>(decoded);
  ++counts_.rejected;
  counts_.last_reject = std::string(to_string(why));
  // Peers of a later version may send kinds that we do not know: "Growth" in docs/protocol.md.
  if (why != proto::reject::unknown_kind)
    send(id, proto::error_message{proto::wire_error::malformed, counts_.last_reject});
  return true;
}

void transport::watch(socket& s, std::vector<event>& events) {
  for (;;) {
    zmq::message_t what;
    if (zmq_msg_recv(what.handle(), s.monitor.handle(), ZMQ_DONTWAIT) < 0) return;
    std::uint16_t number = 0;
    if (what.size() >= sizeof number) std::memcpy(&number, what.data(), sizeof number);
    zmq::message_t address;
    if (what.more()) (void)zmq_msg_recv(address.handle(), s.monitor.handle(), ZMQ_DONTWAIT);
    if (s.bound) {
      if (number != ZMQ_EVENT_DISCONNECTED) continue;
      s.probes = probe_count;
      s.probe_at = proto::clock::now();
    } else if (number == ZMQ_EVENT_HANDSHAKE_SUCCEEDED) {
      s.up = true;
      ++counts_.reconnects;
      events.push_back({event::kind::up, s.only, {}});
    } else {
      s.up = false;
      drop_waiting(peers_.at(s.only));
      events.push_back({event::kind::down, s.only, {}});
    }
  }
}

void transport::probe(socket& s, proto::time_point now) {
  --s.probes;
  s.probe_at = now + probe_interval;
  std::vector<proto::peer_id> all;
  all.reserve(s.ids.size());
  for (const auto& [routing_id, id] : s.ids) all.push_back(id);
  for (const auto id : all) send(id, proto::alive{});
}

void transport::forget(proto::peer_id id) {
  const auto it = peers_.find(id);
  if (it == peers_.end()) return;
  drop_waiting(it->second);
  socket& s = *it->second.via;
  if (s.bound) {
    std::erase_if(s.forgotten, [](const auto& entry) { return entry.second.expired(); });
    if (it->second.in_pipe->bytes() > 0)
      s.forgotten[it->second.routing_id] = it->second.in_pipe;
    s.ids.erase(it->second.routing_id);
  } else {
    s.monitor.close();
    s.zmq.close();
  }
  peers_.erase(it);
}

void transport::wake() noexcept {
  const std::uint64_t one = 1;
  [[maybe_unused]] const auto n = ::write(wake_fd_, &one, sizeof one);
}

/// libzmq would keep a last BYE for a connection that is gone, and wait for it to come back for
/// as long as sockets linger: when all nodes end together, the other end often closes before it
/// is sent. So it has to leave while the connections are watched.
void transport::let_go_of_last_words(proto::time_point end) {
  std::vector<event> ignored;
  const auto owed = [this] {
    return std::any_of(peers_.begin(), peers_.end(), [](auto& entry) {
      peer& p = entry.second;
      if (p.via->bound) return !p.waiting.empty();
      if (!p.via->up) return false;
      p.in_pipe->await(0);
      return p.owed() > 0;
    });
  };
  while (owed() && proto::clock::now() < end) {
    wait(end, false);
    for (auto& s : sockets_)
      if (s.zmq && std::exchange(s.monitor_check, false)) watch(s, ignored);
    ignored.clear();
    pending_.clear();
  }
}

void transport::close(std::chrono::milliseconds linger) {
  const auto end = proto::clock::now() + linger;
  let_go_of_last_words(end);
  const auto left =
      std::max(std::chrono::ceil<std::chrono::milliseconds>(end - proto::clock::now()), 0ms);
  for (auto& [id, p] : peers_) p.in_pipe->await_nothing();
  std::vector<event> too_late;
  for (auto& s : sockets_) {
    if (!s.zmq) continue;
    watch(s, too_late);
    zmq_socket_monitor(s.zmq.handle(), nullptr, 0);
    // When all nodes end together the other end has often gone already: nobody will come to
    // take what we said last.
    const bool gone = !s.bound && !s.up;
    s.zmq.set(zmq::sockopt::linger, gone ? 0 : static_cast<int>(left.count()));
    s.monitor.close();
    s.zmq.close();
  }
  peers_.clear();
  sockets_.clear();
  waiting_peers_ = 0;
  stalled_.clear();
  if (context_) context_->close();  // returns when everything is sent, or the linger is over
}

}  // namespace weir::net
