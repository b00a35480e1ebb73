// {%}: a number for each running task that no other one has.
#pragma once

#include <mutex>
#include <vector>

namespace weir::cli::run {

/// The lowest that is free, so that with few tasks the numbers are low.
///
/// Threads    Any.
class slot_numbers {
 public:
  /// Holds a number as long as it lives.
  class held {
   public:
    explicit held(slot_numbers& of) : of_(of), number_(of.take()) {}
    ~held() { of_.give_back(number_); }
    held(const held&) = delete;
    held& operator=(const held&) = delete;
    [[nodiscard]] unsigned number() const { return number_; }

   private:
    slot_numbers& of_;
    unsigned number_;
  };

 private:
  unsigned take() {
    const std::lock_guard lock(mutex_);
    unsigned n = 0;
    while (n < taken_.size() && taken_[n]) ++n;
    if (n == taken_.size()) taken_.push_back(false);
    taken_[n] = true;
    return n + 1;
  }
  void give_back(unsigned number) {
    const std::lock_guard lock(mutex_);
    taken_[number - 1] = false;
  }

  std::mutex mutex_;
  std::vector<bool> taken_;
};

}  // namespace weir::cli::run
