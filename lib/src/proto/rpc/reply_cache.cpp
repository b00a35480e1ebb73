#include "proto/rpc/reply_cache.hpp"

#include <algorithm>
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

std::string name_of(std::string_view method, std::string_view key) {
  std::string name;
  name.reserve(method.size() + 1 + key.size());
  name.append(method).push_back('\0');  // no method's name has one
  name.append(key);
  return name;
}

bool never_started(const reply_run& reply) {
  return !reply.details.empty() && reply.details[0].never_started;
}

/// Whether it is what the handler has made of the call, and the same if it were made again.
bool final_outcome(const reply_run& reply) {
  switch (reply.code) {
    case status::cancelled:
    case status::deadline_exceeded:
    case status::resource_exhausted:
    case status::unavailable:
      return false;
    default:
      return !never_started(reply);
  }
}
}  // namespace

template <class Call>
typename reply_cache<Call>::found reply_cache<Call>::look(
    std::string_view method, std::string_view key, std::string_view arguments, const Call& call,
    std::uint32_t attempt, time_point now) {
  trim(now);
  const std::uint64_t hash = std::hash<std::string_view>{}(arguments);
  const auto [it, fresh] = entries_.try_emplace(name_of(method, key));
  entry& e = it->second;
  if (fresh) {
    e.arguments = hash;
    e.leader = call;
    return {};
  }
  if (e.arguments != hash) return {state::misused, nullptr, {}};
  if (!e.answered) {
    e.followers.push_back(call);
    return {state::joined, nullptr, e.leader};
  }
  if (attempt <= 1 || e.reply.code == status::ok) return {state::answered, &e.reply, {}};
  bytes_ -= std::exchange(e.cost, 0);
  ended_.erase(e.ended);
  e.answered = false;
  e.reply = {};
  e.leader = call;
  return {};
}

template <class Call>
std::size_t reply_cache<Call>::followers(std::string_view method, std::string_view key) const {
  const auto it = entries_.find(name_of(method, key));
  return it == entries_.end() ? 0 : it->second.followers.size();
}

template <class Call>
void reply_cache<Call>::leave(std::string_view method, std::string_view key, const Call& call) {
  const auto it = entries_.find(name_of(method, key));
  if (it == entries_.end()) return;
  // A caller that goes takes its own out in the order in which they came: thousands of one key
  // must not be gone through for each.
  auto& waiting = it->second.followers;
  const auto at = std::find(waiting.begin(), waiting.end(), call);
  if (at != waiting.end()) waiting.erase(at);
}

template <class Call>
typename reply_cache<Call>::followers_type reply_cache<Call>::settle(std::string_view method,
                                                                     std::string_view key,
                                                                     const Call& call,
                                                                     const reply_run& reply,
                                                                     time_point now) {
  const auto it = entries_.find(name_of(method, key));
  if (it == entries_.end() || it->second.answered || it->second.leader != call) return {};
  entry& e = it->second;
  followers_type waiting{{e.followers.begin(), e.followers.end()}, false};
  e.followers.clear();
  const bool final = final_outcome(reply);
  waiting.run_next = !final && (reply.code != status::unavailable || never_started(reply));
  const std::size_t cost = cost_of(it->first, reply);
  if (!final || cost > limits_.bytes) {
    entries_.erase(it);
    return waiting;
  }
  e.answered = true;
  e.reply = reply;
  // Memory of its own: the frame that it came in may be a large one.
  e.reply.results = reply.results.compacted();
  e.until = now + limits_.ttl;
  e.cost = cost;
  bytes_ += e.cost;
  e.ended = ended_.insert(ended_.end(), it->first);
  trim(now);
  return waiting;
}

template <class Call>
void reply_cache<Call>::trim(time_point now) {
  while (!ended_.empty()) {
    const auto it = entries_.find(ended_.front());
    if (bytes_ <= limits_.bytes && it->second.until > now) return;
    bytes_ -= it->second.cost;
    entries_.erase(it);
    ended_.pop_front();
  }
}

template class reply_cache<std::uint64_t>;
template class reply_cache<call_key>;

}  // namespace weir::proto
