// What all embedded nodes have in common.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace weir {

/// How a node is reached and how long it waits for others.
struct node_options {
  std::string name{};               ///< a label in messages; empty: the role and the process id
  std::vector<std::string> bind{};  ///< endpoints that others connect to
  std::vector<std::string> connect{};  ///< endpoints that others have bound
  /// Allow addresses that other machines can reach. There is no authentication and no
  /// encryption yet: anybody who can reach the address can read and add results.
  bool insecure = false;
  /// How long to be without the peer that the work depends on (a ventilator without any worker,
  /// a worker without any ventilator, ...), at the start or later, before giving up with
  /// weir::error `unavailable`. Zero: wait for ever.
  std::chrono::milliseconds connect_timeout{60'000};
  /// How often a silent node shows that it lives; five times this without a word, and a peer is
  /// taken for dead. The binding side's value counts. 10 ms to 60 s.
  std::chrono::milliseconds heartbeat{1000};
  /// What an operator might want to know: a peer joined, left, was silent for too long. Called
  /// on the node's loop thread. Empty: nobody wants to.
  std::function<void(bool warning, const std::string& text)> on_notice{};
};

}  // namespace weir
