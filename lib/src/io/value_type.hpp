// The types that methods say their arguments have.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace weir::io {

/// A type as a signature names it (docs/protocol.md, "Types"): nil bool int float str bytes
/// any,
/// "[T]", "{T}", "T?", "(T, U)".
///
///     const auto type = value_type::parse("[int]");
///     type.accepts(msgpack_from_json("[1, 2]"));  // true
///     type.from_word("[1, 2]");                   // the same, packed
///
/// What it does not know, a later version's type say, it takes for any.
class value_type {
 public:
  [[nodiscard]] static value_type parse(std::string_view text);

  /// Whether one packed value is of this type. Text and bytes stand for each other, and an
  /// integer for a float, as they do where a handler takes them.
  [[nodiscard]] bool accepts(std::string_view packed) const;
  /// What a user typed, packed: as it is for str and bytes, JSON for everything else; for any,
  /// JSON if it is JSON and text if it is not.
  ///
  /// Errors     json_error, naming the type.
  [[nodiscard]] std::string from_word(std::string_view word) const;

  [[nodiscard]] const std::string& text() const { return text_; }

 private:
  enum class kind { any, nil, boolean, integer, floating, text, bytes, array, map, tuple };
  friend class type_reader;
  friend struct type_check;

  kind kind_ = kind::any;
  bool optional_ = false;
  std::vector<value_type> of_;  // array, map: one; tuple: each
  std::string text_ = "any";
};

}  // namespace weir::io
