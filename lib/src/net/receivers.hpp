// Who waits for which call.
#pragma once

#include <weir/raw_client.hpp>

#include <array>
#include <bitset>
#include <cassert>
#include <cstdint>
#include <deque>
#include <memory>
#include <utility>

namespace weir::net {

/// Receivers by the numbers of their calls, which are dense from 1. In blocks, so that a call
/// which takes long does not hold on to the memory of the millions that come after it.
class receivers {
 public:
  struct entry {
    reply_receiver* to = nullptr;
    std::uint32_t index = 0;
  };

  /// Of the next number.
  void append(entry e) {
    const std::uint64_t block = next_ / block_size;
    if (block - first_ == blocks_.size()) blocks_.push_back(fresh());
    block_of_calls& b = *blocks_[block - first_];
    b.entries[next_ % block_size] = e;
    b.open.set(next_ % block_size);
    ++b.count;
    ++next_;
  }
  /// The next number's.
  [[nodiscard]] std::uint64_t next() const { return next_; }

  /// Calls `taken(number, entry)` for each of these that has not been taken before, in order.
  template <class Taken>
  void take(std::uint64_t first, std::uint64_t count, Taken&& taken) {
    for (std::uint64_t number = first; number < first + count; ++number) {
      const std::uint64_t block = number / block_size;
      if (block < first_ || block - first_ >= blocks_.size()) continue;
      auto& b = blocks_[block - first_];
      if (!b || !b->open.test(number % block_size)) continue;
      b->open.reset(number % block_size);
      const entry e = b->entries[number % block_size];
      // The one that is being filled stays, even if all in it have ended.
      if (--b->count == 0 && block != next_ / block_size) drop(block);
      taken(number, e);
    }
  }
  /// Whether any of these has not been taken.
  [[nodiscard]] bool any(std::uint64_t first, std::uint64_t count) const {
    for (std::uint64_t number = first; number < first + count; ++number) {
      const std::uint64_t block = number / block_size;
      const bool here = block >= first_ && block - first_ < blocks_.size() &&
                        blocks_[block - first_] != nullptr;
      if (!here)
        number = (block + 1) * block_size - 1;
      else if (blocks_[block - first_]->open.test(number % block_size))
        return true;
    }
    return false;
  }
  template <class Taken>
  void take_all(Taken&& taken) {
    take(first_ * block_size, next_ - first_ * block_size, taken);
  }

 private:
  static constexpr std::uint64_t block_size = 512;
  struct block_of_calls {
    std::array<entry, block_size> entries;
    std::bitset<block_size> open;
    std::uint32_t count = 0;
  };

  std::unique_ptr<block_of_calls> fresh() {
    if (!spare_) return std::make_unique<block_of_calls>();
    return std::move(spare_);
  }
  void drop(std::uint64_t block) {
    spare_ = std::move(blocks_[block - first_]);
    while (!blocks_.empty() && !blocks_.front()) {
      blocks_.pop_front();
      ++first_;
    }
  }

  std::deque<std::unique_ptr<block_of_calls>> blocks_;  // null: all in it have ended
  std::unique_ptr<block_of_calls> spare_;
  std::uint64_t first_ = 0;  // the number of the first block
  std::uint64_t next_ = 1;
};

}  // namespace weir::net
