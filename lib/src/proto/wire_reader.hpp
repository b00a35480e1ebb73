// How headers are read: what the decoders of tasks and of calls have in common.
#pragma once

#include "proto/limits.hpp"
#include "proto/message.hpp"
#include "proto/msgpack_reader.hpp"
#include "proto/utf8.hpp"
#include "proto/wire_names.hpp"

#include <limits>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace weir::proto {

/// One array with fields by position, of which later versions may append more.
class fields {
 public:
  explicit fields(msgpack_reader& in) : in_(in), left_(in.array()) {}
  void need(std::uint32_t count) {
    if (left_ < count) in_.fail(reject::missing_field);
  }
  [[nodiscard]] bool more() const { return left_ > 0 && in_.ok(); }
  msgpack_reader& next() {
    --left_;
    return in_;
  }
  void skip_rest() { in_.skip(left_); }

 private:
  msgpack_reader& in_;
  std::uint32_t left_;
};

/// Reads a map. `take` reads the value if it knows the key, and says whether it did.
template <class Take>
void read_map(msgpack_reader& in, Take take) {
  const auto entries = in.map();
  if (entries > limits::map_entries) in.fail(reject::out_of_range);
  for (std::uint32_t i = 0; i < entries && in.ok(); ++i) {
    const auto name = in.str(limits::text_bytes);
    if (take(name)) continue;
    if (name.starts_with('!')) in.fail(reject::must_understand);
    in.skip(1);
  }
}

inline std::string read_text(msgpack_reader& in, std::size_t max = limits::text_bytes) {
  return to_utf8(in.str(max), max);
}

inline std::uint32_t read_u32(msgpack_reader& in) {
  return static_cast<std::uint32_t>(in.uint(std::numeric_limits<std::uint32_t>::max()));
}

inline std::uint64_t read_seq(msgpack_reader& in) {
  const auto seq = in.uint(limits::seq);
  if (seq == 0) in.fail(reject::out_of_range);
  return seq;
}

/// `room`: how many more ranges this message may hold.
inline seq_ranges read_ranges(msgpack_reader& in, std::size_t& room) {
  const auto bounds = in.array();
  if (bounds % 2 != 0 || bounds / 2 > room) in.fail(reject::out_of_range);
  if (!in.ok()) return {};
  room -= bounds / 2;
  seq_ranges ranges;
  ranges.reserve(bounds / 2);
  std::uint64_t before = 0;
  for (std::uint32_t i = 0; i < bounds / 2 && in.ok(); ++i) {
    const auto first = in.uint(limits::seq);
    const auto last = in.uint(limits::seq);
    if (first <= before || last < first) in.fail(reject::out_of_range);
    ranges.push_back({first, last});
    before = last;
  }
  return ranges;
}

inline seq_ranges read_ranges(msgpack_reader& in) {
  std::size_t room = limits::ranges;
  return read_ranges(in, room);
}

/// A body, from which the header's runs take their payloads one after the other.
class payload_reader {
 public:
  explicit payload_reader(blob body) : body_(std::move(body)) {}

  /// Positions in a pack are 32 bits wide.
  [[nodiscard]] bool too_long() const {
    return body_.size() > std::numeric_limits<std::uint32_t>::max();
  }
  [[nodiscard]] bool all_taken() const { return taken_ == body_.size(); }

  /// The next `count` payloads of the body.
  pack read(msgpack_reader& in, std::uint32_t count) {
    const std::size_t left = body_.size() - taken_;
    if (!in.next_is_array()) {
      const auto length = static_cast<std::uint32_t>(in.uint(limits::payload_bytes));
      const auto bytes = std::uint64_t{count} * length;
      if (bytes > left) in.fail(reject::body_mismatch);
      if (!in.ok()) return {};
      return {take(bytes), count, length};
    }
    // Compared before the table is allocated: the array is as long as it claims to be.
    if (in.array() != count) in.fail(reject::out_of_range);
    if (!in.ok()) return {};
    std::vector<std::uint32_t> offsets;
    offsets.reserve(std::size_t{count} + 1);
    offsets.push_back(0);
    std::uint64_t bytes = 0;
    for (std::uint32_t i = 0; i < count; ++i) {
      bytes += in.uint(limits::payload_bytes);
      offsets.push_back(static_cast<std::uint32_t>(bytes));
    }
    if (bytes > left) in.fail(reject::body_mismatch);
    if (!in.ok()) return {};
    return {take(bytes), std::move(offsets)};
  }

 private:
  blob take(std::uint64_t bytes) {
    blob part = body_.part(taken_, bytes);
    taken_ += bytes;
    return part;
  }

  blob body_;
  std::size_t taken_ = 0;
};

/// The rest of a message about calls, or of a kind that is not known. In wire_decode_rpc.cpp.
[[nodiscard]] message read_rpc(wire::kind kind, fields& f, msgpack_reader& in,
                               payload_reader& body);

}  // namespace weir::proto
