// One seed's world: its nodes, its troubles, and its end.
#pragma once

#include "proto/message.hpp"
#include "sim/checker.hpp"
#include "sim/scenario.hpp"
#include "sim/surroundings.hpp"

#include <cstdint>
#include <memory>
#include <set>
#include <string>
#include <vector>

namespace weir::sim {

class node;
class sink_node;
class ventilator_node;
class worker_node;

class world final : public surroundings {
 public:
  world(const scenario& s, bool verbose);
  ~world() override;

  struct result {
    std::string verdict;  ///< empty: all is well
    std::uint64_t hash = 0;
    std::uint64_t events = 0;
  };
  [[nodiscard]] result run();

  // For the nodes.
  [[nodiscard]] const scenario& plan() const { return plan_; }
  [[nodiscard]] checker& books() { return books_; }
  [[nodiscard]] bool broken(sabotage how) const { return plan_.broken == how; }
  void violation(std::string what) override { books_.violation(std::move(what)); }
  void left(node& n) override;
  void killed(node& n) override;

  /// No ventilator is left that this sink has not met.
  [[nodiscard]] bool last_ventilator_is_known_to(const std::set<std::uint32_t>& met) const;
  [[nodiscard]] std::vector<std::string> ventilator_endpoints() const;
  [[nodiscard]] std::vector<std::string> worker_endpoints() const;

 private:
  void start_worker(std::uint32_t slot);
  void start_sink();
  void begin_troubles();
  [[nodiscard]] bool over() const;
  [[nodiscard]] std::string stuck() const;

  const scenario plan_;
  checker books_;
  std::vector<std::unique_ptr<node>> nodes_;
  std::vector<ventilator_node*> ventilators_;
  std::vector<worker_node*> workers_;  // the present one of each slot
  sink_node* sink_ = nullptr;
};

}  // namespace weir::sim
