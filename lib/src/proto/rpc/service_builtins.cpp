// What a worker answers of itself: see service_state.hpp.
#include "proto/rpc/builtins.hpp"
#include "proto/rpc/service_state.hpp"

#include <algorithm>
#include <utility>

namespace weir::proto {

void service_state::answer_builtin(callee::taken&& calls, time_point now, service_outbox&) {
  const std::string_view name =
      std::string_view(calls.calls.method).substr(builtin_prefix.size());
  std::string value;
  if (name == "ping") {
    value = builtins::ping(links_.self(), now - began_);
  } else if (name == "services") {
    value = services();
  } else if (name == "stats") {
    value = statistics(now);
  } else if (name == "drain") {
    const auto whom = builtins::one_text(calls.calls.arguments[0]);
    if (!whom.valid)
      return refuse(calls.from, calls.calls.first, calls.calls.arguments.size(),
                    status::invalid_argument, "weir.drain(name?) takes at most one text", now);
    const bool me = !whom.text || *whom.text == links_.self().name;
    std::vector<std::string> told;
    if (me) {
      told.push_back(links_.self().name);
      callee_.drain();
    }
    value = builtins::names(told);
  } else {
    return refuse(calls.from, calls.calls.first, calls.calls.arguments.size(),
                  status::unimplemented, "a worker has no " + calls.calls.method, now);
  }
  // A batch of these must not make megabytes of kilobytes.
  constexpr std::size_t most_bytes = 1024 * 1024;
  const std::uint64_t n = calls.calls.arguments.size();
  const std::uint64_t served = std::clamp<std::uint64_t>(most_bytes / value.size(), 1, n);
  pack_builder results;
  results.reserve(served, served * value.size());
  for (std::uint64_t i = 0; i < served; ++i) results.add(value);
  reply_run run;
  run.first = calls.calls.first;
  run.results = results.take();
  callee_.reply(calls.from, std::move(run));
  if (served < n)
    refuse(calls.from, calls.calls.first + served, n - served, status::resource_exhausted,
           "too many of these in one message", now);
}

std::string service_state::services() const {
  std::vector<builtins::service> all;
  all.reserve(methods_.size());
  for (std::uint32_t i = 0; i < methods_.size(); ++i) {
    builtins::service s;
    s.info = &methods_[i].info;
    s.workers = 1;
    s.queued = queue_.queued(i) + aside_.queued(i);
    s.running = queue_.running(i);
    s.room = room();
    all.push_back(s);
  }
  return builtins::services(all);
}

std::string service_state::statistics(time_point now) const {
  std::vector<builtins::measured> all;
  all.reserve(methods_.size());
  for (std::uint32_t i = 0; i < methods_.size(); ++i)
    all.push_back({methods_[i].info.name, &methods_[i].stats,
                   queue_.queued(i) + aside_.queued(i), queue_.running(i)});
  const counts c = stats();
  return builtins::stats(links_.self(), now - began_, 1, c.clients, all, now);
}

}  // namespace weir::proto
