#include "proto/seq_set.hpp"

#include <algorithm>
#include <iterator>

namespace weir::proto {

seq_ranges seq_set::missing(seq_range range) const {
  seq_ranges gaps;
  std::uint64_t next = range.first;
  auto it = ranges_.upper_bound(range.first);
  if (it != ranges_.begin() && std::prev(it)->second >= next) next = std::prev(it)->second + 1;
  for (; next <= range.last; ++it) {
    if (it == ranges_.end() || it->first > range.last) {
      gaps.push_back({next, range.last});
      break;
    }
    if (it->first > next) gaps.push_back({next, it->first - 1});
    next = it->second + 1;
  }
  return gaps;
}

seq_ranges seq_set::insert(seq_range added) {
  seq_ranges fresh = missing(added);
  if (fresh.empty()) return fresh;
  auto it = ranges_.upper_bound(added.first);
  if (it != ranges_.begin() && std::prev(it)->second + 1 >= added.first) {
    --it;
    it->second = std::max(it->second, added.last);
  } else {
    it = ranges_.emplace_hint(it, added.first, added.last);
  }
  // Swallow what the grown range now covers or touches.
  auto next = std::next(it);
  while (next != ranges_.end() && next->first <= it->second + 1) {
    it->second = std::max(it->second, next->second);
    next = ranges_.erase(next);
  }
  return fresh;
}

bool seq_set::contains(std::uint64_t seq) const { return covers({seq, seq}); }

bool seq_set::covers(seq_range range) const {
  const auto it = ranges_.upper_bound(range.first);
  return it != ranges_.begin() && std::prev(it)->second >= range.last;
}

std::uint64_t seq_set::low() const {
  if (ranges_.empty() || ranges_.begin()->first != 1) return 0;
  return ranges_.begin()->second;
}

std::uint64_t seq_set::highest() const {
  return ranges_.empty() ? 0 : std::prev(ranges_.end())->second;
}

seq_ranges seq_set::above_low() const {
  seq_ranges list;
  for (const auto& [first, last] : ranges_)
    if (first != 1) list.push_back({first, last});
  return list;
}

seq_ranges seq_set::all() const {
  seq_ranges list;
  for (const auto& [first, last] : ranges_) list.push_back({first, last});
  return list;
}

void append_range(seq_ranges& list, seq_range range) {
  if (!list.empty() && list.back().last + 1 == range.first)
    list.back().last = range.last;
  else
    list.push_back(range);
}

}  // namespace weir::proto
