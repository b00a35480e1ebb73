// A set of sequence numbers, kept as ranges.
#pragma once

#include "proto/message.hpp"

#include <cstdint>
#include <map>

namespace weir::proto {

/// Which tasks of a source are done. Sequence numbers are dense, so the set is a long prefix
/// and a few islands above it: memory grows with the gaps (tasks still under way), never with
/// the span, and one task that takes an hour costs one gap. docs/decisions/0001-ranges.md
/// compares this with a bitmap.
class seq_set {
 public:
  /// Adds a range; returns the parts of it that were not in the set.
  seq_ranges insert(seq_range added);
  [[nodiscard]] bool contains(std::uint64_t seq) const;
  [[nodiscard]] bool covers(seq_range range) const;
  /// The parts of `range` that are not in the set.
  [[nodiscard]] seq_ranges missing(seq_range range) const;
  /// Every number from 1 to low() is in the set; low() + 1 is not.
  [[nodiscard]] std::uint64_t low() const;
  /// The largest number in the set; 0 if it is empty.
  [[nodiscard]] std::uint64_t highest() const;
  /// The ranges above low(), ascending.
  [[nodiscard]] seq_ranges above_low() const;
  [[nodiscard]] seq_ranges all() const;
  [[nodiscard]] bool empty() const { return ranges_.empty(); }
  /// How many separate ranges there are: what the set costs.
  [[nodiscard]] std::size_t fragments() const { return ranges_.size(); }

 private:
  std::map<std::uint64_t, std::uint64_t> ranges_;  // first -> last; disjoint, never adjacent
};

/// Adds `range` to the end of an ascending list, joining it to the last one if they touch.
void append_range(seq_ranges& list, seq_range range);

}  // namespace weir::proto
