// MessagePack, read in place.
#pragma once

#include "proto/limits.hpp"
#include "proto/wire.hpp"

#include <array>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace weir::proto {

/// Takes one value after the other off a header, in the order in which the caller expects them.
///
/// It pulls where msgpack-c's visitor pushes: the wire's grammar is then the order of the calls
/// in wire_decode.cpp, and nothing is built that is not kept.
///
/// Errors: the first one sticks. After it every read returns zero or nothing at once, so that
/// callers test ok() where they loop and where they are done, and nowhere else.
class msgpack_reader {
 public:
  explicit msgpack_reader(std::string_view bytes)
      : at_(reinterpret_cast<const std::uint8_t*>(bytes.data())), end_(at_ + bytes.size()) {}

  [[nodiscard]] bool ok() const { return !failed_; }
  [[nodiscard]] reject why() const { return why_; }
  [[nodiscard]] bool at_end() const { return at_ == end_; }
  void fail(reject why) {
    if (failed_) return;
    failed_ = true;
    why_ = why;
    at_ = end_;
  }

  /// What has not been read.
  [[nodiscard]] std::string_view ahead() const {
    return {reinterpret_cast<const char*>(at_), left()};
  }

  [[nodiscard]] bool next_is_array() const {
    return at_ != end_ && ((*at_ & 0xF0) == 0x90 || *at_ == 0xDC || *at_ == 0xDD);
  }
  [[nodiscard]] bool next_is_integer() const {
    return at_ != end_ && (*at_ < 0x80 || *at_ >= 0xE0 || (*at_ >= 0xCC && *at_ <= 0xD3));
  }
  /// Takes a nil if one is next.
  [[nodiscard]] bool nil() {
    if (at_ == end_ || *at_ != 0xC0) return false;
    ++at_;
    return true;
  }

  /// Any of MessagePack's integer formats: some encoders write small figures as signed ones.
  std::uint64_t uint(std::uint64_t max) {
    std::uint64_t value = 0;
    // What lengths are made of, without a call.
    if (left() >= 3 && (*at_ < 0x80 || *at_ == 0xCC || *at_ == 0xCD)) {
      if (*at_ < 0x80) {
        value = *at_++;
      } else if (*at_ == 0xCC) {
        value = at_[1];
        at_ += 2;
      } else {
        value = static_cast<std::uint64_t>(at_[1] << 8 | at_[2]);
        at_ += 3;
      }
    } else {
      value = any_uint();
    }
    if (value <= max) return value;
    fail(reject::out_of_range);
    return 0;
  }

  bool boolean() {
    const auto tag = next();
    if (tag != 0xC2 && tag != 0xC3) wrong(tag);
    return tag == 0xC3;
  }

  /// A finite figure, integer or floating.
  double number() {
    if (next_is_integer()) return static_cast<double>(uint(UINT64_MAX));
    const auto tag = next();
    double value = 0;
    if (tag == 0xCA) {
      value = std::bit_cast<float>(static_cast<std::uint32_t>(big_endian(4)));
    } else if (tag == 0xCB) {
      value = std::bit_cast<double>(big_endian(8));
    } else {
      wrong(tag);
    }
    if (std::isfinite(value)) return value;
    fail(reject::out_of_range);
    return 0;
  }

  std::string_view str(std::size_t max) {
    const auto tag = next();
    if ((tag & 0xE0) == 0xA0) return bytes(tag & 0x1F, max);
    if (tag >= 0xD9 && tag <= 0xDB) return bytes(big_endian(width(tag - 0xD9)), max);
    wrong(tag);
    return {};
  }

  std::string_view bin(std::size_t max) {
    const auto tag = next();
    if (tag >= 0xC4 && tag <= 0xC6) return bytes(big_endian(width(tag - 0xC4)), max);
    wrong(tag);
    return {};
  }

  /// The number of elements that follow. Never more than bytes are left: each takes one.
  std::uint32_t array() {
    const auto tag = next();
    if ((tag & 0xF0) == 0x90) return elements(tag & 0x0F, 1);
    if (tag == 0xDC || tag == 0xDD) return elements(big_endian(tag == 0xDC ? 2 : 4), 1);
    wrong(tag);
    return 0;
  }

  /// The number of keys with values that follow.
  std::uint32_t map() {
    const auto tag = next();
    if ((tag & 0xF0) == 0x80) return elements(tag & 0x0F, 2);
    if (tag == 0xDE || tag == 0xDF) return elements(big_endian(tag == 0xDE ? 2 : 4), 2);
    wrong(tag);
    return 0;
  }

  /// Passes over `values` values of any type.
  void skip(std::uint64_t values) {
    std::array<std::uint64_t, limits::depth + 1> to_do{values};
    for (std::size_t level = 0; ok();) {
      if (to_do[level] == 0) {
        if (level == 0) return;
        --level;
        continue;
      }
      --to_do[level];
      const auto inside = skip_one();
      if (inside == 0) continue;
      if (++level == to_do.size()) return fail(reject::not_msgpack);
      to_do[level] = inside;
    }
  }

 private:
  [[nodiscard]] std::size_t left() const { return static_cast<std::size_t>(end_ - at_); }

  /// The next value's first byte. 0xC1, which begins no value, if there is none.
  std::uint8_t next() {
    if (at_ != end_) return *at_++;
    fail(reject::not_msgpack);
    return 0xC1;
  }
  void wrong(std::uint8_t tag) { fail(tag == 0xC1 ? reject::not_msgpack : reject::wrong_type); }
  /// 1, 2 or 4 bytes of length, as MessagePack orders its families.
  static std::size_t width(int step) { return std::size_t{1} << step; }

  std::uint64_t big_endian(std::size_t length) {
    if (left() < length) {
      fail(reject::not_msgpack);
      return 0;
    }
    std::uint64_t value = 0;
    for (std::size_t i = 0; i < length; ++i) value = value << 8 | *at_++;
    return value;
  }

  std::uint64_t any_uint() {
    const auto tag = next();
    if (tag < 0x80) return tag;
    if (tag >= 0xCC && tag <= 0xCF) return big_endian(std::size_t{1} << (tag - 0xCC));
    if (tag >= 0xE0) {
      fail(reject::out_of_range);
    } else if (tag >= 0xD0 && tag <= 0xD3) {
      const auto length = std::size_t{1} << (tag - 0xD0);
      const auto value = big_endian(length);
      if (value >> (8 * length - 1) == 0) return value;
      fail(reject::out_of_range);
    } else {
      wrong(tag);
    }
    return 0;
  }

  std::string_view bytes(std::uint64_t length, std::size_t max) {
    if (left() < length) fail(reject::not_msgpack);
    if (length > max) fail(reject::out_of_range);
    if (failed_) return {};
    const std::string_view view(reinterpret_cast<const char*>(at_), length);
    at_ += length;
    return view;
  }

  std::uint32_t elements(std::uint64_t count, std::uint64_t bytes_each) {
    if (count * bytes_each <= left()) return static_cast<std::uint32_t>(count);
    fail(reject::not_msgpack);
    return 0;
  }

  /// Passes over one value, but only the beginning of an array or map: returns how many values
  /// it holds.
  std::uint64_t skip_one() {
    if (at_ == end_) {
      fail(reject::not_msgpack);
      return 0;
    }
    const auto tag = *at_;
    if (next_is_array()) return array();
    if ((tag & 0xF0) == 0x80 || tag == 0xDE || tag == 0xDF) return std::uint64_t{2} * map();
    ++at_;
    if (tag < 0x80 || tag >= 0xE0 || tag == 0xC0 || tag == 0xC2 || tag == 0xC3) return 0;
    if (tag == 0xC1) {
      fail(reject::not_msgpack);
    } else if (tag <= 0xBF) {
      bytes(tag & 0x1F, SIZE_MAX);
    } else if (tag <= 0xC6) {
      bytes(big_endian(width(tag - 0xC4)), SIZE_MAX);
    } else if (tag <= 0xC9) {
      bytes(big_endian(width(tag - 0xC7)) + 1, SIZE_MAX);  // and its type
    } else if (tag <= 0xCB) {
      big_endian(tag == 0xCA ? 4 : 8);
    } else if (tag <= 0xD3) {
      big_endian(std::size_t{1} << ((tag - 0xCC) & 3));
    } else if (tag <= 0xD8) {
      bytes((std::uint64_t{1} << (tag - 0xD4)) + 1, SIZE_MAX);  // and its type
    } else {
      bytes(big_endian(width(tag - 0xD9)), SIZE_MAX);
    }
    return 0;
  }

  const std::uint8_t* at_;
  const std::uint8_t* end_;
  bool failed_ = false;
  reject why_ = reject::not_msgpack;
};

}  // namespace weir::proto
