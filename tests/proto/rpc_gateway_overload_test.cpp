// The gateway under more calls than its workers can do, on a simulated clock.
#include "rpc_gateway_fixture.hpp"

#include <deque>
#include <vector>

namespace rpc_gateway_overload_test {

using namespace weir;
using namespace weir::proto;
using namespace weir::proto::dialogue;
using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::seconds;

namespace {
/// A client that calls at a steady rate, and a worker that does one call at a time.
struct load : gateway {
  struct figures {
    std::uint64_t in_time = 0;  // answered with OK before the deadline
    std::uint64_t refused = 0;
    duration slowest{};
  };
  duration takes = milliseconds(1);  // one call: 1000 a second
  std::deque<std::uint64_t> at_worker{};
  time_point worker_free = t0;
  std::vector<time_point> made{};  // by number - 1

  explicit load(std::uint64_t window_calls) {
    client_joins(client);
    worker_joins(worker, {method("work")}, window_calls);
  }

  figures run(duration span, double calls_per_ms, std::uint32_t ttl_ms) {
    figures f;
    double owed = 0;
    for (const time_point end = now + span; now < end;) {
      now += milliseconds(1);
      if (now.time_since_epoch() % milliseconds(500) < milliseconds(1)) {
        hears(client, alive{});
        hears(worker, alive{});
      }
      for (owed += calls_per_ms; owed >= 1; owed -= 1) {
        made.push_back(now);
        hears(client, call_batch{0, {{made.size(), "work", ttl_ms, tasks(1, 64), {}}}});
      }
      while (!at_worker.empty() && worker_free + takes <= now) {
        worker_free = std::max(worker_free, now - milliseconds(1)) + takes;
        reply_run done;
        done.first = at_worker.front();
        done.results = pack::of("r");
        at_worker.pop_front();
        hears(worker, reply_batch{{done}});
      }
      machine.tick(now, out);
      for (auto& o : std::exchange(out.sends, {})) {
        if (const auto* b = std::get_if<call_batch>(&o.what)) {
          if (at_worker.empty()) worker_free = std::max(worker_free, now - milliseconds(1));
          for (const auto& r : b->runs)
            for (std::uint64_t n = r.first; n <= r.last(); ++n) at_worker.push_back(n);
        } else if (const auto* b2 = std::get_if<reply_batch>(&o.what)) {
          for (const auto& r : b2->runs) count(r, ttl_ms, f);
        }
      }
    }
    return f;
  }
  void count(const reply_run& r, std::uint32_t ttl_ms, figures& f) {
    for (std::uint64_t n = r.first; n <= r.last(); ++n) {
      const duration took = now - made[n - 1];
      if (r.code != status::ok) {
        ++f.refused;
        continue;
      }
      f.slowest = std::max(f.slowest, took);
      if (took <= milliseconds(ttl_ms)) ++f.in_time;
    }
  }
};
}  // namespace

TEST_CASE("at ten times what the workers can do, they do useful work all the time") {
  load l(20);
  (void)l.run(seconds(3), 10, 1000);  // until it has settled
  const auto f = l.run(seconds(5), 10, 1000);
  CHECK(f.in_time >= 4000);  // of 5000 that they can do at best
  CHECK(f.refused > 40'000);
  CHECK(f.slowest <= seconds(1));
}

TEST_CASE("calls with much time do not make those with little wait in vain") {
  load l(20);
  (void)l.run(seconds(3), 10, 10'000);
  const auto f = l.run(seconds(2), 10, 200);
  // These find a queue that is longer than their time, and are told so at once.
  CHECK(f.in_time + f.refused > 0);
  CHECK(l.machine.stats().expired == 0);
}

TEST_CASE("a load that can just be done is not refused") {
  load l(20);
  const auto f = l.run(seconds(5), 0.95, 1000);
  CHECK(f.refused == 0);
  CHECK(f.in_time >= 4700);
}

TEST_CASE(
    "a burst that can be done in time is not refused, however slow the calls were before") {
  load l(20);
  (void)l.run(seconds(10), 0.01, 1000);
  for (int i = 0; i < 400; ++i) {
    l.made.push_back(l.now);
    l.hears(client, call_batch{0, {{l.made.size(), "work", 1000, tasks(1, 64), {}}}});
  }
  const auto f = l.run(seconds(1), 0, 1000);
  CHECK(f.refused == 0);
  CHECK(f.in_time >= 400);
}

}  // namespace rpc_gateway_overload_test
