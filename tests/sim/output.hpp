// Where results are put, with the delays of a disk or a pipe.
#pragma once

#include "proto/outbox.hpp"
#include "sim/world.hpp"

#include <deque>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace weir::sim {

/// One writer: results are written in order, each run taking its time, or with keep_order in
/// the order of the tasks. What has been written is on disk at once, whatever happens to its
/// node; that it has been is known to the node a moment later.
class output {
 public:
  using done_range = std::pair<source_id, proto::seq_range>;
  /// `changed` is called when there is something to take.
  output(world& w, std::function<void()> changed);

  void open(const proto::opened_source& source);
  void give(std::vector<proto::commit_run> runs);
  [[nodiscard]] std::vector<done_range> take();
  /// The node is dead: what has not been written never will be.
  void stop() { stopped_ = true; }
  [[nodiscard]] std::size_t waiting() const { return queue_.size(); }

 private:
  struct item {
    std::uint32_t source;
    std::uint64_t seq;
    status code;
    std::string payload;
  };
  struct order {
    std::uint64_t due = 1;
    std::map<std::uint64_t, item> waiting;
    std::set<std::uint64_t> done;
  };
  void next();
  void write(const item& one);

  world& world_;
  std::function<void()> changed_;
  std::deque<std::vector<item>> queue_;  // consecutive tasks
  std::map<std::uint32_t, order> orders_;
  std::vector<done_range> done_;
  bool writing_ = false;
  bool stopped_ = false;
};

}  // namespace weir::sim
