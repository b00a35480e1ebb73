#include "proto/rpc/routes.hpp"

#include "proto/limits.hpp"
#include "proto/msgpack_reader.hpp"

#include <algorithm>
#include <bit>
#include <utility>

namespace weir::proto {
namespace {
/// How long a worker may take to answer before the next of its endpoints is tried: a connection
/// within one site takes milliseconds, and meanwhile the gateway serves.
constexpr duration patience = std::chrono::seconds(2);
/// An endpoint that did not work is left alone for this long, doubled each time.
constexpr duration first_failure = std::chrono::seconds(1);
constexpr duration longest_failure = std::chrono::minutes(1);
/// Workers that are read from one answer.
constexpr std::uint32_t most_workers = 1024;

session_id read_session(msgpack_reader& in) {
  const std::string_view bytes = in.bin(8);
  if (bytes.size() != 8) {
    in.fail(reject::out_of_range);
    return {};
  }
  std::uint64_t value = 0;
  for (const char c : bytes) value = value << 8 | static_cast<unsigned char>(c);
  return session_id{value};
}

void read_entry(msgpack_reader& in, route_answer& answer) {
  route_entry worker;
  const std::uint32_t keys = in.map();
  for (std::uint32_t i = 0; i < keys && in.ok(); ++i) {
    const std::string_view key = in.str(limits::text_bytes);
    if (key == "ep") {
      const std::uint32_t count = in.array();
      if (count > limits::direct_endpoints) in.fail(reject::out_of_range);
      for (std::uint32_t e = 0; e < count && in.ok(); ++e)
        worker.endpoints.emplace_back(in.str(limits::text_bytes));
    } else if (key == "name") {
      worker.name = in.str(limits::text_bytes);
    } else if (key == "load") {
      worker.load = in.number();
    } else if (key == "session") {
      worker.session = read_session(in);
    } else if (key == "idem") {
      answer.idempotent = in.boolean();
    } else if (key == "ttl") {
      answer.deadline_ms = static_cast<std::uint32_t>(in.uint(UINT32_MAX));
    } else {
      in.skip(1);
    }
  }
  if (!in.ok()) return;
  if (!worker.endpoints.empty() && worker.session != session_id{})
    answer.workers.push_back(std::move(worker));
  else
    answer.others = true;
}
}  // namespace

std::optional<route_answer> read_routes(std::string_view packed) {
  msgpack_reader in(packed);
  route_answer answer;
  const std::uint32_t count = in.array();
  for (std::uint32_t i = 0; i < std::min(count, most_workers) && in.ok(); ++i)
    read_entry(in, answer);
  if (!in.ok()) return std::nullopt;
  return answer;
}

std::string route_arguments(std::string_view method) {
  // A method's name has at most 256 bytes, so str 8 or str 16.
  std::string packed = "\x91";
  if (method.size() < 256) {
    packed += '\xD9';
  } else {
    packed += '\xDA';
    packed += static_cast<char>(method.size() >> 8);
  }
  packed += static_cast<char>(method.size() & 0xFF);
  packed += method;
  return packed;
}

bool introductions::shunned(const std::string& endpoint, time_point now) const {
  const auto it = failures_.find(endpoint);
  return it != failures_.end() && now < it->second.until;
}

std::optional<std::string> introductions::introduce(const route_entry& worker, time_point now) {
  if (links_.contains(worker.session)) return std::nullopt;
  link l;
  for (const auto& endpoint : worker.endpoints)
    if (!shunned(endpoint, now)) l.endpoints.push_back(endpoint);
  if (l.endpoints.empty()) return std::nullopt;
  std::reverse(l.endpoints.begin(), l.endpoints.end());
  l.give_up = now + patience;
  const std::string first = l.endpoints.back();
  links_.emplace(worker.session, std::move(l));
  return first;
}

bool introductions::opened(const std::string& endpoint, peer_id peer) {
  for (auto& [id, l] : links_) {
    if (l.peer || l.endpoints.back() != endpoint) continue;
    l.peer = peer;
    return true;
  }
  return false;
}

bool introductions::joined(peer_id peer, session_id who) {
  const auto it = links_.find(who);
  if (it == links_.end() || it->second.peer != peer) return false;
  it->second.joined = true;
  failures_.erase(it->second.endpoints.back());
  return true;
}

bool introductions::made(peer_id peer) const { return expected_at(peer).has_value(); }

std::optional<session_id> introductions::expected_at(peer_id peer) const {
  for (const auto& [id, l] : links_)
    if (l.peer == peer) return id;
  return std::nullopt;
}

introductions::dropped introductions::failed(session_id worker, time_point now) {
  const auto it = links_.find(worker);
  if (it == links_.end()) return {};
  link& l = it->second;
  failure& f = failures_[l.endpoints.back()];
  f.wait = std::clamp(2 * f.wait, first_failure, longest_failure);
  f.until = now + f.wait;
  dropped d{l.peer, std::nullopt};
  l.endpoints.pop_back();
  if (l.endpoints.empty() || l.joined) {
    links_.erase(it);
    return d;
  }
  l.peer.reset();
  l.give_up = now + patience;
  d.instead = l.endpoints.back();
  return d;
}

std::optional<peer_id> introductions::forget(session_id worker) {
  const auto it = links_.find(worker);
  if (it == links_.end()) return std::nullopt;
  const auto peer = it->second.peer;
  links_.erase(it);
  return peer;
}

std::vector<session_id> introductions::overdue(time_point now) const {
  std::vector<session_id> late;
  for (const auto& [id, l] : links_)
    if (!l.joined && now >= l.give_up) late.push_back(id);
  return late;
}

time_point introductions::next_deadline() const {
  time_point next = time_point::max();
  for (const auto& [id, l] : links_)
    if (!l.joined) next = std::min(next, l.give_up);
  return next;
}

void introductions::sweep(time_point now) {
  std::erase_if(failures_,
                [now](const auto& f) { return now >= f.second.until + longest_failure; });
}

}  // namespace weir::proto
