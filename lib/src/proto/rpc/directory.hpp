// Who offers what.
#pragma once

#include "proto/message.hpp"
#include "proto/rpc/clock_offset.hpp"
#include "proto/rpc/method_queue.hpp"
#include "proto/rpc/method_stats.hpp"
#include "proto/time.hpp"

#include <cstdint>
#include <map>
#include <string>
#include <unordered_map>
#include <vector>

namespace weir::proto {

struct method_record;

/// A worker, as a gateway knows it.
struct worker_record {
  session_id id{};
  introduction info;
  struct offered {
    method_record* method = nullptr;
    bool idempotent = false;
  };
  std::vector<offered> methods;
  std::map<std::string, std::uint64_t> direct_calls;  ///< by method, as it has said
  std::vector<std::string> direct;                    ///< where clients can reach it
  std::uint64_t window = 0;                           ///< calls, as last announced
  double work_us = 0;                                 ///< what it has in hand takes about
  time_point moved;            ///< it has answered something, or got something to do, last
  bool draining = false;       ///< takes no more
  bool drain_pending = false;  ///< is to be told to take no more
  time_point shunned_until;    ///< it has refused calls: others first
  clock_offset clock;
};

/// A method, whether somebody offers it now, did so earlier, or has only been asked for it.
struct method_record {
  method_record(std::string its_name, method_queue::limits_type limits, time_point now)
      : name(std::move(its_name)), queue(limits), without_since(now) {}
  std::string name;
  method_info info;                     ///< as last offered
  bool known = false;                   ///< somebody has offered it at some time
  std::size_t offers = 0;               ///< workers that offer it, draining ones included
  std::size_t once_only = 0;            ///< of those, the ones that do not call it idempotent
  std::vector<worker_record*> workers;  ///< who offers it and does not drain
  method_queue queue;
  method_stats stats;
  std::uint64_t running = 0;  ///< sent to workers and not answered
  double reply_bytes = 0;     ///< what a reply comes to, about
  time_point without_since;   ///< since when `workers` is empty
  std::size_t first = 0;      ///< whose turn it is, among equals
  bool waiting = false;       ///< the gateway has it in its list of those with a queue
  /// What so many calls of it take a worker, by what they have taken so far; as long as none
  /// has come back, anything.
  [[nodiscard]] double expected_us(std::uint64_t calls) const {
    const histogram& service = stats.latency.service;
    constexpr double unknown_us = 1000;
    return static_cast<double>(calls) * (service.count() == 0 ? unknown_us : service.mean());
  }
  /// All that offer it say so, or the last that did.
  [[nodiscard]] bool idempotent() const {
    return offers > 0 ? once_only == 0 : known && info.idempotent;
  }
};

/// The workers of a gateway and the methods that they offer. Records stay where they are.
class directory {
 public:
  explicit directory(method_queue::limits_type limits) : limits_(limits) {}

  worker_record& joined(session_id who, const introduction& info);
  void offered(worker_record& who, const offer& what, time_point now);
  void drains(worker_record& who, bool draining, time_point now);
  /// Of methods that it offers; others are not believed.
  static void called_directly(worker_record& who, const direct_calls& how_often);
  void left(session_id who, time_point now);

  [[nodiscard]] worker_record* worker(session_id who);
  /// The record of this method; a new one if nobody has heard of it.
  [[nodiscard]] method_record& method(const std::string& name, time_point now);
  [[nodiscard]] method_record* find(const std::string& name);
  [[nodiscard]] const std::unordered_map<std::string, method_record>& methods() const {
    return methods_;
  }
  /// Those that some worker offers which does not drain.
  [[nodiscard]] const std::vector<method_record*>& served() const { return served_; }
  [[nodiscard]] std::map<session_id, worker_record>& workers() { return workers_; }
  [[nodiscard]] const std::map<session_id, worker_record>& workers() const { return workers_; }

 private:
  void serves(worker_record& who, method_record& m);
  void withdraw(worker_record& who, time_point now);
  static void forget_offers(worker_record& who);
  void enlist(worker_record& who);
  void forget_strangers();

  /// Methods that are remembered. Beyond it, those go that nobody offers and nobody waits for:
  /// names that were made up must not fill the memory.
  static constexpr std::size_t most_methods = 16'384;

  method_queue::limits_type limits_;
  std::map<session_id, worker_record> workers_;
  std::unordered_map<std::string, method_record> methods_;
  std::vector<method_record*> served_;
  method_record* last_ = nullptr;       // that was looked for: calls come in rows
  std::size_t look_at_ = most_methods;  // methods: then some are forgotten
};

}  // namespace weir::proto
