// One seed's world: its nodes, its troubles, and its end.
#pragma once

#include "proto/message.hpp"
#include "sim/checker.hpp"
#include "sim/clockwork.hpp"
#include "sim/network.hpp"
#include "sim/scenario.hpp"

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

class world {
 public:
  world(const scenario& s, bool verbose);
  ~world();
  world(const world&) = delete;
  world& operator=(const world&) = delete;

  struct result {
    std::string verdict;  ///< empty: all is well
    std::uint64_t hash = 0;
    std::uint64_t events = 0;
  };
  [[nodiscard]] result run();

  // For the nodes.
  [[nodiscard]] const scenario& plan() const { return plan_; }
  [[nodiscard]] time_point now() const { return clock_.now(); }
  [[nodiscard]] dice& chance() { return chance_; }
  [[nodiscard]] checker& books() { return books_; }
  [[nodiscard]] network& net() { return net_; }
  [[nodiscard]] bool broken(sabotage how) const { return plan_.broken == how; }
  [[nodiscard]] bool healed() const { return healed_; }
  [[nodiscard]] duration delay();
  void at(time_point when, std::function<void()> what) { clock_.at(when, std::move(what)); }
  /// Something came nearer to its end.
  void progress() { last_progress_ = now(); }
  void mix(std::uint64_t value) { hash_ = (hash_ ^ value) * 0x100000001b3U; }
  template <class Text>
  void trace(const std::string& who, Text&& text) {
    if (verbose_) print(who, text());
  }
  void left(node& n);    ///< it has exited
  void killed(node& n);  ///< it has died

  /// No ventilator is left that this sink has not met.
  [[nodiscard]] bool last_ventilator_is_known_to(const std::set<std::uint32_t>& met) const;
  [[nodiscard]] std::vector<std::string> ventilator_endpoints() const;
  [[nodiscard]] std::vector<std::string> worker_endpoints() const;

 private:
  void print(const std::string& who, const std::string& text) const;
  void start_worker(std::uint32_t slot);
  void start_sink();
  void trouble(duration every, std::function<void()> what);
  void begin_troubles();
  void heal();
  [[nodiscard]] bool over() const;
  [[nodiscard]] std::string stuck() const;

  const scenario plan_;
  const bool verbose_;
  clockwork clock_;
  dice chance_;
  checker books_;
  network net_;
  std::vector<std::unique_ptr<node>> nodes_;
  std::vector<ventilator_node*> ventilators_;
  std::vector<worker_node*> workers_;  // the present one of each slot
  sink_node* sink_ = nullptr;
  bool healed_ = false;
  time_point last_progress_{};
  std::uint64_t hash_ = 0xcbf29ce484222325U;
};

/// A message in one line, for traces.
[[nodiscard]] std::string describe(const proto::message& m);

}  // namespace weir::sim
