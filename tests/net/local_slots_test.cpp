#include "running_nodes.hpp"

#include <weir/local_slots.hpp>
#include <weir/sink.hpp>
#include <weir/ventilator.hpp>
#include <weir/worker.hpp>

#include <doctest/doctest.h>

#include <atomic>
#include <map>
#include <memory>
#include <string>
#include <thread>

namespace local_slots_test {

namespace {

using namespace weir;

struct counting final : result_store {
  explicit counting(std::map<std::string, int>& in) : seen(in) {}
  void write(const results& some) override {
    for (std::uint32_t i = 0; i < some.size(); ++i)
      ++seen[some[i].code == status::ok ? std::string(some[i].payload) : "failed"];
  }
  std::map<std::string, int>& seen;
};

}  // namespace

TEST_CASE("a ventilator with slots of its own needs nobody else") {
  std::map<std::string, int> seen;
  ventilator v({}, std::make_unique<counting>(seen),
               local_slots(2, [](task& t) { return "<" + std::string(t.payload()) + ">"; }));
  for (int n = 0; n < 1000; ++n) v.submit(std::to_string(n));
  CHECK(v.wait());
  CHECK(seen.size() == 1000);
  CHECK(seen["<999>"] == 1);
}

TEST_CASE("who waits to submit is told at once that there is room") {
  std::map<std::string, int> seen;
  ventilator_options options;
  options.window = 2;
  options.heartbeat = std::chrono::seconds(60);  // nothing else wakes the loop
  ventilator v(options, std::make_unique<counting>(seen),
               local_slots(2, [](task& t) { return std::string(t.payload()); }));
  for (int n = 0; n < 2000; ++n) v.submit(std::to_string(n));
  CHECK(v.wait());
  CHECK(seen.size() == 2000);
}

TEST_CASE("a ventilator's tasks have commands, or have none, and its own slots need a store") {
  const local_slots here(1, [](task& t) { return std::string(t.payload()); });
  std::map<std::string, int> seen;
  ventilator v({}, std::make_unique<counting>(seen), here);
  v.submit("one");
  CHECK_THROWS_WITH_AS(v.submit("two", "command"),
                       "submit: either each task has a command, or none has", weir::error);
  CHECK(v.wait());
  CHECK(seen == std::map<std::string, int>{{"one", 1}});
  CHECK_THROWS_AS(ventilator({}, nullptr, here), weir::error);
}

TEST_CASE("a sink that would wait for no ventilator at all is a mistake") {
  sink_options options;
  options.bind = {"tcp://127.0.0.1:*"};
  options.ventilators = 0;
  CHECK_THROWS_WITH_AS(sink(options, [](const result&) {}), "ventilators must be at least 1",
                       weir::error);
}

TEST_CASE("workers that connect share the tasks with the ventilator's own slots") {
  std::map<std::string, int> seen;
  std::atomic<bool> helped = false;
  ventilator_options options;
  const net_test::folder here;
  options.bind = {here.endpoint("tasks")};
  ventilator v(options, std::make_unique<counting>(seen), local_slots(1, [&](task& t) {
                 // Until the other one has come: so both have work.
                 while (!helped && !t.cancelled()) std::this_thread::yield();
                 return std::string("here");
               }));
  std::thread other([&] {
    worker w{{{.connect = v.endpoints()}, 1}, [&](task&) {
               helped = true;
               return std::string("there");
             }};
    w.run();
  });
  for (int n = 0; n < 100; ++n) v.submit("x");
  CHECK(v.wait());
  other.join();
  CHECK(seen["here"] + seen["there"] == 100);
  CHECK(seen["here"] > 0);
  CHECK(seen["there"] > 0);
}

TEST_CASE("max_failures is how often a task may fail by itself") {
  std::map<std::string, int> seen;
  std::atomic<int> calls = 0;
  ventilator_options options;
  options.max_attempts = 5;
  options.max_failures = 2;
  options.retry_delay = std::chrono::milliseconds(0);
  ventilator v(options, std::make_unique<counting>(seen), local_slots(1, [&](task&) {
                 ++calls;
                 throw task_error(status::unknown, "no");
               }));
  v.submit("x");
  CHECK(v.wait());
  CHECK(calls == 2);
  CHECK(seen["failed"] == 1);
}

TEST_CASE("stop ends what runs in the ventilator's own slots") {
  std::map<std::string, int> seen;
  std::atomic<bool> begun = false;
  ventilator v({}, std::make_unique<counting>(seen), local_slots(1, [&](task& t) {
                 begun = true;
                 while (!t.cancelled()) std::this_thread::yield();
               }));
  v.submit("x");
  while (!begun) std::this_thread::yield();
  v.stop();
  CHECK(!v.wait_for_end());
  CHECK(seen.empty());
}

}  // namespace local_slots_test
