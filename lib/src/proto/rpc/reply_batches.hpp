// Replies and elements of streams on their way out, as few messages.
#pragma once

#include "proto/limits.hpp"
#include "proto/links.hpp"
#include "proto/message.hpp"
#include "proto/outbox.hpp"
#include "proto/time.hpp"
#include "proto/wire.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <utility>

namespace weir::proto {

/// Outcomes `offset` to `offset + n` of a run. Shares its memory.
[[nodiscard]] inline reply_run part_of_run(const reply_run& whole, std::uint64_t offset,
                                           std::uint64_t n) {
  reply_run part;
  part.first = whole.first + offset;
  part.code = whole.code;
  part.results =
      whole.results.slice(static_cast<std::uint32_t>(offset), static_cast<std::uint32_t>(n));
  if (!whole.details.empty()) {
    const auto from = whole.details.begin() + static_cast<std::ptrdiff_t>(offset);
    part.details.assign(from, from + static_cast<std::ptrdiff_t>(n));
  }
  part.queued_us = whole.queued_us;
  part.service_us = whole.service_us;
  part.received_us = whole.received_us;
  return part;
}

/// Gathers runs of replies (REPLY) or of elements (PART) for one caller and sends them in
/// messages of a good size. Small runs share a message, and are copied together for it; a large
/// one travels alone and is not copied.
template <class Batch>
class answer_batches {
 public:
  /// `empty`: what each message begins as.
  answer_batches(session_id to, time_point now, links& net, outbox& out, Batch empty = {})
      : to_(to), now_(now), net_(net), out_(out), empty_(empty), batch_(empty) {}

  template <class Run>
  void add(Run run) {
    if (payloads(run).bytes() > gather_bytes) send();
    while (payloads(run).size() > 0) {
      const std::uint32_t n = fitting(run);
      if (n == 0) {
        send();
      } else if (n == payloads(run).size()) {
        put(std::move(run));
        return;
      } else {
        put(cut(run, 0, n));
        send();
        run = cut(run, n, payloads(run).size() - n);
      }
    }
  }

  void send() {
    if (batch_.runs.empty()) return;
    net_.send(to_, std::exchange(batch_, empty_), now_, out_);
    items_ = 0;
    bytes_ = 0;
    details_ = 0;
    alone_ = false;
  }

 private:
  /// Payloads in one message: enough to make the message's cost vanish.
  static constexpr std::uint32_t batch_items = 4096;
  static constexpr std::size_t gather_bytes = 8 * 1024;

  static pack& payloads(reply_run& run) { return run.results; }
  static pack& payloads(part_run& run) { return run.elements; }
  static const pack& payloads(const reply_run& run) { return run.results; }
  static const pack& payloads(const part_run& run) { return run.elements; }
  static reply_run cut(const reply_run& run, std::uint32_t from, std::uint32_t n) {
    return part_of_run(run, from, n);
  }
  static part_run cut(const part_run& run, std::uint32_t from, std::uint32_t n) {
    return {run.call, run.first + from, run.elements.slice(from, n)};
  }
  static std::size_t details_size(const reply_run& run) {
    std::size_t all = 0;
    for (const auto& d : run.details) all += encoded_size(d);
    return all;
  }
  static std::size_t details_size(const part_run&) { return 0; }
  /// How many of the details have room.
  static std::uint32_t described(const reply_run& run, std::size_t room) {
    std::uint32_t n = 0;
    for (std::size_t used = 0; n < run.details.size(); ++n) {
      used += encoded_size(run.details[n]);
      if (used > room) return n;
    }
    return run.results.size();
  }
  static std::uint32_t described(const part_run& run, std::size_t) {
    return run.elements.size();
  }

  /// How many from the front may go into this message; at least one into an empty one.
  template <class Run>
  [[nodiscard]] std::uint32_t fitting(const Run& run) const {
    if (alone_) return 0;
    const std::uint32_t n =
        std::min({payloads(run).count_within(limits::batch_bytes - bytes_),
                  batch_items - items_, described(run, limits::details_bytes - details_)});
    return n == 0 && items_ == 0 ? 1 : n;
  }
  template <class Run>
  void put(Run run) {
    const std::size_t bytes = payloads(run).bytes();
    items_ += payloads(run).size();
    bytes_ += std::min(bytes, limits::batch_bytes - bytes_);
    details_ += std::min(details_size(run), limits::details_bytes - details_);
    alone_ = bytes > gather_bytes;
    // It may wait for its reader, and others' results must not wait with it.
    if (alone_ && 2 * bytes < payloads(run).retained())
      payloads(run) = payloads(run).compacted();
    batch_.runs.push_back(std::move(run));
  }

  session_id to_;
  time_point now_;
  links& net_;
  outbox& out_;
  Batch empty_;
  Batch batch_;
  std::uint32_t items_ = 0;
  std::size_t bytes_ = 0;
  std::size_t details_ = 0;
  bool alone_ = false;  // nothing joins a large run
};

using reply_batches = answer_batches<reply_batch>;
using part_batches = answer_batches<part_batch>;

}  // namespace weir::proto
