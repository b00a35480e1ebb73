// A pool of calls and the loop that it works for.
#pragma once

#include "exec/call_pool.hpp"
#include "support/semaphore.hpp"

#include <weir/rpc_error.hpp>

#include <doctest/doctest.h>

#include <chrono>
#include <condition_variable>
#include <ctime>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

namespace call_pool_fixture {

using namespace std::chrono_literals;
using weir::call_context;
using weir::raw_stream;
using weir::rpc_error;
using weir::status;
using weir::exec::call_news;
using weir::exec::call_pool;
using weir::proto::call_key;
using weir::proto::session_id;

/// Far beyond what anything here takes, even on a machine that does much else.
inline constexpr auto patience = 50s;
inline constexpr session_id alice{1};
inline constexpr session_id bob{2};

struct answer {
  status code = status::unknown;
  std::string result;
  weir::proto::reply_details details;
};

/// A worker's loop, reduced to the pool's part.
class loop {
 public:
  explicit loop(unsigned slots, std::vector<call_pool::method> methods)
      : pool(slots, std::move(methods), [this] { woken(); }) {}

  /// Calls the method once with each of these, numbered on from the caller's last ones.
  std::uint64_t give(const std::vector<std::string>& arguments, std::uint32_t method = 0,
                     weir::proto::duration time = 1h, std::uint32_t stream_window = 0,
                     session_id from = alice, std::uint32_t stream_bytes = 0) {
    weir::proto::pack_builder builder;
    for (const auto& a : arguments) builder.add(a);
    weir::proto::start_calls start;
    start.from = from;
    start.method = method;
    start.deadline = weir::proto::clock::now() + time;
    start.calls.first = next_[from] + 1;
    start.calls.method = "method";
    start.calls.arguments = builder.take();
    if (stream_window > 0) {
      auto options = std::make_shared<weir::proto::call_options>();
      options->stream_window = stream_window;
      options->stream_bytes = stream_bytes;
      start.calls.options = std::move(options);
    }
    next_[from] += arguments.size();
    const auto first = start.calls.first;
    std::vector<weir::proto::start_calls> more;
    more.push_back(std::move(start));
    if (pool.give(std::move(more), may_help)) {
      ++helped;
      while (pool.help(0, false)) {
      }
    }
    return first;
  }
  /// Waits until `enough`, which is asked whenever there is news.
  bool wait_for(const std::function<bool()>& enough) {
    const auto end = std::chrono::steady_clock::now() + patience;
    for (;;) {
      take();
      if (enough()) return true;
      std::unique_lock held(mutex_);
      if (!wake_.wait_until(held, end, [this] { return is_woken_; })) return false;
      is_woken_ = false;
    }
  }
  bool answered(std::size_t count) {
    return wait_for([&] { return answers.size() >= count; });
  }
  void take() {
    call_news news;
    pool.take(news);
    for (const auto& p : news.elements)
      for (std::uint32_t i = 0; i < p.elements.size(); ++i) {
        CHECK(answers.count(p.key) == 0);
        elements[p.key].emplace_back(p.elements[i]);
      }
    for (auto& a : news.answers) {
      runs.push_back(a.outcomes.results.size());
      for (std::uint32_t i = 0; i < a.outcomes.results.size(); ++i) {
        answer one{a.outcomes.code, std::string(a.outcomes.results[i]), {}};
        if (!a.outcomes.details.empty()) {
          REQUIRE(a.outcomes.details.size() == a.outcomes.results.size());
          one.details = a.outcomes.details[i];
        }
        const bool is_new =
            answers.emplace(call_key{a.to, a.outcomes.first + i}, std::move(one)).second;
        CHECK_MESSAGE(is_new, "answered twice: ", a.outcomes.first + i);
      }
    }
    for (auto& r : news.reports) reports.push_back(std::move(r));
  }

  bool may_help = false;
  int helped = 0;
  std::map<call_key, answer> answers;
  std::map<call_key, std::vector<std::string>> elements;
  std::vector<call_news::reported> reports;
  std::vector<std::uint32_t> runs;

 private:
  void woken() {
    const std::lock_guard held(mutex_);
    is_woken_ = true;
    wake_.notify_one();
  }
  std::map<session_id, std::uint64_t> next_;
  std::mutex mutex_;
  std::condition_variable wake_;
  bool is_woken_ = false;

 public:
  call_pool pool;  // last: its threads use the rest
};

inline call_pool::method method(weir::raw_method run) { return {std::move(run), {}}; }
inline call_pool::method echo() {
  return method([](call_context&, std::string_view in, std::string& out) { out.append(in); });
}

/// Holds calls with the argument "wait" until it is opened.
struct valve {
  weir::testing::semaphore arrived{0};
  weir::testing::semaphore open{0};
  call_pool::method method() {
    return call_pool_fixture::method(
        [this](call_context&, std::string_view in, std::string& out) {
          if (in == "wait") {
            arrived.release();
            if (!open.try_acquire_for(patience)) throw std::runtime_error("nobody opened");
            // Long by far, however fast the test was.
            const auto busy = [] {
              timespec t{};
              ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
              return std::chrono::seconds(t.tv_sec) + std::chrono::nanoseconds(t.tv_nsec);
            };
            for (const auto end = busy() + 2ms; busy() < end;) {
            }
          }
          out.append(in);
        });
  }
  void await_arrival() { REQUIRE(arrived.try_acquire_for(patience)); }
};

/// Counts from 1 to its argument.
class counter : public raw_stream {
 public:
  explicit counter(int to) : to_(to) {}
  bool next(std::string& element) override {
    if (at_ == to_) return false;
    element += std::to_string(++at_);
    return true;
  }

 private:
  int at_ = 0;
  int to_;
};
inline call_pool::method counting() {
  return {{}, [](call_context&, std::string_view in) {
            return std::make_unique<counter>(std::stoi(std::string(in)));
          }};
}

inline bool cancelled_soon(call_context& c) {
  const auto end = std::chrono::steady_clock::now() + patience;
  while (!c.cancelled()) {
    if (std::chrono::steady_clock::now() > end) return false;
    std::this_thread::yield();
  }
  return true;
}

inline std::vector<std::string> numbered(int count) {
  std::vector<std::string> all;
  for (int i = 0; i < count; ++i) all.push_back("argument " + std::to_string(i));
  return all;
}

}  // namespace call_pool_fixture
