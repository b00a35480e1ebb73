// Messages to frames and back.
#pragma once

#include "proto/blob.hpp"
#include "proto/message.hpp"

#include <string>
#include <string_view>
#include <variant>

namespace weir::proto {

/// A message as it travels: a MessagePack array, and the payloads it speaks of, concatenated.
struct frames {
  std::string header;
  blob body;  ///< empty: no body frame is sent
};

/// Why a message was refused: one enumerator per way to be wrong. The first fault met while
/// reading from left to right is the one that is named.
enum class reject : std::uint8_t {
  header_too_long,  ///< more than limits::header_bytes
  not_msgpack,      ///< truncated, nested too deep, or bytes left over
  not_a_message,    ///< not an array that starts with a kind
  unknown_kind,     ///< a kind this version does not know: ignored, see "Growth"
  missing_field,    ///< an array is too short
  wrong_type,       ///< a field of another type than documented
  out_of_range,     ///< a number, text or count outside its limits
  must_understand,  ///< a map key that starts with '!' and is not known
  body_mismatch,    ///< the lengths do not add up to the body
};
/// The enumerator's name.
[[nodiscard]] std::string_view to_string(reject why) noexcept;

/// The frames of `m`, whose counts must be within limits.hpp. One run's payloads, or runs cut
/// from one blob side by side, go into the body without a copy.
///
/// What the receiver would have to refuse as a whole is not sent: text is made valid UTF-8 and
/// cut to its limit, stderr keeps its end, a window or a size over limits::seq is sent as
/// limits::seq, a resync leaves out what is over limits::ranges, and a RESULT or REPLY leaves
/// out the details that are over limits::details_bytes (senders avoid that with
/// fitting_results() and fitting_replies()). An OFFER leaves out methods over limits::methods,
/// and descriptions over limits::offer_bytes; a CALL leaves out keys and metadata that are too
/// long, which whoever takes them from a user has to refuse.
[[nodiscard]] frames encode(const message& m);

/// What these details take in a header, at most.
[[nodiscard]] std::size_t encoded_size(const outcome_details& details) noexcept;

/// How many results from the front of `run` make one good message: within limits::batch_bytes
/// of payloads and limits::details_bytes of details, but at least one.
[[nodiscard]] std::uint32_t fitting_results(const result_run& run) noexcept;

/// The same for calls and replies. A message of several runs is good while these sizes come to
/// no more than limits::details_bytes, their payloads to no more than limits::batch_bytes, and
/// their counts to no more than limits::items.
[[nodiscard]] std::uint32_t fitting_calls(const call_run& run) noexcept;
[[nodiscard]] std::uint32_t fitting_replies(const reply_run& run) noexcept;
[[nodiscard]] std::size_t encoded_size(const reply_details& details) noexcept;
[[nodiscard]] std::size_t encoded_size(const call_run& run) noexcept;
[[nodiscard]] std::size_t encoded_size(const reply_run& run) noexcept;

/// Never throws, and allocates no more than a small multiple of the header's length and some
/// 150 bytes a run, or a result whose details it states. Neighbouring runs of a CALL with the
/// same options share them. Text comes back as valid UTF-8. Payloads in the result are views
/// into `body`, which the message keeps alive. HELLO and WELCOME of another version come back
/// with that version and nothing else, whatever follows it.
[[nodiscard]] std::variant<message, reject> decode(std::string_view header, blob body);

}  // namespace weir::proto
