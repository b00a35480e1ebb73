// Text that every peer can read.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace weir::proto {

/// The length of the longest part of `text` from its start that is valid UTF-8.
[[nodiscard]] std::size_t valid_utf8_prefix(std::string_view text) noexcept;

/// At most `max` bytes of `text`, no character cut in two, and a '?' for each byte that is not
/// part of valid UTF-8: Python's msgpack, for one, refuses a whole message for one bad byte.
[[nodiscard]] std::string to_utf8(std::string_view text, std::size_t max);

}  // namespace weir::proto
