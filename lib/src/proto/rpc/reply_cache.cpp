#include "proto/rpc/reply_cache.hpp"

#include <functional>
#include <utility>

namespace weir::proto {
namespace {
/// What an entry takes beside the texts in it, about.
constexpr std::size_t reply_overhead = 256;

std::size_t cost_of(const std::string& name, const reply_run& reply) {
  std::size_t bytes = reply_overhead + 2 * name.size() + reply.results.bytes();
  for (const reply_details& d : reply.details)
    bytes += sizeof d + d.message.size() + d.type.size() + d.data.size() + d.trace.size();
  return bytes;
}
}  // namespace

std::string reply_cache::name_of(std::string_view method, std::string_view key) {
  std::string name;
  name.reserve(method.size() + 1 + key.size());
  name.append(method).push_back('\0');  // no method's name has one
  name.append(key);
  return name;
}

reply_cache::found reply_cache::look(std::string_view method, std::string_view key,
                                     std::string_view arguments, std::uint64_t number,
                                     time_point now) {
  trim(now);
  const std::uint64_t hash = std::hash<std::string_view>{}(arguments);
  const auto [it, fresh] = entries_.try_emplace(name_of(method, key));
  entry& e = it->second;
  if (fresh) {
    e.arguments = hash;
    e.leader = number;
    return {};
  }
  if (e.arguments != hash) return {state::misused, nullptr, 0};
  if (e.answered) return {state::answered, &e.reply, 0};
  e.followers.push_back(number);
  return {state::joined, nullptr, e.leader};
}

bool reply_cache::leads(std::string_view method, std::string_view key,
                        std::uint64_t number) const {
  const auto it = entries_.find(name_of(method, key));
  return it != entries_.end() && !it->second.answered && it->second.leader == number;
}

std::size_t reply_cache::followers(std::string_view method, std::string_view key) const {
  const auto it = entries_.find(name_of(method, key));
  return it == entries_.end() ? 0 : it->second.followers.size();
}

void reply_cache::leave(std::string_view method, std::string_view key, std::uint64_t number) {
  const auto it = entries_.find(name_of(method, key));
  if (it != entries_.end()) std::erase(it->second.followers, number);
}

std::vector<std::uint64_t> reply_cache::keep(std::string_view method, std::string_view key,
                                             const reply_run& reply, time_point now) {
  const auto it = entries_.find(name_of(method, key));
  if (it == entries_.end() || it->second.answered) return {};
  entry& e = it->second;
  e.answered = true;
  e.reply = reply;
  // Memory of its own: the frame that it came in may be a large one.
  e.reply.results = reply.results.compacted();
  e.until = now + limits_.ttl;
  e.cost = cost_of(it->first, e.reply);
  bytes_ += e.cost;
  e.ended = ended_.insert(ended_.end(), it->first);
  std::vector<std::uint64_t> waiting = std::exchange(e.followers, {});
  trim(now);
  return waiting;
}

std::vector<std::uint64_t> reply_cache::forget(std::string_view method, std::string_view key) {
  const auto it = entries_.find(name_of(method, key));
  if (it == entries_.end() || it->second.answered) return {};
  std::vector<std::uint64_t> waiting = std::move(it->second.followers);
  entries_.erase(it);
  return waiting;
}

void reply_cache::renew(std::string_view method, std::string_view key, std::uint64_t number) {
  const auto it = entries_.find(name_of(method, key));
  if (it == entries_.end() || !it->second.answered) return;
  entry& e = it->second;
  bytes_ -= std::exchange(e.cost, 0);
  ended_.erase(e.ended);
  e.answered = false;
  e.reply = {};
  e.leader = number;
}

void reply_cache::lead(std::string_view method, std::string_view key, std::uint64_t number) {
  const auto it = entries_.find(name_of(method, key));
  if (it == entries_.end()) return;
  it->second.leader = number;
  std::erase(it->second.followers, number);
}

void reply_cache::trim(time_point now) {
  while (!ended_.empty()) {
    const auto it = entries_.find(ended_.front());
    if (bytes_ <= limits_.bytes && it->second.until > now) return;
    bytes_ -= it->second.cost;
    entries_.erase(it);
    ended_.pop_front();
  }
}

}  // namespace weir::proto
