// Calls of one method that wait, and how a gateway numbers the calls of all clients.
#include "proto/rpc/call_slots.hpp"
#include "proto/rpc/method_queue.hpp"

#include <doctest/doctest.h>

#include <set>
#include <string>

namespace rpc_queue_test {

using namespace weir::proto;
using std::chrono::milliseconds;
using std::chrono::seconds;

namespace {
constexpr time_point t0{std::chrono::hours(1)};
constexpr std::uint64_t all = 1'000'000;

waiting_calls calls(std::uint32_t count, std::uint8_t priority = 5,
                    time_point deadline = t0 + seconds(5), std::uint32_t size = 8) {
  waiting_calls w;
  w.arguments = {blob::from(std::string(std::size_t{count} * size, 'x')), count, size};
  w.deadline = deadline;
  w.arrived = t0;
  if (priority != call_options::default_priority) {
    call_options o;
    o.priority = priority;
    w.options = std::make_shared<const call_options>(o);
  }
  return w;
}

std::set<std::uint64_t> numbers(const std::vector<method_queue::run>& runs) {
  std::set<std::uint64_t> list;
  for (const auto& [first, run] : runs)
    for (std::uint64_t i = 0; i < run.size(); ++i) list.insert(first + i);
  return list;
}
}  // namespace

TEST_CASE("calls are served in the order in which they came") {
  method_queue q({});
  q.push(100, calls(3), t0);
  q.push(50, calls(2), t0);
  CHECK(q.pop(all)->first == 100);
  const auto second = q.pop(all);
  CHECK(second->first == 50);
  CHECK(second->second.size() == 2);
  CHECK_FALSE(q.pop(all));
  CHECK(q.bytes() == 0);
}

TEST_CASE("what is set aside is in nobody's way until it is resumed") {
  method_queue q({10, 1000});
  q.push(1, calls(10), t0);
  auto first = q.pop(all);
  q.set_aside(7, first->first, std::move(first->second));
  CHECK(q.size() == 10);
  CHECK(q.ready() == 0);
  CHECK(q.bytes() == 0);
  CHECK(q.ahead_of(5) == 0);
  CHECK_FALSE(q.top_priority());
  CHECK_FALSE(q.pop(all));
  CHECK(q.fits(calls(10).arguments) == 10);
  q.push(100, calls(4), t0);
  CHECK(q.pop(3)->second.size() == 3);

  q.resume(8, all);  // somebody else's
  CHECK(q.ready() == 1);
  q.resume(7, 4);
  CHECK(q.ready() == 5);
  CHECK(q.has_aside(7));
  const auto back = q.pop(all);
  CHECK(back->first == 1);
  CHECK(back->second.size() == 4);
  q.resume(7, all);
  CHECK_FALSE(q.has_aside(7));
  CHECK(q.pop(all)->first == 5);
  CHECK(q.pop(all)->first == 103);
  CHECK(q.empty());
  CHECK(q.bytes() == 0);
  CHECK_FALSE(q.top_priority());
}

TEST_CASE("what is set aside expires and is taken out like the rest") {
  method_queue q({});
  q.push(1, calls(2, 5, t0 + seconds(1)), t0);
  q.push(11, calls(2, 5, t0 + seconds(2)), t0);
  q.push(21, calls(2, 9, t0 + seconds(2)), t0);
  for (int i = 0; i < 3; ++i) {
    auto next = q.pop(all);
    q.set_aside(7, next->first, std::move(next->second));
  }
  CHECK(q.next_expiry() == t0 + seconds(1));
  CHECK(numbers(q.expire(t0 + seconds(1))) == std::set<std::uint64_t>{1, 2});
  CHECK(numbers(q.take({11, 11})) == std::set<std::uint64_t>{11});
  CHECK(q.size() == 3);
  q.resume(7, all);
  CHECK(q.ready() == 3);
  CHECK(q.pop(all)->first == 21);
  CHECK(q.pop(all)->first == 12);
  CHECK(q.empty());
}

TEST_CASE("when all that was set aside has ended nothing is remembered of it") {
  for (const bool expires : {true, false}) {
    method_queue q({});
    q.push(1, calls(2, 5, t0 + seconds(1)), t0);
    auto next = q.pop(all);
    q.set_aside(7, next->first, std::move(next->second));
    CHECK(q.has_aside(7));
    CHECK((expires ? q.expire(t0 + seconds(1)) : q.take({1, 2})).size() == 1);
    CHECK_FALSE(q.has_aside(7));
  }
}

TEST_CASE("a higher priority is served first, whenever it came") {
  method_queue q({});
  q.push(1, calls(2), t0);
  q.push(10, calls(2, 0), t0);
  q.push(20, calls(2, 9), t0);
  CHECK(*q.top_priority() == 9);
  CHECK(q.pop(all)->first == 20);
  CHECK(q.pop(all)->first == 1);
  CHECK(*q.top_priority() == 0);
  CHECK(q.pop(all)->first == 10);
  CHECK_FALSE(q.top_priority());
}

TEST_CASE("a run is served in parts when the workers have room for parts of it") {
  method_queue q({});
  q.push(1, calls(10), t0);
  CHECK(q.pop(3)->second.size() == 3);
  const auto next = q.pop(4);
  CHECK(next->first == 4);
  CHECK(next->second.size() == 4);
  CHECK(q.size() == 3);
  CHECK(q.bytes() == 3 * 8);
}

TEST_CASE("calls that come back from a dead worker are served first") {
  method_queue q({});
  q.push(10, calls(2), t0);
  q.push(1, calls(2), t0, method_queue::end::front);
  CHECK(q.pop(all)->first == 1);
}

TEST_CASE("the queue takes exactly as many calls as it is allowed to") {
  method_queue q({10, 1000});
  CHECK(q.fits(calls(10).arguments) == 10);
  CHECK(q.fits(calls(11).arguments) == 10);
  q.push(1, calls(10), t0);
  CHECK(q.fits(calls(1).arguments) == 0);
}

TEST_CASE("the queue takes exactly as many bytes as it is allowed to") {
  method_queue q({1000, 80});
  CHECK(q.fits(calls(10).arguments) == 10);
  CHECK(q.fits(calls(11).arguments) == 10);
  q.push(1, calls(9), t0);
  CHECK(q.fits(calls(3).arguments) == 1);
}

TEST_CASE("cancelled calls leave the queue and are not served") {
  method_queue q({});
  q.push(1, calls(10), t0);
  CHECK(numbers(q.take({4, 6})) == std::set<std::uint64_t>{4, 5, 6});
  CHECK(q.take({4, 6}).empty());
  CHECK(q.pop(all)->second.size() == 3);
  const auto rest = q.pop(all);
  CHECK(rest->first == 7);
  CHECK(rest->second.size() == 4);
  CHECK(q.empty());
}

TEST_CASE("calls leave at their deadline and not a moment before") {
  method_queue q({});
  q.push(1, calls(2, 5, t0 + seconds(2)), t0);
  q.push(10, calls(2, 5, t0 + seconds(1)), t0);
  CHECK(q.next_expiry() == t0 + seconds(1));
  CHECK(q.expire(t0 + seconds(1) - std::chrono::nanoseconds(1)).empty());
  CHECK(numbers(q.expire(t0 + seconds(1))) == std::set<std::uint64_t>{10, 11});
  CHECK(q.next_expiry() == t0 + seconds(2));
  CHECK(q.size() == 2);
}

TEST_CASE("a number that is used again does not inherit the deadline of its last use") {
  method_queue q({});
  q.push(1, calls(2, 5, t0 + seconds(1)), t0);
  (void)q.take({1, 2});
  q.push(1, calls(2, 5, t0 + seconds(9)), t0);
  CHECK(q.expire(t0 + seconds(2)).empty());
  CHECK(q.size() == 2);
}

TEST_CASE("the youngest calls of the lowest priority make way for more urgent ones") {
  method_queue q({10, 1000});
  q.push(1, calls(4, 3), t0);
  q.push(11, calls(4, 3), t0);
  q.push(21, calls(2, 5), t0);
  CHECK(q.displace(3, 1, 8).empty());
  CHECK(numbers(q.displace(5, 3, 24)) == std::set<std::uint64_t>{12, 13, 14});
  CHECK(q.fits(calls(3).arguments) == 3);
  CHECK(q.pop(all)->first == 21);
}

TEST_CASE("how fast the queue is emptied is known once it has been full for a while") {
  method_queue q({});
  q.push(1, calls(1000), t0);
  CHECK(q.capacity() == 0);
  for (int i = 1; i <= 40; ++i) {
    (void)q.pop(10);
    q.served(10, t0 + milliseconds(10 * i));
  }
  CHECK(q.capacity() == doctest::Approx(1000).epsilon(0.05));
}

TEST_CASE("a queue that was empty says nothing of what its workers can do") {
  method_queue q({});
  q.push(1, calls(1), t0);
  (void)q.pop(all);
  q.served(1, t0 + seconds(3));
  q.push(2, calls(1), t0 + seconds(60));
  CHECK(q.capacity() == 0);
}

TEST_CASE("one waiting call does not keep the memory of those that came with it") {
  method_queue q({});
  q.push(1, calls(100, 5, t0 + seconds(5), 1000), t0);
  (void)q.take({1, 99});
  CHECK(q.pop(all)->second.arguments.retained() == 1000);
}

TEST_CASE("calls that are made and cancelled again and again leave nothing behind") {
  method_queue q({});
  q.push(1, calls(1), t0);
  for (std::uint64_t i = 2; i < 100'000; ++i) {
    q.push(i, calls(1), t0);
    (void)q.take({i, i});
  }
  CHECK(q.size() == 1);
  CHECK(q.pop(all)->first == 1);
  CHECK_FALSE(q.pop(all));
}

TEST_CASE("those that have waited longest can be given up") {
  method_queue q({});
  q.push(1, calls(2), t0);
  auto later = calls(2);
  later.arrived = t0 + seconds(1);
  q.push(10, std::move(later), t0 + seconds(1));
  CHECK(q.oldest() == t0);
  CHECK(numbers(q.arrived_by(t0)) == std::set<std::uint64_t>{1, 2});
  CHECK(q.oldest() == t0 + seconds(1));
}

TEST_CASE("a client's calls stay consecutive, wherever its link begins") {
  call_slots slots;
  const session_id who{7};
  const std::uint64_t beginning = std::uint64_t{0xFFFFF} << 32;
  const auto first = slots.open(who, beginning + 1, 10);
  REQUIRE(first);
  CHECK(slots.open(who, beginning + 11, 5) == *first + 10);
  CHECK(slots.find({who, beginning + 4}) == *first + 3);
  CHECK(slots.key_of(*first + 3) == call_key{who, beginning + 4});
  CHECK_FALSE(call_slots::is_own(*first));
}

TEST_CASE("a client's numbers may go as far as can be told apart, and no further") {
  call_slots slots;
  const session_id who{7};
  REQUIRE(slots.open(who, 1, 1));
  CHECK(slots.open(who, call_slots::largest_call - 1, 1));
  CHECK_FALSE(slots.open(who, call_slots::largest_call, 1));
  CHECK_FALSE(slots.find({who, call_slots::largest_call + 1}));
  const session_id other{8};
  REQUIRE(slots.open(other, std::uint64_t{5} << 32 | 1, 1));
  CHECK_FALSE(slots.open(other, 3, 1));  // before its beginning
}

TEST_CASE("a place is given to another client only when all calls of the first have ended") {
  call_slots slots;
  const auto old = slots.open(session_id{7}, 1, 2);
  slots.lost(session_id{7});
  CHECK_FALSE(slots.find({session_id{7}, 1}));
  CHECK(slots.open(session_id{8}, 1, 1) != old);
  slots.close(*old, 1);
  CHECK(slots.open(session_id{9}, 1, 1) != old);
  slots.close(*old + 1, 1);
  CHECK(slots.open(session_id{10}, 1, 1) == old);
}

}  // namespace rpc_queue_test
