// What a gateway answers without asking a worker.
#include "proto/rpc/reply_cache.hpp"
#include "proto/rpc/result_cache.hpp"

#include <doctest/doctest.h>

#include <string>

namespace rpc_caches_test {

using namespace weir::proto;
using std::chrono::minutes;
using std::chrono::seconds;
using state = weir::proto::reply_cache::state;

namespace {
constexpr time_point t0{std::chrono::hours(1)};

reply_run reply(std::string value) {
  reply_run r;
  r.results = pack::of(std::move(value));
  return r;
}
}  // namespace

TEST_CASE("a call with a key runs once; the same call meanwhile and later gets its reply") {
  reply_cache cache({});
  CHECK(cache.look("pay", "k", "args", 1, t0).what == state::fresh);
  CHECK(cache.look("pay", "k", "args", 2, t0).what == state::joined);
  CHECK(cache.look("pay", "k", "args", 3, t0).what == state::joined);
  CHECK(cache.leads("pay", "k", 1));
  CHECK_FALSE(cache.leads("pay", "k", 2));
  CHECK(cache.keep("pay", "k", reply("done"), t0) == std::vector<std::uint64_t>{2, 3});
  const auto later = cache.look("pay", "k", "args", 4, t0);
  CHECK(later.what == state::answered);
  CHECK(later.reply->results[0] == "done");
}

TEST_CASE("a key belongs to one method") {
  reply_cache cache({});
  CHECK(cache.look("pay", "k", "args", 1, t0).what == state::fresh);
  CHECK(cache.look("refund", "k", "args", 2, t0).what == state::fresh);
}

TEST_CASE("a key that comes back with other arguments is a mistake, and said to be one") {
  reply_cache cache({});
  (void)cache.look("pay", "k", "100", 1, t0);
  CHECK(cache.look("pay", "k", "200", 2, t0).what == state::misused);
  (void)cache.keep("pay", "k", reply("done"), t0);
  CHECK(cache.look("pay", "k", "200", 3, t0).what == state::misused);
}

TEST_CASE("a call that ended with nothing worth keeping can be made again") {
  reply_cache cache({});
  (void)cache.look("pay", "k", "args", 1, t0);
  (void)cache.look("pay", "k", "args", 2, t0);
  CHECK(cache.forget("pay", "k") == std::vector<std::uint64_t>{2});
  CHECK(cache.look("pay", "k", "args", 3, t0).what == state::fresh);
}

TEST_CASE("when the first call fails, one of those that waited for it runs instead") {
  reply_cache cache({});
  (void)cache.look("pay", "k", "args", 1, t0);
  (void)cache.look("pay", "k", "args", 2, t0);
  (void)cache.look("pay", "k", "args", 3, t0);
  cache.lead("pay", "k", 2);
  CHECK(cache.leads("pay", "k", 2));
  CHECK(cache.followers("pay", "k") == 1);
  cache.leave("pay", "k", 3);
  CHECK(cache.keep("pay", "k", reply("done"), t0).empty());
}

TEST_CASE("a reply is kept for its time and not longer") {
  reply_cache cache({1 << 20, minutes(5)});
  (void)cache.look("pay", "k", "args", 1, t0);
  (void)cache.keep("pay", "k", reply("done"), t0);
  CHECK(cache.look("pay", "k", "args", 2, t0 + minutes(5) - seconds(1)).what ==
        state::answered);
  CHECK(cache.look("pay", "k", "args", 3, t0 + minutes(5)).what == state::fresh);
}

TEST_CASE("kept replies stay within their bound; those that run are never dropped") {
  reply_cache cache({64 * 1024, minutes(5)});
  (void)cache.look("pay", "running", "args", 1, t0);
  for (std::uint64_t i = 0; i < 1000; ++i) {
    const std::string key = std::to_string(i);
    (void)cache.look("pay", key, "args", 10 + i, t0);
    (void)cache.keep("pay", key, reply(std::string(1000, 'x')), t0);
    CHECK(cache.bytes() <= 64 * 1024);
  }
  CHECK(cache.look("pay", "999", "args", 2, t0).what == state::answered);
  CHECK(cache.look("pay", "0", "args", 3, t0).what == state::fresh);
  CHECK(cache.leads("pay", "running", 1));
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
