#include "net/transport.hpp"

#include <doctest/doctest.h>
#include <unistd.h>
#include <zmq.hpp>

#include <atomic>
#include <chrono>
#include <filesystem>
#include <string>
#include <thread>
#include <variant>
#include <vector>

using namespace std::chrono_literals;
using namespace weir;
using net::transport;
using event = transport::event;

namespace {

/// A fresh place to meet, on a Unix socket.
class meeting_place {
 public:
  meeting_place() {
    std::string pattern = (std::filesystem::temp_directory_path() / "weir-XXXXXX").string();
    REQUIRE(::mkdtemp(pattern.data()) != nullptr);
    path_ = pattern;
  }
  ~meeting_place() { std::filesystem::remove_all(path_); }
  meeting_place(const meeting_place&) = delete;
  meeting_place& operator=(const meeting_place&) = delete;
  [[nodiscard]] endpoint where() const { return endpoint::parse("ipc://" + path_ + "/socket"); }

 private:
  std::string path_;
};

/// Reads until there is an event of this kind, and returns all that came.
std::vector<event> until(transport& at, event::kind what) {
  std::vector<event> events;
  const auto end = proto::clock::now() + 60s;
  const auto seen = [&] {
    for (const auto& e : events)
      if (e.what == what) return true;
    return false;
  };
  while (!seen()) {
    REQUIRE(proto::clock::now() < end);
    at.wait(proto::clock::now() + 100ms, true);
    at.receive(events, 256);
  }
  return events;
}

}  // namespace

TEST_CASE("what a peer said last is read, although an answer to it finds it gone") {
  const meeting_place place;
  transport here;
  here.bind(place.where(), false);
  transport there;
  const auto link = there.connect(place.where(), false);
  (void)until(there, event::kind::up);
  there.send(link, proto::alive{});
  const auto first = until(here, event::kind::message);
  const auto peer = first.front().peer;

  there.send(link, proto::bye{proto::bye_reason::finished});
  there.close(10s);
  // Until its connection is known to be closed, without reading anything: each of these may be
  // the one that finds it gone.
  for (int i = 0; i < 200; ++i) {
    here.send(peer, proto::alive{});
    here.wait(proto::clock::now() + 1ms, false);
  }
  const auto last = until(here, event::kind::down);
  REQUIRE(last.size() == 2);
  CHECK(last[0].what == event::kind::message);
  CHECK(last[0].peer == peer);
  CHECK(std::holds_alternative<proto::bye>(last[0].message));
  CHECK(last[1].what == event::kind::down);
  CHECK(last[1].peer == peer);
}

TEST_CASE("last words are not kept for a peer that goes before they have left") {
  const meeting_place place;
  zmq::context_t context;
  zmq::socket_t there(context, zmq::socket_type::router);
  there.set(zmq::sockopt::rcvhwm, 1);
  there.set(zmq::sockopt::linger, 0);
  there.bind(place.where().str());
  transport here;
  const auto link = here.connect(place.where(), false);
  (void)until(here, event::kind::up);
  // More than the peer, which does not read, lets into its own pipe and the kernel's buffers.
  proto::reply_run run;
  run.results = proto::pack::of(std::string(1 << 20, 'x'));
  for (std::uint64_t n = 1; n <= 32; ++n) {
    run.first = n;
    here.send(link, proto::reply_batch{{run}});
  }
  here.send(link, proto::bye{proto::bye_reason::finished});
  // It goes while close() waits, or just before that: both must do.
  std::atomic<bool> closing = false;
  std::thread goes([&] {
    closing.wait(false);
    zmq::message_t frame;
    (void)there.recv(frame, zmq::recv_flags::none);
    there.close();
  });
  closing = true;
  closing.notify_one();
  here.close(24h);  // returns
  goes.join();
  CHECK(here.stats().reconnects == 1);
}

TEST_CASE(
    "a peer that does not read is announced as stalled, and as flowing when it reads on") {
  const meeting_place place;
  transport here;
  here.bind(place.where(), false);
  zmq::context_t context;
  zmq::socket_t there(context, zmq::socket_type::dealer);
  there.set(zmq::sockopt::rcvhwm, 1);
  there.set(zmq::sockopt::linger, 0);
  there.connect(place.where().str());
  const auto say = [&](const proto::message& m) {
    there.send(zmq::buffer(proto::encode(m).header), zmq::send_flags::none);
  };
  say(proto::alive{});
  const auto peer = until(here, event::kind::message).front().peer;

  constexpr std::size_t size = 1 << 20;
  constexpr int replies = 64;
  const auto large = proto::pack::of(std::string(size, 'x'));
  // Elements that their streams' windows bound say nothing.
  constexpr int elements = 32;
  for (std::uint64_t n = 1; n <= elements; ++n)
    here.send(peer, proto::part_batch{{{1, n, large}}, true});
  std::vector<event> events;
  here.receive(events, 0);
  CHECK(events.empty());
  for (std::uint64_t n = 1; n <= replies; ++n) {
    proto::reply_run run;
    run.first = n;
    run.results = large;
    here.send(peer, proto::reply_batch{{run}});
  }
  here.receive(events, 0);
  REQUIRE(events.size() == 1);
  CHECK(events[0].what == event::kind::stalled);
  CHECK(events[0].peer == peer);

  // Others are heard meanwhile, and so is this one.
  say(proto::alive{});
  const auto heard = until(here, event::kind::message);
  REQUIRE(heard.size() == 1);

  // Forgotten, and heard again over the same connection: what it has not read still waits.
  here.forget(peer);
  say(proto::alive{});
  const auto again = until(here, event::kind::message).front().peer;
  CHECK(again != peer);
  here.send(again, proto::alive{});
  events.clear();
  here.receive(events, 0);
  REQUIRE(events.size() == 1);
  CHECK(events[0].what == event::kind::stalled);
  CHECK(events[0].peer == again);

  int got = 0;
  for (zmq::message_t frame; got < elements + replies;) {
    REQUIRE(there.recv(frame, zmq::recv_flags::none));
    got += frame.size() >= size;
  }
  const auto last = until(here, event::kind::flowing);
  REQUIRE(last.size() == 1);
  CHECK(last[0].peer == again);
}
