// For tests that are dialogues with a machine: take what is expected from its outbox, then
// require that nothing is left.
#pragma once

#include "proto/message.hpp"
#include "proto/outbox.hpp"
#include "proto/time.hpp"

#include <weir/version.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

namespace weir::proto::dialogue {

inline constexpr time_point t0{std::chrono::hours(1)};
inline constexpr source_id the_source{{7}};

inline introduction who(role r, std::uint64_t session, std::uint32_t slots = 1) {
  introduction self;
  self.role = r;
  self.name = std::string(to_string(r)) + std::to_string(session);
  self.session = session_id{session};
  self.slots = r == role::worker ? slots : 0;
  return self;
}

/// `count` payloads of `size` bytes.
inline pack tasks(std::uint32_t count, std::uint32_t size = 1) {
  return {blob::from(std::string(std::size_t{count} * size, 'x')), count, size};
}

/// Results for tasks first to last, each "r".
inline result_run results(std::uint64_t first, std::uint64_t last, std::uint32_t attempt = 1,
                          status code = status::ok) {
  return {first, attempt, code, tasks(static_cast<std::uint32_t>(last - first + 1)), {}};
}

/// The first message that is to be sent, which must be of this kind and go to `to`.
template <class Message>
Message take(outbox& out, std::uint32_t to) {
  REQUIRE(!out.sends.empty());
  const outgoing first = std::move(out.sends.front());
  out.sends.erase(out.sends.begin());
  CHECK(static_cast<std::uint32_t>(first.to) == to);
  const auto* m = std::get_if<Message>(&first.what);
  REQUIRE(m != nullptr);
  return *m;
}

/// The first message of this kind, wherever it is; the others stay.
template <class Message>
Message find(outbox& out, std::uint32_t to) {
  const auto it = std::find_if(out.sends.begin(), out.sends.end(), [&](const outgoing& o) {
    return o.to == peer_id{to} && std::holds_alternative<Message>(o.what);
  });
  REQUIRE(it != out.sends.end());
  const Message found = std::get<Message>(it->what);
  out.sends.erase(it);
  return found;
}

template <class Message>
std::size_t count(const outbox& out) {
  return static_cast<std::size_t>(
      std::count_if(out.sends.begin(), out.sends.end(),
                    [](const outgoing& o) { return std::holds_alternative<Message>(o.what); }));
}

/// Nothing is left to be done; what was said to the operator does not count.
inline bool silent(outbox& out) {
  out.notices.clear();
  return out.empty();
}

}  // namespace weir::proto::dialogue
