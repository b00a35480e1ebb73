// A ventilator from the inside: machine, sockets, and what submitters have piled up.
#pragma once

#include "net/committer.hpp"
#include "net/local_crew.hpp"
#include "net/node_loop.hpp"
#include "net/transport.hpp"
#include "proto/pack.hpp"
#include "proto/sink_core.hpp"
#include "proto/ventilator_state.hpp"

#include <weir/local_slots.hpp>
#include <weir/ventilator.hpp>

#include <condition_variable>
#include <cstdint>
#include <exception>
#include <limits>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

namespace weir {

struct ventilator::impl {
  ventilator_options options;
  source_id source;
  bool collects;
  net::transport net;
  proto::ventilator_state machine;
  proto::sink_core core;  // when it collects
  std::optional<net::committer> store;
  proto::outbox out;
  std::vector<std::string> endpoints;
  const proto::time_point born = proto::clock::now();
  std::vector<net::transport::event> events;
  std::vector<net::committer::done_range> committed;

  // Over the machine, the sockets and the outbox. The loop lets go of it while it sleeps: then
  // whoever submits a task to an idle ventilator sends it himself, without a thread switch.
  std::mutex loop_mutex;
  std::exception_ptr submit_failure;
  bool over = false;            // the loop has ended
  std::thread::id loop_thread;  // set before the crew is given anything

  // Between submitters and the loop.
  struct refused {
    std::uint64_t before = 0;  // how many of `open` come before it
    status code;
    std::string why;
  };
  mutable std::mutex mutex;
  std::condition_variable changed;  // room for more, or ended
  proto::pack_builder open;
  proto::pack_builder open_commands;  // as many as `open`, or none
  std::optional<bool> with_commands;  // how tasks are submitted
  std::vector<refused> open_refused;
  std::uint64_t room_tasks = 0;
  std::uint64_t room_bytes = 0;
  bool input_ended = false;
  bool stopping = false;
  std::optional<proto::cancel_mode> withdrawing;  // asked for and not done yet
  bool ended = false;
  bool complete = false;
  bool loop_waits = false;
  bool quiet = true;  // nothing is outstanding
  unsigned submitters_waiting = 0;
  std::uint64_t taken = 0;                                            // tasks that the loop has
  std::uint64_t awaited = std::numeric_limits<std::uint64_t>::max();  // see wait_idle()
  std::exception_ptr failure;
  ventilator_stats stats;
  std::optional<net::local_crew> crew;  // its threads use what is above
  std::thread loop;

  impl(ventilator_options o, std::unique_ptr<result_store> s, const local_slots* here);
  ~impl();
  bool add(std::unique_lock<std::mutex>& lock, std::size_t bytes);
  void commands_come(bool with);
  void wake_if_waiting(std::unique_lock<std::mutex>& lock);
  bool send_directly();
  bool settle_here();
  void on_slot_done();
  [[nodiscard]] proto::time_point next_deadline() const;
  void run();
  void take_input();
  void tell_room();  // to those who wait to submit; under `mutex`
  void on_message(proto::peer_id peer, proto::message m, proto::time_point now);
  void withdraw(proto::time_point now);
  void settle(proto::time_point now);
  void collect(proto::time_point now);
  bool publish();
  void tell_late_comers();
  bool told_to_stop() {
    const std::lock_guard lock(mutex);
    return stopping;
  }
};

}  // namespace weir
