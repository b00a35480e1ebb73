// Results of methods whose workers allow a gateway to answer from memory.
#pragma once

#include "proto/pack.hpp"
#include "proto/time.hpp"

#include <cstdint>
#include <list>
#include <string>
#include <string_view>
#include <unordered_map>

namespace weir::proto {

/// Results by method and argument bytes. Within its bound of memory those that were asked for
/// last stay.
class result_cache {
 public:
  explicit result_cache(std::size_t bytes) : limit_(bytes) {}

  /// The result, as one payload; null if it is not known, or too old.
  [[nodiscard]] const pack* find(std::string_view method, std::string_view arguments,
                                 time_point now);
  void keep(std::string_view method, std::string_view arguments, std::string_view result,
            duration ttl, time_point now);

  [[nodiscard]] std::size_t bytes() const { return bytes_; }
  [[nodiscard]] std::size_t size() const { return entries_.size(); }

 private:
  struct entry {
    std::string name;
    pack result;
    time_point until;
    [[nodiscard]] std::size_t cost() const;
  };
  using order = std::list<entry>;

  void name(std::string_view method, std::string_view arguments);
  void drop(order::iterator it);

  std::size_t limit_;
  std::size_t bytes_ = 0;
  order entries_;                                                // the last one asked for first
  std::unordered_map<std::string_view, order::iterator> index_;  // views into the entries
  std::string name_;                                             // kept for its memory
};

}  // namespace weir::proto
