#include "store/spool.hpp"

#include "proto/rpc/call_id.hpp"
#include "support/semaphore.hpp"
#include "temp_dir.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <mutex>
#include <utility>

namespace spool_test {

using namespace weir;
using namespace weir::store;

namespace {

constexpr unix_ms noon = 1'800'000'000'000;

submission call(std::uint64_t n) {
  return {.id = proto::make_call_id(noon, 0, n), .method = "m", .arguments = "\x91\x01"};
}

/// What the loop does with its transport.
struct loop {
  std::mutex mutex;
  std::condition_variable woken;
  bool awake = false;

  void wake() {
    const std::lock_guard lock(mutex);
    awake = true;
    woken.notify_one();
  }
  void until_woken() {
    std::unique_lock lock(mutex);
    REQUIRE(woken.wait_for(lock, std::chrono::seconds(30), [&] { return awake; }));
  }
  void until_woken_again() {
    until_woken();
    const std::lock_guard lock(mutex);
    awake = false;
  }
  void until_idle(spool& s) {
    while (!s.idle()) {
      until_woken_again();
      s.deliver();
    }
  }
};

}  // namespace

TEST_CASE("completions come in the order of the work, when it is on the disk") {
  const test::temp_dir dir;
  std::vector<int> completed;
  {
    loop l;
    spool s(dir.file("spool"), {}, noon, [&] { l.wake(); });
    for (int i = 0; i < 1000; ++i)
      s.give([&completed, i](call_table& t) {
        t.submit(call(static_cast<std::uint64_t>(i)), noon);
        return [&completed, i] { completed.push_back(i); };
      });
    l.until_idle(s);
  }
  REQUIRE(completed.size() == 1000);
  for (int i = 0; i < 1000; ++i) CHECK(completed[static_cast<std::size_t>(i)] == i);
  spool again(dir.file("spool"), {}, noon, [] {});
  CHECK(again.at_opening().queued == 1000);
}

TEST_CASE("large results are read as they are delivered, whoever asks for how many") {
  const test::temp_dir dir;
  loop l;
  spool s(dir.file("spool"), {}, noon, [&] { l.wake(); });
  constexpr std::size_t mib = 1024 * 1024;
  const auto wanted = call(1);
  s.give([&](call_table& t) {
    t.submit(wanted, noon);
    for (const auto& due : t.start("m", 1, mib, false, noon).calls)
      t.finish(due.number, {status::ok, {}, {}, std::string(mib, 'r')}, noon);
    return nullptr;
  });
  testing::semaphore all_given{0};
  s.give([&](call_table&) {
    CHECK(all_given.try_acquire_for(std::chrono::seconds(30)));
    return nullptr;
  });
  std::size_t bytes = 0;
  std::size_t all = 0;
  for (int i = 0; i < 100; ++i)
    s.give([&](call_table& t) {
      return [&, found = t.find(wanted.id, 0)] { bytes += found.value().result.size(); };
    });
  all_given.release();
  std::size_t most = 0;
  while (!s.idle()) {
    l.until_woken_again();
    s.deliver();
    most = std::max(most, bytes);
    all += std::exchange(bytes, 0);
  }
  CHECK(all == 100 * mib);
  CHECK(most < 2 * spool::most_bytes_read);
}

TEST_CASE("what is given before the end is still written") {
  const test::temp_dir dir;
  {
    spool s(dir.file("spool"), {}, noon, [] {});
    s.give([](call_table& t) {
      t.submit(call(1), noon);
      return nullptr;
    });
  }
  spool again(dir.file("spool"), {}, noon, [] {});
  CHECK(again.at_opening().queued == 1);
}

TEST_CASE("without space submissions are refused, and outcomes written when there is some") {
  const test::temp_dir dir;
  loop l;
  spool* opened = nullptr;
  std::atomic<bool> watching{false};
  std::atomic<int> idle_with_work{0};
  spool s(dir.file("spool"), {}, noon, [&] {
    // Whoever is told of the failure must not find the spool idle: work is left.
    if (watching && !opened->trouble().empty() && opened->idle()) ++idle_with_work;
    l.wake();
  });
  opened = &s;
  const auto limit = [&](const std::string& pages) {
    bool set = false;
    s.give([&set, pages](call_table& t) {
      // The largest size is a property of the connection: as good as a disk of that size.
      (void)t.file().number("PRAGMA max_page_count=" + pages);
      return [&set] { set = true; };
    });
    l.until_idle(s);
    REQUIRE(set);
  };
  limit("20");
  std::string refused;
  bool stored = false;
  auto large = call(1);
  large.arguments = std::string(1 << 20, 'x');
  s.give(
      [large](call_table& t) {
        t.submit(large, noon);
        return nullptr;
      },
      [&](const std::string& why) { refused = why; });
  l.until_idle(s);
  CHECK(refused == dir.file("spool") + " cannot be written: no space is left");
  // What has not had to write says nothing of that.
  s.give([](call_table&) { return nullptr; });
  l.until_idle(s);
  CHECK_FALSE(s.trouble().empty());

  int tries = 0;
  watching = true;
  s.give([&, large](call_table& t) {
    // Somebody makes room on the disk before the second try.
    if (++tries == 2) (void)t.file().number("PRAGMA max_page_count=100000");
    t.submit(large, noon);
    return [&] { stored = true; };
  });
  l.until_idle(s);
  CHECK(stored);
  CHECK(tries == 2);
  CHECK(idle_with_work == 0);
  CHECK(s.trouble().empty());
}

TEST_CASE("without space reads do not wait for outcomes that do") {
  const test::temp_dir dir;
  loop l;
  spool s(dir.file("spool"), {}, noon, [&] { l.wake(); });
  testing::semaphore all_given{0};
  s.give([&](call_table& t) {
    t.submit(call(1), noon);
    (void)t.file().number("PRAGMA max_page_count=20");
    return nullptr;
  });
  l.until_idle(s);
  int tries = 0;  // not for ever, whatever becomes of the reads
  bool stored = false;
  std::atomic<int> found = 0;
  std::vector<bool> stored_before;
  auto large = call(2);
  large.arguments = std::string(1 << 20, 'x');
  s.give([&, large](call_table& t) {
    ++tries;
    CHECK((tries > 1 || all_given.try_acquire_for(std::chrono::seconds(30))));
    if (tries == 5 || found == 2) (void)t.file().number("PRAGMA max_page_count=100000");
    t.submit(large, noon);
    return [&] { stored = true; };
  });
  const auto read = [&](call_table& t) -> spool::completion {
    const bool here = t.find(call(1).id, 0).has_value();
    return [&, here] {
      found += here ? 1 : 0;
      stored_before.push_back(stored);
    };
  };
  s.ask(read);  // in one transaction with what cannot be written
  all_given.release();
  while (s.trouble().empty()) {
    l.until_woken_again();
    s.deliver();
  }
  s.ask(read);  // while it waits
  l.until_idle(s);
  CHECK(stored);
  CHECK(found == 2);
  CHECK(stored_before == std::vector<bool>{false, false});
}

TEST_CASE("a file that cannot be used any more ends whoever uses it, with the reason") {
  const test::temp_dir dir;
  loop l;
  spool s(dir.file("spool"), {}, noon, [&] { l.wake(); });
  bool completed = false;
  s.give([&](call_table&) -> spool::completion {
    throw error(exit_code::io, "reading or writing spool: Input/output error");
  });
  s.give([&](call_table&) { return [&] { completed = true; }; });
  CHECK_THROWS_AS(
      {
        for (;;) l.until_idle(s);
      },
      error);
  CHECK_FALSE(completed);
}

TEST_CASE("a spool that has failed is not idle, but says so to whoever asks") {
  const test::temp_dir dir;
  loop l;
  spool s(dir.file("spool"), {}, noon, [&] { l.wake(); });
  s.give([](call_table&) -> spool::completion {
    throw error(exit_code::io, "reading or writing spool: Input/output error");
  });
  l.until_woken();
  CHECK_FALSE(s.idle());
  CHECK_THROWS_AS(s.deliver(), error);
}

}  // namespace spool_test
