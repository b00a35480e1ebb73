// Calls on their way out, as few messages.
#pragma once

#include "proto/limits.hpp"
#include "proto/links.hpp"
#include "proto/message.hpp"
#include "proto/outbox.hpp"
#include "proto/time.hpp"
#include "proto/wire.hpp"

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <utility>

namespace weir::proto {

/// What is left until `deadline`, as it travels: at least 1.
[[nodiscard]] inline std::uint32_t remaining_ms(time_point deadline, time_point now) {
  const auto left =
      std::chrono::duration_cast<std::chrono::milliseconds>(deadline - now).count();
  return static_cast<std::uint32_t>(std::clamp<std::int64_t>(left, 1, UINT32_MAX));
}

/// Gathers runs of calls for one callee and sends them in messages of a good size. Small runs
/// share a message, and are copied together for it; a large one travels alone and is not
/// copied.
class call_batches {
 public:
  call_batches(session_id to, std::uint64_t low, time_point now, links& net, outbox& out)
      : to_(to), now_(now), net_(net), out_(out) {
    batch_.low = low;
  }

  void add(call_run run) {
    if (run.arguments.bytes() > gather_bytes) send();
    if (header_ + encoded_size(run) > limits::details_bytes) send();
    while (run.arguments.size() > 0) {
      const std::uint32_t n = fitting(run.arguments);
      if (n == 0) {
        send();
      } else if (n == run.arguments.size()) {
        put(std::move(run));
        return;
      } else {
        call_run part{run.first, run.method, run.ttl_ms, run.arguments.slice(0, n),
                      run.options};
        run.first += n;
        run.arguments = run.arguments.slice(n, run.arguments.size() - n);
        put(std::move(part));
        send();
      }
    }
  }

  void send() {
    if (batch_.runs.empty()) return;
    const std::uint64_t low = batch_.low;
    net_.send(to_, std::exchange(batch_, {low, {}}), now_, out_);
    calls_ = 0;
    bytes_ = header_ = 0;
    alone_ = false;
  }

 private:
  /// Calls in one message: enough to make the message's cost vanish.
  static constexpr std::uint32_t batch_calls = 4096;
  static constexpr std::size_t gather_bytes = 8 * 1024;

  /// How many from the front may go into this message; at least one into an empty one.
  [[nodiscard]] std::uint32_t fitting(const pack& arguments) const {
    if (alone_) return 0;
    const std::uint32_t n =
        std::min(arguments.count_within(limits::batch_bytes - bytes_), batch_calls - calls_);
    return n == 0 && calls_ == 0 ? 1 : n;
  }
  void put(call_run run) {
    calls_ += run.arguments.size();
    header_ += encoded_size(run);
    bytes_ += std::min(run.arguments.bytes(), limits::batch_bytes - bytes_);
    alone_ = run.arguments.bytes() > gather_bytes;
    batch_.runs.push_back(std::move(run));
  }

  session_id to_;
  time_point now_;
  links& net_;
  outbox& out_;
  call_batch batch_;
  std::uint32_t calls_ = 0;
  std::size_t bytes_ = 0;
  std::size_t header_ = 0;
  bool alone_ = false;  // nothing joins a large run
};

}  // namespace weir::proto
