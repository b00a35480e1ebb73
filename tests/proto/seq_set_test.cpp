#include "proto/seq_set.hpp"

#include "proto/backoff.hpp"
#include "proto/run_map.hpp"

#include <doctest/doctest.h>

#include <map>
#include <set>

namespace seq_set_test {

using namespace std::chrono_literals;
using namespace weir::proto;

namespace {
struct letters {  // a run that remembers which numbers it is of
  std::vector<std::uint64_t> seqs;
  std::uint64_t size() const { return seqs.size(); }
  letters slice(std::uint64_t offset, std::uint64_t n) const {
    const auto from = seqs.begin() + static_cast<std::ptrdiff_t>(offset);
    return {{from, from + static_cast<std::ptrdiff_t>(n)}};
  }
  void settle() {}
};
letters run(std::uint64_t first, std::uint64_t last) {
  letters r;
  for (auto i = first; i <= last; ++i) r.seqs.push_back(i);
  return r;
}
}  // namespace

TEST_SUITE("seq_set") {
  TEST_CASE("neighbours join, and low() is the end of the prefix") {
    seq_set s;
    CHECK(s.low() == 0);
    CHECK(s.insert({5, 9}) == seq_ranges{{5, 9}});
    CHECK(s.low() == 0);
    CHECK(s.insert({1, 3}) == seq_ranges{{1, 3}});
    CHECK(s.low() == 3);
    CHECK(s.fragments() == 2);
    CHECK(s.insert({2, 6}) == seq_ranges{{4, 4}});
    CHECK(s.low() == 9);
    CHECK(s.fragments() == 1);
    CHECK(s.insert({1, 9}).empty());
    CHECK(s.missing({8, 12}) == seq_ranges{{10, 12}});
    CHECK(s.covers({1, 9}));
    CHECK(!s.covers({1, 10}));
    CHECK(!s.covers({0, 1}));
  }

  TEST_CASE("it behaves like a set of numbers, whatever is done to it") {
    random_bits random(1);
    for (int round = 0; round < 200; ++round) {
      seq_set s;
      std::set<std::uint64_t> plain;
      for (int i = 0; i < 20; ++i) {
        const auto first = 1 + random.next() % 60;
        const seq_range range{first, first + random.next() % 10};
        std::uint64_t fresh = 0;
        for (const auto& part : s.missing(range)) fresh += part.size();
        std::uint64_t inserted = 0;
        for (const auto& part : s.insert(range)) inserted += part.size();
        std::uint64_t expected = 0;
        for (auto seq = range.first; seq <= range.last; ++seq)
          expected += plain.insert(seq).second;
        REQUIRE(fresh == expected);
        REQUIRE(inserted == expected);
        REQUIRE(s.covers(range));
      }
      std::uint64_t low = 0;
      while (plain.contains(low + 1)) ++low;
      REQUIRE(s.low() == low);
      REQUIRE(s.highest() == *plain.rbegin());
      std::set<std::uint64_t> listed;
      for (const auto& r : s.all())
        for (auto seq = r.first; seq <= r.last; ++seq) listed.insert(seq);
      REQUIRE(listed == plain);
      for (std::uint64_t seq = 0; seq < 80; ++seq)
        REQUIRE(s.contains(seq) == plain.contains(seq));
      for (const auto& r : s.above_low()) REQUIRE(r.first > low);
    }
  }
}

TEST_SUITE("run_map") {
  TEST_CASE("runs are split where an event ends inside one, and nothing is lost or confused") {
    random_bits random(2);
    for (int round = 0; round < 200; ++round) {
      run_map<letters> map;
      std::set<std::uint64_t> plain;
      for (std::uint64_t first = 1; first < 100;) {
        const auto last = first + random.next() % 8;
        if (random.next() % 4 != 0) {
          map.insert(first, run(first, last));
          for (auto seq = first; seq <= last; ++seq) plain.insert(seq);
        }
        first = last + 1;
      }
      for (int i = 0; i < 15; ++i) {
        const auto first = 1 + random.next() % 100;
        const seq_range range{first, first + random.next() % 20};
        std::set<std::uint64_t> seen, taken;
        map.for_overlap(range, [&](seq_range part, const letters& whole) {
          CHECK(whole.seqs.front() <= part.first);
          CHECK(whole.seqs.back() >= part.last);
          for (auto seq = part.first; seq <= part.last; ++seq) seen.insert(seq);
        });
        map.extract(range, [&](std::uint64_t from, letters&& piece) {
          for (std::uint64_t k = 0; k < piece.size(); ++k) {
            REQUIRE(piece.seqs[k] == from + k);
            REQUIRE(taken.insert(from + k).second);
          }
        });
        std::set<std::uint64_t> expected;
        for (auto seq = range.first; seq <= range.last; ++seq)
          if (plain.erase(seq) > 0) expected.insert(seq);
        REQUIRE(taken == expected);
        REQUIRE(seen == expected);
        REQUIRE(map.size() == plain.size());
      }
      while (!map.empty()) {
        const auto [first, piece] = map.pop_front(3);
        REQUIRE(piece.size() <= 3);
        for (const auto seq : piece.seqs) REQUIRE(plain.erase(seq) == 1);
        REQUIRE(piece.seqs.front() == first);
      }
      REQUIRE(plain.empty());
      REQUIRE(map.size() == 0);
    }
  }
}

TEST_SUITE("backoff") {
  TEST_CASE("each failure doubles the wait, up to the most, with half of it left to chance") {
    const backoff wait{100ms, 1s};
    random_bits random(3);
    for (int i = 0; i < 1000; ++i) {
      const std::pair<std::uint32_t, duration> full[] = {
          {1, 100ms}, {2, 200ms}, {4, 800ms}, {5, 1s}, {4'000'000'000, 1s}};
      for (const auto& [failures, most] : full) {
        const auto w = wait.after(failures, random);
        REQUIRE(w >= most / 2);
        REQUIRE(w <= most);
      }
    }
  }

  TEST_CASE("the same seed is the same chance") {
    random_bits a(7), b(7), c(8);
    CHECK(a.next() == b.next());
    CHECK(a.next() != c.next());
  }
}

}  // namespace seq_set_test
