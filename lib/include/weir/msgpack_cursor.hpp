// MessagePack, taken off a piece of memory value by value. What weir/codec.hpp reads with.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <string_view>

namespace weir {

/// Bytes that are no MessagePack, or another type than the one that is wanted. what() says
/// "int expected, found str".
class decode_error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// Reads one value after the other. Checks everything against what is there: neither time nor
/// memory is more than a multiple of the bytes.
///
/// Ownership  Refers to the bytes; so does what it returns.
/// Errors     decode_error, after which it is of no more use.
class msgpack_cursor {
 public:
  explicit msgpack_cursor(std::string_view bytes)
      : at_(bytes.data()), end_(at_ + bytes.size()) {}

  [[nodiscard]] bool at_end() const { return at_ == end_; }
  [[nodiscard]] std::size_t left() const { return static_cast<std::size_t>(end_ - at_); }
  [[nodiscard]] const char* position() const { return at_; }

  /// Takes a nil, if one is next.
  bool nil() {
    if (at_ == end_ || peek() != 0xC0) return false;
    ++at_;
    return true;
  }
  void expect_nil() {
    if (!nil()) wrong("nil");
  }
  bool boolean() {
    const auto tag = peek();
    if (tag != 0xC2 && tag != 0xC3) wrong("bool");
    ++at_;
    return tag == 0xC3;
  }

  /// An integer, if it fits into `T`.
  template <class T>
  T integer() {
    const auto tag = peek();
    if (tag < 0x80) return ++at_, fit<T>(std::uint64_t{tag});
    if (tag >= 0xE0) return ++at_, fit<T>(std::int64_t{static_cast<std::int8_t>(tag)});
    if (tag >= 0xCC && tag <= 0xCF) {
      ++at_;
      return fit<T>(big_endian(std::size_t{1} << (tag - 0xCC)));
    }
    if (tag < 0xD0 || tag > 0xD3) wrong("int");
    ++at_;
    const std::size_t width = std::size_t{1} << (tag - 0xD0);
    const int shift = static_cast<int>(64 - 8 * width);
    return fit<T>(static_cast<std::int64_t>(big_endian(width) << shift) >> shift);
  }
  /// Floating, or an integer.
  double number() {
    const auto tag = peek();
    if (tag == 0xCA)
      return ++at_, std::bit_cast<float>(static_cast<std::uint32_t>(big_endian(4)));
    if (tag == 0xCB) return ++at_, std::bit_cast<double>(big_endian(8));
    if (tag >= 0xCC && tag <= 0xCF) return static_cast<double>(integer<std::uint64_t>());
    if (tag >= 0x80 && tag < 0xD0) wrong("float");
    if (tag > 0xD3 && tag < 0xE0) wrong("float");
    return static_cast<double>(integer<std::int64_t>());
  }

  /// Text or bytes: they stand for each other.
  std::string_view bytes() {
    const auto tag = peek();
    if ((tag & 0xE0) == 0xA0) return ++at_, take(tag & 0x1F);
    if (tag >= 0xD9 && tag <= 0xDB)
      return ++at_, take(big_endian(std::size_t{1} << (tag - 0xD9)));
    if (tag >= 0xC4 && tag <= 0xC6)
      return ++at_, take(big_endian(std::size_t{1} << (tag - 0xC4)));
    wrong("str");
  }
  /// The number of elements that follow.
  std::uint32_t array() {
    const auto tag = peek();
    if ((tag & 0xF0) == 0x90) return ++at_, elements(tag & 0x0F, 1);
    if (tag == 0xDC || tag == 0xDD) return ++at_, elements(big_endian(tag == 0xDC ? 2 : 4), 1);
    wrong("array");
  }
  /// The number of keys with values that follow.
  std::uint32_t map() {
    const auto tag = peek();
    if ((tag & 0xF0) == 0x80) return ++at_, elements(tag & 0x0F, 2);
    if (tag == 0xDE || tag == 0xDF) return ++at_, elements(big_endian(tag == 0xDE ? 2 : 4), 2);
    wrong("map");
  }

  /// Passes over one value of any type, and returns its bytes.
  std::string_view skip() {
    const char* const from = at_;
    // Values still to pass over. Bounded by the bytes that are left, as each takes one.
    for (std::uint64_t to_do = 1; to_do > 0; --to_do) to_do += skip_one();
    return {from, static_cast<std::size_t>(at_ - from)};
  }
  /// How deep arrays and maps are nested in the next value.
  [[nodiscard]] unsigned depth() const {
    msgpack_cursor copy = *this;
    return copy.descend(0);
  }

  [[noreturn]] void wrong(const char* expected) const {
    throw decode_error(std::string(expected) + " expected, found " + found());
  }
  /// Nesting that is not followed any further.
  static constexpr unsigned most_depth = 100;

 private:
  [[nodiscard]] std::uint8_t peek() const {
    if (at_ == end_) throw decode_error("the value is cut off");
    return static_cast<std::uint8_t>(*at_);
  }
  std::uint64_t big_endian(std::size_t width) {
    if (left() < width) throw decode_error("the value is cut off");
    std::uint64_t value = 0;
    for (std::size_t i = 0; i < width; ++i)
      value = value << 8 | static_cast<std::uint8_t>(at_[i]);
    at_ += width;
    return value;
  }
  std::string_view take(std::uint64_t length) {
    if (left() < length) throw decode_error("the value is cut off");
    const std::string_view view(at_, length);
    at_ += length;
    return view;
  }
  std::uint32_t elements(std::uint64_t count, std::uint64_t bytes_each) {
    if (count * bytes_each > left()) throw decode_error("the value is cut off");
    return static_cast<std::uint32_t>(count);
  }
  template <class T, class U>
  static T fit(U value) {
    const T narrow = static_cast<T>(value);
    const bool same_sign = (narrow < T{}) == (value < U{});
    if (static_cast<U>(narrow) != value || !same_sign)
      throw decode_error("the integer " + std::to_string(value) + " is out of range");
    return narrow;
  }

  /// Passes over one value, but only the beginning of an array or map: returns how many values
  /// it holds.
  std::uint64_t skip_one() {
    const auto tag = peek();
    if ((tag & 0xF0) == 0x90 || tag == 0xDC || tag == 0xDD) return array();
    if ((tag & 0xF0) == 0x80 || tag == 0xDE || tag == 0xDF) return std::uint64_t{2} * map();
    if (tag < 0x80 || tag >= 0xE0 || tag == 0xC0 || tag == 0xC2 || tag == 0xC3) return ++at_, 0;
    if (tag == 0xC1) throw decode_error("not MessagePack");
    if (tag <= 0xC6 || (tag >= 0xD9 && tag <= 0xDB)) return bytes(), 0;
    ++at_;
    if (tag <= 0xC9)
      take(big_endian(std::size_t{1} << (tag - 0xC7)) + 1);  // and its type
    else if (tag <= 0xCB)
      take(tag == 0xCA ? 4 : 8);
    else if (tag <= 0xD3)
      take(std::size_t{1} << ((tag - 0xCC) & 3));
    else
      take((std::size_t{1} << (tag - 0xD4)) + 1);
    return 0;
  }
  unsigned descend(unsigned level) {
    if (level > most_depth) throw decode_error("the value is nested too deep");
    unsigned deepest = level;
    for (std::uint64_t inside = skip_one(); inside > 0; --inside)
      deepest = std::max(deepest, descend(level + 1));
    return deepest;
  }
  [[nodiscard]] const char* found() const {
    const auto tag = peek();
    if (tag < 0x80 || tag >= 0xE0 || (tag >= 0xCC && tag <= 0xD3)) return "int";
    if (tag <= 0x8F || tag == 0xDE || tag == 0xDF) return "map";
    if (tag <= 0x9F || tag == 0xDC || tag == 0xDD) return "array";
    if (tag <= 0xBF || (tag >= 0xD9 && tag <= 0xDB)) return "str";
    if (tag == 0xC0) return "nil";
    if (tag == 0xC2 || tag == 0xC3) return "bool";
    if (tag >= 0xC4 && tag <= 0xC6) return "bytes";
    if (tag == 0xCA || tag == 0xCB) return "float";
    return tag == 0xC1 ? "no MessagePack" : "an extension";
  }

  const char* at_;
  const char* end_;
};

}  // namespace weir
