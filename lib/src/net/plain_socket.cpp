#include "net/plain_socket.hpp"

#include "net/zmq_errors.hpp"
#include "proto/limits.hpp"

#include <weir/plain.hpp>

#include <climits>
#include <linux/sockios.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstring>

namespace weir::net {
namespace {
/// The longest sleep: time stays comparable with an int of milliseconds.
constexpr std::chrono::minutes longest_sleep{1};
}  // namespace

plain_socket::plain_socket(zmq::context_t& context, kind what, const node_options& options)
    : zmq_(context, what == kind::push ? zmq::socket_type::push : zmq::socket_type::pull),
      monitor_(context, zmq::socket_type::pair) {
  zmq_.set(zmq::sockopt::linger, 0);
  zmq_.set(zmq::sockopt::sndhwm, plain_high_water);
  zmq_.set(zmq::sockopt::rcvhwm, plain_high_water);
  zmq_.set(zmq::sockopt::maxmsgsize, static_cast<std::int64_t>(proto::limits::payload_bytes));
  zmq_.set(zmq::sockopt::backlog, 1024);
  zmq_.set(zmq::sockopt::handshake_ivl, 5000);
  zmq_.set(zmq::sockopt::tcp_keepalive, 1);
  zmq_.set(zmq::sockopt::tcp_keepalive_idle, 30);
  // Or a share of what is pushed would be dealt to addresses where nobody has ever been. Not
  // where there is but one: what is queued then waits for it to come, or to come back. And not
  // for PULL: libzmq 4.3.4 would throw away what has arrived when the connection closes.
  if (what == kind::push && options.bind.size() + options.connect.size() > 1)
    zmq_.set(zmq::sockopt::immediate, true);

  static std::atomic<std::uint64_t> count = 0;  // names are unique within a context only
  const std::string monitor = "inproc://weir-plain-monitor-" + std::to_string(++count);
  const int events = ZMQ_EVENT_CONNECTED | ZMQ_EVENT_ACCEPTED | ZMQ_EVENT_HANDSHAKE_SUCCEEDED |
                     ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL |
                     ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL | ZMQ_EVENT_HANDSHAKE_FAILED_AUTH |
                     ZMQ_EVENT_DISCONNECTED;
  if (zmq_socket_monitor(zmq_.handle(), monitor.c_str(), events) != 0)
    throw error(exit_code::software, std::string("monitor: ") + zmq_strerror(zmq_errno()));
  monitor_.set(zmq::sockopt::linger, 0);
  monitor_.set(zmq::sockopt::rcvhwm, 0);  // a full one would block libzmq's own thread
  monitor_.connect(monitor);

  const auto each = [&](const std::string& text, const char* verb, auto&& attach) {
    const endpoint where = endpoint::parse(text);
    require_local(where, options.insecure, verb);
    try {
      attach(where.str());
    } catch (const zmq::error_t& e) {
      throw error(code_of(e), std::string(verb) + " " + where.str() + ": " + describe(e));
    }
    if (where_.empty()) where_ = where.str();
  };
  for (const auto& text : options.bind)
    each(text, "bind", [&](const std::string& where) {
      zmq_.bind(where);
      std::string bound = where;
      if (where.starts_with("tcp://") && where.ends_with(":*")) {  // with the system's choice
        const std::string real = zmq_.get(zmq::sockopt::last_endpoint);
        bound.replace(bound.size() - 1, 1, real.substr(real.rfind(':') + 1));
      }
      endpoints_.push_back(std::move(bound));
    });
  for (const auto& text : options.connect)
    each(text, "connect", [&](const std::string& where) {
      if (where.starts_with("tcp://*") || where.ends_with(":*"))
        throw error(exit_code::usage, "connect " + where + ": * only makes sense for bind");
      zmq_.connect(where);
    });
}

bool plain_socket::try_send(std::string_view payload) {
  zmq::message_t message(payload.data(), payload.size());
  while (zmq_msg_send(message.handle(), zmq_.handle(), ZMQ_DONTWAIT) < 0) {
    if (zmq_errno() == EAGAIN) return false;
    if (zmq_errno() != EINTR)
      throw error(exit_code::software, std::string("send: ") + zmq_strerror(zmq_errno()));
  }
  return true;
}

bool plain_socket::try_receive(zmq::message_t& into) {
  bool several = false;
  for (;;) {
    if (zmq_msg_recv(into.handle(), zmq_.handle(), ZMQ_DONTWAIT) < 0) {
      if (zmq_errno() == EINTR) continue;
      if (zmq_errno() == EAGAIN) return false;
      throw error(exit_code::software, std::string("receive: ") + zmq_strerror(zmq_errno()));
    }
    if (!into.more() && !several) return true;
    // A message arrives whole: its other frames are there.
    refused_ += several ? 0 : 1;
    several = into.more();
  }
}

void plain_socket::watch() {
  zmq::message_t what;
  while (zmq_msg_recv(what.handle(), monitor_.handle(), ZMQ_DONTWAIT) >= 0) {
    std::uint16_t number = 0;
    std::int32_t value = -1;  // of these events: a descriptor
    if (what.size() < sizeof number + sizeof value) continue;
    std::memcpy(&number, what.data(), sizeof number);
    std::memcpy(&value, what.data<char>() + sizeof number, sizeof value);
    zmq::message_t address;
    if (what.more()) (void)zmq_msg_recv(address.handle(), monitor_.handle(), ZMQ_DONTWAIT);
    if (number == ZMQ_EVENT_DISCONNECTED) std::erase(connections_, value);
    if (number == ZMQ_EVENT_CONNECTED || number == ZMQ_EVENT_ACCEPTED) {
      connections_.push_back(value);
    } else if (number == ZMQ_EVENT_HANDSHAKE_SUCCEEDED) {
      ++peers_;
      ever_met_ = true;
    } else if (number != ZMQ_EVENT_DISCONNECTED) {
      ++broken_handshakes_;  // its end is told as a disconnection too
    } else if (broken_handshakes_ > 0) {
      --broken_handshakes_;
    } else if (peers_ > 0) {
      --peers_;
    }
  }
}

bool plain_socket::unread_over_ipc() const {
  return std::any_of(connections_.begin(), connections_.end(), [](int fd) {
    sockaddr_storage name{};
    socklen_t size = sizeof name;
    int unread = 0;
    return getsockname(fd, reinterpret_cast<sockaddr*>(&name), &size) == 0 &&
           name.ss_family == AF_UNIX && ioctl(fd, SIOCOUTQ, &unread) == 0 && unread > 0;
  });
}

void plain_socket::close(std::chrono::milliseconds linger) {
  if (!zmq_) return;
  zmq_socket_monitor(zmq_.handle(), nullptr, 0);
  const auto most = std::min<std::int64_t>(linger.count(), INT_MAX);
  zmq_.set(zmq::sockopt::linger, static_cast<int>(most));
  monitor_.close();
  zmq_.close();
}

plain_wait::plain_wait() {
  wake_fd_ = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
  if (wake_fd_ < 0) throw error(exit_code::io, std::string("eventfd: ") + std::strerror(errno));
}

plain_wait::~plain_wait() { ::close(wake_fd_); }

void plain_wait::wake() noexcept {
  const std::uint64_t one = 1;
  [[maybe_unused]] const auto n = ::write(wake_fd_, &one, sizeof one);
}

void plain_wait::add(plain_socket& socket, bool ready) {
  const bool push = socket.zmq_.get(zmq::sockopt::type) == ZMQ_PUSH;
  items_.push_back({socket.monitor_.handle(), 0, ZMQ_POLLIN, 0});
  if (ready)
    items_.push_back(
        {socket.zmq_.handle(), 0, static_cast<short>(push ? ZMQ_POLLOUT : ZMQ_POLLIN), 0});
  sockets_.push_back(&socket);
}

void plain_wait::sleep(proto::time_point deadline) {
  items_.push_back({nullptr, wake_fd_, ZMQ_POLLIN, 0});
  const auto now = proto::clock::now();
  // In this order: time_point::max() less now would overflow.
  const auto until = std::min(deadline, now + longest_sleep);
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(until - now);
  const int found = zmq_poll(items_.data(), static_cast<int>(items_.size()),
                             std::max<long>(0, static_cast<long>(left.count())));
  if (found < 0 && zmq_errno() != EINTR)
    throw error(exit_code::software, std::string("poll: ") + zmq_strerror(zmq_errno()));
  if (found > 0 && items_.back().revents != 0) {
    std::uint64_t count = 0;
    [[maybe_unused]] const auto n = ::read(wake_fd_, &count, sizeof count);
  }
  for (auto* socket : sockets_) socket->watch();
  items_.clear();
  sockets_.clear();
}

}  // namespace weir::net
