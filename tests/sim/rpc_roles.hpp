// The three pumps of RPC, as simulated processes. They drive the machines as lib/src/net does.
#pragma once

#include "proto/rpc/client_state.hpp"
#include "proto/rpc/gateway_state.hpp"
#include "proto/rpc/service_state.hpp"
#include "sim/node.hpp"
#include "sim/rpc_world.hpp"

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace weir::sim {

/// A user's process: makes its calls, reads its streams, and notes how everything ends.
class rpc_client_node final : public node {
 public:
  rpc_client_node(rpc_world& w, std::uint32_t index);
  [[nodiscard]] std::uint32_t index() const { return index_; }
  /// All its calls have been made, and have ended.
  [[nodiscard]] bool finished() const;
  [[nodiscard]] std::string standing() const override;

 private:
  struct reader {
    std::uint64_t arrived = 0;
    std::uint64_t taken = 0;
    std::uint64_t taken_bytes = 0;
    std::deque<std::uint32_t> waiting;  // the lengths of those that are not taken
    bool reading = false;
    void take();
  };
  time_point round(time_point now) override;
  void on_input(input in, time_point now) override;
  void make_calls(time_point now);
  void make(const rpc_batch& b, time_point now);
  void note(time_point now);
  void read(std::uint64_t number, time_point now);
  void carry_out();

  rpc_world& world_;
  std::uint32_t index_;
  proto::client_outbox out_;
  proto::client_state machine_;
  std::size_t next_batch_ = 0;
  std::uint64_t next_number_ = 1;
  time_point next_at_{};
  std::map<std::uint64_t, reader> readers_;
};

class rpc_gateway_node final : public node {
 public:
  rpc_gateway_node(rpc_world& w, std::uint32_t slot, std::uint32_t incarnation);
  [[nodiscard]] std::uint32_t slot() const { return slot_; }
  [[nodiscard]] bool idle() const;
  [[nodiscard]] std::string standing() const override;

 private:
  time_point round(time_point now) override;
  void on_input(input in, time_point now) override;

  rpc_world& world_;
  std::uint32_t slot_;
  proto::gateway_outbox out_;
  proto::gateway_state machine_;
};

class rpc_worker_node final : public node {
 public:
  rpc_worker_node(rpc_world& w, std::uint32_t slot, std::uint32_t incarnation);
  [[nodiscard]] std::uint32_t slot() const { return slot_; }
  /// SIGTERM.
  void terminate();
  [[nodiscard]] bool idle() const;
  [[nodiscard]] std::string standing() const override;

 private:
  struct job {
    proto::call_key key;
    rpc_name name;
    std::string argument;
    std::uint32_t method = 0;
    time_point deadline;
    time_point given;
    time_point began{};
    bool cancelled = false;
    bool expired = false;  // while it waited for its reader
    bool no_slot = false;  // a stream that waits for its reader
    std::uint64_t produced = 0;
    std::uint64_t allowed = 0;
  };
  time_point round(time_point now) override;
  void on_input(input in, time_point now) override;
  void take_calls(time_point now);
  void begin_calls(time_point now);
  void begin(job j, time_point now);
  void end(proto::call_key key);
  void stream(proto::call_key key);
  void answer(const job& j, status code, std::string result, bool never_started,
              time_point now);
  void cancel(const proto::call_key& key, time_point now);
  void check_limits(time_point now);

  rpc_world& world_;
  std::uint32_t slot_;
  std::uint32_t slots_;
  proto::service_outbox out_;
  proto::service_state machine_;
  std::deque<job> pool_;
  std::map<proto::call_key, job> running_;
  std::uint32_t busy_ = 0;
  std::set<proto::call_key> seen_;  // handed out by the machine
  bool terminated_ = false;
  time_point leave_by_{};
  std::map<proto::peer_id, std::uint64_t> most_announced_;
};

[[nodiscard]] inline std::string gateway_at(std::uint32_t slot) {
  return "g" + std::to_string(slot);
}
[[nodiscard]] inline std::string worker_at(std::uint32_t slot) {
  return "w" + std::to_string(slot);
}

}  // namespace weir::sim
