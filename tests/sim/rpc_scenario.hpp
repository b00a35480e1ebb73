// What one seed stands for in the world of calls: who is there, what is called, what breaks.
#pragma once

#include "sim/clockwork.hpp"

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace weir::sim {

/// A method as all workers offer it.
struct rpc_method {
  std::string_view name;
  bool idempotent = false;
  bool streams = false;
  std::uint32_t at_a_time = 0;
};
inline constexpr std::array<rpc_method, 5> rpc_methods{{{"echo"},
                                                        {"idem", true},
                                                        {"one", false, false, 1},
                                                        {"items", false, true},
                                                        {"again", true, true}}};
/// Offered by nobody.
inline constexpr std::string_view no_method = "none";

/// Consecutive calls that a client makes at a time.
struct rpc_batch {
  duration pause{};  // after the batch before
  std::string method;
  std::uint32_t count = 1;
  duration deadline{};
  std::uint32_t retries = 0;
  bool idempotent = false;  // the client says so
  bool keyed = false;
  bool hashed = false;
  bool no_reply = false;
  std::uint8_t priority = 5;
  duration hedge_after{};
  duration cancel_after{};  // zero: it is not
  std::uint32_t stream_window = 0;
  std::uint32_t stream_bytes = 0;
  duration reads_every{};  // a slow reader takes an element in this time; zero: at once
  std::uint32_t size = 0;  // of each argument
};

/// What becomes of one call when it is run.
struct rpc_call {
  std::uint32_t batch = 0;
  duration runs{};
  bool fails = false;
  std::uint32_t elements = 0;
};

/// What is broken on purpose, to show that the checker notices.
enum class rpc_sabotage : std::uint8_t {
  none,
  outcome_dropped,   // a client's user does not get one
  outcome_doubled,   // ... gets one twice
  result_altered,    // ... gets another's
  element_dropped,   // ... misses an element of a stream
  run_twice,         // a worker runs a call twice
  run_late,          // a worker runs a call that has waited past its deadline
  run_cancelled,     // a worker runs a call that it has said not to have started
  answer_forgotten,  // a worker never answers one
  credit_swallowed,  // workers do not hear CREDIT
  window_ignored,    // gateways and clients take windows for ten times what they are
};

struct rpc_scenario {
  std::uint64_t seed = 0;

  std::uint32_t clients = 1;
  std::uint32_t gateways = 1;
  std::uint32_t workers = 1;
  bool introduce = false;  // workers say that they can be called directly
  duration heartbeat = std::chrono::seconds(1);
  std::uint32_t max_slots = 4;
  std::uint64_t max_window = 16'384;
  std::uint64_t queue_calls = 100'000;
  duration wait{};  // a gateway's, for a first worker

  std::vector<std::vector<rpc_batch>> batches;  // of each client
  std::vector<std::vector<rpc_call>> calls;     // of each client, by number from 1
  duration longest_deadline{};

  bool cuts = false;
  bool delays = false;
  bool long_delays = false;
  bool worker_kills = false;
  bool gateway_kills = false;
  bool client_kills = false;
  bool pauses = false;
  bool drains = false;  // of workers
  bool sends_wait = false;
  duration trouble{};  // faults happen for so long, then all heals
  /// No fault, little to do, much time: everything has to succeed.
  bool calm = false;

  rpc_sabotage broken = rpc_sabotage::none;

  [[nodiscard]] bool fault_free() const {
    return !cuts && !long_delays && !worker_kills && !gateway_kills && !client_kills &&
           !pauses && !drains;
  }
  [[nodiscard]] const rpc_batch& batch_of(std::uint32_t client, std::uint64_t number) const {
    return batches[client][calls[client][number - 1].batch];
  }
  [[nodiscard]] const rpc_call& call_of(std::uint32_t client, std::uint64_t number) const {
    return calls[client][number - 1];
  }
  /// Whether running this call twice is allowed.
  [[nodiscard]] bool repeatable(std::uint32_t client, std::uint64_t number) const;
  [[nodiscard]] std::string describe() const;
};

[[nodiscard]] rpc_scenario make_rpc_scenario(std::uint64_t seed);

/// Which call an argument belongs to; `client` is out of range if it is none.
struct rpc_name {
  std::uint32_t client = 0;
  std::uint64_t number = 0;
};
[[nodiscard]] std::string argument_of(const rpc_name& call, std::uint32_t size);
[[nodiscard]] rpc_name name_of(std::string_view argument);
/// What a worker makes of an argument, knowing nothing else.
[[nodiscard]] std::string result_of(std::string_view argument);
[[nodiscard]] std::string element_of(std::string_view argument, std::uint64_t number);

}  // namespace weir::sim
