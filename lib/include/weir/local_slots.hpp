// Slots in the ventilator's own process: a worker that needs no connection.
#pragma once

#include <weir/command.hpp>
#include <weir/worker.hpp>

#include <functional>
#include <memory>
#include <utility>

namespace weir {

namespace exec {
class runner;
}

/// How tasks are run in the process of the ventilator that owns them, beside the workers that
/// connect to it, if any do.
///
///     weir::ventilator v{{}, store, weir::local_slots(4, [](weir::task& t) { return f(t); })};
///
/// It is a worker in all respects but the wire: the same state machine, joined to the
/// ventilator's message by message. So what holds for workers holds here: tasks are leased
/// within a window, given back to a worker that is idle, retried, and committed once.
class local_slots {
 public:
  template <task_handler F>
  local_slots(unsigned slots, F handler)
      : local_slots(slots, worker::runner_of(std::move(handler))) {}
  /// Runs a command for each task; see command.hpp.
  local_slots(unsigned slots, command_options command);

  using factory = std::function<std::unique_ptr<exec::runner>(unsigned slot)>;
  /// weir's own: what runs tasks in more detail than a handler does.
  local_slots(unsigned slots, factory runners) : slots_(slots), runners_(std::move(runners)) {}

  [[nodiscard]] unsigned slots() const noexcept { return slots_; }
  [[nodiscard]] const factory& runners() const noexcept { return runners_; }

 private:
  local_slots(unsigned slots, std::function<void(exec::claim&)> each);

  unsigned slots_;
  factory runners_;
};

}  // namespace weir
