// One seed's world of calls: its nodes, its troubles, and its end.
#pragma once

#include "sim/rpc_checker.hpp"
#include "sim/rpc_scenario.hpp"
#include "sim/surroundings.hpp"

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace weir::sim {

class node;
class rpc_client_node;
class rpc_gateway_node;
class rpc_worker_node;

class rpc_world final : public surroundings {
 public:
  rpc_world(const rpc_scenario& s, bool verbose);
  ~rpc_world() override;

  struct result {
    std::string verdict;  ///< empty: all is well
    std::uint64_t hash = 0;
    std::uint64_t events = 0;
  };
  [[nodiscard]] result run();

  // For the nodes.
  [[nodiscard]] const rpc_scenario& plan() const { return plan_; }
  [[nodiscard]] rpc_checker& books() { return books_; }
  [[nodiscard]] bool broken(rpc_sabotage how) const { return plan_.broken == how; }
  /// Something is broken on purpose once in a while.
  [[nodiscard]] bool breaks(rpc_sabotage how) {
    return plan_.broken == how && chance().chance(0.02);
  }
  void violation(std::string what) override { books_.violation(std::move(what)); }
  void left(node& n) override;
  void killed(node& n) override;

 private:
  void start_worker(std::uint32_t slot);
  void start_gateway(std::uint32_t slot);
  void begin_troubles();
  [[nodiscard]] bool over() const;
  [[nodiscard]] std::string stuck() const;

  const rpc_scenario plan_;
  rpc_checker books_;
  std::vector<std::unique_ptr<node>> nodes_;
  std::vector<rpc_client_node*> clients_;
  std::vector<rpc_gateway_node*> gateways_;  // the present one of each slot
  std::vector<rpc_worker_node*> workers_;    // likewise
  std::vector<std::uint32_t> incarnations_;  // of workers, then of gateways
};

}  // namespace weir::sim
