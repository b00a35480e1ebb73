// How many calls of one client may be at workers, for it to be able to take the replies.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>

namespace weir::proto {

/// The replies that are expected from workers for one client. They come whether it reads or
/// not, so as many calls are let go as have replies of `most_bytes` in all, going by the latest
/// ones. One always may. Replies of up to 1 KiB never count: a client's window has no more than
/// 16 384 calls.
struct reply_room {
  static constexpr std::size_t most_bytes = 16 * 1024 * 1024;

  bool stalled = false;         ///< it does not read as fast as it is sent: no more calls
  std::uint64_t away = 0;       ///< calls at workers
  std::size_t reply_bytes = 0;  ///< what a reply comes to; 0: there was none yet
  std::uint64_t round = 0;      ///< when `known_bytes` were answered from memory
  std::size_t known_bytes = 0;

  /// So many bytes more are answered from memory in this round, in which nobody can have been
  /// found to be stalled yet: whether that is not too much.
  [[nodiscard]] bool takes_known(std::uint64_t this_round, std::size_t bytes) {
    if (round != this_round) known_bytes = 0;
    round = this_round;
    if (stalled || known_bytes > most_bytes) return false;
    known_bytes += bytes;
    return true;
  }

  /// How many more calls may go. `usual`: what replies to others come to.
  [[nodiscard]] std::uint64_t calls(double usual) const {
    if (stalled) return 0;
    const std::size_t each = reply_bytes > 0 ? reply_bytes : static_cast<std::size_t>(usual);
    if (each == 0) return std::numeric_limits<std::uint64_t>::max();
    const std::uint64_t all = std::max<std::uint64_t>(1, most_bytes / each);
    return all > away ? all - away : 0;
  }
  /// Large ones are remembered for a while.
  void answered(std::size_t bytes_each) {
    reply_bytes = std::max({bytes_each, reply_bytes - reply_bytes / 8, std::size_t{1}});
  }
};

}  // namespace weir::proto
