// MessagePack to JSON and back, for people and for commands.
#pragma once

#include <map>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace weir::io {

/// What a text or a value cannot be converted for; what() says where and why.
class json_error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

enum class json_layout { compact, indented };

/// One MessagePack value as JSON.
///
/// What JSON has no form for: bytes are `{"$base64": "..."}`, an extension is
/// `{"$ext": TYPE, "$base64": "..."}`, NaN and the infinities are null, map keys that are not
/// text are their own JSON as text, text that is not UTF-8 has U+FFFD in the place of what is
/// wrong. Integers keep all their digits, also beyond 2^53.
///
/// Errors     json_error: not exactly one value, or nested deeper than 100.
[[nodiscard]] std::string json_from_msgpack(std::string_view packed,
                                            json_layout layout = json_layout::compact);

/// One JSON value as MessagePack; `{"$base64": ...}` becomes bytes again. Integers that fit
/// into 64 bits stay integers.
///
/// Errors     json_error: not JSON, nested deeper than 100, or not base64.
[[nodiscard]] std::string msgpack_from_json(std::string_view json);

/// Text and bytes as MessagePack; for the values of a `call` that are no JSON.
[[nodiscard]] std::string msgpack_text(std::string_view text);
[[nodiscard]] std::string msgpack_bytes(std::string_view bytes);
/// An array of values that are packed already.
[[nodiscard]] std::string msgpack_array(const std::vector<std::string>& values);

/// A map of values that are packed already.
[[nodiscard]] std::string msgpack_map(
    const std::vector<std::pair<std::string, std::string>>& entries);

/// The elements of a packed array, each packed. Errors: json_error, it is no array.
[[nodiscard]] std::vector<std::string> msgpack_elements(std::string_view packed);

/// The values of a packed map, each packed, by their keys as text. Errors: json_error, it is no
/// map.
[[nodiscard]] std::map<std::string, std::string> msgpack_entries(std::string_view packed);
/// A packed number or boolean as a number; nothing if it is something else.
[[nodiscard]] std::optional<double> msgpack_number(std::string_view packed);

/// Text and bytes as they are, everything else as JSON: what a shell wants to see.
[[nodiscard]] std::string plain_from_msgpack(std::string_view packed);
/// Whether it is text or bytes.
[[nodiscard]] bool is_plain(std::string_view packed);

}  // namespace weir::io
