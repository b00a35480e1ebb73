// What a gateway answers without asking a worker.
#include "proto/rpc/reply_cache.hpp"
#include "proto/rpc/result_cache.hpp"

#include <doctest/doctest.h>

#include <string>

namespace rpc_caches_test {

using namespace weir::proto;
using std::chrono::minutes;
using std::chrono::seconds;
using replies = reply_cache<std::uint64_t>;
using state = replies::state;
using numbers = std::vector<std::uint64_t>;

namespace {
constexpr time_point t0{std::chrono::hours(1)};

reply_run reply(std::string value) {
  reply_run r;
  r.results = pack::of(std::move(value));
  return r;
}

reply_run failure(weir::status code, bool never_started = false) {
  reply_run r = reply("");
  r.code = code;
  r.details.resize(1);
  r.details[0].never_started = never_started;
  return r;
}

/// Calls of one method with one key and the same arguments.
struct one_key {
  replies cache{{}};
  state look(std::uint64_t number, std::uint32_t attempt = 1) {
    return cache.look("pay", "k", "args", number, attempt, t0).what;
  }
  replies::followers_type settle(std::uint64_t number, const reply_run& how) {
    return cache.settle("pay", "k", number, how, t0);
  }
};
}  // namespace

TEST_CASE("a call with a key runs once; the same call meanwhile and later gets its reply") {
  one_key k;
  CHECK(k.look(1) == state::fresh);
  CHECK(k.look(2) == state::joined);
  CHECK(k.cache.look("pay", "k", "args", 3, 1, t0).leader == 1);
  CHECK(k.settle(2, reply("not mine")).calls.empty());
  const auto others = k.settle(1, reply("done"));
  CHECK(others.calls == numbers{2, 3});
  CHECK_FALSE(others.run_next);
  const auto later = k.cache.look("pay", "k", "args", 4, 1, t0);
  CHECK(later.what == state::answered);
  CHECK(later.reply->results[0] == "done");
}

TEST_CASE("a key belongs to one method") {
  replies cache({});
  CHECK(cache.look("pay", "k", "args", 1, 1, t0).what == state::fresh);
  CHECK(cache.look("refund", "k", "args", 2, 1, t0).what == state::fresh);
}

TEST_CASE("a key that comes back with other arguments is a mistake, and said to be one") {
  replies cache({});
  (void)cache.look("pay", "k", "100", 1, 1, t0);
  CHECK(cache.look("pay", "k", "200", 2, 1, t0).what == state::misused);
  (void)cache.settle("pay", "k", 1, reply("done"), t0);
  CHECK(cache.look("pay", "k", "200", 3, 1, t0).what == state::misused);
}

TEST_CASE("a call that ended with nothing worth keeping can be made again") {
  for (const auto code : {weir::status::cancelled, weir::status::deadline_exceeded,
                          weir::status::resource_exhausted}) {
    CAPTURE(code);
    one_key k;
    (void)k.look(1);
    (void)k.look(2);
    const auto others = k.settle(1, failure(code));
    CHECK(others.calls == numbers{2});
    CHECK(others.run_next);
    CHECK(k.look(2) == state::fresh);
  }
}

TEST_CASE("what has cost a worker its life is not tried once for each that waits") {
  one_key k;
  (void)k.look(1);
  (void)k.look(2);
  SUBCASE("it may have run") {
    CHECK_FALSE(k.settle(1, failure(weir::status::unavailable)).run_next);
  }
  SUBCASE("it has not") {
    CHECK(k.settle(1, failure(weir::status::unavailable, true)).run_next);
  }
  CHECK(k.look(3) == state::fresh);
}

TEST_CASE("a handler's error is kept, but a further attempt is run") {
  one_key k;
  (void)k.look(1);
  (void)k.settle(1, failure(weir::status::internal));
  CHECK(k.look(2) == state::answered);
  CHECK(k.look(3, 2) == state::fresh);
  CHECK(k.cache.bytes() == 0);
  CHECK(k.look(4, 2) == state::joined);
  CHECK(k.settle(3, reply("done")).calls == numbers{4});
  CHECK(k.look(5, 3) == state::answered);
}

TEST_CASE("one that waits can leave") {
  one_key k;
  (void)k.look(1);
  (void)k.look(2);
  (void)k.look(3);
  CHECK(k.cache.followers("pay", "k") == 2);
  k.cache.leave("pay", "k", 2);
  CHECK(k.settle(1, reply("done")).calls == numbers{3});
}

TEST_CASE("a reply is kept for its time and not longer") {
  replies cache({1 << 20, minutes(5)});
  (void)cache.look("pay", "k", "args", 1, 1, t0);
  (void)cache.settle("pay", "k", 1, reply("done"), t0);
  CHECK(cache.look("pay", "k", "args", 2, 1, t0 + minutes(5) - seconds(1)).what ==
        state::answered);
  CHECK(cache.look("pay", "k", "args", 3, 1, t0 + minutes(5)).what == state::fresh);
}

TEST_CASE("kept replies stay within their bound; those that run are never dropped") {
  replies cache({64 * 1024, minutes(5)});
  (void)cache.look("pay", "running", "args", 1, 1, t0);
  for (std::uint64_t i = 0; i < 1000; ++i) {
    const std::string key = std::to_string(i);
    (void)cache.look("pay", key, "args", 10 + i, 1, t0);
    (void)cache.settle("pay", key, 10 + i, reply(std::string(1000, 'x')), t0);
    CHECK(cache.bytes() <= 64 * 1024);
  }
  CHECK(cache.look("pay", "999", "args", 2, 1, t0).what == state::answered);
  CHECK(cache.look("pay", "0", "args", 3, 1, t0).what == state::fresh);
  CHECK(cache.look("pay", "running", "args", 4, 1, t0).what == state::joined);
}

TEST_CASE("a reply that is larger than all that is kept drives out nothing") {
  constexpr std::size_t all = 64 * 1024;
  replies cache({all, minutes(5)});
  (void)cache.look("pay", "small", "args", 1, 1, t0);
  (void)cache.settle("pay", "small", 1, reply("done"), t0);
  const std::size_t before = cache.bytes();
  (void)cache.look("pay", "huge", "args", 2, 1, t0);
  (void)cache.look("pay", "huge", "args", 3, 1, t0);
  // Who waited for it has it all the same.
  const auto others = cache.settle("pay", "huge", 2, reply(std::string(all, 'x')), t0);
  CHECK(others.calls == numbers{3});
  CHECK_FALSE(others.run_next);
  CHECK(cache.bytes() == before);
  CHECK(cache.size() == 1);
  CHECK(cache.look("pay", "small", "args", 4, 1, t0).what == state::answered);
  CHECK(cache.look("pay", "huge", "args", 5, 1, t0).what == state::fresh);
  // The largest that fits.
  const std::size_t fixed =
      before - std::string("done").size() - std::string("small").size() * 2;
  (void)cache.settle("pay", "huge", 5,
                     reply(std::string(all - fixed - 2 * std::string("huge").size(), 'x')), t0);
  CHECK(cache.bytes() == all);
  CHECK(cache.look("pay", "huge", "args", 6, 1, t0).what == state::answered);
}

TEST_CASE("a cached result answers the same arguments until it is too old") {
  result_cache cache(1 << 20);
  CHECK(cache.find("f", "a", t0) == nullptr);
  cache.keep("f", "a", "result", seconds(10), t0);
  REQUIRE(cache.find("f", "a", t0 + seconds(9)) != nullptr);
  CHECK((*cache.find("f", "a", t0 + seconds(9)))[0] == "result");
  CHECK(cache.find("f", "b", t0) == nullptr);
  CHECK(cache.find("g", "a", t0) == nullptr);
  CHECK(cache.find("f", "a", t0 + seconds(10)) == nullptr);
  CHECK(cache.size() == 0);
}

TEST_CASE("cached results stay within their bound, and those in use stay") {
  result_cache cache(64 * 1024);
  for (int i = 0; i < 1000; ++i) {
    cache.keep("f", std::to_string(i), std::string(1000, 'x'), minutes(1), t0);
    CHECK(cache.bytes() <= 64 * 1024);
    CHECK(cache.find("f", "0", t0) != nullptr);
  }
  CHECK(cache.find("f", "1", t0) == nullptr);
}

TEST_CASE("one huge result does not empty the cache") {
  result_cache cache(64 * 1024);
  cache.keep("f", "small", "x", minutes(1), t0);
  cache.keep("f", "huge", std::string(32 * 1024, 'x'), minutes(1), t0);
  CHECK(cache.find("f", "huge", t0) == nullptr);
  CHECK(cache.find("f", "small", t0) != nullptr);
}

}  // namespace rpc_caches_test
