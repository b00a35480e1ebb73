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

/// Why a message was refused: one enumerator per way to be wrong.
enum class reject : std::uint8_t {
  header_too_long,    ///< more than limits::header_bytes
  not_msgpack,        ///< truncated, over a limit on depth or counts, or bytes left over
  not_a_message,      ///< not an array that starts with a kind
  unknown_kind,       ///< a kind this version does not know: ignored, see "Growth"
  missing_field,      ///< the array is too short
  wrong_type,         ///< a field of another type than documented
  out_of_range,       ///< a number, text or count over its limit
  must_understand,    ///< a map key that starts with '!' and is not known
  body_mismatch,      ///< the lengths do not add up to the body
};
[[nodiscard]] std::string_view to_string(reject why) noexcept;

[[nodiscard]] frames encode(const message& m);

/// Never throws and never allocates more than a small multiple of the header's length.
/// Payloads in the result are views into `body`, which the message keeps alive.
[[nodiscard]] std::variant<message, reject> decode(std::string_view header, blob body);

}  // namespace weir::proto
