// Where the numbers of a link's calls begin.
#pragma once

#include "proto/message.hpp"

#include <cstdint>

namespace weir::proto {

/// A link's numbers begin at a multiple of this: any number of links can be told apart, and one
/// that outgrows it does no harm.
inline constexpr std::uint64_t beginnings_apart = std::uint64_t{1} << 23;
/// More than any caller has in hand.
inline constexpr std::uint64_t most_in_hand = std::uint64_t{1} << 20;

/// The number before the first call from `caller` to `callee`, below 2^43.
///
/// What was sent to one incarnation of a peer may wait in a socket and reach the next one, even
/// behind a HELLO that waited with it. If all links began at 1, an answer from the past could
/// pass for the answer to another call. So each pair of sessions has a beginning of its own
/// (docs/protocol.md, "Numbers").
[[nodiscard]] constexpr std::uint64_t beginning_of(session_id caller, session_id callee) {
  constexpr int unused = 44;
  const std::uint64_t pair = (static_cast<std::uint64_t>(caller) >> unused) ^
                             (static_cast<std::uint64_t>(callee) >> unused);
  return pair * beginnings_apart;
}

/// Whether a CALL with this `low` is of another link than the one on which everything up to
/// `highest` has been seen.
[[nodiscard]] constexpr bool misdirected(std::uint64_t low, std::uint64_t highest,
                                         std::uint64_t beginning) {
  return low > highest + most_in_hand && low / beginnings_apart != beginning / beginnings_apart;
}

}  // namespace weir::proto
