// A worker that offers methods: how windows are shared, and what it answers itself.
#include "rpc_service_fixture.hpp"

namespace rpc_service_windows_test {

using namespace std::chrono_literals;
using namespace weir;
using namespace weir::proto;
using namespace weir::proto::dialogue;

TEST_SUITE("service: windows") {
  TEST_CASE("the window grows to what the slots do in a tenth of a second") {
    service w;
    std::uint64_t window_is = 2;
    for (std::uint64_t n = 1; n < 10; ++n) {
      w.gets(n, 1);
      (void)w.starts();
      w.finishes(n, n, 100us);
      w.tick(1ms);
      for (const auto& s : w.out.sends)
        if (const auto* told = std::get_if<window>(&s.what)) {
          CHECK(told->items <= window_is * 8);
          window_is = told->items;
        }
      w.out.sends.clear();
    }
    CHECK(window_is == 2000);
  }

  TEST_CASE("of slow calls no more are asked for than there are slots") {
    service w;
    w.measures(1s);
    CHECK(w.machine.stats().window == 2);
  }

  TEST_CASE("callers that send calls share the window equally, idle ones have a little") {
    service w(service::defaults(4));
    w.client_joins(10);
    w.client_joins(11);
    std::uint64_t n = 1;
    for (; n < 20; ++n) {
      w.gets(n, 1);
      w.gets(n, 1, "echo", {}, 10);
      w.out.calls.clear();
      w.finishes(n, n, 1ms);
      w.finishes(n, n, 1ms, 10);
      w.tick(1ms);
    }
    CHECK(w.machine.stats().window == 200 + 200 + 4);
    // One of them falls silent: the other has its share.
    for (const auto end = w.now + 2s; w.now < end; ++n) {
      w.gets(n, 1);
      w.out.calls.clear();
      w.finishes(n, n, 1ms);
      w.hears(10, alive{});
      w.hears(11, alive{});
      w.tick(100ms);
    }
    CHECK(w.machine.stats().window == 400 + 4 + 4);
  }

  TEST_CASE("a slow call now and then does not close the window for the quick ones") {
    service w;
    std::uint64_t n = 1;
    for (; n < 1000; ++n) {
      w.gets(n, 1);
      w.out.calls.clear();
      w.finishes(n, n, n % 100 == 0 ? 20ms : 10us);
      w.tick(10us);
    }
    // On average a call takes 0.2 ms.
    CHECK(w.machine.stats().window > 500);
    CHECK(w.machine.stats().window < 2000);
  }
}

TEST_SUITE("service: its own methods") {
  std::string answer(service & w, const std::string& name, std::string arguments = "\x90") {
    static std::uint64_t next = 1000;
    call_run run{next, name, 1000, pack::of(std::move(arguments)), nullptr};
    w.hears(1, call_batch{0, {run}});
    w.tick();
    const auto r = w.replied();
    CHECK(r.first == next++);
    CHECK(r.code == status::ok);
    return std::string(r.results[0]);
  }

  TEST_CASE("it says who it is, what it offers and how it is, without a slot") {
    service w;
    w.gets(1, 5);
    CHECK(answer(w, "weir.ping").find("worker9") != std::string::npos);
    const std::string services = answer(w, "weir.services");
    CHECK(services.find("echo") != std::string::npos);
    CHECK(services.find("slow") != std::string::npos);
    CHECK(answer(w, "weir.stats").find("latency") != std::string::npos);
  }

  TEST_CASE("gateways are told now and then what clients have called directly") {
    service w;
    w.client_joins(10);
    w.out.sends.clear();
    w.gets(1, 2, "echo", {}, 10);
    CHECK(find<direct_calls>(w.out, 1) == direct_calls{{{"echo", 2}}});
    w.gets(1, 5, "count");  // by the gateway
    w.gets(3, 1, "echo", {}, 10);
    w.gets(4, 1, "count", {}, 10);
    CHECK(count<direct_calls>(w.out) == 0);
    CHECK(w.machine.next_deadline() <= t0 + 1s);
    w.tick(1s);
    CHECK(find<direct_calls>(w.out, 1) == direct_calls{{{"echo", 3}, {"count", 1}}});
    w.tick(2s);
    CHECK(count<direct_calls>(w.out) == 0);
    // Whoever joins later is told all of it.
    w.hears(11, hello{wire_version, who(role::gateway, 11)});
    w.tick();
    CHECK(find<direct_calls>(w.out, 11) == direct_calls{{{"echo", 3}, {"count", 1}}});
  }

  TEST_CASE("a built-in method that workers do not have is UNIMPLEMENTED") {
    service w;
    w.gets(1, 1, "weir.route");
    CHECK(w.replied().code == status::unimplemented);
  }

  TEST_CASE("thousands of questions in one message are not all answered") {
    service w;
    w.gets(1, 16'000, "weir.stats");
    std::uint64_t answered = 0;
    std::uint64_t bytes = 0;
    for (const auto& s : w.out.sends)
      if (const auto* batch = std::get_if<reply_batch>(&s.what))
        for (const auto& run : batch->runs) {
          answered += run.results.size();
          bytes += run.results.bytes();
        }
    CHECK(answered == 16'000);
    CHECK(bytes <= 1024 * 1024);
  }

  TEST_CASE("it drains when asked by its name, not by another's") {
    service w;
    CHECK(answer(w, "weir.drain", std::string("\x91\xa1x", 3)) == "\x90");
    CHECK(!w.machine.draining());
    CHECK(answer(w, "weir.drain").find("worker9") != std::string::npos);
    CHECK(w.machine.draining());
  }
}

}  // namespace rpc_service_windows_test
