#include "net/nested_calls.hpp"

#include "net/client_impl.hpp"

#include <algorithm>
#include <utility>

namespace weir::net {

void client_gate::close() {
  const std::lock_guard held(mutex_);
  client_ = nullptr;
}

void client_gate::cancel(call_handle calls) noexcept {
  const std::lock_guard held(mutex_);
  if (client_) client_->cancel({calls.first, calls.first + calls.count - 1});
}

void nested_calls::add(call_handle calls, raw_client::impl& through) {
  std::unique_lock held(mutex_);
  if (stopped_) {
    held.unlock();
    return client_->cancel(calls);
  }
  // One call after the other, as is usual, is one entry.
  if (!calls_.empty() && calls_.back().first + calls_.back().count == calls.first &&
      calls_.back().count < UINT32_MAX / 2) {
    calls_.back().count += calls.count;
    return;
  }
  calls_.push_back(calls);
  if (calls_.size() < look_through_) return;
  {
    const std::lock_guard loop_held(through.loop_mutex);
    std::erase_if(calls_, [&](const call_handle& c) {
      return c.first + c.count <= through.open.next() && !through.open.any(c.first, c.count);
    });
  }
  look_through_ = std::max<std::size_t>(64, 2 * calls_.size());
}

void nested_calls::stop() noexcept {
  std::vector<call_handle> all;
  {
    const std::lock_guard held(mutex_);
    stopped_ = true;
    all.swap(calls_);
  }
  for (const auto& calls : all) client_->cancel(calls);
}

}  // namespace weir::net
