// How a client's calls are told apart towards its caller.
#pragma once

#include "proto/message.hpp"

#include <cstdint>

namespace weir::proto {

/// The second copy of a call has the call's number with this bit, so consecutive copies of
/// consecutive calls are consecutive.
inline constexpr std::uint64_t hedge_bit = std::uint64_t{1} << 61;
/// A question of the client's own (`weir.route`).
inline constexpr std::uint64_t question_bit = std::uint64_t{1} << 62;

[[nodiscard]] inline constexpr std::uint64_t call_of(std::uint64_t number) {
  return number & ~hedge_bit;
}
[[nodiscard]] inline constexpr bool is_hedge(std::uint64_t number) {
  return (number & hedge_bit) != 0;
}
[[nodiscard]] inline constexpr bool is_question(std::uint64_t number) {
  return (number & question_bit) != 0;
}
[[nodiscard]] inline constexpr seq_range hedge_of(seq_range calls) {
  return {calls.first | hedge_bit, calls.last | hedge_bit};
}

}  // namespace weir::proto
