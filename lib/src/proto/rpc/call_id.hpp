// What a call that is kept in a gateway's spool is known by.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace weir::proto {

/// 26 characters that sort by the time of their making, in milliseconds, and of which 80 bits
/// cannot be guessed: knowing an id is what entitles to its result. Made as ULIDs are
/// (https://github.com/ulid/spec), in lower case, by whoever submits; so a submission that is
/// repeated, because its answer was lost, is recognised.
inline constexpr std::size_t call_id_length = 26;

namespace detail {
/// Crockford's base 32: no i, l, o, u.
inline constexpr std::string_view base32 = "0123456789abcdefghjkmnpqrstvwxyz";
}  // namespace detail

/// `random` holds 80 bits: all of `high`, the lower 16 of `low`.
[[nodiscard]] inline std::string make_call_id(std::uint64_t unix_ms, std::uint64_t high,
                                              std::uint64_t low) {
  std::string id(call_id_length, '0');
  for (std::size_t i = 10; i-- > 0; unix_ms >>= 5) id[i] = detail::base32[unix_ms & 31];
  for (std::size_t i = call_id_length; i-- > 10;) {
    id[i] = detail::base32[low & 31];
    // 80 bits, shifted as one number.
    low = (low >> 5 & 0x7FF) | (high & 31) << 11;
    high >>= 5;
  }
  return id;
}

[[nodiscard]] inline bool is_call_id(std::string_view text) {
  return text.size() == call_id_length &&
         text.find_first_not_of(detail::base32) == std::string_view::npos;
}

}  // namespace weir::proto
