// A worker inside the ventilator's process: its state machine and its slots, without a socket.
#pragma once

#include "exec/pool.hpp"
#include "proto/outbox.hpp"
#include "proto/worker_state.hpp"

#include <weir/local_slots.hpp>

#include <functional>
#include <string>
#include <vector>

namespace weir::net {

/// The other end of one link of a ventilator's machine. Messages are handed over as values:
/// nothing is encoded, and payloads are not copied.
///
///     crew.collect(now);                       // what the slots have done
///     while (crew.exchange(out, now, deliver)) // until neither has anything to say
///       machine.tick(now, out);
///
/// Threads    Members are called by whoever holds the ventilator's loop lock, stop() by the
///            loop. `wake` is called on the slots' threads, see exec::pool.
class local_crew {
 public:
  local_crew(const local_slots& how, bool takes_commands, std::function<void()> wake);

  /// Under which number the ventilator's machine knows this link. No transport gets that far.
  static constexpr proto::peer_id peer{0xffff'ffff};

  /// Takes what the slots have finished into the worker's machine.
  void collect(proto::time_point now);
  using deliver = std::function<void(proto::message)>;
  /// Takes the crew's messages out of the ventilator's outbox, starts and stops tasks, and
  /// delivers what the worker has to say to the ventilator. False: nothing was said.
  bool exchange(proto::outbox& of_ventilator, proto::time_point now, const deliver& to);
  [[nodiscard]] proto::time_point next_deadline() const { return machine_.next_deadline(); }
  /// Ends what runs, and the slots.
  void stop() { pool_.stop(); }
  /// Throws if the slots cannot go on, or did not end well: see exec::pool.
  void check() const { pool_.check(); }

 private:
  void carry_out();

  proto::worker_state machine_;
  proto::outbox out_;
  std::vector<exec::finished> finished_;
  exec::pool pool_;  // last: its threads use `wake`
};

}  // namespace weir::net
