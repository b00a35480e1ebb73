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
         a.commands == b.commands && same(a.payloads, b.payloads);
}

inline bool same(const proto::result_run& a, const proto::result_run& b) {
  return a.first == b.first && a.attempt == b.attempt && a.code == b.code &&
         a.details == b.details && same(a.payloads, b.payloads);
}

/// No options are the defaults.
inline bool same(const proto::call_run& a, const proto::call_run& b) {
  const auto options = [](const proto::call_run& run) {
    return run.options ? *run.options : proto::call_options{};
  };
  return a.first == b.first && a.method == b.method && a.ttl_ms == b.ttl_ms &&
         options(a) == options(b) && same(a.arguments, b.arguments);
}

/// No details are details that say nothing.
inline bool same(const proto::reply_run& a, const proto::reply_run& b) {
  const auto details = [](const proto::reply_run& run) {
    return run.details.empty() ? std::vector<proto::reply_details>(run.results.size())
                               : run.details;
  };
  return a.first == b.first && a.code == b.code && a.queued_us == b.queued_us &&
         a.service_us == b.service_us && a.received_us == b.received_us &&
         details(a) == details(b) && same(a.results, b.results);
}

inline bool same(const proto::part_run& a, const proto::part_run& b) {
  return a.call == b.call && a.first == b.first && same(a.elements, b.elements);
}

template <class Batch>
bool same_batch(const Batch& a, const Batch& b) {
  if constexpr (requires { a.source; })
    if (a.source != b.source) return false;
  if constexpr (requires { a.low; })
    if (a.low != b.low) return false;
  if (a.runs.size() != b.runs.size()) return false;
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
