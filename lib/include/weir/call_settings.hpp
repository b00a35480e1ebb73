// What a caller may ask for beside method and arguments.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

namespace weir {

/// How one call, or many, are to be made.
///
///     client.with({.deadline = 200ms, .hash_key = user}).call<profile>("lookup", user);
///
/// In a handler, the deadline is at most what is left of the call that the handler answers, and
/// that call's metadata is passed on; entries of the same key here replace it. When that call
/// is cancelled, so is what its handler has called, and calls next.
struct call_settings {
  /// The longest that the call may take, retries included. Zero: the client's default.
  std::chrono::milliseconds deadline{0};
  /// Further attempts, with exponential backoff, as the deadline allows. Only where it is safe:
  /// the method is idempotent, there is an idempotency key, or certainly no handler has seen
  /// it.
  unsigned retries = 3;
  /// Without an answer after this, ask somebody else as well; the first answer counts.
  /// Idempotent methods only, and calls without an idempotency key. Zero: never.
  std::chrono::milliseconds hedge_after{0};
  /// Running it twice does no harm, whatever the method says of itself.
  bool idempotent = false;
  /// 0 to 9, 9 first.
  unsigned priority = 5;
  /// Calls with the same one go to the same worker while there are no fewer. At most 256 bytes.
  std::string hash_key{};
  /// Calls with the same one are run once, and all get that one's answer, as long as the
  /// gateway, or the worker if there is none, remembers it; but what has failed, its retries
  /// run again. Of several gateways or workers, all such calls go to the same one. At most 256
  /// bytes.
  std::string idempotency_key{};
  /// For the handler, and for those that it calls: `traceparent` for example. At most 32
  /// entries, 8 KiB together.
  std::vector<std::pair<std::string, std::string>> metadata{};
  /// Streams: elements on their way or waiting to be read, and what they may come to. One that
  /// is larger than that comes alone.
  std::uint32_t stream_window = 256;
  std::uint32_t stream_bytes = 16 * 1024 * 1024;
  /// How far the handler is, as far as it says so. Where callbacks run.
  std::function<void(std::uint64_t done, std::uint64_t total, const std::string& text)>
      on_progress{};
};

}  // namespace weir
