// One row of numbers for the calls of all clients.
#pragma once

#include "proto/message.hpp"
#include "proto/rpc/callee.hpp"
#include "proto/rpc/reply_room.hpp"

#include <cstdint>
#include <map>
#include <optional>
#include <vector>

namespace weir::proto {

/// Each client numbers its calls by itself, from a beginning of its own (link_numbers.hpp). In
/// here a call's number is its client's place in a table, and below it how far it is from that
/// beginning: so consecutive calls stay consecutive, and going from one number to the other
/// costs no search.
///
/// A place is given to somebody else only when the last of its calls has ended.
class call_slots {
 public:
  /// What one client can number: at a million calls a second, half a year of calls.
  static constexpr unsigned call_bits = 44;
  static constexpr std::uint64_t largest_call = (std::uint64_t{1} << call_bits) - 1;
  static constexpr std::uint64_t most_slots = std::uint64_t{1} << (64 - call_bits);

  /// The first place is the node's own, for calls that it makes itself: their numbers are what
  /// they were before.
  call_slots() : slots_{{{}, 0, 0, true, {}}} {}
  void open_own(std::uint64_t count) { slots_[0].open += count; }
  [[nodiscard]] static bool is_own(std::uint64_t number) { return number <= largest_call; }

  /// The client's calls from `call` on are open. Nothing: they cannot be numbered.
  [[nodiscard]] std::optional<std::uint64_t> open(session_id who, std::uint64_t call,
                                                  std::uint64_t count) {
    const auto [it, fresh] = index_.try_emplace(who, 0);
    if (fresh) {
      if (free_.empty() && slots_.size() == most_slots) {
        index_.erase(it);
        return std::nullopt;
      }
      if (free_.empty()) {
        it->second = slots_.size();
        slots_.emplace_back();
      } else {
        it->second = free_.back();
        free_.pop_back();
      }
      slots_[it->second] = {who, call & ~beginning_mask, 0, true, {}};
    }
    slot& s = slots_[it->second];
    if (call < s.beginning || call + count - s.beginning > largest_call) return std::nullopt;
    s.open += count;
    return it->second << call_bits | (call - s.beginning);
  }
  /// The number of a call that is open.
  [[nodiscard]] std::optional<std::uint64_t> find(const call_key& key) const {
    const auto it = index_.find(key.from);
    if (it == index_.end()) return std::nullopt;
    const slot& s = slots_[it->second];
    if (key.call < s.beginning || key.call - s.beginning > largest_call) return std::nullopt;
    return it->second << call_bits | (key.call - s.beginning);
  }
  [[nodiscard]] call_key key_of(std::uint64_t number) const {
    const slot& s = slots_[number >> call_bits];
    return {s.who, s.beginning + (number & largest_call)};
  }
  /// The client's place: the upper part of all its calls' numbers.
  [[nodiscard]] static std::uint64_t place_of(std::uint64_t number) {
    return number >> call_bits;
  }
  /// How the client of this call takes its replies.
  [[nodiscard]] reply_room& taking(std::uint64_t number) {
    return slots_[place_of(number)].taking;
  }
  [[nodiscard]] const reply_room& taking(std::uint64_t number) const {
    return slots_[place_of(number)].taking;
  }
  [[nodiscard]] const reply_room& taking_at(std::uint64_t place) const {
    return slots_[place].taking;
  }
  /// Null: it has made no call.
  [[nodiscard]] reply_room* taking(session_id who) {
    const auto it = index_.find(who);
    return it == index_.end() ? nullptr : &slots_[it->second].taking;
  }
  /// So many calls have ended, of which this is one's number.
  void close(std::uint64_t number, std::uint64_t count) {
    slot& s = slots_[number >> call_bits];
    s.open -= count;
    if (s.open == 0 && !s.here) free_.push_back(number >> call_bits);
  }
  /// The client is gone. If it comes back it gets another place.
  void lost(session_id who) {
    const auto it = index_.find(who);
    if (it == index_.end()) return;
    slot& s = slots_[it->second];
    s.here = false;
    s.taking.stalled = false;  // nothing is sent to it any more
    if (s.open == 0) free_.push_back(it->second);
    index_.erase(it);
  }

 private:
  // Links begin at multiples of 2^32.
  static constexpr std::uint64_t beginning_mask = (std::uint64_t{1} << 32) - 1;

  struct slot {
    session_id who{};
    std::uint64_t beginning = 0;
    std::uint64_t open = 0;
    bool here = false;
    reply_room taking;
  };
  std::vector<slot> slots_;
  std::vector<std::uint64_t> free_;
  std::map<session_id, std::uint64_t> index_;
};

}  // namespace weir::proto
