// A worker that offers methods: calls with an idempotency key, which clients make directly.
#include "proto/backoff.hpp"
#include "rpc_service_fixture.hpp"

#include <array>
#include <map>
#include <set>

namespace rpc_service_keys_test {

using namespace std::chrono_literals;
using namespace weir;
using namespace weir::proto;
using namespace weir::proto::dialogue;

namespace {
constexpr std::uint32_t gateway = 1;
constexpr std::uint32_t client = 10;
constexpr std::uint32_t other = 11;

struct keyed : service {
  explicit keyed(service_state::options o = defaults()) : service(std::move(o)) {
    client_joins(client);
    client_joins(other);
  }
  /// Call number `first` of this caller.
  void pays(std::uint32_t from, std::uint64_t first, std::uint32_t attempt = 1,
            std::string arguments = "10", std::string method = "count",
            std::uint32_t ttl_ms = 10'000) {
    call_options o;
    o.idempotency_key = "k";
    o.attempt = attempt;
    hears(from, call_batch{0,
                           {{first, std::move(method), ttl_ms, pack::of(std::move(arguments)),
                             std::make_shared<const call_options>(o)}}});
    tick();
  }
  void ends(std::uint32_t to, std::uint64_t first, const std::string& result,
            status code = status::ok) {
    reply_run run;
    run.first = first;
    run.code = code;
    run.results = pack::of(code == status::ok ? result : "");
    run.queued_us = run.service_us = 1000;
    if (code != status::ok) run.details.resize(1);
    machine.on_replied(session_id{to}, std::move(run), now, out);
    tick();
  }
  /// The only thing that is said to it.
  reply_run answered(std::uint32_t to, std::uint64_t first) {
    const auto run = replied(to);
    CHECK(run.first == first);
    return run;
  }
  void cancels(std::uint32_t from, std::uint64_t call) {
    hears(from, cancel_calls{{{call, call}}, "enough"});
    tick();
  }
  void leaves(std::uint32_t who) {
    hears(who, bye{});
    tick();
    out.notices.clear();
  }
  bool stops_any() { return !std::exchange(out.cancels, {}).empty(); }
};
}  // namespace

TEST_CASE("a call that is repeated with its key while it runs is run once, for both") {
  keyed w;
  w.pays(client, 1);
  w.pays(other, 1);
  w.pays(client, 2);
  CHECK(w.starts(client) == seq_ranges{{1, 1}});
  CHECK(w.out.calls.empty());
  w.ends(client, 1, "receipt");
  const auto both = find<reply_batch>(w.out, client).runs;
  REQUIRE(both.size() == 2);
  CHECK(both[0].results[0] == "receipt");
  CHECK(both[1].results[0] == "receipt");
  // Times are those of what has been run.
  CHECK(both[0].received_us > 0);
  CHECK(both[1].received_us == 0);
  CHECK(w.answered(other, 1).results[0] == "receipt");
  CHECK(w.machine.stats().received == 3);
  CHECK(w.machine.stats().done == 3);
}

TEST_CASE("a call that is repeated with its key later gets the first one's reply, for a time") {
  auto o = service::defaults();
  o.reply_cache_ttl = 1s;
  keyed w(o);
  w.pays(client, 1);
  w.ends(client, 1, "receipt");
  w.out.calls.clear();
  w.tick(999ms);
  w.pays(other, 1);
  CHECK(w.answered(other, 1).results[0] == "receipt");
  CHECK(w.out.calls.empty());
  w.tick(1ms);
  w.pays(other, 2);
  CHECK(w.starts(other) == seq_ranges{{2, 2}});
}

TEST_CASE("gateways and clients share replies") {
  keyed w;
  w.pays(gateway, 1);
  CHECK(w.starts(gateway) == seq_ranges{{1, 1}});
  w.pays(client, 1);
  w.ends(gateway, 1, "receipt");
  CHECK(w.answered(gateway, 1).results[0] == "receipt");
  CHECK(w.answered(client, 1).results[0] == "receipt");
  CHECK(w.out.calls.empty());
}

TEST_CASE("a key belongs to one method, and to its arguments") {
  keyed w;
  w.pays(client, 1);
  w.pays(client, 2, 1, "10", "echo");
  CHECK(w.starts(client) == seq_ranges{{1, 2}});
  w.pays(other, 1, 1, "20");
  const auto refused = w.answered(other, 1);
  CHECK(refused.code == status::failed_precondition);
  CHECK(refused.details.at(0).never_started);
  CHECK(w.out.calls.empty());
}

TEST_CASE("an error is a reply like any other, and kept; but a further attempt is run") {
  keyed w;
  w.pays(client, 1);
  w.ends(client, 1, {}, status::internal);
  w.out.calls.clear();
  w.pays(other, 1);
  CHECK(w.answered(other, 1).code == status::internal);
  w.pays(other, 2, 2);
  CHECK(w.starts(other) == seq_ranges{{2, 2}});
  w.pays(client, 2);
  w.ends(other, 2, "receipt");
  CHECK(w.answered(other, 2).results[0] == "receipt");
}

TEST_CASE("the one that runs can be cancelled without the others") {
  keyed w;
  w.pays(client, 1);
  w.pays(other, 1);
  w.cancels(client, 1);
  CHECK(w.answered(client, 1).code == status::cancelled);
  CHECK_FALSE(w.stops_any());
  w.ends(client, 1, "receipt");
  CHECK(w.answered(other, 1).results[0] == "receipt");
  CHECK(count<reply_batch>(w.out) == 0);
}

TEST_CASE("one that waits can be cancelled without the one that runs") {
  keyed w;
  w.pays(client, 1);
  w.pays(other, 1);
  w.cancels(other, 1);
  CHECK(w.answered(other, 1).code == status::cancelled);
  CHECK_FALSE(w.stops_any());
  w.cancels(client, 1);
  CHECK(w.stops_any());
  w.ends(client, 1, {}, status::cancelled);
  CHECK(w.answered(client, 1).code == status::cancelled);
  // Nothing is left of it.
  w.out.calls.clear();
  w.pays(other, 2);
  CHECK(w.starts(other) == seq_ranges{{2, 2}});
}

TEST_CASE(
    "a client that goes may come back for the reply; a gateway has clients that ask others") {
  keyed w;
  SUBCASE("a client") {
    w.pays(client, 1);
    w.leaves(client);
    CHECK_FALSE(w.stops_any());
    w.ends(client, 1, "receipt");
    w.out.calls.clear();
    w.pays(other, 1);
    CHECK(w.answered(other, 1).results[0] == "receipt");
    CHECK(w.out.calls.empty());
  }
  SUBCASE("a gateway") {
    w.pays(gateway, 1);
    w.leaves(gateway);
    CHECK(w.stops_any());
  }
  SUBCASE("a gateway, and somebody else waits") {
    w.pays(gateway, 1);
    w.pays(other, 1);
    w.leaves(gateway);
    CHECK_FALSE(w.stops_any());
    w.ends(gateway, 1, "receipt");
    CHECK(w.answered(other, 1).results[0] == "receipt");
  }
  SUBCASE("one that waits") {
    w.pays(client, 1);
    w.pays(other, 1);
    w.leaves(other);
    w.ends(client, 1, "receipt");
    CHECK(w.answered(client, 1).results[0] == "receipt");
    CHECK(count<reply_batch>(w.out) == 0);
  }
  CHECK(w.machine.stats().running == (w.machine.stats().done == 0 ? 1 : 0));
}

TEST_CASE("when the one that is to run is not run, the next is") {
  keyed w;
  w.gets(1, 2);  // both slots are taken
  CHECK(w.starts() == seq_ranges{{1, 2}});
  w.pays(client, 1, 1, "10", "count", 1000);
  w.pays(other, 1);
  SUBCASE("it is cancelled") {
    w.cancels(client, 1);
    CHECK(w.answered(client, 1).code == status::cancelled);
  }
  SUBCASE("its time is over") {
    w.tick(1s);
    CHECK(w.answered(client, 1).code == status::deadline_exceeded);
  }
  SUBCASE("its client is gone") { w.leaves(client); }
  CHECK(w.out.calls.empty());
  w.finishes(1, 2);
  w.tick();
  CHECK(w.starts(other) == seq_ranges{{1, 1}});
  w.ends(other, 1, "receipt");
  CHECK(w.answered(other, 1).results[0] == "receipt");
}

TEST_CASE("who waits for a call does not wait for its caller, which does not read") {
  keyed w;
  SUBCASE("it is set aside when another comes") {
    w.machine.link_stalled(peer_id{client}, true);
    w.pays(client, 1);
    CHECK(w.out.calls.empty());
    w.pays(other, 1);
  }
  SUBCASE("others wait for it when its caller stops reading") {
    w.gets(1, 2);
    (void)w.starts();
    w.pays(client, 1);
    w.pays(other, 1);
    w.machine.link_stalled(peer_id{client}, true);
    w.finishes(1, 2);
    w.tick();
  }
  CHECK(w.starts(client) == seq_ranges{{1, 1}});
  w.ends(client, 1, "receipt");
  CHECK(w.answered(other, 1).results[0] == "receipt");
}

TEST_CASE("draining finishes calls that wait for others, too") {
  keyed w;
  w.pays(client, 1);
  w.pays(other, 1);
  CHECK(w.starts(client) == seq_ranges{{1, 1}});
  w.machine.drain(w.now, w.out);
  w.tick();
  CHECK_FALSE(w.machine.done());
  w.ends(client, 1, {}, status::cancelled);  // the other one is run
  CHECK(w.starts(other) == seq_ranges{{1, 1}});
  w.ends(other, 1, "receipt");
  CHECK(w.answered(other, 1).results[0] == "receipt");
  w.tick();
  CHECK(w.machine.done());
}

TEST_CASE("the reply of a call that streams, or wants none, is shared with nobody") {
  keyed w;
  call_options o;
  o.idempotency_key = "k";
  SUBCASE("streams") { o.stream_window = 10; }
  SUBCASE("notifications") { o.no_reply = true; }
  w.gets(1, 1, "echo", o, client);
  w.gets(1, 1, "echo", o, other);
  CHECK(w.out.calls.size() == 2);
}

namespace {
/// Callers that do what they like, with a few keys between them.
class chaos {
  std::uint64_t pick(std::uint64_t below) { return random_.next() % below; }
  template <class Set>
  auto any(Set& set) {
    return std::next(set.begin(), static_cast<std::ptrdiff_t>(pick(set.size())));
  }

 public:
  explicit chaos(std::uint64_t seed) : random_(seed) {
    for (int i = 0; i < 2; ++i) joins();
  }

  void step() {
    switch (pick(8)) {
      case 0:
        if (pick(4) == 0 && callers_.size() < 4) joins();
        break;
      case 1:
        if (pick(4) == 0 && callers_.size() > 1) leaves();
        break;
      case 2: {
        const auto& [peer, c] = *any(callers_);
        if (c.open.empty()) break;
        const std::uint64_t first = *any(c.open);
        w_.hears(peer, cancel_calls{{{first, first + pick(3)}}, "enough"});
        break;
      }
      case 3: {
        auto& [peer, c] = *any(callers_);
        w_.machine.link_stalled(peer_id{peer}, c.stalled = !c.stalled);
        break;
      }
      case 4:
        finishes();
        break;
      case 5:
        w_.now += milliseconds(pick(300));
        break;
      default:
        calls();
    }
    settle();
  }

  /// Everybody reads, and everything that runs ends.
  void comes_to_rest() {
    for (auto& [peer, c] : callers_) w_.machine.link_stalled(peer_id{peer}, false);
    const bool drained = pick(2) == 0;
    if (drained) w_.machine.drain(w_.now, w_.out);
    settle();
    while (!running_.empty()) {
      finishes();
      settle();
    }
    for (const auto& [peer, c] : callers_) CHECK(c.open.empty());
    const auto n = w_.machine.stats();
    CHECK(n.queued + n.running == 0);
    CHECK(n.received == n.done + n.failed);
    if (!drained) w_.machine.drain(w_.now, w_.out);
    settle();
    CHECK(w_.machine.done());
  }

 private:
  using milliseconds = std::chrono::milliseconds;
  struct caller {
    std::set<std::uint64_t> open;
    std::uint64_t last = 0;
    bool stalled = false;
  };
  void joins() {
    w_.hears(next_,
             hello{wire_version, who(pick(4) == 0 ? role::gateway : role::client, next_)});
    callers_[next_++];
  }
  void leaves() {
    const auto it = any(callers_);
    w_.hears(it->first, bye{});
    callers_.erase(it);
  }
  void calls() {
    auto& [peer, c] = *any(callers_);
    call_options o;
    if (pick(5) > 0) o.idempotency_key = std::to_string(pick(3));
    o.attempt = 1 + static_cast<std::uint32_t>(pick(2));
    const auto n = static_cast<std::uint32_t>(1 + pick(3));
    call_run run{c.last + 1, "count", static_cast<std::uint32_t>(1 + pick(2000)), tasks(n),
                 std::make_shared<const call_options>(o)};
    for (std::uint32_t i = 0; i < n; ++i) c.open.insert(++c.last);
    w_.hears(peer, call_batch{0, {run}});
  }
  void finishes() {
    if (running_.empty()) return;
    const auto it = any(running_);
    const auto [call, key] = *it;
    running_.erase(it);
    const status how = std::array{status::ok, status::ok, status::internal, status::cancelled,
                                  status::unavailable}[pick(5)];
    reply_run run;
    run.first = call.call;
    run.code = how;
    run.results = pack::of(how == status::ok ? key : "");
    if (how != status::ok) run.details.resize(1);
    w_.machine.on_replied(call.from, std::move(run), w_.now, w_.out);
  }
  void settle() {
    for (const auto& [peer, c] : callers_) w_.hears(peer, alive{});
    w_.hears(1, alive{});
    w_.tick();
    for (auto& s : std::exchange(w_.out.calls, {}))
      for (std::uint64_t i = 0; i < s.calls.arguments.size(); ++i) {
        const std::string& key = s.calls.options->idempotency_key;
        CHECK(s.deadline > w_.now);
        if (!key.empty())
          for (const auto& [call, its_key] : running_) CHECK(its_key != key);
        running_.emplace(call_key{s.from, s.calls.first + i}, key);
      }
    for (auto& sent : std::exchange(w_.out.sends, {}))
      if (const auto* replies = std::get_if<reply_batch>(&sent.what)) {
        auto& open = callers_.at(static_cast<std::uint32_t>(sent.to)).open;
        for (const auto& run : replies->runs)
          for (std::uint64_t i = 0; i < run.results.size(); ++i)
            CHECK(open.erase(run.first + i) == 1);
      }
    w_.out.cancels.clear();
    w_.out.notices.clear();
  }

  random_bits random_;
  service w_;
  std::map<std::uint32_t, caller> callers_;  // by connection, which is their session
  std::map<call_key, std::string> running_;  // with their keys
  std::uint32_t next_ = 10;
};
}  // namespace

TEST_CASE("whatever callers do, each call gets one reply, and no key runs twice at a time") {
  for (std::uint64_t seed = 1; seed <= 300; ++seed) {
    CAPTURE(seed);
    chaos c(seed);
    for (int i = 0; i < 300; ++i) c.step();
    c.comes_to_rest();
  }
}

}  // namespace rpc_service_keys_test
