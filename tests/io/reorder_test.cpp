#include "io/reorder.hpp"

#include "io/spill_file.hpp"
#include "io_support.hpp"

#include <weir/error.hpp>

#include <algorithm>
#include <map>
#include <random>

namespace reorder_test {

using namespace weir;
using namespace weir::io;
using namespace weir::io_test;

namespace {

struct part {
  source_id source;
  proto::result_run run;
};

std::string output_of(std::uint64_t seq) {
  return std::to_string(seq) + std::string(seq * 7919 % 300, 'x');
}

// Cuts seqs 1 to `total` into runs of random lengths, some with details.
std::vector<part> parts_of(const source_id& source, std::uint64_t total, std::mt19937& random) {
  std::vector<part> parts;
  for (std::uint64_t first = 1; first <= total;) {
    const std::uint64_t count = std::min<std::uint64_t>(1 + random() % 40, total - first + 1);
    std::vector<std::string> outputs;
    for (std::uint64_t i = 0; i < count; ++i) outputs.push_back(output_of(first + i));
    proto::result_run run = run_of(first, outputs, random() % 2 ? status::ok : status::aborted);
    run.attempt = static_cast<std::uint32_t>(random() % 5 + 1);
    if (random() % 3 == 0)
      for (std::uint64_t i = 0; i < count; ++i) {
        outcome_details d;
        d.host = "host" + std::to_string(first + i);
        d.stderr_tail = output_of(first + i);
        d.runtime = static_cast<double>(i);
        d.exit_code = static_cast<std::int32_t>(i);
        run.details.push_back(d);
      }
    parts.push_back({source, std::move(run)});
    first += count;
  }
  return parts;
}

bool same(const proto::result_run& a, const proto::result_run& b) {
  if (a.first != b.first || a.attempt != b.attempt || a.code != b.code ||
      a.details != b.details || a.payloads.size() != b.payloads.size())
    return false;
  for (std::uint32_t i = 0; i < a.payloads.size(); ++i)
    if (a.payloads[i] != b.payloads[i]) return false;
  return true;
}

}  // namespace

TEST_SUITE("reorder") {
  TEST_CASE("results in order pass through at once") {
    reorder order;
    for (std::uint64_t seq = 1; seq < 100; ++seq) {
      order.add(source_number(1), run_of(seq, {output_of(seq)}));
      const auto due = order.next();
      REQUIRE(due);
      CHECK(due->run.first == seq);
      CHECK(order.empty());
    }
    CHECK(order.memory_used() == 0);
  }

  TEST_CASE("a result waits for those before it, in its own source only") {
    reorder order;
    order.add(source_number(1), run_of(2, {"b", "c"}));
    CHECK_FALSE(order.next());
    order.add(source_number(2), run_of(1, {"other"}));
    CHECK(order.next()->source == source_number(2));
    CHECK_FALSE(order.next());
    CHECK(order.waiting() == 2);
    order.add(source_number(1), run_of(1, {"a"}));
    CHECK(order.next()->run.first == 1);
    CHECK(order.next()->run.first == 2);
    CHECK_FALSE(order.next());
    CHECK(order.empty());
  }

  TEST_CASE(
      "any order of arrival, in memory or through the file, gives the order of the tasks") {
    for (const std::size_t limit :
         {std::size_t{1} << 30, std::size_t{40'000}, std::size_t{0}}) {
      for (unsigned seed = 0; seed < 12; ++seed) {
        CAPTURE(limit);
        CAPTURE(seed);
        std::mt19937 random(seed);
        std::vector<part> parts;
        std::map<source_id, std::vector<proto::result_run>> expected;
        for (unsigned char s = 1; s <= 3; ++s) {
          auto some = parts_of(source_number(s), 2000, random);
          for (const auto& p : some) expected[p.source].push_back(p.run);
          parts.insert(parts.end(), some.begin(), some.end());
        }
        // Everything shuffled, or only neighbours as real workers do.
        if (seed % 3 == 0) std::shuffle(parts.begin(), parts.end(), random);
        if (seed % 3 == 1) std::reverse(parts.begin(), parts.end());
        if (seed % 3 == 2)
          for (auto it = parts.begin(); it + 20 < parts.end(); it += 10)
            std::shuffle(it, it + 20, random);

        reorder order({limit, ""});
        std::map<source_id, std::size_t> got;
        const auto take = [&] {
          while (const auto due = order.next())
            REQUIRE(same(due->run, expected[due->source].at(got[due->source]++)));
        };
        for (const auto& p : parts) {
          order.add(p.source, p.run);
          CHECK(order.memory_used() <= limit);
          if (random() % 4 != 0) take();
        }
        take();
        CHECK(order.empty());
        CHECK(order.memory_used() == 0);
        CHECK((order.spilled() > 0) == (limit < 1U << 30));
        for (const auto& [source, runs] : expected) CHECK(got[source] == runs.size());
      }
    }
  }

  TEST_CASE("a result larger than what is read back at a time survives the file") {
    reorder order({0, ""});
    const std::string large(1'000'000, 'L');
    order.add(source_number(1), run_of(3, {"after"}));
    order.add(source_number(1), run_of(2, {large}));
    order.add(source_number(1), run_of(1, {"first"}));
    CHECK(order.next()->run.payloads[0] == "first");
    CHECK(order.next()->run.payloads[0] == large);
    CHECK(order.next()->run.payloads[0] == "after");
    CHECK(order.empty());
  }

  TEST_CASE("a small part of a large message does not keep the message in memory") {
    reorder order;
    const proto::result_run large = run_of(1, {std::string(1'000'000, 'x'), "a", "b"});
    proto::result_run small = large;
    small.first = 2;
    small.payloads = large.payloads.slice(1, 1);
    const std::weak_ptr<const void> memory = large.payloads.body().owner;
    const auto users = memory.use_count();
    order.add(source_number(1), std::move(small));
    CHECK(memory.use_count() == users - 1);
    CHECK(order.memory_used() < 1000);
  }

  TEST_CASE("a source that goes on where another run of it ended need not start at 1") {
    reorder order;
    order.start(source_number(1), 1000);
    order.add(source_number(1), run_of(1001, {"b"}));
    CHECK_FALSE(order.next());
    order.add(source_number(1), run_of(1000, {"a"}));
    CHECK(order.next()->run.first == 1000);
    CHECK(order.next()->run.first == 1001);
  }

  TEST_CASE("a forgotten source takes what waits of it along, from memory and from the file") {
    for (const std::size_t limit : {std::size_t{0}, std::size_t{1} << 20}) {
      reorder order({limit, ""});
      order.add(source_number(1), run_of(1, {"ready"}));
      order.add(source_number(1), run_of(3, {"waits"}));
      order.add(source_number(2), run_of(2, {"b"}));
      order.forget(source_number(1));
      CHECK_FALSE(order.next());
      CHECK(order.waiting() == 1);
      order.add(source_number(2), run_of(1, {"a"}));
      CHECK(order.next()->run.payloads[0] == "a");
      CHECK(order.next()->run.payloads[0] == "b");
      CHECK(order.empty());
    }
  }

  TEST_CASE("a temporary directory that is not there is an I/O error that says what to set") {
    reorder order({0, "/nonexistent/weir"});
    try {
      order.add(source_number(1), run_of(2, {"waits"}));
      FAIL("no error");
    } catch (const error& e) {
      CHECK(e.code() == exit_code::io);
      CHECK(std::string(e.what()).find("/nonexistent/weir") != std::string::npos);
      CHECK(std::string(e.what()).find("TMPDIR") != std::string::npos);
    }
  }

  TEST_CASE("the temporary file has no name and gives its space back") {
    const temp_dir dir;
    spill_file file(dir.path());
    CHECK(file.append("hello") == 0);
    CHECK(file.append("world") == 5);
    CHECK(std::filesystem::is_empty(dir.path()));
    std::string back(7, '\0');
    file.read(3, back.data(), back.size());
    CHECK(back == "loworld");
    file.clear();
    CHECK(file.append("again") == 0);
  }
}

}  // namespace reorder_test
