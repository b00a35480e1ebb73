// A semaphore for tests.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <mutex>

namespace weir::testing {

/// Like std::counting_semaphore, which in libstdc++ 12 can sleep for ever although it has been
/// released (GCC bug 104928).
class semaphore {
 public:
  explicit semaphore(std::ptrdiff_t count = 0) : count_(count) {}
  void release(std::ptrdiff_t more = 1) {
    // Under the lock: whoever is woken may destroy this at once.
    const std::lock_guard lock(mutex_);
    count_ += more;
    changed_.notify_all();
  }
  void acquire() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return count_ > 0; });
    --count_;
  }
  template <class Rep, class Period>
  [[nodiscard]] bool try_acquire_for(std::chrono::duration<Rep, Period> limit) {
    std::unique_lock lock(mutex_);
    if (!changed_.wait_for(lock, limit, [this] { return count_ > 0; })) return false;
    --count_;
    return true;
  }
  [[nodiscard]] bool try_acquire() { return try_acquire_for(std::chrono::seconds(0)); }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::ptrdiff_t count_;
};

}  // namespace weir::testing
