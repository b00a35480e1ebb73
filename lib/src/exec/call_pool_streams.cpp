// Streams in a pool of calls: they take turns on the slots, and wait without one for credit.
#include "exec/call_pool.hpp"
#include "exec/call_scope.hpp"
#include "proto/limits.hpp"

#include <string_view>
#include <utility>

namespace weir::exec {
namespace {

using proto::clock;
using proto::duration;
using proto::time_point;
using namespace std::chrono_literals;

/// A stream lets others have its slot after this.
constexpr duration stream_turn = 1ms;

/// What comes behind the elements: a result is always one value.
constexpr std::string_view nil = "\xc0";

constexpr std::size_t array_header_bytes = 5;
void append_array_header(std::string& to, std::uint64_t count) {
  to.push_back(static_cast<char>(0xdd));
  for (int shift = 24; shift >= 0; shift -= 8) to.push_back(static_cast<char>(count >> shift));
}

}  // namespace

void call_pool::start_stream(const group_ptr& group, std::uint32_t index, bench& at,
                             time_point now) {
  auto s =
      std::make_shared<open_stream>(group, index, static_cast<report_taker&>(*this), at.number);
  s->began = now;
  s->until = s->handle.options().stream_window;
  const std::uint64_t bytes = s->handle.options().stream_bytes;
  s->until_bytes = bytes == 0 ? UINT64_MAX : bytes;
  std::string result;
  try {
    const call_scope scope(s->handle);
    s->elements = methods_[group->method].open(s->context, s->handle.arguments());
    if (s->until == 0) {  // the caller wants them as one array
      std::uint64_t count = 0;
      std::string elements;
      for (; s->elements->next(elements); ++count) {
        if (s->handle.why_stop() != stop_reason::none)
          throw rpc_error(status::cancelled, "cancelled");
        if (elements.size() + array_header_bytes > proto::limits::payload_bytes)
          throw rpc_error(status::resource_exhausted,
                          "more elements than one message carries: call it as a stream");
      }
      append_array_header(result, count);
      result += elements;
      return end_stream(s, status::ok, nullptr, result);
    }
  } catch (...) {
    auto details = std::make_unique<proto::reply_details>();
    const auto code = describe_exception(*details);
    return end_stream(s, code, std::move(details), result);
  }
  {
    const std::lock_guard held(mutex_);
    streams_.emplace(s->handle.key(), s);
    stream_deadline_ = std::min(stream_deadline_, group->deadline);
  }
  run_stream(s, at);
}

void call_pool::run_stream(const std::shared_ptr<open_stream>& s, bench& at) {
  s->handle.moved_to(at.number);
  const auto turn_ends = clock::now() + stream_turn;
  std::string nothing;
  for (;;) {
    const auto why = s->handle.why_stop();
    if (why != stop_reason::none) {
      auto details = std::make_unique<proto::reply_details>();
      const bool expired = why == stop_reason::expired;
      details->message = expired ? "the deadline passed in the stream" : "cancelled";
      return end_stream(s, expired ? status::deadline_exceeded : status::cancelled,
                        std::move(details), nothing);
    }
    if (!s->may_go_on()) {
      const std::lock_guard held(mutex_);
      if (s->may_go_on() || s->handle.why_stop() != stop_reason::none) continue;
      s->parked = true;
      return;
    }
    at.scratch.clear();
    try {
      const call_scope scope(s->handle);
      if (!s->elements->next(at.scratch)) return end_stream(s, status::ok, nullptr, nothing);
      if (at.scratch.size() > proto::limits::payload_bytes)
        throw rpc_error(status::resource_exhausted, "an element is larger than a message");
    } catch (...) {
      auto details = std::make_unique<proto::reply_details>();
      const auto code = describe_exception(*details);
      return end_stream(s, code, std::move(details), nothing);
    }
    ++s->sent;
    s->sent_bytes += at.scratch.size();
    const auto now = clock::now();
    box_.element(s->handle.key(), at.scratch, now);
    wake_loop();  // what comes while it is on its way goes with it
    if (now < turn_ends) continue;
    const std::lock_guard held(mutex_);
    if (!front() && ready_.empty()) continue;
    ready_.push_back(s);
    ++ready_count_;
    work_.notify_one();
    return;
  }
}

void call_pool::end_stream(const std::shared_ptr<open_stream>& s, status code,
                           std::unique_ptr<proto::reply_details> details, std::string& result) {
  const auto key = s->handle.key();
  s->elements.reset();  // the handler's own code: outside of our locks, and before the answer
  const auto now = clock::now();
  if (s->sent > 0) {
    if (!details) details = std::make_unique<proto::reply_details>();
    details->parts = s->sent;
  }
  if (code == status::ok && result.empty()) result = nil;
  box_.answer(key, code, result, std::move(details),
              answer_box::timing::of(s->began - s->group->given, now - s->began), now);
  s->group->answered.fetch_add(1, std::memory_order_relaxed);
  const std::lock_guard held(mutex_);
  streams_.erase(key);
  if (stopping_ && streams_.empty()) work_.notify_all();
}

}  // namespace weir::exec
