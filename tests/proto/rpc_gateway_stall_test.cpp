// Clients that do not read what the gateway sends them, or not as fast as it comes.
#include "rpc_gateway_fixture.hpp"

namespace rpc_gateway_stall_test {

using namespace weir;
using namespace weir::proto;
using namespace weir::proto::dialogue;
using std::chrono::milliseconds;
using std::chrono::seconds;

namespace {
constexpr std::uint32_t slow = 1;
constexpr std::uint32_t other = 2;
constexpr std::size_t mib = 1024 * 1024;

/// Two clients and a worker that offers "add".
struct two_clients : gateway {
  explicit two_clients(method_info what = method("add"), gateway_state::options o = {})
      : gateway(o) {
    client_joins(slow);
    client_joins(other);
    worker_joins(worker, {std::move(what)}, 1000);
  }
  void stalls(bool is = true) { machine.link_stalled(peer_id{slow}, is); }
  std::uint64_t given_now() {
    const std::uint64_t n = given_count(worker);
    forget_sends();
    return n;
  }
};
}  // namespace

TEST_CASE("calls of a client that does not read are set aside, and those of others go on") {
  two_clients g;
  g.calls(slow, "add");
  CHECK(g.given_now() == 1);
  g.stalls();
  g.calls(slow, "add", 50);
  CHECK_FALSE(g.given_any(worker));
  g.calls(other, "add", 20);
  CHECK(g.given_now() == 20);
  CHECK(g.machine.stats().queued == 50);
  // What was with the worker is answered all the same.
  g.replies(worker, 1);
  CHECK(g.answered(slow).code == status::ok);
  CHECK_FALSE(g.given_any(worker));

  g.stalls(false);
  g.tick();
  CHECK(g.given_now() == 50);
  CHECK(g.machine.stats().queued == 0);
}

TEST_CASE("calls that are set aside have their deadlines, and can be cancelled") {
  two_clients g;
  g.calls(slow, "add");
  g.forget_sends();
  g.stalls();
  const auto hurried = g.calls(slow, "add", 2, {}, 1000);
  const auto unwanted = g.calls(slow, "add");
  g.hears(slow, cancel_calls{{{unwanted, unwanted}}, "enough"});
  g.tick();
  const auto cancelled = g.answered(slow);
  CHECK(cancelled.first == unwanted);
  CHECK(cancelled.code == status::cancelled);
  CHECK(cancelled.details[0].never_started);

  CHECK(g.machine.next_deadline() <= g.now + seconds(1));
  g.tick(milliseconds(999));
  CHECK(silent(g.out));
  g.tick(milliseconds(1));
  const auto late = g.answered(slow);
  CHECK(late.first == hurried);
  CHECK(late.results.size() == 2);
  CHECK(late.code == status::deadline_exceeded);
  CHECK(g.machine.stats().queued == 0);
  g.stalls(false);
  g.tick();
  CHECK_FALSE(g.given_any(worker));
}

TEST_CASE("what is set aside goes on in its order, the more urgent first") {
  two_clients g;
  g.calls(slow, "add");
  g.forget_sends();
  g.stalls();
  g.calls(slow, "add", 2, {}, 5000, 1);
  g.calls(slow, "add", 3, {}, 5000, 2);
  g.calls(slow, "add", 1, gateway::with([](call_options& o) { o.priority = 9; }), 5000, 3);
  g.stalls(false);
  g.tick();
  const auto runs = g.given(worker);
  REQUIRE(runs.size() == 3);
  CHECK(runs[0].arguments.length(0) == 3);
  CHECK(runs[1].arguments.length(0) == 1);
  CHECK(runs[2].arguments.length(0) == 2);
}

TEST_CASE(
    "a client whose replies are large has no more calls at workers than replies may wait") {
  two_clients g;
  g.calls(slow, "add");
  CHECK(g.given_now() == 1);
  g.replies(worker, 1, 1, std::string(mib, 'x'));
  g.forget_sends();
  g.calls(slow, "add", 100);
  CHECK(g.given_now() == 16);
  // Each reply lets another one go, whoever else calls meanwhile.
  g.calls(other, "add", 1, gateway::with([](call_options& o) { o.no_reply = true; }));
  CHECK(g.given_now() == 1);
  std::uint64_t next = 2;
  for (; next <= 17; ++next) {
    g.replies(worker, next, 1, std::string(mib, 'x'));
    CHECK(g.given_now() == 1);
  }
  CHECK(g.machine.stats().running == 16);
  // Small ones make room again, little by little.
  std::uint64_t more = 0;
  for (next = 19; next <= 34; ++next) {  // 18 was the notification
    g.replies(worker, next);
    more += g.given_now();
  }
  CHECK(more > 30);
  CHECK(more < 84);
}

TEST_CASE("a client without a reply yet is taken to get what others get") {
  two_clients g;
  for (std::uint64_t n = 1; n <= 40; ++n) {
    g.calls(slow, "add");
    g.replies(worker, n, 1, std::string(mib, 'x'));
  }
  g.forget_sends();
  g.calls(other, "add", 100);
  CHECK(g.given_now() == 16);
}

TEST_CASE("small replies set no bound beside the window") {
  two_clients g;
  g.calls(slow, "add", 500);
  CHECK(g.given_now() == 500);
  g.replies(worker, 1, 500, std::string(1024, 'x'));
  g.forget_sends();
  g.calls(slow, "add", 1000);
  CHECK(g.given_now() == 1000);
}

TEST_CASE("one reply larger than all that may wait is waited for nevertheless") {
  two_clients g;
  g.calls(slow, "add");
  g.given_now();
  g.replies(worker, 1, 1, std::string(17 * mib, 'x'));
  g.forget_sends();
  g.calls(slow, "add", 2);
  CHECK(g.given_now() == 1);
  g.replies(worker, 2);
  CHECK(g.given_now() == 1);
}

TEST_CASE("calls that are set aside take no room in the queue from others") {
  gateway_state::options o;
  o.queue_calls = 10;
  two_clients g(gateway::method("add"), o);
  g.calls(slow, "add");
  g.forget_sends();
  g.stalls();
  for (int i = 0; i < 5; ++i) g.calls(slow, "add", 10);
  CHECK(silent(g.out));
  g.hears(worker, window{0, 0, false, {}});
  g.hears(worker, window{1, 1 << 20, false, {}});
  g.calls(other, "add", 10);
  CHECK(silent(g.out));
  CHECK(g.machine.stats().queued == 60);
  g.calls(other, "add");
  CHECK(g.answered(other).code == status::resource_exhausted);
}

TEST_CASE("with busy workers what was set aside goes on in its order, and in nobody's way") {
  gateway_state::options o;
  o.queue_calls = 10;
  two_clients g(gateway::method("add"), o);
  g.calls(slow, "add");
  g.replies(worker, 1, 1, std::string(mib, 'x'));
  g.forget_sends();
  g.stalls();
  std::string wanted;
  for (char name = 'A'; name <= 'Z'; ++name) {
    g.call_with(slow, "add", std::string(1, name));
    wanted += name;
  }
  g.hears(worker, window{4, 1 << 20, false, {}});
  g.stalls(false);
  std::string got;
  std::uint64_t others = 0;
  for (std::uint64_t n = 2; n <= 37; ++n) {
    g.tick();
    g.tick();
    g.tick();
    for (const auto& sent : std::exchange(g.out.sends, {}))
      if (const auto* b = std::get_if<call_batch>(&sent.what))
        for (const auto& run : b->runs)
          for (std::uint32_t i = 0; i < run.arguments.size(); ++i)
            run.arguments.length(i) == 1 ? void(got += run.arguments[i]) : void(++others);
    if (n == 2) {
      CHECK(got == "ABCD");
      g.calls(other, "add", 10);
      CHECK(silent(g.out));  // none is refused
    }
    g.replies(worker, n, 1, std::string(mib, 'x'));
  }
  CHECK(got == wanted);
  CHECK(others == 10);
}

TEST_CASE("without a worker calls that are set aside are told so, like others") {
  two_clients g;
  const auto running = g.calls(slow, "add");
  g.forget_sends();
  g.stalls();
  g.calls(slow, "add", 3);
  g.hears(worker, bye{});
  g.tick();
  std::uint64_t failed = 0;
  for (const auto& sent : std::exchange(g.out.sends, {}))
    if (const auto* b = std::get_if<reply_batch>(&sent.what))
      for (const auto& run : b->runs) {
        CHECK(run.code == status::unavailable);
        failed += run.results.size();
      }
  CHECK(failed == 4);
  CHECK(running == 1);
  CHECK(g.machine.stats().queued == 0);
}

TEST_CASE("a gateway that leaves does not wait for clients that do not read") {
  two_clients g;
  g.calls(slow, "add");
  g.forget_sends();
  g.stalls();
  g.calls(slow, "add", 3);
  g.machine.drain(g.now, g.out);
  g.forget_sends();
  g.tick();
  const auto refused = g.answered(slow);
  CHECK(refused.results.size() == 3);
  CHECK(refused.code == status::unavailable);
  CHECK(refused.details.at(0).never_started);
  CHECK_FALSE(g.machine.done());  // one runs
  g.replies(worker, 1);
  CHECK(g.machine.done());
}

TEST_CASE("a client that comes back over a new connection has read what it wanted to") {
  two_clients g;
  g.calls(slow, "add");
  g.forget_sends();
  g.stalls();
  g.calls(slow, "add", 3);
  CHECK_FALSE(g.given_any(worker));
  g.machine.link_down(peer_id{slow}, g.now);
  g.hears(7, hello{wire_version, who(role::client, slow)});
  g.tick();
  CHECK(g.given_count(worker) == 3);
}

TEST_CASE("a client that begins again on the same connection has not read anything thereby") {
  two_clients g;
  g.calls(slow, "add");
  g.forget_sends();
  g.stalls();
  g.hears(slow, hello{wire_version, who(role::client, slow)});
  g.tick();
  CHECK(find<window>(g.out, slow).items > 0);
  g.calls(slow, "add", 3);
  CHECK_FALSE(g.given_any(worker));
  g.stalls(false);
  g.tick();
  CHECK(g.given_count(worker) == 3);
}

TEST_CASE("a client that does not read gains nothing by beginning anew with its first call") {
  two_clients g;
  SUBCASE("as nobody has called on this connection") { g.stalls(); }
  SUBCASE("as another session") {
    g.calls(slow, "add");
    g.stalls();
    g.hears(slow, hello{wire_version, who(role::client, 77)});
    g.tick();
  }
  g.forget_sends();
  g.calls(slow, "add", 3);
  CHECK_FALSE(g.given_any(worker));
  g.stalls(false);
  g.tick();
  CHECK(g.given_count(worker) == 3);
}

TEST_CASE("when a client that does not read goes, its calls go with it") {
  two_clients g;
  g.calls(slow, "add");
  g.forget_sends();
  g.stalls();
  g.calls(slow, "add", 3);
  g.hears(slow, bye{});
  g.tick();
  CHECK(g.machine.stats().queued == 0);
  g.forget_sends();
  // Its place is another's now.
  g.client_joins(3);
  g.replies(worker, 1);
  g.calls(3, "add");
  CHECK(g.given_now() == 1);
}

TEST_CASE("calls with keys are held back like others, and come to nothing less") {
  two_clients g;
  g.calls(slow, "add");
  g.replies(worker, 1, 1, std::string(mib, 'x'));
  g.forget_sends();
  g.stalls();
  for (int i = 0; i < 100; ++i)
    g.calls(slow, "add", 1,
            gateway::with([i](call_options& o) { o.idempotency_key = std::to_string(i); }));
  CHECK_FALSE(g.given_any(worker));
  g.stalls(false);
  g.tick();
  CHECK(g.given_now() == 16);
  for (std::uint64_t n = 2; n <= 101; ++n) {
    g.replies(worker, n, 1, std::string(mib, 'x'));
    CHECK(find<reply_batch>(g.out, slow).runs[0].code == status::ok);
  }
  CHECK(g.machine.stats().queued == 0);
}

TEST_CASE("a call with a key is not held up by its first caller when others wait for it") {
  two_clients g;
  g.calls(slow, "add");
  g.forget_sends();
  g.stalls();
  const auto key = gateway::with([](call_options& o) { o.idempotency_key = "k"; });
  g.calls(slow, "add", 1, key);
  CHECK_FALSE(g.given_any(worker));
  g.calls(other, "add", 1, key);
  CHECK(g.given_now() == 1);
  g.replies(worker, 2);
  CHECK(find<reply_batch>(g.out, other).runs[0].code == status::ok);
}

TEST_CASE("results that are known are not sent to who does not read") {
  auto what = gateway::method("add");
  what.cache_ms = 60'000;
  two_clients g(what);
  g.calls(slow, "add");
  g.replies(worker, 1);
  g.forget_sends();
  g.calls(other, "add");
  CHECK(g.answered(other).code == status::ok);
  g.stalls();
  g.calls(slow, "add");
  CHECK(silent(g.out));
}

TEST_CASE("results that are known are answered as messages of a good size, and bounded") {
  auto what = gateway::method("add");
  what.cache_ms = 60'000;
  two_clients g(what);
  g.calls(slow, "add");
  g.replies(worker, 1, 1, std::string(mib / 2, 'x'));
  g.forget_sends();
  // In one round: nobody has had time to find out that it does not read.
  g.next_call[other] = 1000;
  g.hears(other, call_batch{0, {{1, "add", 5000, tasks(1000, 8), {}}}});
  g.tick();
  std::size_t known = 0;
  for (const auto& sent : g.out.sends)
    if (const auto* b = std::get_if<reply_batch>(&sent.what)) {
      std::size_t bytes = 0;
      for (const auto& run : b->runs) bytes += run.results.bytes();
      CHECK(bytes == mib / 2);
      known += bytes;
    }
  CHECK(known == 33 * mib / 2);
  CHECK(g.given_now() == 256);  // as the method's replies have been 64 KiB on average
  // The next round may have them again.
  g.calls(other, "add", 3);
  CHECK(g.answered(other).results.bytes() == mib / 2);
}

TEST_CASE("what the gateway says of itself is bounded as well") {
  two_clients g;
  std::vector<method_info> many;
  for (int i = 0; i < 100; ++i) {
    many.push_back(gateway::method("method" + std::to_string(i)));
    many.back().doc = std::string(1000, 'd');
  }
  g.worker_joins(12, std::move(many));
  g.forget_sends();
  const pack asked(blob::from(std::string(1000, '\x90')), 1000, 1);
  g.hears(other, call_batch{0, {{1, "weir.services", 5000, asked, {}}}});
  g.tick();
  std::size_t bytes = 0;
  std::uint64_t refused = 0;
  for (const auto& sent : g.out.sends)
    if (const auto* b = std::get_if<reply_batch>(&sent.what))
      for (const auto& run : b->runs) {
        bytes += run.results.bytes();
        if (run.code == status::resource_exhausted) refused += run.results.size();
      }
  CHECK(bytes > 16 * mib);
  CHECK(bytes < 17 * mib);
  CHECK(refused > 800);
  g.next_call[other] = 1000;
  g.forget_sends();
  g.call_with(other, "weir.services", "\x90");
  CHECK(g.answered(other).code == status::ok);
  g.stalls();
  g.call_with(slow, "weir.services", "\x90");
  CHECK(g.answered(slow).code == status::resource_exhausted);
}

TEST_CASE("a stream without a bound in bytes ends when too much of it waits") {
  two_clients g;
  g.calls(slow, "add", 1, gateway::with([](call_options& o) { o.stream_window = 1'000'000; }));
  g.forget_sends();
  g.stalls();
  std::uint64_t sent = 0;
  for (std::uint64_t n = 1; n <= 65; ++n) {
    part_batch parts;
    parts.runs.push_back({1, n, pack::of(std::string(mib, 'x'))});
    g.hears(worker, std::move(parts));
    g.tick();
    for (const auto& o : g.out.sends)
      if (const auto* p = std::get_if<part_batch>(&o.what)) sent += p->runs.size();
    if (n < 65) g.forget_sends();
  }
  CHECK(sent == 64);
  const auto end = find<reply_batch>(g.out, slow).runs[0];
  CHECK(end.code == status::unavailable);
  CHECK(find<cancel_calls>(g.out, worker).calls == seq_ranges{{1, 1}});
}

}  // namespace rpc_gateway_stall_test
