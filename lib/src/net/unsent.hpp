// What was handed to libzmq for one peer and is not sent yet.
#pragma once

#include "proto/blob.hpp"

#include <unistd.h>
#include <zmq.hpp>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>

namespace weir::net {

/// Counts the bytes of large frames from when they are handed to libzmq until it lets go of
/// them: they are in the kernel's hands then, or the connection is gone. Small ones are not
/// counted, and cost nothing: a pipe holds so many messages and no more.
///
/// Threads    libzmq frees messages on threads of its own; everything else is the transport's.
/// Ownership  Each frame under way holds the counter. The descriptor outlives the context.
class unsent {
 public:
  /// Smaller frames are copied into libzmq's messages.
  static constexpr std::size_t small = 1024;

  /// `wake_fd`: an eventfd, written to when something that was awaited has happened.
  explicit unsent(int wake_fd) : wake_fd_(wake_fd) {}

  [[nodiscard]] std::size_t bytes() const { return bytes_; }
  /// Wakes once when no more than so many are left, unless that is so already.
  void await(std::size_t most) {
    awaited_ = most;
    awaits_ = true;
  }
  void await_nothing() { awaits_ = false; }

  /// A frame of these bytes, which are kept alive for it. `always`: count it, however small.
  [[nodiscard]] static zmq::message_t frame(const std::shared_ptr<unsent>& counter,
                                            const proto::blob& bytes, bool always = false) {
    if (bytes.size() <= small && !always) return {bytes.bytes.data(), bytes.size()};
    auto* kept = new counted{counter, bytes};
    counter->bytes_ += bytes.size();
    return {const_cast<char*>(bytes.bytes.data()), bytes.size(), release, kept};
  }

 private:
  struct counted {
    std::shared_ptr<unsent> counter;
    proto::blob bytes;
  };
  static void release(void*, void* hint) {
    const std::unique_ptr<counted> kept(static_cast<counted*>(hint));
    kept->counter->gone(kept->bytes.size());
  }
  void gone(std::size_t bytes) {
    if ((bytes_ -= bytes) > awaited_ || !awaits_ || !awaits_.exchange(false)) return;
    const std::uint64_t one = 1;
    [[maybe_unused]] const auto n = ::write(wake_fd_, &one, sizeof one);
  }

  std::atomic<std::size_t> bytes_ = 0;
  std::atomic<std::size_t> awaited_ = 0;
  std::atomic<bool> awaits_ = false;
  int wake_fd_;
};

}  // namespace weir::net
