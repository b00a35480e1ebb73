// Values as MessagePack and back, by type. The one place where weir shows its users msgpack-c.
#pragma once

#include <weir/msgpack_cursor.hpp>

// weir needs nothing of msgpack-c that needs Boost. Who does includes <msgpack.hpp> before
// this, or defines MSGPACK_USE_BOOST; then everything is as without weir.
#if !defined(MSGPACK_NO_BOOST) && !defined(MSGPACK_USE_BOOST) && !defined(MSGPACK_VERSION)
#define MSGPACK_NO_BOOST
#endif
#include <msgpack.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <limits>
#include <list>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <variant>
#include <vector>

namespace weir {

/// One value that is MessagePack already, or that is not to be looked at yet: any type.
struct packed {
  std::string bytes;
  [[nodiscard]] bool operator==(const packed&) const = default;
};

namespace codec {

template <class T, template <class...> class Template>
inline constexpr bool is_a = false;
template <template <class...> class Template, class... Args>
inline constexpr bool is_a<Template<Args...>, Template> = true;

template <class T>
inline constexpr bool is_byte =
    std::is_same_v<T, char> || std::is_same_v<T, unsigned char> || std::is_same_v<T, std::byte>;
template <class T>
inline constexpr bool is_byte_vector = false;
template <class T>
inline constexpr bool is_byte_vector<std::vector<T>> = is_byte<T>;

template <class T>
inline constexpr bool is_array = false;
template <class T, std::size_t N>
inline constexpr bool is_array<std::array<T, N>> = true;

template <class T>
inline constexpr bool is_text =
    std::is_same_v<T, std::string> || std::is_same_v<T, std::string_view> ||
    std::is_same_v<std::decay_t<T>, const char*> || std::is_same_v<std::decay_t<T>, char*>;
template <class T>
inline constexpr bool is_text_map = is_a<T, std::map> || is_a<T, std::unordered_map>;

/// Types that are read off the bytes without building msgpack-c's objects in between, which is
/// what takes most of the time of small values.
template <class T>
struct direct
    : std::bool_constant<std::is_arithmetic_v<T> || is_byte_vector<T> ||
                         std::is_same_v<T, std::string> ||
                         std::is_same_v<T, std::string_view> ||
                         std::is_same_v<T, std::monostate> || std::is_same_v<T, packed>> {};
template <class T>
struct direct<std::vector<T>> : std::bool_constant<is_byte<T> || direct<T>::value> {};
template <class T>
struct direct<std::optional<T>> : direct<T> {};
template <class A, class B>
struct direct<std::pair<A, B>> : std::conjunction<direct<A>, direct<B>> {};
template <class... T>
struct direct<std::tuple<T...>> : std::conjunction<direct<T>...> {};
template <class K, class V>
struct direct<std::map<K, V>> : std::conjunction<direct<K>, direct<V>> {};
template <class K, class V>
struct direct<std::unordered_map<K, V>> : std::conjunction<direct<K>, direct<V>> {};

template <class T>
[[nodiscard]] T take(msgpack_cursor& in);

namespace detail {

struct appender {
  std::string& out;
  void write(const char* data, std::size_t size) { out.append(data, size); }
};

template <class Tuple, std::size_t... I>
void take_elements(msgpack_cursor& in, Tuple& into, std::index_sequence<I...>) {
  ((std::get<I>(into) = take<std::tuple_element_t<I, Tuple>>(in)), ...);
}

template <class Tuple>
Tuple take_tuple(msgpack_cursor& in) {
  Tuple all;
  constexpr auto size = std::tuple_size_v<Tuple>;
  if (const auto count = in.array(); count != size)
    throw decode_error("array of " + std::to_string(size) + " expected, found " +
                       std::to_string(count) + " elements");
  take_elements(in, all, std::make_index_sequence<size>{});
  return all;
}

/// By way of msgpack-c's objects: user structs and whatever else has an adaptor.
template <class T>
T take_object(msgpack_cursor& in) {
  (void)in.depth();  // msgpack-c follows nesting by recursion, and makes room for what is said
  const std::string_view bytes = in.skip();
  try {
    const auto handle = msgpack::unpack(bytes.data(), bytes.size());
    return handle.get().template as<T>();
  } catch (const msgpack::unpack_error&) {
    throw decode_error("not MessagePack");
  } catch (const msgpack::type_error&) {
    throw decode_error("the value has not the members that are expected");
  }
}

}  // namespace detail

/// Reads one value.
/// Ownership  Only string_view refers to the bytes.
/// Errors     decode_error.
template <class T>
T take(msgpack_cursor& in) {
  static_assert(!std::is_pointer_v<T> && !std::is_reference_v<T>,
                "weir cannot give out values by pointer or reference: take them as values");
  if constexpr (!direct<T>::value) {
    return detail::take_object<T>(in);
  } else if constexpr (std::is_same_v<T, bool>) {
    return in.boolean();
  } else if constexpr (std::is_integral_v<T>) {
    return in.integer<T>();
  } else if constexpr (std::is_floating_point_v<T>) {
    return static_cast<T>(in.number());
  } else if constexpr (is_text<T>) {
    return T(in.bytes());
  } else if constexpr (std::is_same_v<T, std::monostate>) {
    in.expect_nil();
    return {};
  } else if constexpr (std::is_same_v<T, packed>) {
    return {std::string(in.skip())};
  } else if constexpr (is_byte_vector<T>) {
    const std::string_view bytes = in.bytes();
    const auto* data = reinterpret_cast<const typename T::value_type*>(bytes.data());
    return T(data, data + bytes.size());
  } else if constexpr (is_a<T, std::optional>) {
    if (in.nil()) return std::nullopt;
    return take<typename T::value_type>(in);
  } else if constexpr (is_a<T, std::vector>) {
    T all;
    auto count = in.array();
    all.reserve(std::min<std::size_t>(count, 65'536 / sizeof(typename T::value_type) + 1));
    for (; count > 0; --count) all.push_back(take<typename T::value_type>(in));
    return all;
  } else if constexpr (is_text_map<T>) {
    T all;
    for (auto count = in.map(); count > 0; --count) {
      auto key = take<typename T::key_type>(in);
      all.insert_or_assign(std::move(key), take<typename T::mapped_type>(in));
    }
    return all;
  } else {
    return detail::take_tuple<T>(in);
  }
}

/// Appends one value.
template <class T>
void put(std::string& out, const T& value) {
  if constexpr (std::is_same_v<T, packed>) {
    out += value.bytes;
  } else if constexpr (std::is_same_v<T, std::monostate> || std::is_same_v<T, std::nullptr_t>) {
    out += '\xC0';
  } else {
    detail::appender sink{out};
    msgpack::packer<detail::appender> packer(sink);
    packer.pack(value);
  }
}

/// Appends the arguments of one call: an array.
template <class... Args>
void put_arguments(std::string& out, const Args&... args) {
  static_assert(sizeof...(Args) < 65'536);
  detail::appender sink{out};
  msgpack::packer<detail::appender>(sink).pack_array(sizeof...(Args));
  (put(out, args), ...);
}

/// Exactly one value, and nothing behind it. A T of void wants nothing in particular.
template <class T>
T decode(std::string_view bytes) {
  msgpack_cursor in(bytes);
  if constexpr (std::is_void_v<T>) {
    if (!bytes.empty()) (void)in.skip();
    if (!in.at_end()) throw decode_error("there is something behind the value");
  } else {
    T value = take<T>(in);
    if (!in.at_end()) throw decode_error("there is something behind the value");
    return value;
  }
}

/// One value on its own.
template <class T>
[[nodiscard]] std::string encode(const T& value) {
  std::string out;
  put(out, value);
  return out;
}

namespace detail {

template <class Tuple, std::size_t I>
void take_argument(msgpack_cursor& in, Tuple& into, std::uint32_t& left) {
  using type = std::tuple_element_t<I, Tuple>;
  if (left > 0) {
    --left;
    try {
      std::get<I>(into) = take<type>(in);
    } catch (const decode_error& e) {
      throw decode_error("argument " + std::to_string(I + 1) + ": " + e.what());
    }
  } else if constexpr (!is_a<type, std::optional>) {
    throw decode_error("argument " + std::to_string(I + 1) + " is missing");
  }
}

}  // namespace detail

/// The arguments of one call. At the end, those that are std::optional may be missing.
template <class Tuple>
Tuple decode_arguments(std::string_view bytes) {
  msgpack_cursor in(bytes);
  Tuple all;
  auto count = in.array();
  if (count > std::tuple_size_v<Tuple>)
    throw decode_error("at most " + std::to_string(std::tuple_size_v<Tuple>) +
                       " arguments expected, found " + std::to_string(count));
  [&]<std::size_t... I>(std::index_sequence<I...>) {
    (detail::take_argument<Tuple, I>(in, all, count), ...);
  }
  (std::make_index_sequence<std::tuple_size_v<Tuple>>{});
  if (!in.at_end()) throw decode_error("there is something behind the arguments");
  return all;
}

}  // namespace codec

/// A type as signatures name it (docs/protocol.md, "Types"): "int", "[str]", "{float}", "int?",
/// "(str, int)", "any".
template <class T>
[[nodiscard]] std::string type_name() {
  using codec::is_a;
  if constexpr (!std::is_same_v<T, std::remove_cvref_t<T>>) {
    return type_name<std::remove_cvref_t<T>>();
  } else if constexpr (std::is_void_v<T> || std::is_same_v<T, std::monostate> ||
                       std::is_same_v<T, std::nullptr_t>) {
    return "nil";
  } else if constexpr (std::is_same_v<T, bool>) {
    return "bool";
  } else if constexpr (std::is_integral_v<T>) {
    return "int";
  } else if constexpr (std::is_floating_point_v<T>) {
    return "float";
  } else if constexpr (codec::is_text<T>) {
    return "str";
  } else if constexpr (codec::is_byte_vector<T>) {
    return "bytes";
  } else if constexpr (is_a<T, std::optional>) {
    const auto inner = type_name<typename T::value_type>();
    return inner == "any" || inner.ends_with('?') ? inner : inner + "?";
  } else if constexpr (is_a<T, std::vector> || is_a<T, std::list> || is_a<T, std::deque> ||
                       is_a<T, std::set> || is_a<T, std::unordered_set> || codec::is_array<T>) {
    return "[" + type_name<typename T::value_type>() + "]";
  } else if constexpr (codec::is_text_map<T>) {
    if constexpr (codec::is_text<typename T::key_type>)
      return "{" + type_name<typename T::mapped_type>() + "}";
    else
      return "any";
  } else if constexpr (is_a<T, std::pair> || is_a<T, std::tuple>) {
    std::string all;
    [&]<std::size_t... I>(std::index_sequence<I...>) {
      ((all += (I > 0 ? ", " : "") + type_name<std::tuple_element_t<I, T>>()), ...);
    }
    (std::make_index_sequence<std::tuple_size_v<T>>{});
    return "(" + all + ")";
  } else {
    return "any";
  }
}

}  // namespace weir
