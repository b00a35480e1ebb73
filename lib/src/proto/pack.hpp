// Payloads, concatenated: the unit in which weir stores, hands over and sends tasks.
#pragma once

#include "proto/blob.hpp"

#include <algorithm>
#include <cstdint>
#include <limits>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace weir::proto {

/// A row of payloads in one blob. Slicing and copying never copy payload bytes, so a pack of
/// thousands of tasks costs the same to queue, lease, send and acknowledge as one task.
class pack {
 public:
  pack() = default;
  /// `count` payloads of `length` bytes each. Requires body.size() == count * length.
  pack(blob body, std::uint32_t count, std::uint32_t length);
  /// `offsets` holds count + 1 ascending positions in `body`, from 0 to body.size().
  pack(blob body, std::vector<std::uint32_t> offsets);
  /// One payload.
  [[nodiscard]] static pack of(std::string payload);

  [[nodiscard]] std::uint32_t size() const { return count_; }
  [[nodiscard]] bool empty() const { return count_ == 0; }
  [[nodiscard]] std::size_t bytes() const { return body_.size(); }
  [[nodiscard]] const blob& body() const { return body_; }
  /// Whether all payloads have the same length, which then is length(0).
  [[nodiscard]] bool uniform() const { return offsets_ == nullptr; }
  [[nodiscard]] std::uint32_t length(std::uint32_t i) const;
  [[nodiscard]] std::string_view operator[](std::uint32_t i) const {
    if (!offsets_) return body_.bytes.substr(std::size_t{i} * length_, length_);
    const std::uint32_t* o = offsets_->data() + first_;
    return body_.bytes.substr(o[i] - o[0], o[i + 1] - o[i]);
  }
  /// Payloads [first, first + count). Requires them to exist.
  [[nodiscard]] pack slice(std::uint32_t first, std::uint32_t count) const;
  /// How many payloads from the front fit into `most` bytes.
  [[nodiscard]] std::uint32_t count_within(std::size_t most) const;
  /// Bytes of memory that this pack keeps alive: those of the pack it was cut from.
  [[nodiscard]] std::size_t retained() const { return retained_; }
  /// The same payloads in memory of their own, so that the blob they were cut from can go.
  [[nodiscard]] pack compacted() const;

 private:
  blob body_;
  std::size_t retained_ = 0;
  std::uint32_t count_ = 0;
  std::uint32_t length_ = 0;  // of each payload, when offsets_ is null
  std::uint32_t first_ = 0;   // this slice's first index in offsets_
  std::shared_ptr<const std::vector<std::uint32_t>> offsets_;
};

/// Gathers payloads into a pack.
///
/// Errors     add() throws std::length_error beyond `most_bytes` in all.
class pack_builder {
 public:
  /// Offsets in a pack have 32 bits.
  static constexpr std::size_t most_bytes = std::numeric_limits<std::uint32_t>::max();

  pack_builder() = default;
  explicit pack_builder(std::size_t most) : most_(std::min(most, most_bytes)) {}

  void add(std::string_view payload) {
    if (payload.size() > most_ - body_.size())
      throw std::length_error("too many bytes for one pack");
    if (offsets_.size() == 1) start();
    body_.append(payload);
    offsets_.push_back(static_cast<std::uint32_t>(body_.size()));
    uniform_ &= offsets_.back() - offsets_[offsets_.size() - 2] == offsets_[1];
  }
  void reserve(std::size_t payloads, std::size_t bytes) {
    if (payloads + 1 > offsets_.capacity()) offsets_.reserve(payloads + 1);
    if (bytes > body_.capacity()) body_.reserve(bytes);
  }
  [[nodiscard]] std::uint32_t size() const {
    return static_cast<std::uint32_t>(offsets_.size() - 1);
  }
  [[nodiscard]] bool empty() const { return offsets_.size() == 1; }
  [[nodiscard]] std::size_t bytes() const { return body_.size(); }
  /// What was added since the last take().
  [[nodiscard]] pack take();

 private:
  /// Makes room for as much as the last pack held: growing by doubling would copy everything
  /// once more.
  void start() { reserve(last_count_, last_bytes_); }

  std::size_t most_ = most_bytes;
  std::string body_;
  std::vector<std::uint32_t> offsets_{0};
  bool uniform_ = true;
  std::size_t last_count_ = 0;
  std::size_t last_bytes_ = 0;
};

}  // namespace weir::proto
