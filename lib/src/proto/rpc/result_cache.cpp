#include "proto/rpc/result_cache.hpp"

#include <iterator>
#include <utility>

namespace weir::proto {
namespace {
constexpr std::size_t result_overhead = 256;  // of list and index, about
/// No single result may drive out more than this part of the others.
constexpr std::size_t largest_part = 8;
}  // namespace

std::size_t result_cache::entry::cost() const {
  return result_overhead + name.size() + result.bytes();
}

void result_cache::name(std::string_view method, std::string_view arguments) {
  name_.assign(method);
  name_.push_back('\0');  // no method's name has one
  name_.append(arguments);
}

void result_cache::drop(order::iterator it) {
  bytes_ -= it->cost();
  index_.erase(it->name);
  entries_.erase(it);
}

const pack* result_cache::find(std::string_view method, std::string_view arguments,
                               time_point now) {
  if (entries_.empty()) return nullptr;
  name(method, arguments);
  const auto found = index_.find(name_);
  if (found == index_.end()) return nullptr;
  if (found->second->until <= now) {
    drop(found->second);
    return nullptr;
  }
  entries_.splice(entries_.begin(), entries_, found->second);
  return &found->second->result;
}

void result_cache::keep(std::string_view method, std::string_view arguments,
                        std::string_view result, duration ttl, time_point now) {
  if (method.size() + arguments.size() + result.size() + result_overhead >
      limit_ / largest_part)
    return;
  name(method, arguments);
  if (const auto old = index_.find(name_); old != index_.end()) drop(old->second);
  entries_.push_front({name_, pack::of(std::string(result)), now + ttl});
  index_.emplace(entries_.front().name, entries_.begin());
  bytes_ += entries_.front().cost();
  while (bytes_ > limit_) drop(std::prev(entries_.end()));
}

}  // namespace weir::proto
