// Who waits for calls in the spool.
#include "net/spool_desk.hpp"

#include "proto/rpc/call_id.hpp"
#include "proto/rpc_gateway_fixture.hpp"
#include "store/temp_dir.hpp"
#include "support/semaphore.hpp"

#include <doctest/doctest.h>

#include <string>
#include <utility>

namespace spool_desk_test {

using namespace weir;
using namespace weir::proto;
using namespace weir::proto::dialogue;

namespace {

constexpr std::uint32_t patience_ms = 1000;  // of those who wait

struct gateway_with_spool : dialogue::gateway {
  const test::temp_dir dir;
  testing::semaphore woken;
  net::spool_desk desk{{.file = dir.file("spool")}, machine, [this] { woken.release(); }};

  gateway_with_spool() : dialogue::gateway({.spool = true}) { client_joins(client); }
  /// Returns its number.
  std::uint64_t asks(const std::string& method, std::string arguments) {
    const auto call = ++next_call[client];
    hears(client,
          call_batch{0, {{call, method, patience_ms, pack::of(std::move(arguments)), {}}}});
    for (const auto& what : std::exchange(out.admin, {})) desk.on_call(what);
    return call;
  }
  void gives_up(std::uint64_t call) {
    hears(client, cancel_calls{{{call, call}}, ""});
    tick();
    REQUIRE(out.abandoned.size() == 1);
    desk.on_abandoned(out.abandoned[0]);
    out.abandoned.clear();
  }
  void settles() {
    do {
      REQUIRE(woken.try_acquire_for(std::chrono::seconds(30)));
      desk.tick(now);
    } while (!desk.idle());
    desk.tick(now);  // the deadline after a delivery is at once
    tick();
  }
  [[nodiscard]] bool waits_for_somebody() const {
    return desk.next_deadline() <= now + std::chrono::milliseconds(patience_ms);
  }
};

}  // namespace

TEST_CASE("who gives up waiting for a call is not kept, nor if it was not looked up yet") {
  gateway_with_spool g;
  const std::string id = "\xba" + make_call_id(1, 2, 3);
  g.asks("weir.submit", "\x93\xa1m\xc4\x01\x90\x81\xa2id" + id);
  g.settles();
  REQUIRE(g.answered(client).code == status::ok);

  const auto looked_up = g.asks("weir.wait", "\x91" + id);
  g.settles();
  CHECK(g.waits_for_somebody());
  g.gives_up(looked_up);
  g.desk.tick(g.now);
  CHECK_FALSE(g.waits_for_somebody());

  g.gives_up(g.asks("weir.wait", "\x91" + id));
  g.settles();
  CHECK_FALSE(g.waits_for_somebody());
}

TEST_CASE("a method that has a worker starts among more that have none") {
  gateway_with_spool g;
  for (const std::string name : {"a", "b", "c"}) {
    const std::string id = "\xba" + make_call_id(1, 2, static_cast<unsigned char>(name[0]));
    g.asks("weir.submit", "\x93\xa1" + name + "\xc4\x01\x90\x81\xa2id" + id);
    g.settles();
  }
  g.worker_joins(worker, {dialogue::gateway::method("b")});
  for (int i = 0; i < 100 && !g.given_any(worker); ++i) {
    g.desk.tick(g.now);
    if (!g.given_any(worker)) REQUIRE(g.woken.try_acquire_for(std::chrono::seconds(30)));
    g.desk.tick(g.now);
    g.tick();
  }
  const auto given = g.given(worker);
  REQUIRE(given.size() == 1);
  CHECK(given[0].method == "b");
  CHECK(g.desk.stats().queued == 2);
}

}  // namespace spool_desk_test
