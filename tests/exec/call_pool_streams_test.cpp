// Streams in a pool of calls, and the generators that they are mostly made of.
#include "call_pool_fixture.hpp"
#include "proto/limits.hpp"

#include <weir/generator.hpp>

#include <memory>
#include <utility>

namespace call_pool_streams_test {

using namespace call_pool_fixture;

TEST_SUITE("call_pool") {
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

}  // namespace call_pool_streams_test
