#include "teller.hpp"

#include <chrono>
#include <system_error>
#include <utility>

namespace weir::cli::run {
namespace {

using namespace std::chrono_literals;

constexpr auto tick = 100ms;
/// While nobody reads, so many messages are kept for when somebody does.
constexpr std::size_t most_waiting = 1000;

}  // namespace

teller::teller(nodes::console& say, std::function<void()> draw)
    : say_(say), draw_(std::move(draw)) {
  if (draw_) thread_ = std::thread([this] { work(); });
}

teller::~teller() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  if (thread_.joinable()) thread_.join();
}

void teller::add(nodes::level of, std::string text) {
  const std::lock_guard lock(mutex_);
  if (!thread_.joinable()) try {
      thread_ = std::thread([this] { work(); });
    } catch (const std::system_error&) {  // ulimit -u: better late than not at all
      return say_.message(of, text);
    }
  if (waiting_.size() >= most_waiting) {
    ++left_out_;
    return;
  }
  waiting_.push_back({of, std::move(text)});
  changed_.notify_all();
}

void teller::finish() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return waiting_.empty() && !saying_; });
}

void teller::work() {
  std::unique_lock lock(mutex_);
  const auto awaited = [this] { return stopping_ || !waiting_.empty(); };
  for (;;) {
    if (!draw_)
      changed_.wait(lock, awaited);
    else if (!changed_.wait_for(lock, tick, awaited)) {
      lock.unlock();
      draw_();
      lock.lock();
    }
    while (!waiting_.empty()) say_next(lock);
    if (stopping_) return;
  }
}

void teller::say_next(std::unique_lock<std::mutex>& lock) {
  message next = std::move(waiting_.front());
  waiting_.pop_front();
  if (waiting_.empty() && left_out_ > 0)
    waiting_.push_back({nodes::level::notice, std::to_string(std::exchange(left_out_, 0)) +
                                                  " messages are left out here"});
  saying_ = true;
  lock.unlock();
  say_.message(next.of, next.text);
  lock.lock();
  saying_ = false;
  if (waiting_.empty()) changed_.notify_all();
}

}  // namespace weir::cli::run
