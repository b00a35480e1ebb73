// Calls with an idempotency key: run once, answered as often as they are made.
#pragma once

#include "proto/message.hpp"
#include "proto/time.hpp"

#include <cstdint>
#include <list>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace weir::proto {

/// Remembers calls by method and key: those that run, with those that wait for the same reply,
/// and the replies of those that have ended.
///
/// Bounds: replies are kept for a time, and within so many bytes; what runs is bounded by its
/// owner, who takes no more calls than it can hold.
class reply_cache {
 public:
  struct limits_type {
    std::size_t bytes = 8 * 1024 * 1024;
    duration ttl = std::chrono::minutes(5);
  };
  enum class state : std::uint8_t {
    fresh,     ///< nobody has made this call: it is the first now, and to be run
    joined,    ///< it is being run: this one waits for the same reply
    answered,  ///< here is the reply
    misused,   ///< the key was used with other arguments
  };
  struct found {
    state what = state::fresh;
    const reply_run* reply = nullptr;  ///< one outcome; until the next call of a member
    std::uint64_t leader = 0;          ///< joined: the one that runs
  };

  explicit reply_cache(limits_type limits) : limits_(limits) {}

  /// A call is made, under this number.
  [[nodiscard]] found look(std::string_view method, std::string_view key,
                           std::string_view arguments, std::uint64_t number, time_point now);
  /// Whether this number is the one that runs.
  [[nodiscard]] bool leads(std::string_view method, std::string_view key,
                           std::uint64_t number) const;
  /// How many wait for it besides.
  [[nodiscard]] std::size_t followers(std::string_view method, std::string_view key) const;
  /// One that waits does so no longer.
  void leave(std::string_view method, std::string_view key, std::uint64_t number);
  /// The one that runs has ended, with a reply that is to be kept. Returns who else waits.
  [[nodiscard]] std::vector<std::uint64_t> keep(std::string_view method, std::string_view key,
                                                const reply_run& reply, time_point now);
  /// It has ended with nothing worth keeping: the key is as new. Returns who else waits.
  [[nodiscard]] std::vector<std::uint64_t> forget(std::string_view method,
                                                  std::string_view key);
  /// It has ended, and is run once more all the same, under this number.
  void renew(std::string_view method, std::string_view key, std::uint64_t number);
  /// Of those who wait, this one runs now.
  void lead(std::string_view method, std::string_view key, std::uint64_t number);

  [[nodiscard]] std::size_t bytes() const { return bytes_; }
  [[nodiscard]] std::size_t size() const { return entries_.size(); }

 private:
  struct entry {
    std::uint64_t arguments = 0;  // their hash
    std::uint64_t leader = 0;
    std::vector<std::uint64_t> followers;
    bool answered = false;
    reply_run reply;
    std::size_t cost = 0;
    time_point until;
    std::list<std::string>::iterator ended;  // in ended_, if answered
  };
  using entries = std::unordered_map<std::string, entry>;

  [[nodiscard]] static std::string name_of(std::string_view method, std::string_view key);
  void trim(time_point now);

  limits_type limits_;
  entries entries_;
  std::list<std::string> ended_;  // those with a reply, the oldest first
  std::size_t bytes_ = 0;
};

}  // namespace weir::proto
