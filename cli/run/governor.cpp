#include "governor.hpp"

#include <weir/error.hpp>

#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

namespace weir::cli::run {
namespace {

using namespace std::chrono_literals;

/// How often load and memory are looked at while something waits for them.
constexpr auto look_again = 500ms;
/// A median of fewer says nothing.
constexpr std::size_t least_runtimes = 3;
constexpr std::size_t most_runtimes = 1000;

void wake(int fd) {
  const std::uint64_t one = 1;
  [[maybe_unused]] const auto n = ::write(fd, &one, sizeof one);
}

std::string describe(const running_task& task, std::chrono::steady_clock::time_point now) {
  const auto seconds =
      std::chrono::duration_cast<std::chrono::seconds>(now - task.since).count();
  return "task " + std::to_string(task.number) + " for " + std::to_string(seconds) +
         " s: " + task.describe();
}

}  // namespace

governor::governor(governor_options options)
    : options_(std::move(options)),
      waits_(options_.delay.count() > 0 || options_.max_load || options_.memory_free > 0),
      closed_fd_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
      halt_(options_.halt) {
  if (closed_fd_ < 0)
    throw error(exit_code::io, std::string("eventfd: ") + std::strerror(errno));
}

governor::~governor() { ::close(closed_fd_); }

bool governor::may_start(const std::function<bool()>& unwanted) {
  if (!waits_) return level() == pressure::none;
  std::unique_lock lock(mutex_);
  while (level() == pressure::none && !unwanted()) {
    const auto now = proto::clock::now();
    if (starting_) {
      changed_.wait_for(lock, look_again);
    } else if (now < next_start_) {
      changed_.wait_until(lock, std::min(next_start_, now + look_again));
    } else if (!has_room()) {
      changed_.wait_for(lock, look_again);
    } else {
      starting_ = options_.delay.count() > 0;
      return true;
    }
  }
  return false;
}

void governor::started() {
  if (options_.delay.count() == 0) return;
  const std::lock_guard lock(mutex_);
  starting_ = false;
  next_start_ = proto::clock::now() + options_.delay;
  changed_.notify_all();
}

bool governor::has_room() const {
  if (options_.max_load && options_.load() >= *options_.max_load) return false;
  return options_.memory_free == 0 || options_.memory() >= options_.memory_free;
}

void governor::enter(running_task& task) {
  const std::lock_guard lock(mutex_);
  running_.push_back(&task);
}

void governor::leave(running_task& task) {
  const std::lock_guard lock(mutex_);
  std::erase(running_, &task);
}

proto::duration governor::time_limit() {
  if (options_.timeout_percent == 0) return options_.timeout;
  const std::lock_guard lock(mutex_);
  if (runtimes_.size() < least_runtimes) return {};
  auto sorted = runtimes_;
  const auto middle = sorted.begin() + static_cast<std::ptrdiff_t>(sorted.size() / 2);
  std::nth_element(sorted.begin(), middle, sorted.end());
  return std::chrono::duration_cast<proto::duration>(*middle * options_.timeout_percent / 100);
}

void governor::count(const task_end& end, proto::duration runtime) {
  std::unique_lock lock(mutex_);
  if (limit_moves() && end.ok) {
    if (runtimes_.size() < most_runtimes)
      runtimes_.push_back(runtime);
    else
      runtimes_[runtimes_at_++ % most_runtimes] = runtime;
  }
  const auto decision = halt_.count(end);
  if (decision == halt_policy::decision::go_on) return;
  const bool risen = press_locked(
      decision == halt_policy::decision::now ? pressure::end_all : pressure::start_no_more);
  lock.unlock();
  if (risen && options_.on_rise) options_.on_rise();
  if (options_.on_halt) options_.on_halt(decision);
}

void governor::press(pressure at_least) {
  std::unique_lock lock(mutex_);
  const bool risen = press_locked(at_least);
  lock.unlock();
  if (risen && options_.on_rise) options_.on_rise();
}

bool governor::press_locked(pressure at_least) {
  if (at_least <= level()) return false;
  level_.store(at_least, std::memory_order_release);
  wake(closed_fd_);
  changed_.notify_all();
  if (at_least >= pressure::end_all)
    for (const auto* task : running_) wake(task->wake_fd);
  return true;
}

void governor::set_total(std::uint64_t tasks) {
  const std::lock_guard lock(mutex_);
  halt_.set_total(tasks);
}

void governor::tick() {
  if (options_.memory_free == 0 || options_.memory() >= options_.memory_free / 2) return;
  const std::lock_guard lock(mutex_);
  // The youngest has the least to lose. One at a time: it takes a moment to free anything.
  if (running_.size() < 2) return;
  const auto leaving = std::find_if(running_.begin(), running_.end(),
                                    [](const auto* t) { return t->give_way.load(); });
  if (leaving != running_.end()) return;
  auto* youngest = *std::max_element(running_.begin(), running_.end(),
                                     [](auto* a, auto* b) { return a->since < b->since; });
  youngest->give_way = true;
  wake(youngest->wake_fd);
}

std::vector<std::string> governor::running() const {
  const std::lock_guard lock(mutex_);
  auto sorted = running_;
  std::sort(sorted.begin(), sorted.end(), [](auto* a, auto* b) { return a->since < b->since; });
  const auto now = std::chrono::steady_clock::now();
  std::vector<std::string> lines;
  for (const auto* task : sorted) lines.push_back(describe(*task, now));
  return lines;
}

std::size_t governor::running_count() const {
  const std::lock_guard lock(mutex_);
  return running_.size();
}

halt_policy governor::halt() const {
  const std::lock_guard lock(mutex_);
  return halt_;
}

}  // namespace weir::cli::run
