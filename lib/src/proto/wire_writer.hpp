// How headers are written: what the encoders of tasks and of calls have in common.
#pragma once

#include "proto/limits.hpp"
#include "proto/message.hpp"
#include "proto/utf8.hpp"
#include "proto/wire.hpp"
#include "proto/wire_names.hpp"

#include <msgpack/pack.hpp>

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <utility>

namespace weir::proto {

/// What msgpack::packer writes into. Bytes are copied to a place that is there already: a
/// string's own append() costs more than packing a length does.
class growing_string {
 public:
  explicit growing_string(std::size_t expected) : bytes_(expected, '\0') {}
  void write(const char* data, std::size_t size) {
    if (bytes_.size() - used_ < size) bytes_.resize(2 * bytes_.size() + size);
    std::memcpy(bytes_.data() + used_, data, size);
    used_ += size;
  }
  [[nodiscard]] std::string take() {
    bytes_.resize(used_);
    return std::move(bytes_);
  }

 private:
  std::string bytes_;
  std::size_t used_ = 0;
};

inline void store_big_endian(std::uint64_t value, char* to) {
  for (int i = 0; i < 8; ++i) to[i] = static_cast<char>(value >> (56 - 8 * i));
}

[[nodiscard]] inline const pack& payloads_of(const task_run& run) { return run.payloads; }
[[nodiscard]] inline const pack& payloads_of(const result_run& run) { return run.payloads; }
[[nodiscard]] inline const pack& payloads_of(const call_run& run) { return run.arguments; }
[[nodiscard]] inline const pack& payloads_of(const reply_run& run) { return run.results; }
[[nodiscard]] inline const pack& payloads_of(const part_run& run) { return run.elements; }

/// The payloads of all runs in one blob: copied only if they do not adjoin already.
template <class Runs>
[[nodiscard]] blob joined_payloads(const Runs& runs) {
  blob whole;
  std::size_t bytes = 0;
  bool adjoin = true;
  for (const auto& run : runs) {
    const blob& part = payloads_of(run).body();
    if (part.bytes.empty()) continue;
    bytes += part.size();
    if (whole.bytes.empty()) {
      whole = part;
      continue;
    }
    adjoin = adjoin && part.owner == whole.owner &&
             part.bytes.data() == whole.bytes.data() + whole.size();
    if (adjoin) whole.bytes = {whole.bytes.data(), bytes};
  }
  if (adjoin) return whole;
  std::string copy;
  copy.reserve(bytes);
  for (const auto& run : runs) copy += payloads_of(run).body().bytes;
  return blob::from(std::move(copy));
}

/// A guess of a batch's header: nothing grows if it is right, nothing breaks if it is not.
template <class Runs>
[[nodiscard]] std::size_t expected_size(const Runs& runs) {
  std::size_t bytes = 32;
  for (const auto& run : runs) {
    bytes += 32;
    if constexpr (requires { run.method; }) bytes += run.method.size();
    const pack& payloads = payloads_of(run);
    if (!payloads.uniform()) bytes += std::size_t{3} * payloads.size();
  }
  return bytes;
}

/// Writes one header, field by field. Text is made valid UTF-8 and cut to its limit.
class wire_writer {
 public:
  explicit wire_writer(std::size_t expected = 64) : bytes_(expected), out_(bytes_) {}
  [[nodiscard]] std::string take() { return bytes_.take(); }

 protected:
  void begin(wire::kind kind, std::uint32_t fields_after) {
    out_.pack_array(fields_after + 1);
    uint(static_cast<std::uint64_t>(kind));
  }
  void array(std::size_t elements) { out_.pack_array(static_cast<std::uint32_t>(elements)); }
  void uint(std::uint64_t value) { out_.pack_uint64(value); }
  /// A figure that its owner may mean as "no limit".
  void figure(std::uint64_t value) { uint(std::min(value, limits::seq)); }
  void str(std::string_view value) {
    out_.pack_str(static_cast<std::uint32_t>(value.size()));
    out_.pack_str_body(value.data(), static_cast<std::uint32_t>(value.size()));
  }
  void text(std::string_view value, std::size_t max = limits::text_bytes) {
    if (value.size() <= max && valid_utf8_prefix(value) == value.size())
      str(value);
    else
      str(to_utf8(value, max));
  }
  void bin(std::string_view value) {
    out_.pack_bin(static_cast<std::uint32_t>(value.size()));
    out_.pack_bin_body(value.data(), static_cast<std::uint32_t>(value.size()));
  }
  void entry(std::string_view name, std::string_view value) {
    str(name);
    text(value);
  }
  void entry(std::string_view name, std::uint64_t value) {
    str(name);
    uint(value);
  }
  void entry(std::string_view name, double value) {
    str(name);
    // Not pack_double(): it makes integers of whole figures, and of those beyond 2^64 anything.
    std::array<char, 9> float64{'\xCB'};
    store_big_endian(std::bit_cast<std::uint64_t>(value), float64.data() + 1);
    bytes_.write(float64.data(), float64.size());
  }
  void flag(std::string_view name) {
    str(name);
    out_.pack_true();
  }
  void binary(std::string_view name, std::string_view value) {
    str(name);
    bin(value);
  }
  void source(const source_id& id) {
    bin({reinterpret_cast<const char*>(id.bytes.data()), id.bytes.size()});
  }
  void ranges(std::span<const seq_range> all) {
    array(2 * all.size());
    for (const auto& range : all) {
      uint(range.first);
      uint(range.last);
    }
  }
  /// The lengths of a run's payloads.
  void lengths(const pack& payloads) {
    const auto count = payloads.size();
    // A slice of one has one length, whatever it was cut from.
    if (payloads.uniform() || count == 1) {
      uint(count == 0 ? 0 : payloads.length(0));
      return;
    }
    out_.pack_array(count);
    for (std::uint32_t i = 0; i < count; ++i) out_.pack_uint32(payloads.length(i));
  }

 private:
  growing_string bytes_;

 protected:
  msgpack::packer<growing_string> out_;
};

// wire_encode_rpc.cpp.
[[nodiscard]] frames encoded(const offer& m);
[[nodiscard]] frames encoded(const call_batch& m);
[[nodiscard]] frames encoded(const reply_batch& m);
[[nodiscard]] frames encoded(const part_batch& m);
[[nodiscard]] frames encoded(const credit& m);
[[nodiscard]] frames encoded(const cancel_calls& m);
[[nodiscard]] frames encoded(const call_progress& m);
[[nodiscard]] frames encoded(const direct_calls& m);

}  // namespace weir::proto
