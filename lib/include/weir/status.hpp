// The canonical status codes: what became of a task.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace weir {

/// gRPC's canonical codes, 0 to 16, with their numbers and meanings
/// (https://grpc.io/docs/guides/status-codes/).
enum class status : std::uint8_t {
  ok = 0,
  cancelled = 1,
  unknown = 2,
  invalid_argument = 3,
  deadline_exceeded = 4,
  not_found = 5,
  already_exists = 6,
  permission_denied = 7,
  resource_exhausted = 8,
  failed_precondition = 9,
  aborted = 10,
  out_of_range = 11,
  unimplemented = 12,
  internal = 13,
  unavailable = 14,
  data_loss = 15,
  unauthenticated = 16,
};

/// The code's name as in gRPC's documentation, e.g. "DEADLINE_EXCEEDED".
[[nodiscard]] std::string_view to_string(status code) noexcept;

/// The code with this number; nothing if it is not canonical.
[[nodiscard]] std::optional<status> status_from(std::uint64_t number) noexcept;

}  // namespace weir
