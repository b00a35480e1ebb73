#include "proto/links.hpp"

#include "dialogue.hpp"
#include "proto/limits.hpp"

namespace links_test {

using namespace std::chrono_literals;
using namespace weir;
using namespace weir::proto;
using namespace weir::proto::dialogue;
using change = links::change;

namespace {
constexpr peer_id p1{1};
constexpr peer_id p2{2};
constexpr session_id them{5};

struct node {
  links machine;
  outbox out;
  std::vector<links::event> events;
  time_point now = t0;

  explicit node(duration heartbeat = 1s)
      : machine({who(role::worker, 1), heartbeat, {role::ventilator, role::sink}}, t0) {}

  std::optional<session_id> hears(peer_id from, const message& m) {
    return machine.receive(from, m, now, out, events);
  }
  void tick(time_point when) {
    now = when;
    machine.tick(now, out, events);
  }
  /// The one event that has happened.
  links::event event() {
    REQUIRE(events.size() == 1);
    return std::exchange(events, {}).front();
  }
  hello from_them(std::uint64_t session = 5) const {
    return {wire_version, who(role::ventilator, session)};
  }
  welcome welcome_from_them(std::uint64_t session = 5,
                            std::uint32_t heartbeat_ms = 1000) const {
    return {wire_version, who(role::ventilator, session), heartbeat_ms};
  }
  /// In a session with `them` on p1, which they opened.
  void accepted() {
    CHECK(!hears(p1, from_them()));
    CHECK(event().what == change::joined);
    (void)take<welcome>(out, 1);
  }
  /// In a session with `them` on p1, which we opened.
  void opened() {
    machine.open(p1, now, out);
    (void)take<hello>(out, 1);
    CHECK(!hears(p1, welcome_from_them()));
    CHECK(event().what == change::joined);
  }
  bool quiet() { return silent(out) && events.empty(); }
};
}  // namespace

TEST_SUITE("links") {
  TEST_CASE("who connects says HELLO again and again until WELCOME, at growing intervals") {
    node n;
    n.machine.open(p1, t0, n.out);
    CHECK(take<hello>(n.out, 1).self.session == session_id{1});
    for (const auto& [early, due] : {std::pair{249ms, 250ms},
                                     {749ms, 750ms},
                                     {1749ms, 1750ms},
                                     {2749ms, 2750ms},
                                     {3749ms, 3750ms}}) {
      n.tick(t0 + early);
      CHECK(n.quiet());
      n.tick(t0 + due);
      (void)take<hello>(n.out, 1);
    }
    (void)n.hears(p1, n.welcome_from_them());
    CHECK(n.event().what == change::joined);
    n.tick(t0 + 3751ms);
    (void)take<alive>(n.out, 1);  // so that another HELLO could not be taken for one of these
    n.tick(t0 + 4740ms);
    CHECK(n.quiet());
  }

  TEST_CASE("all are met when all have answered that we connect to") {
    node n;
    CHECK(n.machine.met_all());
    n.opened();
    CHECK(n.machine.met_all());
    n.machine.open(p2, n.now, n.out);
    CHECK(!n.machine.met_all());
    (void)n.hears(p2, welcome{wire_version, who(role::sink, 6), 1000});
    CHECK(n.machine.met_all());
    n.machine.part(them, bye_reason::finished, n.now, n.out);
    CHECK(n.machine.met_all());
    n.machine.drop(session_id{6}, n.now, n.out);
    CHECK(!n.machine.met_all());
  }

  TEST_CASE("BYE is said once, and nothing after it, whatever the other end says") {
    node n;
    n.opened();
    n.machine.part(them, bye_reason::finished, n.now, n.out);
    CHECK(take<bye>(n.out, 1).reason == bye_reason::finished);
    n.machine.part(them, bye_reason::finished, n.now, n.out);
    n.machine.send(them, window{}, n.now, n.out);
    CHECK(!n.machine.reachable(them));
    // It has forgotten us, and did not expect what we said before the BYE.
    CHECK(!n.hears(p1, error_message{wire_error::say_hello, "no session"}));
    n.tick(t0 + 3s);
    CHECK(n.quiet());
    // Unless it comes again.
    CHECK(!n.hears(p1, n.from_them()));
    CHECK(n.event().what == change::joined);
    (void)take<welcome>(n.out, 1);
    CHECK(n.machine.reachable(them));
  }

  TEST_CASE("what comes before HELLO is answered with say_hello and goes no further") {
    node n;
    CHECK(!n.hears(p1, window{}));
    CHECK(take<error_message>(n.out, 1).code == wire_error::say_hello);
    CHECK(n.out.forgets == std::vector{p1});
    n.out = {};
    CHECK(n.quiet());
    CHECK(n.machine.connections() == 0);
    n.accepted();
    CHECK(n.hears(p1, window{}) == them);
    CHECK(!n.hears(p1, alive{}));
    CHECK(n.quiet());
  }

  TEST_CASE("a HELLO that is said again for want of a WELCOME is answered, and that is all") {
    node n;
    n.accepted();
    (void)n.hears(p1, n.from_them());
    (void)take<welcome>(n.out, 1);
    CHECK(n.quiet());
  }

  TEST_CASE("a HELLO after anything else begins again: the other end has lost the session") {
    node n;
    n.accepted();
    (void)n.hears(p1, alive{});
    (void)n.hears(p1, n.from_them());
    CHECK(n.event().what == change::joined);
    (void)take<welcome>(n.out, 1);
    (void)n.hears(p1, n.from_them());
    (void)take<welcome>(n.out, 1);
    CHECK(n.quiet());
  }

  TEST_CASE("before it begins again, who has not said anything says ALIVE") {
    node n;
    n.opened();
    n.machine.up(p1, t0, n.out);
    (void)take<alive>(n.out, 1);
    (void)take<hello>(n.out, 1);
    CHECK(n.quiet());
    (void)n.hears(p1, n.welcome_from_them());
    CHECK(n.event().what == change::joined);
    n.machine.send(them, release{}, t0, n.out);
    (void)take<release>(n.out, 1);
    n.machine.up(p1, t0, n.out);
    (void)take<hello>(n.out, 1);
    CHECK(n.quiet());
  }

  TEST_CASE("between HELLO and WELCOME nothing else is said") {
    node n;
    n.opened();
    n.machine.send(them, release{}, t0, n.out);
    (void)take<release>(n.out, 1);
    n.machine.up(p1, t0, n.out);
    (void)take<hello>(n.out, 1);
    CHECK(!n.machine.reachable(them));
    n.machine.send(them, release{}, t0, n.out);
    CHECK(n.quiet());
    (void)n.hears(p1, n.welcome_from_them());
    CHECK(n.machine.reachable(them));
  }

  TEST_CASE("a peer silent for exactly five heartbeats is gone, and not a moment before") {
    node n;
    n.accepted();
    for (auto at = 500ms; at < 5s; at += 500ms) n.tick(t0 + at);
    n.tick(t0 + 5s - 1ns);
    CHECK(n.events.empty());
    n.out = {};
    n.tick(t0 + 5s);
    const auto e = n.event();
    CHECK(e.what == change::expired);
    CHECK(e.who == them);
    CHECK(n.machine.size() == 0);
    CHECK(n.machine.connections() == 0);
    CHECK(n.out.forgets == std::vector{p1});
    n.out = {};
    (void)n.hears(p1, window{});
    CHECK(take<error_message>(n.out, 1).code == wire_error::say_hello);
  }

  TEST_CASE("who opened the connection to a peer that is gone says HELLO to it at once") {
    node n;
    n.opened();
    for (auto at = 500ms; at < 5s; at += 500ms) n.tick(t0 + at);
    n.out = {};
    n.tick(t0 + 5s);
    CHECK(n.event().what == change::expired);
    (void)take<hello>(n.out, 1);
    CHECK(n.quiet());
    CHECK(!n.hears(p1, window{}));  // old words; no complaint, as HELLO is under way
    CHECK(n.quiet());
  }

  TEST_CASE("a closed connection has one heartbeat to come back") {
    node n;
    n.accepted();
    n.machine.down(p1, t0);
    CHECK(!n.machine.reachable(them));
    n.tick(t0 + 1s - 1ns);
    CHECK(n.quiet());
    n.tick(t0 + 1s);
    CHECK(n.event().what == change::broken);
    CHECK(n.machine.connections() == 0);
  }

  TEST_CASE("a peer that comes back under another number is the same, and joins again") {
    node n;
    n.accepted();
    SUBCASE("after its old connection was seen to close") { n.machine.down(p1, t0); }
    SUBCASE("before"){}(void)n.hears(p2, n.from_them());
    const auto e = n.event();
    CHECK(e.what == change::joined);
    CHECK(e.who == them);
    (void)take<welcome>(n.out, 2);
    CHECK(n.machine.size() == 1);
    CHECK(n.machine.connections() == 1);
    n.machine.send(them, resend{}, t0, n.out);
    (void)take<resend>(n.out, 2);
    // What was under way on the old one arrives late.
    n.out = {};
    CHECK(!n.hears(p1, window{}));
    CHECK(take<error_message>(n.out, 1).code == wire_error::say_hello);
    n.machine.down(p1, t0);
    CHECK(n.machine.reachable(them));
  }

  TEST_CASE("another session at the same endpoint means that the old one is dead for good") {
    node n;
    n.opened();
    n.machine.up(p1, t0, n.out);
    (void)n.hears(p1, n.welcome_from_them(6));
    REQUIRE(n.events.size() == 2);
    CHECK(n.events[0].what == change::restarted);
    CHECK(n.events[0].who == them);
    CHECK(n.events[1].what == change::joined);
    CHECK(n.events[1].who == session_id{6});
    CHECK(n.machine.size() == 1);
  }

  TEST_CASE("a node that was stopped grants everybody fresh patience") {
    node n;
    n.accepted();
    n.tick(t0 + 1h);
    CHECK(n.events.empty());
    for (auto at = 500ms; at < 5s; at += 500ms) n.tick(t0 + 1h + at);
    CHECK(n.events.empty());
    n.tick(t0 + 1h + 5s);
    CHECK(n.event().what == change::expired);
  }

  TEST_CASE("a node that does not listen takes nobody for dead") {
    node n;
    n.accepted();
    for (auto at = 500ms; at < 60s; at += 500ms) {
      n.machine.not_listening(t0 + at);
      n.tick(t0 + at);
    }
    CHECK(n.events.empty());
  }

  TEST_CASE("ALIVE is sent when nothing else has been for a heartbeat") {
    node n;
    n.accepted();
    n.tick(t0 + 1s - 1ns);
    CHECK(n.quiet());
    n.tick(t0 + 1s);
    (void)take<alive>(n.out, 1);
    n.machine.send(them, resend{}, t0 + 1500ms, n.out);
    (void)take<resend>(n.out, 1);
    n.tick(t0 + 2499ms);
    CHECK(n.quiet());
    n.tick(t0 + 2500ms);
    (void)take<alive>(n.out, 1);
  }

  TEST_CASE("the binding side decides how often hearts beat") {
    node n;
    n.machine.open(p1, t0, n.out);
    (void)n.hears(p1, n.welcome_from_them(5, 100));
    CHECK(n.event().what == change::joined);
    for (auto at = 50ms; at < 500ms; at += 50ms) n.tick(t0 + at);
    CHECK(count<alive>(n.out) == 5);  // at once, and then every 100 ms
    n.tick(t0 + 500ms);
    CHECK(n.event().what == change::expired);
  }

  TEST_CASE("sleeping until next_deadline() never wakes for nothing, and never spins") {
    node n;
    n.accepted();
    n.machine.open(p2, t0, n.out);
    n.out = {};
    std::size_t wakes = 0;
    for (auto now = n.machine.next_deadline(); now < t0 + 10s;
         now = n.machine.next_deadline()) {
      REQUIRE(now > n.now);
      n.tick(now);
      ++wakes;
    }
    CHECK(wakes < 40);
  }

  TEST_CASE("a wrong version, a wrong role and one peer too many are told why") {
    node n;
    (void)n.hears(p1, hello{wire_version + 1, who(role::ventilator, 5)});
    CHECK(take<error_message>(n.out, 1).code == wire_error::version);
    (void)n.hears(p1, hello{wire_version, who(role::worker, 5)});
    CHECK(take<error_message>(n.out, 1).code == wire_error::role);
    for (std::uint32_t i = 0; i < limits::peers; ++i)
      (void)n.hears(peer_id{100 + i}, n.from_them(100 + i));
    CHECK(n.machine.size() == limits::peers);
    n.out = {};
    (void)n.hears(p1, n.from_them());
    CHECK(take<error_message>(n.out, 1).code == wire_error::too_many);
    CHECK(n.machine.size() == limits::peers);
  }

  TEST_CASE("a role that is looked for in one place is refused when it comes by itself") {
    outbox out;
    std::vector<links::event> events;
    links ventilator({who(role::ventilator, 1), 1s, {role::worker, role::sink}, {role::worker}},
                     t0);
    const auto hears = [&](peer_id from, const message& m) {
      CHECK(!ventilator.receive(from, m, t0, out, events));
    };
    hears(peer_id{1}, hello{wire_version, who(role::sink, 5)});
    CHECK(take<error_message>(out, 1).code == wire_error::role);
    CHECK(events.empty());
    hears(peer_id{2}, hello{wire_version, who(role::worker, 6)});
    (void)take<welcome>(out, 2);
    ventilator.open(peer_id{3}, t0, out);
    (void)take<hello>(out, 3);
    hears(peer_id{3}, welcome{wire_version, who(role::sink, 7), 1000});
    CHECK(events.size() == 2);
  }

  TEST_CASE("being refused is said once, and stops the greeting") {
    node n;
    n.machine.open(p1, t0, n.out);
    n.out = {};
    (void)n.hears(p1, error_message{wire_error::role, "no use for you"});
    const auto e = n.event();
    CHECK(e.what == change::refused);
    CHECK(e.text == "no use for you");
    n.tick(t0 + 900ms);
    CHECK(n.quiet());
  }

  TEST_CASE("who came to a node cannot end it by refusing it") {
    for (const auto code : {wire_error::version, wire_error::role, wire_error::fenced,
                            wire_error::too_many, wire_error{77}}) {
      node n;
      n.accepted();
      (void)n.hears(p1, error_message{code, "give up!"});
      (void)n.hears(p2, error_message{code, "says a stranger"});
      CHECK(n.quiet());
      CHECK(n.hears(p1, bye{}) == them);  // and the session goes on
    }
  }

  TEST_CASE("only its sink may come to a ventilator and refuse it") {
    for (const auto other : {role::worker, role::sink}) {
      links ventilator({who(role::ventilator, 1), 1s, {role::worker, role::sink}}, t0);
      outbox out;
      std::vector<links::event> events;
      (void)ventilator.receive(p1, hello{wire_version, who(other, 5)}, t0, out, events);
      events.clear();
      (void)ventilator.receive(p1, error_message{wire_error::fenced, "a newer one"}, t0, out,
                               events);
      CHECK(events.size() == (other == role::sink ? 1 : 0));
    }
  }

  TEST_CASE("say_hello mends a connection whose loss nobody noticed") {
    node n;
    n.opened();
    n.tick(t0 + 1ms);
    (void)take<alive>(n.out, 1);
    (void)n.hears(p1, error_message{wire_error::say_hello, ""});
    (void)take<hello>(n.out, 1);
    (void)n.hears(p1, error_message{wire_error::say_hello, "again"});
    CHECK(n.quiet());  // one HELLO is under way already
    (void)n.hears(p1, n.welcome_from_them());
    CHECK(n.event().what == change::joined);
  }

  TEST_CASE("renew() begins again from either end") {
    node n;
    SUBCASE("with HELLO from the one that connected") {
      n.opened();
      n.tick(t0 + 1ms);
      n.out = {};
      n.machine.renew(them, t0, n.out);
      (void)take<hello>(n.out, 1);
    }
    SUBCASE("with a request for it from the other") {
      n.accepted();
      n.machine.renew(them, t0, n.out);
      CHECK(take<error_message>(n.out, 1).code == wire_error::say_hello);
      CHECK(n.machine.reachable(them));
    }
    CHECK(n.quiet());
  }

  TEST_CASE("a restart is told of also where another connection carries the new session") {
    outbox out;
    std::vector<links::event> events;
    links machine({who(role::worker, 9), 1s, {role::ventilator}}, t0);
    const auto welcomed = [&](std::uint64_t session) {
      (void)machine.receive(p1, welcome{wire_version, who(role::ventilator, session), 1000}, t0,
                            out, events);
    };
    machine.open(p1, t0, out);
    welcomed(5);
    machine.down(p1, t0);
    time_point now = t0;
    SUBCASE("and the old one is still waited for") {}
    SUBCASE("and the old one was given up") {
      now += 1s;
      machine.tick(now, out, events);
      CHECK(events.back().what == change::broken);
    }
    // The new one comes by itself, before the endpoint is reached again.
    (void)machine.receive(p2, hello{wire_version, who(role::ventilator, 6)}, now, out, events);
    machine.up(p1, now, out);
    events.clear();
    welcomed(6);
    REQUIRE(events.size() == 2);
    CHECK(events[0].what == change::restarted);
    CHECK(events[0].who == session_id{5});
    CHECK(events[1].what == change::met);
    CHECK(events[1].who == session_id{6});
    CHECK(machine.size() == 1);
    CHECK(machine.on(p2) == session_id{6});
  }

  TEST_CASE("after BYE the endpoint is watched for the next peer") {
    node n;
    n.opened();
    n.machine.drop(them, t0, n.out);
    n.out = {};
    n.tick(t0 + 1s);
    (void)take<hello>(n.out, 1);
    (void)n.hears(p1, n.welcome_from_them(6));
    CHECK(n.event().what == change::joined);  // and nobody is reported dead
  }
}

}  // namespace links_test
