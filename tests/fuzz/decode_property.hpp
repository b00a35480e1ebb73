// What must hold for whatever bytes a peer sends.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace weir::fuzz {

/// A header and a body as one row of bytes, which is what a fuzzer works on: the header's
/// length in two bytes, then both.
[[nodiscard]] std::string joined(std::string_view header, std::string_view body);

/// Decodes `input`. What can be decoded must be encodable again, and mean the same when it
/// is decoded again; what is encoded from that must be the same bytes. Aborts if not. Returns
/// whether it could be decoded.
bool check_decode(const std::uint8_t* input, std::size_t size);

}  // namespace weir::fuzz
