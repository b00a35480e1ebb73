// A pool, and a loop that waits for what it finishes: what the tests of exec have in common.
#pragma once

#include "exec/command.hpp"
#include "exec/pool.hpp"

#include <doctest/doctest.h>
#include <unistd.h>

#include <chrono>
#include <condition_variable>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace exec_test {

using namespace std::chrono_literals;
using weir::status;

/// Far beyond what anything here takes, even on a machine that does much else.
constexpr auto deadline = 50s;
constexpr weir::source_id some_source{{0xab, 1, 2, 3}};

struct outcome {
  status code = status::unknown;
  std::string result;
  weir::outcome_details details;
};

/// Waits until `done`, which something outside of this process brings about; so it asks again.
inline bool eventually(const std::function<bool()>& done) {
  const auto end = std::chrono::steady_clock::now() + deadline;
  while (!done()) {
    if (std::chrono::steady_clock::now() > end) return false;
    std::this_thread::sleep_for(2ms);
  }
  return true;
}

/// The node's loop, reduced to exec's part.
class loop {
 public:
  loop(unsigned slots, weir::exec::runner_factory factory)
      : pool_(slots, std::move(factory), [this] { woken(); }) {}

  weir::exec::pool& pool() { return pool_; }

  /// Gives these payloads, numbered on from the last ones. Returns the first one's seq.
  std::uint64_t give(const std::vector<std::string>& payloads,
                     weir::proto::duration time_limit = {}) {
    weir::proto::pack_builder builder;
    for (const auto& payload : payloads) builder.add(payload);
    const auto first = next_;
    next_ += payloads.size();
    std::vector<weir::exec::work> more;
    more.push_back({some_source, first, attempt, builder.take(), time_limit});
    pool_.give(std::move(more));
    return first;
  }

  /// Waits until something has become of all that was given.
  void finish() {
    REQUIRE_MESSAGE(wait_for([this] { return accounted() == next_ - 1; }),
                    "tasks outstanding: ", next_ - 1 - accounted());
  }
  /// Waits until `enough`, which is asked whenever something has been finished.
  bool wait_for(const std::function<bool()>& enough) {
    const auto end = std::chrono::steady_clock::now() + deadline;
    while (true) {
      take();
      if (enough()) return true;
      std::unique_lock held(mutex_);
      if (!wake_.wait_until(held, end, [this] { return is_woken_; })) return false;
      is_woken_ = false;
    }
  }
  void take() {
    std::vector<weir::exec::finished> parts;
    pool_.take(parts);
    for (const auto& part : parts) add(part);
  }

  std::map<std::uint64_t, outcome> outcomes;
  std::map<std::uint64_t, int> released;
  static constexpr std::uint32_t attempt = 3;

 private:
  void woken() {
    const std::lock_guard held(mutex_);
    is_woken_ = true;
    wake_.notify_one();
  }
  [[nodiscard]] std::uint64_t accounted() const { return outcomes.size() + released.size(); }
  void add(const weir::exec::finished& part) {
    CHECK(part.source == some_source);
    std::uint64_t tasks = 0;
    for (const auto& run : part.runs) {
      CHECK(run.attempt == attempt);
      CHECK(part.first <= run.first);
      CHECK(run.last() <= part.last);
      tasks += run.payloads.size();
      for (std::uint32_t i = 0; i < run.payloads.size(); ++i) {
        outcome o{run.code, std::string(run.payloads[i]), {}};
        if (!run.details.empty()) o.details = run.details[i];
        const bool is_new = outcomes.emplace(run.first + i, std::move(o)).second;
        CHECK_MESSAGE(is_new, "answered twice: ", run.first + i);
      }
    }
    for (const auto& range : part.released) {
      tasks += range.size();
      for (auto seq = range.first; seq <= range.last; ++seq) ++released[seq];
    }
    CHECK(tasks == part.last - part.first + 1);
  }

  std::mutex mutex_;
  std::condition_variable wake_;
  bool is_woken_ = false;
  std::uint64_t next_ = 1;
  weir::exec::pool pool_;  // last: its threads use the rest
};

/// Runs a command for these payloads and returns what became of them, in order.
inline std::vector<outcome> run_all(weir::command_options options,
                                    const std::vector<std::string>& payloads,
                                    weir::proto::duration time_limit = {}, unsigned slots = 1) {
  loop l(slots, weir::exec::command_runner_factory(std::move(options)));
  l.give(payloads, time_limit);
  l.finish();
  l.pool().stop();
  CHECK_NOTHROW(l.pool().check());
  std::vector<outcome> all;
  for (auto& [seq, o] : l.outcomes) all.push_back(std::move(o));
  CHECK(all.size() == payloads.size());
  all.resize(payloads.size());
  return all;
}
inline outcome run_one(weir::command_options options, std::string payload,
                       weir::proto::duration time_limit = {}) {
  return run_all(std::move(options), {std::move(payload)}, time_limit).at(0);
}

inline weir::command_options command(std::vector<std::string> argv,
                                     weir::command_mode mode = weir::command_mode::process) {
  weir::command_options options;
  options.mode = mode;
  options.argv = std::move(argv);
  return options;
}
/// A script, the payload being "$1".
inline weir::command_options script(std::string text) {
  return command({std::move(text)}, weir::command_mode::shell);
}

/// A directory of its own, gone when this is.
class temporary_directory {
 public:
  temporary_directory() {
    char name[] = "/tmp/weir-exec-XXXXXX";
    REQUIRE(::mkdtemp(name) != nullptr);
    path_ = name;
  }
  ~temporary_directory();
  temporary_directory(const temporary_directory&) = delete;
  temporary_directory& operator=(const temporary_directory&) = delete;
  [[nodiscard]] std::string operator/(const std::string& name) const {
    return path_ + "/" + name;
  }
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  std::string path_;
};

/// Whether such a process exists and is not merely waiting to be waited for.
bool alive(int pid);
/// A file's contents; empty when there is none.
std::string contents(const std::string& path);
/// Waits until the file has a line, and returns the number that it starts with.
int number_in(const std::string& path);

}  // namespace exec_test
