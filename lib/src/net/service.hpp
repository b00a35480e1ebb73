// A worker that offers methods: the pump around proto::service_state.
#pragma once

#include "exec/call_pool.hpp"
#include "net/node_loop.hpp"
#include "net/worker_impl.hpp"
#include "proto/rpc/service_state.hpp"

#include <atomic>
#include <condition_variable>
#include <exception>
#include <limits>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

namespace weir {

/// Two threads, either of which can be the loop. The one that is runs short calls itself, which
/// saves the way to a slot and back; if a handler then takes long, the other one becomes the
/// loop within a few milliseconds, and the first stands by for it from then on. So ALIVE never
/// waits for a handler.
struct worker::service final : worker::impl {
  explicit service(worker_options o);

  void add(method_description what, exec::call_pool::method handler);
  void run() override;
  void stop() noexcept override;
  [[nodiscard]] const std::vector<std::string>& endpoints() const noexcept override {
    return bound;
  }
  [[nodiscard]] worker_stats stats() const override;

 private:
  void serve(unsigned me);
  void stand_by(std::unique_lock<std::mutex>& held, unsigned me);
  void round(std::unique_lock<std::mutex>& held, unsigned me);
  bool help(std::unique_lock<std::mutex>& held, unsigned me, bool last);
  void on_slot_done();
  void collect(proto::time_point now);
  void settle(proto::time_point now, bool may_help);
  void publish();

  worker_options options;
  std::vector<std::string> bound;
  std::vector<std::string> direct;
  std::vector<proto::method_info> infos;
  std::vector<exec::call_pool::method> methods;
  std::atomic<int> stops = 0;

  // Over everything below but the pool, which is in nobody's hands while the loop helps it. The
  // loop lets go of it while it sleeps, so that a slot can deliver what it has done itself.
  std::mutex loop_mutex;
  std::condition_variable deputy_wake;
  unsigned leader = 0;       // which of the two threads is the loop
  bool standing_by = false;  // the other one is there to take over
  bool ticking = false;      // and looks whether it should
  bool helping = false;      // the loop is in help()
  std::uint64_t helps = 0;
  std::uint64_t gives = 0;
  int quiet = 0;
  bool over = false;
  std::exception_ptr failure;
  std::exception_ptr slot_failure;

  net::transport net;
  std::optional<proto::service_state> machine;  // since run()
  proto::service_outbox out;
  std::vector<net::transport::event> events;
  exec::call_news news;
  std::optional<net::patience> for_caller;
  bool help_wanted = false;
  int stops_seen = 0;
  proto::time_point leave_by = proto::time_point::max();

  mutable std::mutex stats_mutex;
  worker_stats figures;
  std::optional<exec::call_pool> pool;  // last: its threads use what is above
};

}  // namespace weir
