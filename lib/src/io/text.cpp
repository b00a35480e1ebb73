#include "io/text.hpp"

#include "proto/utf8.hpp"

#include <array>
#include <charconv>
#include <cmath>

namespace weir::io {

namespace {

// Which bytes of UTF-8 can stand in a JSON string as they are.
constexpr auto plain_in_json = [] {
  std::array<bool, 256> plain{};
  for (unsigned c = 0x20; c < 256; ++c) plain[c] = c != '"' && c != '\\' && c != 0x7f;
  return plain;
}();

void append_escaped(std::string& out, std::string_view utf8) {
  static constexpr char digits[] = "0123456789abcdef";
  while (!utf8.empty()) {
    std::size_t plain = 0;
    while (plain < utf8.size() && plain_in_json[static_cast<unsigned char>(utf8[plain])])
      ++plain;
    out += utf8.substr(0, plain);
    utf8.remove_prefix(plain);
    if (utf8.empty()) return;
    const auto c = static_cast<unsigned char>(utf8.front());
    utf8.remove_prefix(1);
    switch (c) {
      case '"':
        out += "\\\"";
        break;
      case '\\':
        out += "\\\\";
        break;
      case '\n':
        out += "\\n";
        break;
      case '\r':
        out += "\\r";
        break;
      case '\t':
        out += "\\t";
        break;
      default:
        out += "\\u00";
        out += digits[c >> 4];
        out += digits[c & 15];
    }
  }
}

}  // namespace

void append_json_string(std::string& out, std::string_view text) {
  out += '"';
  for (;;) {
    const std::size_t valid = proto::valid_utf8_prefix(text);
    append_escaped(out, text.substr(0, valid));
    text.remove_prefix(valid);
    if (text.empty()) break;
    out += "\xef\xbf\xbd";
    text.remove_prefix(1);
  }
  out += '"';
}

void append_base64(std::string& out, std::string_view bytes) {
  static constexpr char alphabet[] =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  const auto at = [bytes](std::size_t i) -> unsigned {
    return i < bytes.size() ? static_cast<unsigned char>(bytes[i]) : 0;
  };
  out.reserve(out.size() + (bytes.size() + 2) / 3 * 4);
  for (std::size_t i = 0; i < bytes.size(); i += 3) {
    const unsigned three = at(i) << 16 | at(i + 1) << 8 | at(i + 2);
    out += alphabet[three >> 18];
    out += alphabet[three >> 12 & 63];
    out += i + 1 < bytes.size() ? alphabet[three >> 6 & 63] : '=';
    out += i + 2 < bytes.size() ? alphabet[three & 63] : '=';
  }
}

void append_number(std::string& out, unsigned long long number) {
  std::array<char, 24> digits;
  const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), number).ptr;
  out.append(digits.data(), end);
}

void append_number(std::string& out, double number, int decimals) {
  std::array<char, 64> digits;
  const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), number,
                                 std::chars_format::fixed, decimals);
  // What a peer sends may be NaN, which JSON does not know, or 1e60, which does not fit.
  if (std::isfinite(number) && end.ec == std::errc{})
    out.append(digits.data(), end.ptr);
  else
    out += '0';
}

}  // namespace weir::io
