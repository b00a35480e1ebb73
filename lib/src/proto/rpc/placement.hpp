// Which worker gets a call.
#pragma once

#include "proto/message.hpp"

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

namespace weir::proto {

/// A worker, as far as it matters for that.
struct candidate {
  session_id id{};
  std::uint64_t in_hand = 0;
  std::uint64_t window = 1;  ///< calls; at least 1
  std::uint64_t room = 0;    ///< calls that it may still be sent
  std::uint32_t slots = 1;   ///< calls that it runs at a time
  std::uint64_t stay = 0;    ///< calls that it does before another one would have woken up
  [[nodiscard]] double load() const {
    return static_cast<double>(in_hand) / static_cast<double>(window);
  }
};

/// So many calls for the candidate with this index.
struct share {
  std::size_t to = 0;
  std::uint64_t calls = 0;
};

/// Divides calls among those with the most room, so that all end up with the same load (in hand
/// relative to the window) as far as possible, in pieces of at least `piece`: what is quickly
/// done is not worth dividing. Gives out less than `calls` only if there is no more room. Among
/// equals the one with the index `first`, or the next after it, is first; and while only that
/// has anything in hand, and so little that it may take them all as well (`stay`), the others
/// sleep on, and rows stay long.
[[nodiscard]] std::vector<share> share_out(std::span<const candidate> workers,
                                           std::uint64_t calls, std::uint64_t piece,
                                           std::size_t first);

/// Of workers that seem equal the one that had the last call is best: its threads and caches
/// are warm, and those of the others can rest. Unless its calls have to wait there, for others
/// may call it as well: more than it takes to wake a slot, this has been said to be.
[[nodiscard]] inline bool better_elsewhere(const reply_run& last) {
  constexpr std::uint32_t waking_us = 100;
  return last.queued_us > waking_us;
}

/// The workers in the order in which a hash key prefers them: the same for everybody who knows
/// the same sessions, and one that comes or goes moves only its own keys (rendezvous hashing,
/// Thaler and Ravishankar 1998: what a ring does, without the ring).
[[nodiscard]] std::vector<std::size_t> preference(std::span<const candidate> workers,
                                                  std::string_view key);

/// Gives calls with a hash key to the worker that the key prefers, or to the next one if that
/// has far more than its share already (Mirrokni et al. 2016, "Consistent hashing with bounded
/// loads"), or no room.
[[nodiscard]] std::vector<share> share_by_key(std::span<const candidate> workers,
                                              std::uint64_t calls, std::string_view key);

}  // namespace weir::proto
