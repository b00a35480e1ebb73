#include "proto/utf8.hpp"

#include <cstdint>
#include <cstring>

namespace weir::proto {
namespace {

bool continues(std::string_view text, std::size_t at) {
  return at < text.size() && (static_cast<std::uint8_t>(text[at]) & 0xC0) == 0x80;
}

/// The length of the character that starts at `at`; 0 if there is none. RFC 3629, section 4:
/// no overlong forms, no surrogates, nothing above U+10FFFF.
std::size_t character(std::string_view text, std::size_t at) {
  const auto lead = static_cast<std::uint8_t>(text[at]);
  if (lead < 0x80) return 1;
  if (lead < 0xC2 || lead > 0xF4 || !continues(text, at + 1)) return 0;
  if (lead < 0xE0) return 2;
  const auto second = static_cast<std::uint8_t>(text[at + 1]);
  if (!continues(text, at + 2)) return 0;
  if (lead < 0xF0) {
    const bool overlong = lead == 0xE0 && second < 0xA0;
    const bool surrogate = lead == 0xED && second > 0x9F;
    return overlong || surrogate ? 0 : 3;
  }
  if (!continues(text, at + 3)) return 0;
  const bool overlong = lead == 0xF0 && second < 0x90;
  const bool too_large = lead == 0xF4 && second > 0x8F;
  return overlong || too_large ? 0 : 4;
}

}  // namespace

std::size_t valid_utf8_prefix(std::string_view text) noexcept {
  std::size_t at = 0;
  while (at < text.size()) {
    // Most text is ASCII: eight of its bytes at once.
    std::uint64_t eight = 0x80;
    if (text.size() - at >= sizeof eight) std::memcpy(&eight, text.data() + at, sizeof eight);
    if ((eight & 0x8080808080808080U) == 0) {
      at += sizeof eight;
      continue;
    }
    const auto length = character(text, at);
    if (length == 0) break;
    at += length;
  }
  return at;
}

std::string to_utf8(std::string_view text, std::size_t max) {
  if (text.size() > max) {
    std::size_t cut = max;
    // No character is longer than four bytes; a longer row of continuations is not text.
    while (cut > 0 && max - cut < 3 && continues(text, cut)) --cut;
    text = text.substr(0, cut);
  }
  std::string clean(text);
  for (auto bad = valid_utf8_prefix(clean); bad < clean.size();) {
    clean[bad++] = '?';
    bad += valid_utf8_prefix(std::string_view(clean).substr(bad));
  }
  return clean;
}

}  // namespace weir::proto
