#include "exec/call_pool.hpp"

#include "exec/call.hpp"
#include "proto/limits.hpp"
#include "support/semaphore.hpp"

#include <weir/generator.hpp>
#include <weir/rpc_error.hpp>

#include <doctest/doctest.h>

#include <atomic>
#include <condition_variable>
#include <ctime>
#include <map>
#include <mutex>
#include <set>
#include <utility>

namespace call_pool_test {

using namespace std::chrono_literals;
using weir::call_context;
using weir::raw_stream;
using weir::rpc_error;
using weir::status;
using weir::exec::call_news;
using weir::exec::call_pool;
using weir::proto::call_key;
using weir::proto::session_id;

namespace {

/// Far beyond what anything here takes, even on a machine that does much else.
constexpr auto patience = 50s;
constexpr session_id alice{1};
constexpr session_id bob{2};

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

call_pool::method method(weir::raw_method run) { return {std::move(run), {}}; }
call_pool::method echo() {
  return method([](call_context&, std::string_view in, std::string& out) { out.append(in); });
}

/// Holds calls with the argument "wait" until it is opened.
struct valve {
  weir::testing::semaphore arrived{0};
  weir::testing::semaphore open{0};
  call_pool::method method() {
    return call_pool_test::method([this](call_context&, std::string_view in, std::string& out) {
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
call_pool::method counting() {
  return {{}, [](call_context&, std::string_view in) {
            return std::make_unique<counter>(std::stoi(std::string(in)));
          }};
}

bool cancelled_soon(call_context& c) {
  const auto end = std::chrono::steady_clock::now() + patience;
  while (!c.cancelled()) {
    if (std::chrono::steady_clock::now() > end) return false;
    std::this_thread::yield();
  }
  return true;
}

std::vector<std::string> numbered(int count) {
  std::vector<std::string> all;
  for (int i = 0; i < count; ++i) all.push_back("argument " + std::to_string(i));
  return all;
}

}  // namespace

TEST_SUITE("call_pool") {
  TEST_CASE("every call is answered once, with its own result, however many slots there are") {
    for (const unsigned slots : {1U, 2U, 7U})
      for (const bool help : {false, true}) {
        loop l(slots, {echo()});
        l.may_help = help;
        std::size_t total = 0;
        for (int batch = 0; batch < 50; ++batch) {
          const int n = 1 + batch * 37 % 997;
          l.give(numbered(n), 0, 1h, 0, batch % 3 == 0 ? bob : alice);
          total += static_cast<std::size_t>(n);
        }
        CHECK(l.answered(total));
        CHECK(l.answers.size() == total);
        CHECK(l.answers.at({alice, 2}).result == "argument 1");
        for (const auto& [key, a] : l.answers) REQUIRE(a.code == status::ok);
      }
  }

  TEST_CASE("a large result arrives whole among small ones") {
    loop l(2, {method([](call_context&, std::string_view in, std::string& out) {
             out.append(in == "argument 3" ? std::string(1'000'000, 'x') : std::string(in));
           })});
    l.give(numbered(10));
    REQUIRE(l.answered(10));
    CHECK(l.answers.at({alice, 4}).result == std::string(1'000'000, 'x'));
    CHECK(l.answers.at({alice, 5}).result == "argument 4");
  }

  TEST_CASE("a result that no message could carry is an error that says so") {
    loop l(1, {method([](call_context&, std::string_view, std::string& out) {
             out.assign(16 * 1024 * 1024 + 1, 'x');
           })});
    l.give({"a"});
    REQUIRE(l.answered(1));
    CHECK(l.answers.at({alice, 1}).code == status::resource_exhausted);
    CHECK(l.answers.at({alice, 1}).details.message.find("16777217 bytes") != std::string::npos);
  }

  TEST_CASE("no call waits behind a slow one while a slot is idle") {
    valve v;
    loop l(2, {v.method()});
    auto arguments = numbered(1000);
    arguments[100] = "wait";
    l.give(arguments);
    CHECK(l.answered(999));
    CHECK(l.answers.count({alice, 101}) == 0);
    v.open.release();
    CHECK(l.answered(1000));
  }

  TEST_CASE("answers that are there are handed over while a slow call runs on the same slot") {
    valve v;
    loop l(1, {v.method()});
    l.give({"a", "b", "wait", "c"});
    CHECK(l.answered(2));
    v.open.release();
    CHECK(l.answered(4));
  }

  TEST_CASE("consecutive answers of several slots come as few runs") {
    valve v;
    loop l(1, {v.method()});
    l.give({"wait"});
    v.await_arrival();
    l.give(numbered(5000));
    v.open.release();
    REQUIRE(l.answered(5001));
    CHECK(l.runs.size() < 5001 / 2);
  }

  TEST_CASE("the loop runs short calls itself, and learns when they are not short any more") {
    valve v;
    loop l(1, {v.method()});
    l.may_help = true;
    for (int i = 0; l.helped < 10; ++i) {
      REQUIRE(i < 100'000);
      l.give({"short"});
      REQUIRE(l.answered(static_cast<std::size_t>(i) + 1));
    }
    const auto before = l.answers.size();
    std::thread stuck([&] { l.give({"wait", "behind it"}); });
    v.await_arrival();
    // Somebody else sees that it does not come back.
    l.pool.relieve();
    CHECK(l.answered(before + 1));
    v.open.release();
    stuck.join();
    CHECK(l.answered(before + 2));
    const auto helped = l.helped;
    l.give({"short"});
    CHECK(l.answered(before + 3));
    CHECK(l.helped == helped);
  }

  TEST_CASE("what a handler throws is its caller's to read, with its type") {
    loop l(1, {method([](call_context&, std::string_view in, std::string& out) {
             out.append("half a result");
             if (in == "rpc") throw rpc_error(status::not_found, "no cheese", {.details = "x"});
             if (in == "std") throw std::out_of_range("shelf 7");
             if (in == "int") throw 7;
           })});
    l.give({"rpc", "std", "int", "fine"});
    REQUIRE(l.answered(4));
    CHECK(l.answers.at({alice, 1}).code == status::not_found);
    CHECK(l.answers.at({alice, 1}).details.message == "no cheese");
    CHECK(l.answers.at({alice, 1}).details.data == "x");
    CHECK(l.answers.at({alice, 1}).result.empty());
    CHECK(l.answers.at({alice, 2}).code == status::unknown);
    CHECK(l.answers.at({alice, 2}).details.message == "shelf 7");
    CHECK(l.answers.at({alice, 2}).details.type == "std::out_of_range");
    CHECK(l.answers.at({alice, 3}).details.type == "int");
    CHECK(l.answers.at({alice, 4}).code == status::ok);
  }

  TEST_CASE("a call that has expired before it began is not run") {
    std::atomic<int> runs = 0;
    loop l(1, {method([&](call_context&, std::string_view, std::string&) { ++runs; })});
    l.give({"a"}, 0, -1ms);
    REQUIRE(l.answered(1));
    CHECK(l.answers.at({alice, 1}).code == status::deadline_exceeded);
    CHECK(l.answers.at({alice, 1}).details.never_started);
    CHECK(runs == 0);
  }

  TEST_CASE("a handler sees that its deadline has passed, and may go on") {
    loop l(1, {method([](call_context& c, std::string_view, std::string& out) {
             out.append(cancelled_soon(c) && c.time_left() == 0ms ? "late" : "never");
           })});
    l.give({"a"}, 0, 20ms);
    REQUIRE(l.answered(1));
    if (l.answers.at({alice, 1}).code == status::ok)  // else it had no time to begin
      CHECK(l.answers.at({alice, 1}).result == "late");
  }

  TEST_CASE("cancelled calls are not begun, and those that run are told") {
    valve v;
    weir::testing::semaphore started{0};
    loop l(1, {v.method(), method([&](call_context& c, std::string_view, std::string&) {
                 started.release();
                 if (cancelled_soon(c)) throw rpc_error(status::cancelled, "stopped");
               })});
    l.give({"wait", "a", "b"});
    v.await_arrival();
    l.pool.cancel({alice, 2});
    l.pool.cancel({bob, 3});  // somebody else's
    v.open.release();
    REQUIRE(l.answered(3));
    CHECK(l.answers.at({alice, 2}).code == status::cancelled);
    CHECK(l.answers.at({alice, 2}).details.never_started);
    CHECK(l.answers.at({alice, 3}).code == status::ok);

    const auto running = l.give({"x"}, 1);
    REQUIRE(started.try_acquire_for(patience));
    l.pool.cancel({alice, running});
    REQUIRE(l.answered(4));
    CHECK(l.answers.at({alice, running}).details.message == "stopped");
  }

  TEST_CASE("a call that is cancelled again and again is told so once") {
    weir::testing::semaphore started{0};
    weir::testing::semaphore told_enough{0};
    std::atomic<int> told = 0;
    loop l(1, {method([&](call_context& c, std::string_view, std::string&) {
             auto& running = weir::exec::call::of(c);
             running.when_cancelled([&] { ++told; });
             started.release();
             CHECK(told_enough.try_acquire_for(patience));
             running.deaf();
           })});
    l.give({"x"});
    REQUIRE(started.try_acquire_for(patience));
    for (int i = 0; i < 3; ++i) l.pool.cancel({alice, 1});
    told_enough.release();
    REQUIRE(l.answered(1));
    CHECK(told == 1);
  }

  TEST_CASE("the newest report of progress reaches the loop while the call runs") {
    weir::testing::semaphore go_on{0};
    loop l(1, {method([&](call_context& c, std::string_view, std::string&) {
             c.progress(1, 4, "one");
             c.progress(3, 4, "three of four");
             CHECK(go_on.try_acquire_for(patience));
           })});
    l.give({"a"});
    CHECK(l.wait_for([&] { return !l.reports.empty(); }));
    go_on.release();
    CHECK(l.answered(1));
    CHECK(l.reports.back().key == call_key{alice, 1});
    CHECK(l.reports.back().total == 4);
  }

  TEST_CASE("a stream's elements come in order, before its answer, which counts them") {
    loop l(2, {counting()});
    l.give({"1000"}, 0, 1h, 2000);
    REQUIRE(l.answered(1));
    const auto& all = l.elements.at({alice, 1});
    REQUIRE(all.size() == 1000);
    for (std::size_t i = 0; i < all.size(); ++i) REQUIRE(all[i] == std::to_string(i + 1));
    CHECK(l.answers.at({alice, 1}).code == status::ok);
    CHECK(l.answers.at({alice, 1}).details.parts == 1000);
  }

  TEST_CASE("streams without credit take no slot, and go on with it") {
    loop l(1, {counting(), echo()});
    for (int i = 0; i < 20; ++i) l.give({"100"}, 0, 1h, 10);
    CHECK(l.wait_for([&] {
      std::size_t n = 0;
      for (const auto& [key, e] : l.elements) n += e.size();
      return n == 200;
    }));
    const auto other = l.give({"hello"}, 1);
    CHECK(l.wait_for([&] { return l.answers.count({alice, other}) == 1; }));
    CHECK(l.answers.size() == 1);
    l.pool.grant({alice, 5}, 60);
    CHECK(l.wait_for([&] { return l.elements.at({alice, 5}).size() == 60; }));
    for (std::uint64_t i = 1; i <= 20; ++i) l.pool.grant({alice, i}, 1000);
    CHECK(l.answered(21));
    for (std::uint64_t i = 1; i <= 20; ++i) CHECK(l.elements.at({alice, i}).size() == 100);
  }

  TEST_CASE("a stream waits while it has made as many bytes as it may") {
    loop l(1, {counting()});
    l.give({"100"}, 0, 1h, 50, alice, 4);
    CHECK(l.wait_for([&] { return l.elements[{alice, 1}].size() == 4; }));
    l.pool.grant({alice, 1}, 60, 4);  // elements alone do not help
    l.pool.grant({alice, 1}, 60, 7);
    CHECK(l.wait_for([&] { return l.elements[{alice, 1}].size() == 7; }));
    l.pool.grant({alice, 1}, 1000, 1000);
    CHECK(l.answered(1));
    CHECK(l.elements.at({alice, 1}).size() == 100);
  }

  TEST_CASE("a stream that is cancelled or expires while it waits for credit ends") {
    loop l(1, {counting()});
    l.give({"100", "100"}, 0, 1h, 10);
    l.give({"100"}, 0, 50ms, 10);
    CHECK(l.wait_for([&] {
      l.pool.tick(weir::proto::clock::now());
      return l.elements[{alice, 1}].size() == 10 && l.elements[{alice, 2}].size() == 10;
    }));
    l.pool.cancel({alice, 1});
    CHECK(l.answered(1));
    CHECK(l.answers.at({alice, 1}).code == status::cancelled);
    const auto end = std::chrono::steady_clock::now() + patience;
    while (l.answers.size() < 2 && std::chrono::steady_clock::now() < end) {
      l.pool.tick(weir::proto::clock::now());
      l.take();
      std::this_thread::yield();
    }
    CHECK(l.answers.at({alice, 3}).code == status::deadline_exceeded);
    CHECK(l.answers.count({alice, 2}) == 0);
  }

  TEST_CASE("whoever calls a stream without a window gets an array") {
    loop l(1, {{{}, [](call_context&, std::string_view) {
                  struct three : raw_stream {
                    int n = 0;
                    bool next(std::string& e) override {
                      e.push_back(static_cast<char>(++n));
                      return n <= 3;
                    }
                  };
                  return std::make_unique<three>();
                }}});
    l.give({"a"});
    REQUIRE(l.answered(1));
    const auto& r = l.answers.at({alice, 1}).result;
    CHECK(r.substr(0, 8) == std::string("\xdd\0\0\0\x03\x01\x02\x03", 8));
  }

  TEST_CASE("elements that are too much for one array are an error that says so") {
    constexpr std::size_t most = weir::proto::limits::payload_bytes - 5;
    struct one : raw_stream {
      explicit one(std::size_t n) : bytes(n) {}
      std::size_t bytes;
      bool next(std::string& e) override {
        e.append(bytes, 'x');
        return std::exchange(bytes, 0) > 0;
      }
    };
    loop l(1, {{{}, [](call_context&, std::string_view in) {
                  return std::make_unique<one>(most + (in == "more" ? 1 : 0));
                }}});
    l.give({"fits", "more"});
    REQUIRE(l.answered(2));
    CHECK(l.answers.at({alice, 1}).result.size() == weir::proto::limits::payload_bytes);
    CHECK(l.answers.at({alice, 2}).code == status::resource_exhausted);
  }

  TEST_CASE("a generator is destroyed where it stands when nobody wants more of it") {
    auto watched = std::make_shared<int>(1);
    struct holder : raw_stream {
      std::shared_ptr<int> kept;
      bool next(std::string& e) override {
        e += 'x';
        return true;
      }
    };
    loop l(1, {{{}, [&](call_context&, std::string_view) {
                  auto s = std::make_unique<holder>();
                  s->kept = watched;
                  return s;
                }}});
    l.give({"a"}, 0, 1h, 5);
    CHECK(l.wait_for([&] { return l.elements[{alice, 1}].size() == 5; }));
    l.pool.cancel({alice, 1});
    CHECK(l.answered(1));
    CHECK(watched.use_count() == 1);
  }

  TEST_CASE("stopping tells what runs, answers what waits, and ends streams") {
    weir::testing::semaphore started{0};
    loop l(1, {method([&](call_context& c, std::string_view, std::string& out) {
                 started.release();
                 out.append(cancelled_soon(c) ? "told" : "not told");
               }),
               counting()});
    l.give({"100"}, 1, 1h, 10);
    CHECK(l.wait_for([&] { return l.elements[{alice, 1}].size() == 10; }));
    l.give({"a", "b", "c"});
    REQUIRE(started.try_acquire_for(patience));
    l.pool.stop();
    l.take();
    CHECK(l.answers.size() == 4);
    CHECK(l.answers.at({alice, 1}).code == status::cancelled);
    CHECK(l.answers.at({alice, 2}).result == "told");
    CHECK(l.answers.at({alice, 3}).code == status::unavailable);
    CHECK(l.answers.at({alice, 3}).details.never_started);
  }
}

TEST_SUITE("generator") {
  weir::generator<int> count(int to) {
    for (int i = 1; i <= to; ++i) co_yield i;
  }

  TEST_CASE("a generator yields in order, lazily, and ends") {
    int sum = 0;
    for (const int i : count(4)) sum = sum * 10 + i;
    CHECK(sum == 1234);
    auto g = count(2);
    CHECK(*g.next() == 1);
    CHECK(*g.next() == 2);
    CHECK(g.next() == nullptr);
    CHECK(g.next() == nullptr);
  }

  TEST_CASE("what a generator throws comes out where it is read") {
    auto bad = []() -> weir::generator<std::string> {
      co_yield "first";
      throw std::runtime_error("then this");
    }();
    CHECK(*bad.next() == "first");
    CHECK_THROWS_WITH((void)bad.next(), "then this");
    CHECK(bad.next() == nullptr);
  }
}

}  // namespace call_pool_test
