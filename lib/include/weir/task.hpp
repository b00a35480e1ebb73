// The values that every part of weir speaks of: a task's identity and what became of it.
#pragma once

#include <weir/status.hpp>

#include <array>
#include <chrono>
#include <compare>
#include <cstdint>
#include <string>
#include <string_view>

namespace weir {

/// One stream of tasks, owned by one ventilator: 128 random bits, new for each run.
struct source_id {
  std::array<std::uint8_t, 16> bytes{};
  auto operator<=>(const source_id&) const = default;
};

/// 32 lower-case hexadecimal digits.
[[nodiscard]] std::string to_string(const source_id& source);

/// A task's identity for ever. `seq` is dense within a source and starts at 1.
struct task_id {
  source_id source;
  std::uint64_t seq = 0;
  auto operator<=>(const task_id&) const = default;
};

/// What is known about an attempt besides its status and its payload. All members are
/// optional: a C++ handler that succeeds sets none, a command sets most.
struct outcome_details {
  std::string message;          ///< one line for people: why it failed
  std::string host;             ///< where it ran
  std::string stderr_tail;      ///< the end of a command's stderr
  std::int32_t exit_code = -1;  ///< a command's exit code; -1: none
  std::int32_t signal = 0;      ///< the signal that ended a command; 0: none
  double started = 0;     ///< seconds since the Unix epoch, on the worker's clock; 0: unknown
  double runtime = 0;     ///< seconds
  bool retryable = true;  ///< false: another attempt cannot succeed, give up at once
  [[nodiscard]] bool operator==(const outcome_details&) const = default;
};

}  // namespace weir
