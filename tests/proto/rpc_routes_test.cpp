// What a gateway says about routes, the connections that follow from it, and the client's
// timetable.
#include "dialogue.hpp"
#include "proto/msgpack_reader.hpp"
#include "proto/rpc/routes.hpp"
#include "proto/rpc/timetable.hpp"

#include <string>

namespace rpc_routes_test {

using namespace weir;
using namespace weir::proto;
using namespace weir::proto::dialogue;
using namespace std::chrono_literals;

namespace {

using namespace std::string_literals;

/// [{"ep": ["tcp://a:1"], "session": 5, "load": 0.5, "idem": true, "later": [nil]}]
const std::string one_worker =
    "\x91\x85\xA2"
    "ep\x91\xA9tcp://a:1\xA7session\xC4\x08\x00\x00\x00\x00\x00\x00\x00\x05\xA4"
    "load\xCB\x3F\xE0\x00\x00\x00\x00\x00\x00\xA4idem\xC3\xA5later\x91\xC0"s;

route_entry worker_at(std::vector<std::string> endpoints, std::uint64_t session = 5) {
  return {std::move(endpoints), "w", 0, session_id{session}};
}

}  // namespace

TEST_CASE("a gateway's answer about routes is read, whatever later versions add") {
  const auto answer = read_routes(one_worker);
  REQUIRE(answer);
  REQUIRE(answer->workers.size() == 1);
  CHECK(answer->workers[0].endpoints == std::vector<std::string>{"tcp://a:1"});
  CHECK(answer->workers[0].session == session_id{5});
  CHECK(answer->workers[0].load == doctest::Approx(0.5));
  CHECK(answer->idempotent == true);
  CHECK(!answer->others);
  CHECK(read_routes("\x90")->workers.empty());
  CHECK(!read_routes("\x90")->idempotent);
  CHECK(read_routes("\x91\x80"s)->others);
}

TEST_CASE("an answer that is cut off, or none, is refused and not half believed") {
  for (std::size_t n = 0; n < one_worker.size(); ++n)
    CHECK(!read_routes(std::string_view(one_worker).substr(0, n)));
  CHECK(!read_routes("\xC0"));
  CHECK(!read_routes("\x91\x81\xA7session\xC4\x01\x05"s));
  CHECK(!read_routes("\xDD\xFF\xFF\xFF\xFF"s));
}

TEST_CASE("a gateway reads the question as it was asked") {
  for (const std::size_t length : {1U, 31U, 255U, 256U}) {
    const std::string packed = route_arguments(std::string(length, 'm'));
    msgpack_reader in(packed);
    CHECK(in.array() == 1);
    CHECK(in.str(256) == std::string(length, 'm'));
    CHECK(in.ok());
    CHECK(in.at_end());
  }
}

TEST_CASE("a worker is connected to once, however often it is introduced") {
  introductions all;
  CHECK(all.introduce(worker_at({"a", "b"}), t0) == "a");
  CHECK(!all.introduce(worker_at({"a", "b"}), t0));
  CHECK(all.opened("a", peer_id{1}));
  CHECK(!all.opened("a", peer_id{2}));
  CHECK(all.made(peer_id{1}));
  CHECK(all.joined(peer_id{1}, session_id{5}));
  CHECK(all.overdue(t0 + 1h).empty());
}

TEST_CASE("endpoints are tried in turn, and those that failed are left alone for a while") {
  introductions all;
  (void)all.introduce(worker_at({"a", "b"}), t0);
  CHECK(all.opened("a", peer_id{1}));
  CHECK(all.overdue(t0 + 2s - 1ms).empty());
  CHECK(all.overdue(t0 + 2s).size() == 1);
  CHECK(all.next_deadline() == t0 + 2s);
  auto dropped = all.failed(session_id{5}, t0 + 2s);
  CHECK(dropped.peer == peer_id{1});
  CHECK(dropped.instead == "b");
  CHECK(!all.joined(peer_id{1}, session_id{5}));
  CHECK(all.opened("b", peer_id{2}));
  dropped = all.failed(session_id{5}, t0 + 2s);
  CHECK(dropped.peer == peer_id{2});
  CHECK(!dropped.instead);
  CHECK(all.size() == 0);

  CHECK(!all.introduce(worker_at({"a", "b"}), t0 + 3s - 1ms));
  CHECK(all.introduce(worker_at({"a", "b"}), t0 + 3s) == "a");
  CHECK(all.opened("a", peer_id{3}));
  dropped = all.failed(session_id{5}, t0 + 3s);
  CHECK(dropped.instead == "b");
  CHECK(all.opened("b", peer_id{4}));
  (void)all.failed(session_id{5}, t0 + 3s);
  CHECK(!all.introduce(worker_at({"a"}), t0 + 5s - 1ms));  // twice as long
  CHECK(all.introduce(worker_at({"a"}), t0 + 5s) == "a");
}

TEST_CASE("somebody else at a worker's endpoint is not taken for it") {
  introductions all;
  (void)all.introduce(worker_at({"a"}), t0);
  CHECK(all.opened("a", peer_id{1}));
  CHECK(!all.joined(peer_id{1}, session_id{6}));
  CHECK(all.expected_at(peer_id{1}) == session_id{5});
}

TEST_CASE("calls that were made within a millisecond share an entry") {
  timetable table;
  for (std::uint64_t n = 1; n <= 1000; ++n) table.add(t0 + 1us * static_cast<int>(n), {n, n});
  CHECK(table.entries() == 1);
  CHECK(table.next() == t0 + 1ms);
  seq_ranges due;
  table.due(t0 + 1ms - 1us, [&](seq_range r) { due.push_back(r); });
  CHECK(due.empty());
  table.due(t0 + 1ms, [&](seq_range r) { due.push_back(r); });
  CHECK(due == seq_ranges{{1, 1000}});
  CHECK(table.next() == time_point::max());
}

TEST_CASE("what is settled is forgotten from the front, up to the first that is not") {
  timetable table;
  for (std::uint64_t n = 1; n <= 10; ++n)
    table.add(t0 + 1ms * static_cast<int>(n), {2 * n, 2 * n});
  table.trim([](seq_range r) { return r.last < 8; });
  CHECK(table.next() == t0 + 4ms);
  CHECK(table.entries() == 7);
  table.trim([](seq_range) { return true; });
  CHECK(table.entries() == 0);
}

}  // namespace rpc_routes_test
