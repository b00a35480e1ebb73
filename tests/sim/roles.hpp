// The three pumps, as simulated processes. They drive the machines as lib/src/net does.
#pragma once

#include "proto/sink_core.hpp"
#include "proto/sink_state.hpp"
#include "proto/ventilator_state.hpp"
#include "proto/worker_state.hpp"
#include "sim/node.hpp"
#include "sim/output.hpp"
#include "sim/world.hpp"

#include <deque>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

namespace weir::sim {

class ventilator_node final : public node {
 public:
  ventilator_node(world& w, std::uint32_t index);
  [[nodiscard]] std::uint32_t index() const { return index_; }
  [[nodiscard]] bool lacks_sink() const { return !machine_.has_sink(); }
  /// Told to stop before its work is done.
  void abandon();
  [[nodiscard]] std::string standing() const override;

 private:
  world& world_;
  time_point round(time_point now) override;
  void on_input(input in, time_point now) override;
  void died() override;
  void feed(time_point now);
  void collect(time_point now);
  void carry_out();
  void check_limits();
  [[nodiscard]] bool filtered(proto::peer_id peer, proto::message& m);

  std::uint32_t index_;
  proto::outbox out_;
  proto::ventilator_state machine_;
  bool collects_;
  proto::sink_core core_;
  output output_;
  std::uint64_t next_ = 1;  // to be fed
  time_point next_feed_{};
  bool stopping_ = false;
  std::vector<proto::peer_id> heard_;  // for sabotage::death_ignored
};

class worker_node final : public node {
 public:
  worker_node(world& w, std::uint32_t slot, std::uint32_t incarnation);
  [[nodiscard]] std::uint32_t slot() const { return slot_; }
  /// SIGTERM; the second one is more urgent.
  void terminate();
  [[nodiscard]] bool draining() const { return terminations_ > 0; }
  /// Every ventilator it has met has said BYE.
  [[nodiscard]] bool was_told_all() const { return met_.empty(); }
  [[nodiscard]] std::string standing() const override;

 private:
  world& world_;
  struct job {
    std::uint32_t source = 0;
    std::uint64_t seq = 0;
    std::uint32_t attempt = 0;
    proto::pack payload;
    bool unwanted = false;
    bool stopped = false;
  };
  struct ended {
    job what;
    status code = status::ok;
    bool final = false;
    bool released = false;
    duration took{};
  };
  time_point round(time_point now) override;
  void on_input(input in, time_point now) override;
  void died() override;
  void begin_tasks();
  void run(job j);
  void end(std::uint64_t id, bool stopped);
  void report(time_point now);
  void stop(const proto::stop_tasks& s);
  void carry_out(time_point now);
  void check_limits();

  std::uint32_t slot_;
  proto::outbox out_;
  std::uint32_t slots_;
  proto::worker_state machine_;
  std::deque<job> pool_;
  std::map<std::uint64_t, job> running_;
  std::uint64_t last_run_ = 0;
  std::vector<ended> ended_;
  std::uint32_t terminations_ = 0;
  std::uint32_t seen_ = 0;
  time_point leave_by_{};
  std::uint64_t most_announced_ = 0;
  std::set<proto::peer_id> met_;  // ventilators that have not said BYE
};

class sink_node final : public node {
 public:
  sink_node(world& w, std::uint32_t incarnation);
  [[nodiscard]] std::string standing() const override;
  [[nodiscard]] bool waits_for_lost() const { return !machine_.lost().empty(); }
  [[nodiscard]] bool met_nobody() const { return registered_.empty(); }

 private:
  world& world_;
  time_point round(time_point now) override;
  void on_input(input in, time_point now) override;
  void died() override;
  [[nodiscard]] bool reads() const override;

  proto::outbox out_;
  proto::sink_state machine_;
  output output_;
  std::set<std::uint32_t> registered_;
};

}  // namespace weir::sim
