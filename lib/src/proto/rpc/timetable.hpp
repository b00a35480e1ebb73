// When something is due for which calls.
#pragma once

#include "proto/seq_set.hpp"
#include "proto/time.hpp"

#include <chrono>
#include <cstddef>
#include <map>
#include <utility>

namespace weir::proto {

/// Ranges of numbers, each with a time at which it is looked at. Times are rounded up to whole
/// milliseconds, so that calls that were made one after the other share an entry: a million of
/// them a second cost a thousand.
///
/// What has been settled meanwhile is not taken out, which would cost a look-up for each; it is
/// found dead when its time comes, or by trim().
class timetable {
 public:
  void add(time_point when, seq_range range) {
    seq_ranges& list = at_[rounded(when)];
    const std::size_t before = list.size();
    append_range(list, range);
    entries_ += list.size() - before;
  }
  [[nodiscard]] time_point next() const {
    return at_.empty() ? time_point::max() : at_.begin()->first;
  }
  /// Takes out all that is due, and calls `seen(range)` for each.
  template <class Seen>
  void due(time_point now, Seen&& seen) {
    while (!at_.empty() && at_.begin()->first <= now) {
      const seq_ranges list = std::move(at_.begin()->second);
      at_.erase(at_.begin());
      entries_ -= list.size();
      for (const auto& range : list) seen(range);
    }
  }
  /// Forgets the earliest entries as long as `dead(range)`: next() is then the time of
  /// something.
  template <class Dead>
  void trim(Dead&& dead) {
    while (!at_.empty()) {
      seq_ranges& list = at_.begin()->second;
      for (; !list.empty() && dead(list.back()); --entries_) list.pop_back();
      if (!list.empty()) return;
      at_.erase(at_.begin());
    }
  }
  [[nodiscard]] std::size_t entries() const { return entries_; }
  void clear() {
    at_.clear();
    entries_ = 0;
  }

 private:
  static time_point rounded(time_point when) {
    return std::chrono::ceil<std::chrono::milliseconds>(when);
  }

  std::map<time_point, seq_ranges> at_;
  std::size_t entries_ = 0;
};

}  // namespace weir::proto
