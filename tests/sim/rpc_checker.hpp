// What must hold of calls, whatever happens.
#pragma once

#include "proto/message.hpp"
#include "sim/rpc_scenario.hpp"

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace weir::sim {

/// Sees everything that is done to a call, from outside the machines, and keeps books of its
/// own in the plainest way. The first violation is kept.
///
///   R1  each call ends exactly once, at its deadline at the latest
///   R2  a call that may not be repeated runs at most once; and no worker runs the same request
///       of a caller twice
///   R3  a reply is that of its call, and of a run of it; what is said never to have been
///       started never is
///   R4  nothing is started after its deadline
///   R5  nothing is started after a worker has confirmed that it is cancelled
///   R6  elements of a stream come in order, each once, all of them, and before the end
///   R7  what a worker has in hand stays within the windows that it has announced
///   R8  when all has healed, everything ends, and nothing is left behind
///   R9  nothing fails without a reason; when there is none to fail, each call runs once
class rpc_checker {
 public:
  explicit rpc_checker(const rpc_scenario& s);

  void made(const rpc_name& call, time_point deadline);
  void cancel_asked(const rpc_name& call);
  /// A worker's slot begins with it.
  void started(const rpc_name& call, time_point now);
  void ran(const rpc_name& call, bool ok);

  void element(const rpc_name& call, std::uint64_t number, std::string_view value);
  struct outcome {
    status code = status::ok;
    std::string_view result;
    bool never_started = false;
    bool from_elsewhere = false;  // not by the client itself
    std::uint64_t elements = 0;   // as the answer says
    std::string message;
  };
  /// `awake_since`: since when the client has been running without a pause.
  void ended(const rpc_name& call, const outcome& what, time_point now, time_point awake_since);
  /// A client is gone, and its calls with it.
  void abandoned(std::uint32_t client);
  /// The end of the world.
  void finish();

  void violation(std::string what);
  [[nodiscard]] const std::string& verdict() const { return verdict_; }

 private:
  struct record {
    bool made = false;
    bool cancel_asked = false;
    std::uint32_t started = 0;
    std::uint32_t succeeded = 0;
    std::uint32_t failed = 0;
    std::uint32_t ended = 0;
    std::uint64_t elements = 0;
    std::string never_again;  // why it must not be started any more
    time_point deadline;
  };
  [[nodiscard]] record* find(const rpc_name& call, const char* what);
  void check_reason(const record& r, const rpc_name& call, const outcome& what, time_point now);

  const rpc_scenario& scenario_;
  std::vector<std::vector<record>> clients_;
  std::vector<bool> abandoned_;
  std::string verdict_;
};

}  // namespace weir::sim
