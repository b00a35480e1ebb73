// What plain libzmq reaches for request and reply, each role a process, over TCP on loopback.
// Prints one JSON line.
//
//   raw_rpc --mode direct   DEALER -> ROUTER, one echo server
//   raw_rpc --mode proxy    DEALER -> zmq_proxy (ROUTER, DEALER) -> two echo servers
//
// The client keeps --in-flight calls under way, --pack of them in each message.
#include "bench.hpp"
#include "ports.hpp"
#include "processes.hpp"

#include <CLI/CLI.hpp>
#include <sched.h>
#include <zmq.hpp>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <exception>
#include <iostream>
#include <string>
#include <thread>
#include <vector>

namespace {

struct plan {
  std::uint64_t calls = 20'000;
  std::size_t size = 64;
  std::size_t in_flight = 1;
  std::size_t pack = 1;
  std::size_t servers = 1;
  std::int64_t spin_us = 0;
};

struct board {
  std::atomic<int> front{0};  ///< where the client connects
  std::atomic<int> back{0};   ///< where the servers connect, behind a proxy
  std::atomic<bool> done{false};
  std::atomic<double> seconds{0};
  std::atomic<double> median_us{0};
  std::atomic<double> p99_us{0};
};

constexpr char warm_up = 'w';

zmq::socket_t open(zmq::context_t& context, zmq::socket_type type) {
  zmq::socket_t socket(context, type);
  socket.set(zmq::sockopt::linger, 0);
  socket.set(zmq::sockopt::sndhwm, 0);  // a ROUTER drops what a full pipe has no room for
  socket.set(zmq::sockopt::rcvhwm, 0);
  return socket;
}

void connect(zmq::socket_t& socket, const std::atomic<int>& port) {
  while (port.load() == 0) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  socket.connect("tcp://127.0.0.1:" + std::to_string(port.load()));
}

/// Receives, after looking for `spin_us` first. False: nothing for 100 ms.
bool receive(zmq::socket_t& socket, zmq::message_t& into, std::int64_t spin_us) {
  const auto until = spin_us > 0 ? bench::now_ns() + spin_us * 1000 : 0;
  for (;;) {
    if (socket.recv(into, zmq::recv_flags::dontwait)) return true;
    if (spin_us == 0 || bench::now_ns() >= until) break;
    sched_yield();
  }
  zmq_pollitem_t item{socket.handle(), 0, ZMQ_POLLIN, 0};
  if (zmq_poll(&item, 1, 100) <= 0) return false;
  return socket.recv(into, zmq::recv_flags::dontwait).has_value();
}

void serve(const plan& what, board& shared, bool behind_proxy) {
  zmq::context_t context;
  auto socket =
      open(context, behind_proxy ? zmq::socket_type::dealer : zmq::socket_type::router);
  if (behind_proxy)
    connect(socket, shared.back);
  else
    shared.front = bench::bind_somewhere(socket);
  while (!shared.done.load(std::memory_order_relaxed)) {
    zmq::message_t id, call;
    if (!receive(socket, id, what.spin_us)) continue;
    (void)socket.recv(call, zmq::recv_flags::none);
    socket.send(id, zmq::send_flags::sndmore);
    socket.send(call, zmq::send_flags::none);
  }
}

void proxy(board& shared) {
  zmq::context_t context;
  auto front = open(context, zmq::socket_type::router);
  auto back = open(context, zmq::socket_type::dealer);
  auto control = open(context, zmq::socket_type::pair);
  auto other = open(context, zmq::socket_type::pair);
  control.bind("inproc://control");
  other.connect("inproc://control");
  shared.back = bench::bind_somewhere(back);
  shared.front = bench::bind_somewhere(front);
  std::thread end([&] {
    while (!shared.done.load()) std::this_thread::sleep_for(std::chrono::milliseconds(20));
    other.send(zmq::str_buffer("TERMINATE"), zmq::send_flags::none);
  });
  zmq_proxy_steerable(front.handle(), back.handle(), nullptr, control.handle());
  end.join();
}

void call(const plan& what, board& shared) {
  zmq::context_t context;
  auto socket = open(context, zmq::socket_type::dealer);
  connect(socket, shared.front);
  // Until every server has answered once: a DEALER deals only to those that are there.
  for (std::size_t answers = 0; answers < 200 * what.servers;) {
    socket.send(zmq::message_t(&warm_up, 1), zmq::send_flags::none);
    zmq::message_t reply;
    while (!receive(socket, reply, 0)) continue;
    if (++answers % 100 == 0) std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
  const std::size_t bytes = std::max(what.size, sizeof(std::int64_t));
  std::vector<std::int64_t> samples;
  samples.reserve(what.calls / what.pack + 1);
  std::uint64_t sent = 0;
  const auto send = [&] {
    const auto count = std::min<std::uint64_t>(what.pack, what.calls - sent);
    zmq::message_t message(count * bytes);
    std::memset(message.data(), 'x', message.size());
    const auto now = bench::now_ns();
    std::memcpy(message.data(), &now, sizeof now);
    socket.send(message, zmq::send_flags::none);
    sent += count;
  };
  const auto start = bench::now_ns();
  while (sent < std::min<std::uint64_t>(what.in_flight, what.calls)) send();
  for (std::uint64_t answered = 0; answered < what.calls;) {
    zmq::message_t reply;
    if (!receive(socket, reply, what.spin_us)) continue;
    std::int64_t then = 0;
    std::memcpy(&then, reply.data(), sizeof then);
    samples.push_back(bench::now_ns() - then);
    answered += reply.size() / bytes;
    // All that are there, then as many again: faster than one by one, for libzmq too.
    if (answered < sent && socket.get(zmq::sockopt::events) & ZMQ_POLLIN) continue;
    while (sent < what.calls && sent - answered < what.in_flight) send();
  }
  shared.seconds = static_cast<double>(bench::now_ns() - start) / 1e9;
  shared.median_us = bench::quantile(samples, 0.5) / 1e3;
  shared.p99_us = bench::quantile(samples, 0.99) / 1e3;
  shared.done = true;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app{"What plain libzmq reaches for request and reply"};
  std::string mode = "direct";
  plan what;
  unsigned deadline = 120;
  app.add_option("--mode", mode, "direct or proxy")
      ->check(CLI::IsMember({"direct", "proxy"}))
      ->capture_default_str();
  app.add_option("--calls", what.calls, "calls")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  app.add_option("--size", what.size, "bytes of a call and its reply, at least 8")
      ->check(CLI::Range(8, 16 << 20))
      ->capture_default_str();
  app.add_option("--in-flight", what.in_flight, "calls under way")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  app.add_option("--pack", what.pack, "calls in one message")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  app.add_option("--spin-us", what.spin_us, "look for so long before sleeping")
      ->capture_default_str();
  app.add_option("--deadline", deadline, "seconds")->capture_default_str();
  CLI11_PARSE(app, argc, argv);

  const bool proxied = mode == "proxy";
  what.servers = proxied ? 2 : 1;
  try {
    auto& shared = bench::shared<board>();
    bench::processes roles(deadline);
    if (proxied) roles.start("proxy", [&] { proxy(shared); });
    for (std::size_t i = 0; i < what.servers; ++i)
      roles.start("server", [&] { serve(what, shared, proxied); });
    roles.start("client", [&] { call(what, shared); });
    const double cpu = roles.wait();
    bench::json_line line;
    line.add("mode", mode).add("calls", what.calls).add("size", what.size);
    line.add("in_flight", what.in_flight).add("pack", what.pack).add("spin_us", what.spin_us);
    line.add("calls_per_second", static_cast<double>(what.calls) / shared.seconds.load());
    line.add("median_us", shared.median_us.load()).add("p99_us", shared.p99_us.load());
    line.add("cpu_us_per_call", cpu * 1e6 / static_cast<double>(what.calls));
    std::cout << line.str() << std::endl;
  } catch (const std::exception& e) {
    std::cerr << "raw_rpc: " << e.what() << '\n';
    return 1;
  }
}
