#include "raw_roles.hpp"

#include "bench.hpp"
#include "ports.hpp"

#include <zmq.hpp>

#include <chrono>
#include <cstring>
#include <thread>
#include <vector>

namespace bench {
namespace {

// A message of one byte is ours, everything longer is tasks.
constexpr char warm_up = 'w';
constexpr char end = 'e';
constexpr std::uint64_t ack_every = 64;

void settle() { std::this_thread::sleep_for(std::chrono::milliseconds(1)); }

template <typename Condition>
void wait_until(Condition met) {
  while (!met()) settle();  // the alarm set by the parent ends a wait that never does
}

zmq::socket_t open(zmq::context_t& context, zmq::socket_type type, int hwm) {
  zmq::socket_t socket(context, type);
  socket.set(zmq::sockopt::sndhwm, hwm);
  socket.set(zmq::sockopt::rcvhwm, hwm);
  return socket;
}

void connect(zmq::socket_t& socket, const std::atomic<int>& port) {
  wait_until([&] { return port.load() != 0; });
  socket.connect("tcp://127.0.0.1:" + std::to_string(port.load()));
}

bool all_warm(const plan& what, const board& shared) {
  for (std::size_t i = 0; i < what.workers; ++i)
    if (shared.warmed[i].load() == 0) return false;
  return true;
}

std::uint64_t sum_warm(const plan& what, const board& shared) {
  std::uint64_t sum = 0;
  for (std::size_t i = 0; i < what.workers; ++i) sum += shared.warmed[i].load();
  return sum;
}

void send_mark(zmq::socket_t& socket, char mark) {
  socket.send(zmq::buffer(&mark, 1), zmq::send_flags::none);
}

bool is_mark(const zmq::message_t& message) { return message.size() == 1; }
char mark_of(const zmq::message_t& message) { return *message.data<char>(); }

/// Sends warm-ups until every worker has forwarded one to the sink and none is under way.
void warm_all(zmq::socket_t& socket, const plan& what, const board& shared) {
  std::uint64_t sent = 0;
  while (!all_warm(what, shared)) {
    send_mark(socket, warm_up);
    ++sent;
    settle();
  }
  wait_until([&] { return sum_warm(what, shared) == sent; });
}

/// PUSH deals the ends out in turn, but only between peers with room: repeat until all left.
void end_all(zmq::socket_t& socket, const board& shared) {
  while (shared.workers_left.load() != 0) {
    send_mark(socket, end);
    settle();
  }
}

/// The next message: up to `pack` payloads, copied one by one.
zmq::message_t packed(const plan& what, const std::vector<char>& payload, std::uint64_t left) {
  const std::size_t count = left < what.pack ? static_cast<std::size_t>(left) : what.pack;
  zmq::message_t message(count * what.size);
  char* to = message.data<char>();
  for (std::size_t i = 0; i < count; ++i, to += what.size)
    std::memcpy(to, payload.data(), what.size);
  return message;
}

}  // namespace

void push_tasks(const plan& what, board& shared) {
  zmq::context_t context;
  auto tasks = open(context, zmq::socket_type::push, what.hwm);
  shared.task_port = bind_somewhere(tasks);
  warm_all(tasks, what, shared);

  const std::vector<char> payload(what.size, 'x');
  shared.first_send = now_ns();
  for (std::uint64_t done = 0; done < what.tasks; done += what.pack) {
    auto message = packed(what, payload, what.tasks - done);
    tasks.send(message, zmq::send_flags::none);
  }
  wait_until([&] { return shared.last_receive.load() != 0; });
  end_all(tasks, shared);
}

void forward_tasks(const plan& what, board& shared, std::size_t self) {
  zmq::context_t context;
  auto results = open(context, zmq::socket_type::push, what.hwm);
  connect(results, shared.result_port);
  auto tasks = open(context, zmq::socket_type::pull, what.hwm);
  connect(tasks, shared.task_port);

  zmq::message_t message;
  std::uint64_t bytes = 0;
  for (;;) {
    (void)tasks.recv(message);
    if (is_mark(message)) {
      if (mark_of(message) == end) break;
      *message.data<char>() = static_cast<char>(self);
    } else {
      bytes += message.size();
    }
    results.send(message, zmq::send_flags::none);
  }
  shared.bytes[self] = bytes;
  --shared.workers_left;
}

void pull_results(const plan& what, board& shared) {
  zmq::context_t context;
  auto results = open(context, zmq::socket_type::pull, what.hwm);
  shared.result_port = bind_somewhere(results);

  const std::uint64_t all = what.tasks * what.size;
  zmq::message_t message;
  for (std::uint64_t bytes = 0; bytes < all;) {
    (void)results.recv(message);
    if (is_mark(message))
      ++shared.warmed.at(static_cast<std::size_t>(mark_of(message)));
    else
      bytes += message.size();
  }
  shared.last_receive = now_ns();
}

void route_tasks(const plan& what, board& shared) {
  zmq::context_t context;
  auto router = open(context, zmq::socket_type::router, 0);  // credit is the bound
  router.set(zmq::sockopt::router_mandatory, true);
  shared.task_port = bind_somewhere(router);
  shared.ack_port = shared.task_port.load();

  // Routing ids are one byte: the workers' indices, and one beyond them for the sink.
  zmq::message_t from;
  zmq::message_t body;
  std::uint64_t acked = 0;
  std::vector<std::uint64_t> in_hand(what.workers, 0);
  const auto to = [&](std::size_t worker, zmq::message_t&& message) {
    const char id = static_cast<char>('A' + worker);
    router.send(zmq::buffer(&id, 1), zmq::send_flags::sndmore);
    router.send(message, zmq::send_flags::none);
  };
  // The sink's messages are rows of (worker, count); the workers' one message says hello.
  const auto take = [&](zmq::recv_flags flags) {
    if (!router.recv(from, flags)) return false;
    (void)router.recv(body);
    const auto sender = static_cast<std::size_t>(mark_of(from) - 'A');
    if (sender < what.workers) {
      to(sender, zmq::message_t(&warm_up, 1));
      return true;
    }
    std::array<std::uint64_t, 2> ack{};
    std::memcpy(ack.data(), body.data(), sizeof ack);
    in_hand[static_cast<std::size_t>(ack[0])] -= ack[1];
    acked += ack[1];
    return true;
  };
  while (!all_warm(what, shared)) {
    while (take(zmq::recv_flags::dontwait)) {
    }
    settle();
  }

  const std::vector<char> payload(what.size, 'x');
  shared.first_send = now_ns();
  std::uint64_t sent = 0;
  while (acked < what.tasks) {
    bool stalled = true;
    for (std::size_t worker = 0; worker < what.workers && sent < what.tasks; ++worker) {
      if (in_hand[worker] + what.pack > what.window) continue;
      auto message = packed(what, payload, what.tasks - sent);
      const std::uint64_t count = message.size() / what.size;
      in_hand[worker] += count;
      sent += count;
      to(worker, std::move(message));
      stalled = false;
    }
    while (take(stalled ? zmq::recv_flags::none : zmq::recv_flags::dontwait)) stalled = false;
  }
  shared.last_ack = now_ns();
  for (std::size_t worker = 0; worker < what.workers; ++worker)
    to(worker, zmq::message_t(&end, 1));
  wait_until([&] { return shared.workers_left.load() == 0; });
}

void forward_routed_tasks(const plan& what, board& shared, std::size_t self) {
  (void)what;
  zmq::context_t context;
  const std::string id(1, static_cast<char>('A' + self));
  auto results = open(context, zmq::socket_type::dealer, 0);
  results.set(zmq::sockopt::routing_id, id);
  connect(results, shared.result_port);
  auto tasks = open(context, zmq::socket_type::dealer, 0);
  tasks.set(zmq::sockopt::routing_id, id);
  connect(tasks, shared.task_port);
  send_mark(tasks, warm_up);

  zmq::message_t message;
  std::uint64_t bytes = 0;
  for (;;) {
    (void)tasks.recv(message);
    if (!is_mark(message))
      bytes += message.size();
    else if (mark_of(message) == end)
      break;
    results.send(message, zmq::send_flags::none);
  }
  shared.bytes[self] = bytes;
  --shared.workers_left;
}

void ack_results(const plan& what, board& shared) {
  zmq::context_t context;
  auto results = open(context, zmq::socket_type::router, 0);
  auto acks = open(context, zmq::socket_type::dealer, 0);
  acks.set(zmq::sockopt::routing_id, std::string(1, static_cast<char>('A' + what.workers)));
  connect(acks, shared.ack_port);
  shared.result_port = bind_somewhere(results);

  const auto acknowledge = [&](std::size_t worker, std::uint64_t& count) {
    const std::array<std::uint64_t, 2> ack{worker, count};
    acks.send(zmq::buffer(ack), zmq::send_flags::none);
    count = 0;
  };
  zmq::message_t from;
  zmq::message_t body;
  std::vector<std::uint64_t> unacked(what.workers, 0);
  for (std::uint64_t done = 0; done < what.tasks;) {
    (void)results.recv(from);
    (void)results.recv(body);
    const auto worker = static_cast<std::size_t>(mark_of(from) - 'A');
    if (is_mark(body)) {
      ++shared.warmed.at(worker);
      continue;
    }
    const std::uint64_t count = body.size() / what.size;
    done += count;
    unacked[worker] += count;
    if (unacked[worker] >= ack_every) acknowledge(worker, unacked[worker]);
  }
  shared.last_receive = now_ns();
  for (std::size_t worker = 0; worker < what.workers; ++worker)
    if (unacked[worker] != 0) acknowledge(worker, unacked[worker]);
  wait_until([&] { return shared.last_ack.load() != 0; });
}

void push_one_by_one(const plan& what, board& shared) {
  zmq::context_t context;
  auto tasks = open(context, zmq::socket_type::push, what.hwm);
  auto acks = open(context, zmq::socket_type::pull, what.hwm);
  shared.ack_port = bind_somewhere(acks);
  shared.task_port = bind_somewhere(tasks);
  warm_all(tasks, what, shared);

  const std::vector<char> payload(what.size, 'x');
  zmq::message_t answer;
  std::vector<std::int64_t> times;
  times.reserve(static_cast<std::size_t>(what.tasks));
  const std::uint64_t untimed = what.tasks / 10;
  for (std::uint64_t i = 0; i < what.tasks + untimed; ++i) {
    const std::int64_t start = now_ns();
    tasks.send(zmq::buffer(payload), zmq::send_flags::none);
    (void)acks.recv(answer);
    if (i >= untimed) times.push_back(now_ns() - start);
  }
  shared.median_us = quantile(times, 0.5) / 1000;
  shared.p99_us = quantile(times, 0.99) / 1000;
  shared.last_ack = now_ns();
  end_all(tasks, shared);
}

void pull_and_echo(const plan& what, board& shared) {
  zmq::context_t context;
  auto acks = open(context, zmq::socket_type::push, what.hwm);
  connect(acks, shared.ack_port);
  auto results = open(context, zmq::socket_type::pull, what.hwm);
  shared.result_port = bind_somewhere(results);

  zmq::message_t message;
  for (std::uint64_t done = 0; done < what.tasks + what.tasks / 10;) {
    (void)results.recv(message);
    if (is_mark(message)) {
      ++shared.warmed.at(static_cast<std::size_t>(mark_of(message)));
      continue;
    }
    acks.send(message, zmq::send_flags::none);
    ++done;
  }
  wait_until([&] { return shared.last_ack.load() != 0; });
}

}  // namespace bench
