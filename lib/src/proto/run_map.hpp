// Consecutive tasks that share a state, by sequence number.
#pragma once

#include "proto/message.hpp"

#include <algorithm>
#include <cstdint>
#include <iterator>
#include <map>
#include <utility>

namespace weir::proto {

/// A map from sequence numbers to runs of tasks. Everything that weir does with tasks (queue,
/// lease, acknowledge, take back) it does to whole runs, which are split only where an event
/// ends inside one: the cost of a task is that of its batch divided by the batch's size.
///
/// `Run` offers `std::uint64_t size() const`, `Run slice(std::uint64_t offset, std::uint64_t n)
/// const`, and `void settle()`, called on what stays behind after a split (a place to let go of
/// memory that the part which left was using).
template <class Run>
class run_map {
 public:
  using map_type = std::map<std::uint64_t, Run>;

  /// Requires that no number of the run is in the map yet.
  void insert(std::uint64_t first, Run run) {
    count_ += run.size();
    runs_.emplace_hint(runs_.upper_bound(first), first, std::move(run));
  }

  /// Removes every number in `range`, calling `taken(first, Run&&)` for each piece removed.
  template <class Taken>
  void extract(seq_range range, Taken&& taken) {
    auto it = runs_.upper_bound(range.first);
    if (it != runs_.begin() && last_of(std::prev(it)) >= range.first) --it;
    while (it != runs_.end() && it->first <= range.last) {
      const std::uint64_t first = it->first;
      const std::uint64_t last = last_of(it);
      const std::uint64_t from = std::max(first, range.first);
      const std::uint64_t to = std::min(last, range.last);
      count_ -= to - from + 1;
      if (from == first && to == last) {
        Run whole = std::move(it->second);
        it = runs_.erase(it);
        taken(first, std::move(whole));
        continue;
      }
      Run piece = it->second.slice(from - first, to - from + 1);
      if (to < last) {
        Run rest = it->second.slice(to + 1 - first, last - to);
        rest.settle();
        runs_.emplace_hint(std::next(it), to + 1, std::move(rest));
      }
      if (from > first) {
        it->second = it->second.slice(0, from - first);
        it->second.settle();
        ++it;
      } else {
        it = runs_.erase(it);
      }
      taken(from, std::move(piece));
    }
  }

  /// Calls `seen(range, run)` for each part of `range` that is in the map, with the run it is
  /// part of.
  template <class Seen>
  void for_overlap(seq_range range, Seen&& seen) const {
    auto it = runs_.upper_bound(range.first);
    if (it != runs_.begin() && last_of(std::prev(it)) >= range.first) --it;
    for (; it != runs_.end() && it->first <= range.last; ++it)
      seen(seq_range{std::max(it->first, range.first), std::min(last_of(it), range.last)},
           it->second);
  }

  /// Removes the first run, or its first `most` tasks. Requires the map not to be empty.
  std::pair<std::uint64_t, Run> pop_front(std::uint64_t most) {
    const auto it = runs_.begin();
    const std::uint64_t first = it->first;
    if (it->second.size() <= most) {
      std::pair<std::uint64_t, Run> whole{first, std::move(it->second)};
      runs_.erase(it);
      count_ -= whole.second.size();
      return whole;
    }
    std::pair<std::uint64_t, Run> part{first, it->second.slice(0, most)};
    Run rest = it->second.slice(most, it->second.size() - most);
    runs_.emplace_hint(runs_.erase(it), first + most, std::move(rest));
    count_ -= most;
    return part;
  }

  /// Tasks, over all runs.
  [[nodiscard]] std::uint64_t size() const { return count_; }
  [[nodiscard]] bool empty() const { return runs_.empty(); }
  [[nodiscard]] const map_type& runs() const { return runs_; }
  void clear() {
    runs_.clear();
    count_ = 0;
  }
  /// All numbers in the map, as ascending ranges.
  [[nodiscard]] seq_ranges ranges() const {
    seq_ranges list;
    for (auto it = runs_.begin(); it != runs_.end(); ++it) {
      if (!list.empty() && list.back().last + 1 == it->first)
        list.back().last = last_of(it);
      else
        list.push_back({it->first, last_of(it)});
    }
    return list;
  }

 private:
  template <class Iterator>
  static std::uint64_t last_of(Iterator it) {
    return it->first + it->second.size() - 1;
  }

  map_type runs_;
  std::uint64_t count_ = 0;
};

}  // namespace weir::proto
