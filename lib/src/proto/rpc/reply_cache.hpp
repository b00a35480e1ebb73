// Calls with an idempotency key: run once, answered as often as they are made.
#pragma once

#include "proto/message.hpp"
#include "proto/rpc/callee.hpp"
#include "proto/time.hpp"

#include <cstdint>
#include <list>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace weir::proto {

/// Remembers calls by method and key: those that run, with those that wait for the same reply,
/// and the replies of those that have ended. For whoever is called, gateways and workers alike;
/// `Call` is what its owner tells calls by: a number, or a call_key.
///
/// Kept is what a handler has made of a call: a result, or an error that another run would not
/// change by itself. After anything else (cancelled, out of time, refused) the key is as new.
///
/// Bounds: replies are kept for a time, and within so many bytes: one that is larger than that
/// by itself is not kept, and drives out nothing. What runs is bounded by its owner, who takes
/// no more calls than it can hold.
template <class Call>
class reply_cache {
 public:
  struct limits_type {
    std::size_t bytes = 8 * 1024 * 1024;
    duration ttl = std::chrono::minutes(5);
  };
  enum class state : std::uint8_t {
    fresh,     ///< nobody has made this call, or it is made again: it is to be run
    joined,    ///< it is being run: this one waits for the same reply
    answered,  ///< here is the reply
    misused,   ///< the key was used with other arguments
  };
  struct found {
    state what = state::fresh;
    const reply_run* reply = nullptr;  ///< one outcome; until the next call of a member
    Call leader{};                     ///< joined: the one that runs
  };
  /// What becomes of those that wait when the one that runs has ended.
  struct followers_type {
    std::vector<Call> calls;
    /// They get no reply of it, but are made anew, in this order: they would have been run, had
    /// they been first. Otherwise they get the same reply; what has cost its workers their
    /// lives is not tried once for each.
    bool run_next = false;
  };

  explicit reply_cache(limits_type limits) : limits_(limits) {}

  /// A call is made. Who makes one again (`attempt` counts from 1) because it has failed does
  /// not want to hear that it has: it is run.
  [[nodiscard]] found look(std::string_view method, std::string_view key,
                           std::string_view arguments, const Call& call, std::uint32_t attempt,
                           time_point now);
  /// How many wait for the one that runs.
  [[nodiscard]] std::size_t followers(std::string_view method, std::string_view key) const;
  /// One that waits does so no longer.
  void leave(std::string_view method, std::string_view key, const Call& call);
  /// A call with this reply has ended. Nobody waits for it if it was not the one that ran.
  [[nodiscard]] followers_type settle(std::string_view method, std::string_view key,
                                      const Call& call, const reply_run& reply, time_point now);

  [[nodiscard]] std::size_t bytes() const { return bytes_; }
  [[nodiscard]] std::size_t size() const { return entries_.size(); }

 private:
  struct entry {
    std::uint64_t arguments = 0;  // their hash
    Call leader{};
    std::list<Call> followers;
    bool answered = false;
    reply_run reply;
    std::size_t cost = 0;
    time_point until;
    std::list<std::string>::iterator ended;  // in ended_, if answered
  };
  using entries = std::unordered_map<std::string, entry>;

  void trim(time_point now);

  limits_type limits_;
  entries entries_;
  std::list<std::string> ended_;  // those with a reply, the oldest first
  std::size_t bytes_ = 0;
};

extern template class reply_cache<std::uint64_t>;
extern template class reply_cache<call_key>;

}  // namespace weir::proto
