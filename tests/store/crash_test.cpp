// A process that uses a spool is killed at any moment, again and again.
#include "proto/backoff.hpp"
#include "proto/rpc/call_id.hpp"
#include "store/spool.hpp"
#include "support/semaphore.hpp"
#include "temp_dir.hpp"

#include <doctest/doctest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <map>

namespace crash_test {

using namespace weir;
using namespace weir::store;

namespace {

constexpr unix_ms noon = 1'800'000'000'000;
constexpr std::uint64_t calls_each = 300;
/// What a victim says when something is durable: a kind and the call's number.
enum class word : std::uint8_t { submitted = 'S', started = 'R', done = 'D', dead = 'X' };
struct saying {
  word what;
  std::uint64_t call;
};

std::string id(std::uint64_t n) { return proto::make_call_id(noon, n, n); }
std::uint64_t number(const due_call& c) { return std::stoull(c.arguments.substr(1)); }

/// Submits and runs calls, and tells what is durable. Never returns.
class victim {
 public:
  victim(const std::string& path, int to, std::uint64_t first)
      : to_(to), spool_(path, {}, noon, [this] { news_.release(); }) {
    for (std::uint64_t n = first; n < first + calls_each; ++n) submit(n);
    start();
    for (;;) {
      news_.acquire();
      spool_.deliver();
    }
  }

 private:
  void say(word what, std::uint64_t call) const {
    const saying s{what, call};
    if (::write(to_, &s, sizeof s) != sizeof s) ::_exit(1);
  }
  void submit(std::uint64_t n) {
    spool_.give([this, n](call_table& t) {
      t.submit({.id = id(n),
                .method = "m",
                .arguments = "\x91" + std::to_string(n),
                .priority = static_cast<std::uint8_t>(n % 10),
                .retries = static_cast<std::uint32_t>(n % 3)},
               noon);
      return [this, n] { say(word::submitted, n); };
    });
  }
  void start() {
    spool_.give([this](call_table& t) {
      return [this, some = t.start("m", 7, 1 << 20, false, noon + 1'000'000'000)] {
        for (const auto& c : some.calls) {
          say(word::started, number(c));
          finish(c);
        }
        start();
      };
    });
  }
  void finish(const due_call& c) {
    // Every fifth fails.
    attempt_result how{status::ok, "", "", "\x2a"};
    if (number(c) % 5 == 0) how = {status::unknown, "out of luck", "", ""};
    spool_.give([this, c, how](call_table& t) {
      return [this, c, settled = t.finish(c.number, how, noon)] {
        if (settled && settled->ended)
          say(settled->report.state == call_state::done ? word::done : word::dead, number(c));
      };
    });
  }

  int to_;
  weir::testing::semaphore news_{0};
  spool spool_;
};

/// Lets a victim work until it has said `most` words, then kills it. What it had said counts.
std::vector<saying> suffer(const std::string& path, std::uint64_t first, std::size_t most) {
  std::array<int, 2> pipe{};
  REQUIRE(::pipe(pipe.data()) == 0);
  const pid_t child = ::fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    ::close(pipe[0]);
    try {
      const victim v(path, pipe[1], first);
    } catch (const std::exception&) {
    }
    ::_exit(1);
  }
  ::close(pipe[1]);
  std::vector<saying> said;
  saying s{};
  while (::read(pipe[0], &s, sizeof s) == sizeof s) {
    said.push_back(s);
    if (said.size() == most) ::kill(child, SIGKILL);
  }
  ::close(pipe[0]);
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  CHECK(WIFSIGNALED(status));
  return said;
}

}  // namespace

TEST_CASE("kill -9 at any moment: what was acknowledged stays as it was") {
  const test::temp_dir dir;
  const auto path = dir.file("spool");
  proto::random_bits random(2026);
  std::map<std::uint64_t, std::uint32_t> starts;  // said so
  std::map<std::uint64_t, call_state> outcomes;   // known; queued: none yet
  for (std::uint64_t round = 0; round < 25; ++round) {
    const auto most = 1 + random.next() % (3 * calls_each);
    for (const auto& s : suffer(path, 1 + round * calls_each, most)) {
      if (s.what == word::submitted) outcomes.emplace(s.call, call_state::queued);
      if (s.what == word::started) ++starts[s.call];
      if (s.what == word::done) outcomes[s.call] = call_state::done;
      if (s.what == word::dead) outcomes[s.call] = call_state::dead;
    }
    call_table table(path, {}, noon);
    CHECK(table.count(call_state::running) == 0);
    for (auto& [n, known] : outcomes) {
      const auto found = table.find(id(n), 0);
      REQUIRE(found);
      CHECK(found->attempts >= starts[n]);
      CHECK(found->attempts <= n % 3 + 1);
      if (has_ended(known)) CHECK(found->state == known);
      if (has_ended(found->state)) known = found->state;
    }
  }
  // With nobody to kill it, everything comes to an end.
  call_table table(path, {}, noon);
  for (;;) {
    const auto some = table.start("m", 1000, 1 << 24, false, noon + 1'000'000'000);
    for (const auto& c : some.calls) table.finish(c.number, {status::ok, "", "", "\x2a"}, noon);
    if (some.next == never) break;
  }
  for (const auto& [n, known] : outcomes) CHECK(has_ended(table.find(id(n), 0)->state));
}

}  // namespace crash_test
