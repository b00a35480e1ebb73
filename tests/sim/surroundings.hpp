// What simulated processes live in: time, chance, a network, and its troubles.
#pragma once

#include "proto/message.hpp"
#include "sim/clockwork.hpp"
#include "sim/network.hpp"

#include <cstdint>
#include <functional>
#include <string>
#include <utility>

namespace weir::sim {

class node;

/// The part of a simulated world that does not depend on what its nodes do.
class surroundings {
 public:
  struct conditions {
    duration heartbeat = std::chrono::seconds(1);
    bool fault_free = false;
    bool delays = false;
    bool long_delays = false;
    bool sends_wait =
        false;  // what is sent while disconnected waits, rather than being dropped
  };
  surroundings(std::uint64_t seed, conditions c, bool verbose);
  virtual ~surroundings() = default;
  surroundings(const surroundings&) = delete;
  surroundings& operator=(const surroundings&) = delete;

  [[nodiscard]] const conditions& climate() const { return climate_; }
  [[nodiscard]] time_point now() const { return clock_.now(); }
  [[nodiscard]] dice& chance() { return chance_; }
  [[nodiscard]] network& net() { return net_; }
  [[nodiscard]] bool healed() const { return healed_; }
  /// How long a message is under way.
  [[nodiscard]] duration delay();
  void at(time_point when, std::function<void()> what) { clock_.at(when, std::move(what)); }
  /// Something came nearer to its end.
  void progress() { last_progress_ = now(); }
  void mix(std::uint64_t value) { hash_ = (hash_ ^ value) * 0x100000001b3U; }
  template <class Text>
  void trace(const std::string& who, Text&& text) {
    if (verbose_) print(who, text());
  }

  /// A rule is broken.
  virtual void violation(std::string what) = 0;
  virtual void left(node& n) = 0;    ///< it has exited
  virtual void killed(node& n) = 0;  ///< it has died

 protected:
  /// Does `what` again and again until all heals, on average once in `every`.
  void trouble(duration every, std::function<void()> what);
  void heal();

  clockwork clock_;
  time_point last_progress_{};
  std::uint64_t hash_ = 0xcbf29ce484222325U;

 private:
  void print(const std::string& who, const std::string& text) const;

  const conditions climate_;
  const bool verbose_;
  dice chance_;
  network net_;
  bool healed_ = false;
};

/// A message in one line, for traces.
[[nodiscard]] std::string describe(const proto::message& m);

}  // namespace weir::sim
