// How fast a worker is, and what it therefore asks for: see service_state.hpp.
#include "proto/rpc/service_state.hpp"

#include <algorithm>
#include <cmath>

namespace weir::proto {
namespace {
/// All windows together are this much work: long enough to hide a round trip, short enough that
/// a call never waits long behind others while another worker is idle.
constexpr duration window_span = std::chrono::milliseconds(100);
/// A caller's window grows by at most this factor per measurement: one quick call says little.
constexpr std::uint64_t growth = 8;
constexpr duration share_interval = std::chrono::milliseconds(1);
/// A caller's share of the bytes is no less.
constexpr std::uint64_t least_bytes = 256 * 1024;
/// Calls that the measurement of pace looks back to, and for how long.
constexpr double measured_most = 1024;
constexpr duration measured_span = std::chrono::seconds(1);
}  // namespace

void service_state::measure(std::uint64_t calls, double seconds, time_point now) {
  // Microseconds are cut off: what takes none takes half of one.
  measured_seconds_ += std::max(seconds, static_cast<double>(calls) * 0.5e-6);
  measured_calls_ += static_cast<double>(calls);
  ++measurements_;
  if (measured_calls_ <= measured_most && now - measured_since_ <= measured_span) return;
  measured_since_ = now;
  const double left = std::min(0.5, measured_most / 2 / measured_calls_);
  measured_seconds_ *= left;
  measured_calls_ *= left;
}

std::uint64_t service_state::paced(duration span) const {
  const double slots = options_.slots;
  if (measured_calls_ == 0) return options_.slots;
  const double calls =
      std::chrono::duration<double>(span).count() * slots * measured_calls_ / measured_seconds_;
  const double most = static_cast<double>(options_.max_window);
  return static_cast<std::uint64_t>(
      std::round(std::clamp(calls, slots, std::max(slots, most))));
}

/// How many more calls would be taken now.
std::uint64_t service_state::room() const {
  const std::uint64_t window = draining() ? 0 : paced(window_span);
  return window - std::min(window, queue_.size() + running_);
}

void service_state::share_windows(time_point now) {
  if (draining()) return;
  if (!share_now_ && (shared_at_ == measurements_ || now - shared_ < share_interval)) return;
  const auto active = [&](session_id id, const caller_info& c) {
    return now - c.last_calls < idle_after || callee_.open_of(id) > 0;
  };
  std::uint64_t sharers = 0;
  for (const auto& [id, c] : callers_) sharers += active(id, c);
  sharers = std::max<std::uint64_t>(sharers, 1);
  const std::uint64_t share = std::max<std::uint64_t>(paced(window_span) / sharers, 1);
  const std::uint64_t bytes = std::max(options_.max_bytes / sharers, least_bytes);
  const std::uint64_t step = shared_at_ == measurements_ ? 1 : growth;
  for (auto& [id, c] : callers_) {
    const std::uint64_t first = std::min<std::uint64_t>(options_.slots, share);
    c.window = active(id, c) ? std::min(share, std::max(c.window, first) * step) : first;
    callee_.window(id, c.window, bytes, c.streams);
  }
  share_now_ = false;
  shared_at_ = measurements_;
  shared_ = now;
}

}  // namespace weir::proto
