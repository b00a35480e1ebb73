// Which worker gets a call.
#include "proto/rpc/placement.hpp"

#include <doctest/doctest.h>

#include <map>
#include <string>

namespace rpc_placement_test {

using namespace weir::proto;

namespace {
candidate worker(std::uint64_t id, std::uint64_t in_hand, std::uint64_t window,
                 std::uint32_t slots = 1) {
  return {session_id{id}, in_hand, window, window > in_hand ? window - in_hand : 0, slots};
}
std::map<std::size_t, std::uint64_t> by_worker(const std::vector<share>& shares) {
  std::map<std::size_t, std::uint64_t> calls;
  for (const share& s : shares) {
    CHECK(!calls.contains(s.to));
    calls[s.to] = s.calls;
  }
  return calls;
}
using counts = std::map<std::size_t, std::uint64_t>;
}  // namespace

TEST_CASE("a call goes to the worker with the least in hand, relative to its window") {
  const std::vector<candidate> workers{worker(1, 5, 10), worker(2, 20, 100), worker(3, 3, 10)};
  CHECK(by_worker(share_out(workers, 1, 1, 0)) == counts{{1, 1}});
}

TEST_CASE("among idle workers the caller says who is first") {
  const std::vector<candidate> workers{worker(1, 0, 10), worker(2, 0, 10), worker(3, 0, 10)};
  CHECK(by_worker(share_out(workers, 1, 1, 0)) == counts{{0, 1}});
  CHECK(by_worker(share_out(workers, 1, 1, 1)) == counts{{1, 1}});
  CHECK(by_worker(share_out(workers, 1, 1, 3)) == counts{{0, 1}});
}

TEST_CASE("a batch is divided so that all workers are equally loaded afterwards") {
  const std::vector<candidate> workers{worker(1, 0, 100), worker(2, 40, 100),
                                       worker(3, 0, 200)};
  CHECK(by_worker(share_out(workers, 160, 1, 0)) == counts{{0, 50}, {1, 10}, {2, 100}});
}

TEST_CASE("a busy worker gets nothing of a batch that idle ones can do") {
  const std::vector<candidate> workers{worker(1, 0, 100), worker(2, 90, 100),
                                       worker(3, 0, 100)};
  CHECK(by_worker(share_out(workers, 20, 1, 0)) == counts{{0, 10}, {2, 10}});
}

TEST_CASE("calls that are done quickly are not divided into small pieces") {
  const std::vector<candidate> workers{worker(1, 0, 100), worker(2, 0, 100)};
  CHECK(by_worker(share_out(workers, 20, 16, 0)) == counts{{0, 20}});
  CHECK(by_worker(share_out(workers, 32, 16, 0)) == counts{{0, 16}, {1, 16}});
}

TEST_CASE("while only the first has anything in hand it keeps what it may") {
  std::vector<candidate> workers{worker(1, 0, 100), worker(2, 10, 100), worker(3, 0, 100)};
  workers[1].stay = 20;
  CHECK(by_worker(share_out(workers, 20, 1, 1)) == counts{{1, 20}});
  CHECK(by_worker(share_out(workers, 21, 100, 1)) == counts{{2, 21}});
  CHECK(by_worker(share_out(workers, 20, 100, 2)) == counts{{2, 20}});
  workers[0].in_hand = 1;
  CHECK(by_worker(share_out(workers, 20, 100, 1)) == counts{{2, 20}});
  workers[0].in_hand = 0;
  workers[1].room = 19;
  CHECK(by_worker(share_out(workers, 20, 100, 1)) == counts{{2, 20}});
}

TEST_CASE("no worker gets more than it has room for, and only what nobody has is left over") {
  const std::vector<candidate> workers{worker(1, 95, 100), worker(2, 7, 10), worker(3, 4, 4)};
  CHECK(by_worker(share_out(workers, 100, 1, 0)) == counts{{0, 5}, {1, 3}});
  CHECK(share_out(std::vector<candidate>{worker(1, 4, 4)}, 1, 1, 0).empty());
  CHECK(share_out({}, 1, 1, 0).empty());
}

TEST_CASE("small pieces overflow to further workers when the first is full") {
  const std::vector<candidate> workers{worker(1, 8, 10), worker(2, 9, 10)};
  CHECK(by_worker(share_out(workers, 3, 100, 0)) == counts{{0, 2}, {1, 1}});
}

TEST_CASE("the same key goes to the same worker, in whatever order workers are known") {
  const std::vector<candidate> one{worker(1, 0, 100), worker(2, 0, 100), worker(3, 0, 100)};
  const std::vector<candidate> other{worker(3, 0, 100), worker(1, 0, 100), worker(2, 0, 100)};
  for (int i = 0; i < 100; ++i) {
    const std::string key = "user" + std::to_string(i);
    CHECK(one[share_by_key(one, 1, key)[0].to].id ==
          other[share_by_key(other, 1, key)[0].to].id);
  }
}

TEST_CASE("keys are spread over all workers") {
  std::vector<candidate> workers;
  for (std::uint64_t i = 1; i <= 10; ++i) workers.push_back(worker(i, 0, 100));
  std::map<std::size_t, int> keys;
  for (int i = 0; i < 10'000; ++i)
    ++keys[share_by_key(workers, 1, "key" + std::to_string(i))[0].to];
  CHECK(keys.size() == 10);
  for (const auto& [w, n] : keys) {
    CHECK(n > 800);
    CHECK(n < 1200);
  }
}

TEST_CASE("a worker that leaves moves only its own keys") {
  std::vector<candidate> before;
  for (std::uint64_t i = 1; i <= 10; ++i) before.push_back(worker(i, 0, 100));
  std::vector<candidate> after = before;
  after.erase(after.begin() + 4);
  for (int i = 0; i < 1000; ++i) {
    const std::string key = "key" + std::to_string(i);
    const session_id was = before[share_by_key(before, 1, key)[0].to].id;
    const session_id is = after[share_by_key(after, 1, key)[0].to].id;
    if (was != session_id{5}) CHECK(was == is);
  }
}

TEST_CASE("a popular key does not give one worker all the calls there are") {
  std::vector<candidate> workers;
  for (std::uint64_t i = 1; i <= 4; ++i) workers.push_back(worker(i, 0, 1000));
  std::uint64_t total = 0;
  for (const share& s : share_by_key(workers, 400, "popular")) {
    CHECK(s.calls <= 125);
    total += s.calls;
  }
  CHECK(total == 400);
}

TEST_CASE("a few calls with the same key stay together") {
  const std::vector<candidate> workers{worker(1, 0, 100, 4), worker(2, 0, 100, 4),
                                       worker(3, 0, 100, 4)};
  CHECK(share_by_key(workers, 8, "k").size() == 1);
}

TEST_CASE(
    "a key's calls go elsewhere when its worker has no room, and wait only if nobody has") {
  std::vector<candidate> workers{worker(1, 10, 10), worker(2, 0, 10), worker(3, 10, 10)};
  CHECK(by_worker(share_by_key(workers, 12, "k")) == counts{{1, 10}});
  workers[1] = worker(2, 10, 10);
  CHECK(share_by_key(workers, 1, "k").empty());
}

}  // namespace rpc_placement_test
