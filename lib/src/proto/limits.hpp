// What a peer may ask of us. Every figure is in docs/protocol.md, "Limits".
#pragma once

#include <cstddef>
#include <cstdint>

namespace weir::proto::limits {

/// Tasks, results, calls, replies or elements in one message, over all its runs.
inline constexpr std::uint32_t items = 16'384;
/// Ranges in one message, over all its sources. No WINDOW is for more items than this, so that
/// what a worker holds always fits into one; everything else is sent in more messages.
inline constexpr std::uint32_t ranges = 16'384;
/// What the details of one message's results may come to by encoded_size(): a sender closes a
/// batch before it is more. 256 KiB are sixteen full tails of stderr, or 3 000 results without.
inline constexpr std::size_t details_bytes = 256 * 1024;
/// The longest header frame. The longest that an honest sender can need is 16 384 results in
/// runs of one with their details, some 780 KiB; senders stay far below.
inline constexpr std::size_t header_bytes = 1024 * 1024;
/// Nesting in an array element or map value that its receiver does not know and skips.
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
/// Sequence numbers, epochs, totals and windows: JavaScript's largest exact integer.
inline constexpr std::uint64_t seq = (std::uint64_t{1} << 53) - 1;
/// The longest heartbeat interval; the shortest is 1 ms.
inline constexpr std::uint32_t heartbeat_ms = 3'600'000;
/// Sessions that one node serves at a time.
inline constexpr std::size_t peers = 16'384;
/// Sources that one sink serves at a time.
inline constexpr std::size_t sources = 4'096;

/// Methods in one OFFER, which says all that a worker has.
inline constexpr std::size_t methods = 1'024;
/// The name of a method, which may not be empty.
inline constexpr std::size_t method_bytes = 256;
/// Arguments that an OFFER describes of one method.
inline constexpr std::size_t arguments = 64;
/// Endpoints in one OFFER.
inline constexpr std::size_t direct_endpoints = 16;
/// What the descriptions in one OFFER may come to, beside the names: the sender leaves out
/// those that are over it.
inline constexpr std::size_t offer_bytes = 512 * 1024;
/// A hash key or an idempotency key.
inline constexpr std::size_t key_bytes = 256;
/// The highest priority of a call; the lowest is 0.
inline constexpr std::uint8_t priority = 9;
/// Keys and values of one call's metadata together. Entries: map_entries.
inline constexpr std::size_t metadata_bytes = 8 * 1024;
/// What a handler attaches to its error.
inline constexpr std::size_t error_data_bytes = 16 * 1024;

}  // namespace weir::proto::limits
