// Bytes as text that other programs can read.
#pragma once

#include <string>
#include <string_view>

namespace weir::io {

/// Appends a JSON string with its quotes. Each byte that is not UTF-8 becomes U+FFFD.
void append_json_string(std::string& out, std::string_view text);

/// Appends standard base64 with padding (RFC 4648, section 4), without line breaks.
void append_base64(std::string& out, std::string_view bytes);

/// Appends a decimal number; a double in plain notation with `decimals` digits, as printf's %f.
void append_number(std::string& out, unsigned long long number);
void append_number(std::string& out, double number, int decimals);

}  // namespace weir::io
