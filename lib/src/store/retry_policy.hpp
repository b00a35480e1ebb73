// What becomes of a queued call after an attempt.
#pragma once

#include <weir/status.hpp>

#include <cstdint>

namespace weir::store {

/// Nobody has said how often: `default_retries` where that does no harm, and none elsewhere.
inline constexpr std::int64_t unstated_retries = -1;
inline constexpr std::int64_t default_retries = 3;

/// Of one attempt, and of the call.
struct attempt_end {
  status code = status::ok;
  /// Certainly no handler has seen it.
  bool never_started = false;
  bool cancel_asked = false;
  /// Running it twice does no harm: its method is idempotent, or it has a key.
  bool repeatable = false;
  std::int64_t failures = 0;  ///< before this one
  /// Failures after which it is tried again, also if it may have run.
  std::int64_t retries = unstated_retries;
};

enum class verdict : std::uint8_t {
  done,
  failed,  ///< answered with an error that another attempt would not change
  cancelled,
  dead,        ///< given up
  try_again,   ///< after a wait that grows; costs a retry
  wait_again,  ///< it has not been tried at all
};

/// An error that says something about the call, not about the attempt.
[[nodiscard]] constexpr bool is_answer(status code) {
  switch (code) {
    case status::invalid_argument:
    case status::not_found:
    case status::already_exists:
    case status::permission_denied:
    case status::failed_precondition:
    case status::out_of_range:
    case status::unimplemented:
    case status::unauthenticated:
      return true;
    default:
      return false;
  }
}

/// The lack of a worker, as opposed to something a worker has said.
[[nodiscard]] constexpr bool is_absence(status code) {
  return code == status::unavailable || code == status::resource_exhausted ||
         code == status::not_found || code == status::unimplemented ||
         code == status::cancelled;
}

[[nodiscard]] constexpr verdict judge(const attempt_end& end) {
  if (end.code == status::ok) return verdict::done;
  if (end.cancel_asked) return verdict::cancelled;
  if (end.never_started && is_absence(end.code)) return verdict::wait_again;
  if (is_answer(end.code)) return verdict::failed;
  const bool harmless = end.repeatable || end.never_started;
  const auto retries =
      end.retries == unstated_retries && harmless ? default_retries : end.retries;
  return end.failures < retries ? verdict::try_again : verdict::dead;
}

/// The gateway died while it ran: whether it did anything is not known. It runs again if its
/// method or its submitter says that this does no harm, or if there are retries to use up.
[[nodiscard]] constexpr verdict judge_interrupted(const attempt_end& call) {
  if (call.cancel_asked) return verdict::cancelled;
  if (call.repeatable) return verdict::wait_again;
  return call.failures < call.retries ? verdict::try_again : verdict::dead;
}

}  // namespace weir::store
