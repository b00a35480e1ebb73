// Where the benchmark programs meet.
#pragma once

#include <zmq.hpp>

#include <random>
#include <stdexcept>
#include <string>

namespace bench {

/// Binds to a free port of loopback below the ephemeral range, and returns it: a TCP connect to
/// an unbound ephemeral port on loopback can connect to itself.
inline int bind_somewhere(zmq::socket_t& socket) {
  std::random_device seed;
  std::uniform_int_distribution<int> ports(20'000, 30'000);
  for (int attempt = 0; attempt < 100; ++attempt) {
    const int port = ports(seed);
    try {
      socket.bind("tcp://127.0.0.1:" + std::to_string(port));
      return port;
    } catch (const zmq::error_t& e) {
      if (e.num() != EADDRINUSE) throw;
    }
  }
  throw std::runtime_error("no free port between 20000 and 30000 in 100 attempts");
}

}  // namespace bench
