// What a run has to say, without anybody waiting until it is said.
#pragma once

#include "console.hpp"

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <functional>
#include <mutex>
#include <string>
#include <thread>

namespace weir::cli::run {

/// Says messages in their order, and draws the status line, on a thread of its own: standard
/// error may be a full pipe that nobody reads, and signals have to be heard all the same.
///
///   teller tell(console, draw);
///   tell.notice("ending what runs");  // at once
///   tell.finish();                    // until it is said, however long that takes
///
/// Threads    Any, but for the destructor, which waits as finish() does.
class teller {
 public:
  /// `draw` is called ten times a second; empty: there is no status line.
  teller(nodes::console& say, std::function<void()> draw);
  ~teller();
  teller(const teller&) = delete;
  teller& operator=(const teller&) = delete;

  void notice(std::string text) { add(nodes::level::notice, std::move(text)); }
  void error(std::string text) { add(nodes::level::error, std::move(text)); }
  void finish();

 private:
  struct message {
    nodes::level of;
    std::string text;
  };
  void add(nodes::level of, std::string text);
  void work();
  void say_next(std::unique_lock<std::mutex>& lock);

  nodes::console& say_;
  const std::function<void()> draw_;
  std::mutex mutex_;  // over everything below
  std::condition_variable changed_;
  std::deque<message> waiting_;
  std::size_t left_out_ = 0;
  bool saying_ = false;
  bool stopping_ = false;
  std::thread thread_;  // most runs have nothing to say: made when one has
};

}  // namespace weir::cli::run
