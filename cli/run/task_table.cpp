#include "task_table.hpp"

#include <utility>

namespace weir::cli::run {

void task_table::add(std::uint64_t seq, std::uint64_t number, arguments values,
                     std::string input) {
  auto record = std::make_shared<task_record>();
  record->number = number;
  record->values = std::move(values);
  record->input = std::move(input);
  const std::size_t bytes = record->input.size();
  std::unique_lock lock(mutex_);
  room_.wait(lock, [&] {
    const bool fits = bytes_ == 0 || bytes_ + bytes <= most_bytes_;
    return abandoned_ || (in_hand_ < most_ && fits);
  });
  ++in_hand_;
  bytes_ += bytes;
  records_.emplace(seq, std::move(record));
}

std::shared_ptr<const task_record> task_table::find(std::uint64_t seq) {
  const std::lock_guard lock(mutex_);
  const auto it = records_.find(seq);
  return it == records_.end() ? nullptr : it->second;
}

bool task_table::finish(std::uint64_t seq, local_attempt attempt, std::uint32_t most_failures) {
  const std::lock_guard lock(mutex_);
  const auto it = records_.find(seq);
  if (it == records_.end()) return false;  // somebody else's outcome was here first
  task_record& task = *it->second;
  const bool over = attempt.end.ok || ++task.failures >= most_failures;
  task.last.emplace(std::move(attempt));
  return over && !std::exchange(task.counted, true);
}

void task_table::drop_input(std::uint64_t seq) {
  std::string input;
  {
    const std::lock_guard lock(mutex_);
    const auto it = records_.find(seq);
    if (it == records_.end()) return;
    input.swap(it->second->input);
    bytes_ -= input.size();
  }
  if (!input.empty()) room_.notify_one();
}

void task_table::skip(std::uint64_t seq) {
  const std::lock_guard lock(mutex_);
  const auto it = records_.find(seq);
  if (it != records_.end()) it->second->skipped = true;
}

std::shared_ptr<task_record> task_table::take(std::uint64_t seq) {
  std::unique_lock lock(mutex_);
  auto node = records_.extract(seq);
  if (!node) return nullptr;
  const std::size_t bytes = node.mapped()->input.size();
  bytes_ -= bytes;
  lock.unlock();
  if (bytes > 0) room_.notify_one();
  return std::move(node.mapped());
}

void task_table::abandon() {
  {
    const std::lock_guard lock(mutex_);
    abandoned_ = true;
  }
  room_.notify_all();
}

void task_table::printed(std::size_t tasks) {
  {
    const std::lock_guard lock(mutex_);
    in_hand_ -= tasks;
  }
  room_.notify_one();
}

}  // namespace weir::cli::run
