// Which worker gets a call, and which gets it again: over real sockets.
#include "running_nodes.hpp"
#include "support/semaphore.hpp"

#include <weir/client.hpp>

#include <doctest/doctest.h>

#include <atomic>
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace rpc_client_attempts_test {

using namespace net_test;
using weir::call_context;
using weir::client;
using weir::rpc_error;
using weir::status;
using weir::testing::semaphore;

namespace {

/// Workers with the same methods, and a client that calls them directly or through a gateway.
struct scene {
  enum class way { direct, gateway };

  folder sockets;
  std::optional<running_gateway> gateway;
  std::vector<std::unique_ptr<running_worker>> workers;
  std::optional<client> c;

  scene(way w, int count, const std::function<void(weir::worker&, int)>& offer) {
    weir::client_options options{{}, patience};
    if (w == way::gateway) {
      options.connect = {sockets.endpoint("g")};
      gateway.emplace(options.connect[0]);
    }
    for (int i = 0; i < count; ++i) {
      weir::worker_options o;
      o.slots = 4;
      if (w == way::gateway)
        o.connect = options.connect;
      else
        options.connect.push_back(o.bind.emplace_back(sockets.endpoint(std::to_string(i))));
      workers.push_back(std::make_unique<running_worker>(
          std::move(o), [&offer, i](weir::worker& worker) { offer(worker, i); }));
      seen.insert(i);
    }
    c.emplace(std::move(options));
    // All of them are there once each has been called. Keys spread the calls; without any, one
    // call after the other would stay with one worker.
    std::set<int> found;
    REQUIRE(eventually([&, n = 0]() mutable {
      try {
        const auto key = std::to_string(++n);
        found.insert(c->with({.deadline = 1s, .hash_key = key}).call<int>("who"));
      } catch (const rpc_error&) {
        found.clear();  // it is not offered yet
      }
      return found == seen;
    }));
  }
  std::set<int> seen;
};
constexpr auto ways = {scene::way::direct, scene::way::gateway};

status code_of(const std::function<void()>& call) {
  try {
    call();
  } catch (const rpc_error& e) {
    return e.code();
  }
  return status::ok;
}

}  // namespace

TEST_SUITE("attempts") {
  TEST_CASE("hedging: another worker answers, and the first is told to stop") {
    for (const auto w : ways) {
      std::atomic<int> runs{0};
      semaphore stopped;
      scene s(w, 2, [&](weir::worker& worker, int i) {
        worker.expose("who", [i] { return i; });
        worker.expose("quick or never",
                      [&, i](call_context& call) {
                        if (++runs > 1) return i;
                        wait_for_cancel(call);
                        stopped.release();
                        throw rpc_error(status::cancelled, "nobody waits");
                      },
                      {.idempotent = true});
      });
      (void)s.c->with({.hedge_after = 5ms}).call<int>("quick or never");
      CHECK(runs == 2);
      CHECK(stopped.try_acquire_for(patience));
      CHECK(s.c->stats().failed == 0);
    }
  }

  TEST_CASE("hedging: what may not be run twice is not, nor what is answered in time") {
    for (const auto w : ways) {
      std::atomic<int> runs{0};
      semaphore over;
      scene s(w, 2, [&](weir::worker& worker, int i) {
        worker.expose("who", [i] { return i; }, {.idempotent = true});
        worker.expose("once", [&] {
          ++runs;
          (void)over.try_acquire_for(patience);
        });
        worker.expose("count", [&] { return ++runs; }, {.idempotent = true});
      });
      CHECK(code_of([&] { s.c->with({.deadline = 100ms, .hedge_after = 1ms}).call("once"); }) ==
            status::deadline_exceeded);
      over.release();
      CHECK(runs == 1);
      CHECK(s.c->with({.hedge_after = patience}).call<int>("count") == 2);
      CHECK(runs == 2);
    }
  }

  TEST_CASE("retries: what another attempt may mend is tried again if that does no harm") {
    for (const auto w : ways) {
      std::mutex mutex;
      std::vector<std::uint32_t> attempts;
      const auto third_time = [&](call_context& call) {
        const std::lock_guard lock(mutex);
        attempts.push_back(call.attempt());
        if (attempts.size() < 3) throw rpc_error(status::unavailable, "not now");
      };
      const auto tried = [&] {
        const std::lock_guard lock(mutex);
        return std::exchange(attempts, {});
      };
      scene s(w, 2, [&](weir::worker& worker, int i) {
        worker.expose("who", [i] { return i; });
        worker.expose("harmless", third_time, {.idempotent = true});
        worker.expose("harmful", third_time);
        worker.expose("wrong",
                      [&](call_context& call) {
                        const std::lock_guard lock(mutex);
                        attempts.push_back(call.attempt());
                        throw rpc_error(status::invalid_argument, "never");
                      },
                      {.idempotent = true});
      });
      const auto all = std::vector<std::uint32_t>{1, 2, 3};
      const auto one = std::vector<std::uint32_t>{1};
      s.c->call("harmless");
      CHECK(tried() == all);
      CHECK(code_of([&] { s.c->call("harmful"); }) == status::unavailable);
      CHECK(tried() == one);
      s.c->with({.idempotent = true}).call("harmful");
      CHECK(tried() == all);
      s.c->with({.idempotency_key = "order 7"}).call("harmful");
      CHECK(tried() == all);
      CHECK(code_of([&] { s.c->with({.retries = 0}).call("harmless"); }) ==
            status::unavailable);
      CHECK(tried() == one);
      CHECK(code_of([&] { s.c->with({.retries = 1}).call("harmless"); }) ==
            status::unavailable);
      CHECK(tried() == std::vector<std::uint32_t>{1, 2});
      CHECK(code_of([&] { s.c->call("wrong"); }) == status::invalid_argument);
      CHECK(tried() == one);
    }
  }

  TEST_CASE("hash keys: calls with the same one go to the same worker, and keys are spread") {
    for (const auto w : ways) {
      scene s(w, 3,
              [&](weir::worker& worker, int i) { worker.expose("who", [i] { return i; }); });
      std::map<std::string, std::set<int>> by_key;
      std::set<int> workers;
      for (int round = 0; round < 5; ++round)
        for (int k = 0; k < 40; ++k) {
          const auto key = "user " + std::to_string(k);
          const int who = s.c->with({.hash_key = key}).call<int>("who");
          by_key[key].insert(who);
          workers.insert(who);
        }
      for (const auto& [key, who] : by_key) CHECK_MESSAGE(who.size() == 1, key);
      CHECK(workers.size() == 3);
    }
  }

  TEST_CASE("hash keys: when a worker goes, only its keys move") {
    for (const auto w : ways) {
      scene s(w, 3, [&](weir::worker& worker, int i) {
        worker.expose("who", [i] { return i; }, {.idempotent = true});
      });
      const auto who = [&](int k) {
        return s.c->with({.hash_key = std::to_string(k)}).call<int>("who");
      };
      std::vector<int> before;
      for (int k = 0; k < 40; ++k) before.push_back(who(k));
      s.workers.front().reset();
      for (int k = 0; k < 40; ++k) {
        const int now = who(k);
        if (before[static_cast<std::size_t>(k)] != 0)
          CHECK(now == before[static_cast<std::size_t>(k)]);
        else
          CHECK(now != 0);
      }
    }
  }
}

}  // namespace rpc_client_attempts_test
