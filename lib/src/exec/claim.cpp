#include "exec/claim.hpp"

#include <sched.h>
#include <unistd.h>

#include <cassert>
#include <mutex>
#include <utility>

namespace weir::exec {

void claim_lock::wait() {
  // Whoever holds it may have lost the processor: give it ours.
  do sched_yield();
  while (taken_.exchange(true, std::memory_order_acquire));
}

claim::claim(work tasks, int wake_fd, std::size_t expected_bytes)
    : tasks_(std::move(tasks)),
      wake_fd_(wake_fd),
      expected_bytes_(std::min(expected_bytes, proto::limits::batch_bytes)),
      end_(tasks_.payloads.size()) {}

bool claim::begin_more(std::uint32_t i) {
  const std::lock_guard hold(lock_);
  if (i >= end_) return false;
  begun_.store(i + 1, std::memory_order_relaxed);
  return true;
}

stop_reason claim::look_up_stop(std::uint32_t i) const {
  const std::lock_guard hold(lock_);
  return stop_locked(i);
}

stop_reason claim::stop_locked(std::uint32_t i) const {
  if (expired_ == i) return stop_reason::expired;
  if (leaving_) return stop_reason::cancelled;
  const auto seq = tasks_.first + i;
  const bool hit = std::any_of(stopped_.begin(), stopped_.end(), [seq](const auto& range) {
    return range.first <= seq && seq <= range.last;
  });
  return hit ? stop_reason::cancelled : stop_reason::none;
}

void claim::answer(std::uint32_t i, status code, std::string_view payload,
                   outcome_details* details) {
  const std::lock_guard hold(lock_);
  assert(i == answered_.load(std::memory_order_relaxed) && i < end_);

  outcome_details late;
  if (expired_ == i && code != status::deadline_exceeded) {
    if (!details) details = &late;
    code = status::deadline_exceeded;
    details->message = "finished after its time limit";
  }
  // No receiver would take it, and it would be sent again for ever.
  if (payload.size() > proto::limits::payload_bytes) {
    if (!details) details = &late;
    code = status::resource_exhausted;
    details->message = "the result has " + std::to_string(payload.size()) +
                       " bytes; the limit is " + std::to_string(proto::limits::payload_bytes);
    details->retryable = false;
    payload = {};
  }
  if (leaving_ && code == status::cancelled) return release_locked(i);

  const bool fits = !run_.empty() && code == run_code_ &&
                    (details != nullptr) != details_.empty() && room_for(payload);
  if (!fits) {
    seal();
    run_first_ = i;
    run_code_ = code;
    if (expected_bytes_ != 0) run_.reserve(end_ - i, expected_bytes_);
  }
  run_.add(payload);
  if (details) details_.push_back(std::move(*details));
  plain_ = code == status::ok && !details;
  advance(i);
}

void claim::release(std::uint32_t i) {
  const std::lock_guard hold(lock_);
  release_locked(i);
}

void claim::release_locked(std::uint32_t i) {
  assert(i == answered_.load(std::memory_order_relaxed) && i < end_);
  seal();
  const auto seq = tasks_.first + i;
  if (!released_.empty() && released_.back().last + 1 == seq)
    released_.back().last = seq;
  else
    released_.push_back({seq, seq});
  advance(i);
}

void claim::seal() {
  plain_ = false;
  if (run_.empty()) return;
  runs_.push_back({tasks_.first + run_first_, tasks_.attempt, run_code_, run_.take(),
                   std::exchange(details_, {})});
}

void claim::report(std::uint32_t i, std::uint64_t done, std::uint64_t total,
                   std::string_view text) {
  proto::progress said{tasks_.source,  tasks_.first + i,
                       tasks_.attempt, done,
                       total,          std::string(text.substr(0, proto::limits::text_bytes))};
  const std::lock_guard hold(lock_);
  report_ = std::move(said);
}

std::optional<proto::progress> claim::take_report() {
  const std::lock_guard hold(lock_);
  return std::exchange(report_, std::nullopt);
}

void claim::cancel(proto::seq_range range) {
  {
    const std::lock_guard hold(lock_);
    stopped_.push_back(range);
  }
  wake();
}

void claim::expire(std::uint32_t i) {
  {
    const std::lock_guard hold(lock_);
    if (answered_.load(std::memory_order_relaxed) != i) return;  // just in time
    expired_ = i;
  }
  wake();
}

void claim::abandon() {
  {
    const std::lock_guard hold(lock_);
    leaving_ = true;
  }
  wake();
}

void claim::wake() {
  any_stopped_.store(true, std::memory_order_release);
  const std::uint64_t one = 1;
  // Fails only when the counter is full, and then it is readable anyway.
  [[maybe_unused]] const auto written = ::write(wake_fd_, &one, sizeof one);
}

std::optional<work> claim::withdraw() {
  const std::lock_guard hold(lock_);
  const auto begun = begun_.load(std::memory_order_relaxed);
  if (begun >= end_) return std::nullopt;
  return tasks_.part(begun, std::exchange(end_, begun) - begun);
}

std::optional<work> claim::leftover() {
  const std::lock_guard hold(lock_);
  const auto answered = answered_.load(std::memory_order_relaxed);
  if (answered >= end_) return std::nullopt;
  return tasks_.part(answered, std::exchange(end_, answered) - answered);
}

finished claim::take() {
  const std::lock_guard hold(lock_);
  seal();
  const auto answered = answered_.load(std::memory_order_relaxed);
  finished part;
  part.source = tasks_.source;
  part.first = tasks_.first + taken_;
  part.last = tasks_.first + answered - 1;
  part.runs = std::exchange(runs_, {});
  part.released = std::exchange(released_, {});
  taken_ = answered;
  return part;
}

}  // namespace weir::exec
