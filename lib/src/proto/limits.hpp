// What a peer may ask of us. Every figure is in docs/protocol.md, "Limits".
#pragma once

#include <cstddef>
#include <cstdint>

namespace weir::proto::limits {

/// The longest header frame. 64 KiB of lengths describe 20 000 tasks; senders stay far below.
inline constexpr std::size_t header_bytes = 256 * 1024;
/// Tasks or results in one message, over all its runs.
inline constexpr std::uint32_t items = 16'384;
/// Ranges in one ACK, COMMITTED, CANCEL, RELEASE, WINDOW or REGISTER. More are sent in more
/// messages.
inline constexpr std::uint32_t ranges = 8'192;
/// Nesting in a header: array of runs, of details, of their map.
inline constexpr std::size_t depth = 6;
/// Entries of any map in a header.
inline constexpr std::size_t map_entries = 32;
/// One payload. A frame that is longer than this and a batch together is refused by libzmq.
inline constexpr std::size_t payload_bytes = 16 * 1024 * 1024;
/// What a sender puts into one message's body when it holds more than one payload.
inline constexpr std::size_t batch_bytes = 256 * 1024;
/// Text of names, messages and endpoints.
inline constexpr std::size_t text_bytes = 1024;
/// The tail of a command's stderr that travels with its result.
inline constexpr std::size_t stderr_bytes = 16 * 1024;
/// Sequence numbers and totals: JavaScript's largest exact integer.
inline constexpr std::uint64_t seq = (std::uint64_t{1} << 53) - 1;
/// Sessions that one node serves at a time.
inline constexpr std::size_t peers = 16'384;
/// Sources that one sink serves at a time.
inline constexpr std::size_t sources = 4'096;

}  // namespace weir::proto::limits
