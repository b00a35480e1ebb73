// Whether two messages mean the same.
#pragma once

#include "proto/message.hpp"

#include <variant>

namespace weir::test {

inline bool same(const proto::pack& a, const proto::pack& b) {
  if (a.size() != b.size()) return false;
  for (std::uint32_t i = 0; i < a.size(); ++i)
    if (a[i] != b[i] || a.length(i) != b.length(i)) return false;
  return true;
}

inline bool same(const proto::task_run& a, const proto::task_run& b) {
  return a.first == b.first && a.attempt == b.attempt && a.time_limit_ms == b.time_limit_ms &&
         same(a.payloads, b.payloads);
}

inline bool same(const proto::result_run& a, const proto::result_run& b) {
  return a.first == b.first && a.attempt == b.attempt && a.code == b.code &&
         a.details == b.details && same(a.payloads, b.payloads);
}

template <class Batch>
bool same_batch(const Batch& a, const Batch& b) {
  if (a.source != b.source || a.runs.size() != b.runs.size()) return false;
  for (std::size_t i = 0; i < a.runs.size(); ++i)
    if (!same(a.runs[i], b.runs[i])) return false;
  return true;
}

/// Payloads are compared one by one, however their packs are stored.
inline bool same(const proto::message& a, const proto::message& b) {
  if (a.index() != b.index()) return false;
  return std::visit(
      [&b]<class Message>(const Message& mine) {
        const auto& other = std::get<Message>(b);
        if constexpr (requires { mine.runs; })
          return same_batch(mine, other);
        else
          return mine == other;
      },
      a);
}

}  // namespace weir::test
