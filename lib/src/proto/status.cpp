#include <weir/status.hpp>

#include <array>

namespace weir {
namespace {
constexpr std::array<std::string_view, 17> names{"OK",
                                                 "CANCELLED",
                                                 "UNKNOWN",
                                                 "INVALID_ARGUMENT",
                                                 "DEADLINE_EXCEEDED",
                                                 "NOT_FOUND",
                                                 "ALREADY_EXISTS",
                                                 "PERMISSION_DENIED",
                                                 "RESOURCE_EXHAUSTED",
                                                 "FAILED_PRECONDITION",
                                                 "ABORTED",
                                                 "OUT_OF_RANGE",
                                                 "UNIMPLEMENTED",
                                                 "INTERNAL",
                                                 "UNAVAILABLE",
                                                 "DATA_LOSS",
                                                 "UNAUTHENTICATED"};
}

std::string_view to_string(status code) noexcept {
  return names[static_cast<std::size_t>(code)];
}

std::optional<status> status_from(std::uint64_t number) noexcept {
  if (number >= names.size()) return std::nullopt;
  return static_cast<status>(number);
}

}  // namespace weir
