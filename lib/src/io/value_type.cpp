#include "io/value_type.hpp"

#include "io/json.hpp"

#include <msgpack.hpp>

#include <algorithm>
#include <array>
#include <optional>
#include <utility>

namespace weir::io {
namespace {
constexpr std::size_t deepest = 32;
}

/// Recursive descent over the text; gives up, as nothing, where it does not understand.
class type_reader {
 public:
  explicit type_reader(std::string_view text) : left_(text) {}

  std::optional<value_type> whole() {
    auto type = one(0);
    skip_blanks();
    return left_.empty() ? type : std::nullopt;
  }

 private:
  using kind = value_type::kind;

  void skip_blanks() {
    while (!left_.empty() && left_.front() == ' ') left_.remove_prefix(1);
  }
  bool take(char c) {
    skip_blanks();
    if (left_.empty() || left_.front() != c) return false;
    left_.remove_prefix(1);
    return true;
  }

  std::optional<value_type> one(std::size_t depth) {
    if (depth > deepest) return std::nullopt;
    auto type = base(depth);
    if (type && take('?')) type->optional_ = true;
    return type;
  }

  std::optional<value_type> base(std::size_t depth) {
    if (take('[')) return around(kind::array, ']', depth);
    if (take('{')) return around(kind::map, '}', depth);
    if (take('(')) return tuple(depth);
    static constexpr std::array<std::pair<std::string_view, kind>, 7> names{
        {{"nil", kind::nil},
         {"bool", kind::boolean},
         {"int", kind::integer},
         {"float", kind::floating},
         {"str", kind::text},
         {"bytes", kind::bytes},
         {"any", kind::any}}};
    skip_blanks();
    const auto end = std::find_if_not(left_.begin(), left_.end(),
                                      [](char c) { return c >= 'a' && c <= 'z'; });
    const auto name = left_.substr(0, static_cast<std::size_t>(end - left_.begin()));
    const auto known = std::find_if(names.begin(), names.end(),
                                    [&](const auto& n) { return n.first == name; });
    if (known == names.end()) return std::nullopt;
    left_.remove_prefix(name.size());
    value_type type;
    type.kind_ = known->second;
    return type;
  }

  std::optional<value_type> around(kind what, char close, std::size_t depth) {
    auto element = one(depth + 1);
    if (!element || !take(close)) return std::nullopt;
    value_type type;
    type.kind_ = what;
    type.of_.push_back(std::move(*element));
    return type;
  }

  std::optional<value_type> tuple(std::size_t depth) {
    value_type type;
    type.kind_ = kind::tuple;
    if (take(')')) return type;
    do {
      auto element = one(depth + 1);
      if (!element) return std::nullopt;
      type.of_.push_back(std::move(*element));
    } while (take(','));
    if (!take(')')) return std::nullopt;
    return type;
  }

  std::string_view left_;
};

struct type_check {
  using kind = value_type::kind;

  static bool all_of(const value_type& type, const msgpack::object_array& array) {
    return std::all_of(array.ptr, array.ptr + array.size,
                       [&](const auto& element) { return fits(type, element); });
  }

  static bool fits(const value_type& type, const msgpack::object& value) {
    namespace is = msgpack::type;
    if (type.optional_ && value.type == is::NIL) return true;
    const bool integer =
        value.type == is::POSITIVE_INTEGER || value.type == is::NEGATIVE_INTEGER;
    switch (type.kind_) {
      case kind::any:
        return true;
      case kind::nil:
        return value.type == is::NIL;
      case kind::boolean:
        return value.type == is::BOOLEAN;
      case kind::integer:
        return integer;
      case kind::floating:
        return integer || value.type == is::FLOAT32 || value.type == is::FLOAT64;
      case kind::text:
      case kind::bytes:
        return value.type == is::STR || value.type == is::BIN;
      case kind::array:
        return value.type == is::ARRAY && all_of(type.of_.front(), value.via.array);
      case kind::map: {
        if (value.type != is::MAP) return false;
        const auto& map = value.via.map;
        return std::all_of(map.ptr, map.ptr + map.size, [&](const auto& entry) {
          return entry.key.type == is::STR && fits(type.of_.front(), entry.val);
        });
      }
      case kind::tuple: {
        if (value.type != is::ARRAY || value.via.array.size != type.of_.size()) return false;
        for (std::size_t i = 0; i < type.of_.size(); ++i)
          if (!fits(type.of_[i], value.via.array.ptr[i])) return false;
        return true;
      }
    }
    return true;
  }
};

value_type value_type::parse(std::string_view text) {
  value_type type = type_reader(text).whole().value_or(value_type{});
  type.text_ = text.empty() ? "any" : text;
  return type;
}

bool value_type::accepts(std::string_view packed) const {
  std::size_t offset = 0;
  try {
    const auto handle = msgpack::unpack(packed.data(), packed.size(), offset);
    return offset == packed.size() && type_check::fits(*this, handle.get());
  } catch (const msgpack::unpack_error&) {
    return false;
  }
}

std::string value_type::from_word(std::string_view word) const {
  if (optional_ && word == "null") return msgpack_from_json("null");
  if (kind_ == kind::text) return msgpack_text(word);
  if (kind_ == kind::bytes) return msgpack_bytes(word);
  std::string packed;
  try {
    packed = msgpack_from_json(word);
  } catch (const json_error& e) {
    if (kind_ == kind::any) return msgpack_text(word);
    throw json_error("'" + std::string(word) + "' is not " + text_ + " (" + e.what() + ")");
  }
  if (!accepts(packed)) throw json_error("'" + std::string(word) + "' is not " + text_);
  return packed;
}

}  // namespace weir::io
