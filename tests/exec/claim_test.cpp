#include "exec/claim.hpp"

#include <doctest/doctest.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cstdint>
#include <string>

namespace claim_test {

using weir::status;
using weir::exec::claim;
using weir::exec::stop_reason;
using weir::exec::work;
namespace proto = weir::proto;

namespace {

work tasks(std::uint32_t count, std::uint64_t first = 11) {
  proto::pack_builder builder;
  for (std::uint32_t i = 0; i < count; ++i) builder.add("task " + std::to_string(i));
  return {{}, first, 2, builder.take(), {}};
}

struct event {
  int fd = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  ~event() { ::close(fd); }
  bool raised() const {
    std::uint64_t count = 0;
    return ::read(fd, &count, sizeof count) == sizeof count;
  }
};

weir::outcome_details because(std::string message) {
  weir::outcome_details details;
  details.message = std::move(message);
  return details;
}

}  // namespace

TEST_SUITE("claim") {
  TEST_CASE("consecutive successes come back as one run") {
    claim c(tasks(3), -1);
    for (std::uint32_t i = 0; c.begin(i); ++i) c.succeed(i, c.payload(i));
    const auto part = c.take();
    CHECK(part.first == 11);
    CHECK(part.last == 13);
    REQUIRE(part.runs.size() == 1);
    CHECK(part.runs[0].first == 11);
    CHECK(part.runs[0].attempt == 2);
    CHECK(part.runs[0].payloads.size() == 3);
    CHECK(part.runs[0].payloads.uniform());
    CHECK(part.runs[0].payloads[2] == "task 2");
    CHECK(part.runs[0].details.empty());
    CHECK(c.take().empty());
  }

  TEST_CASE("a failure stands between the runs of successes, with its details") {
    claim c(tasks(4), -1);
    for (std::uint32_t i = 0; c.begin(i); ++i) {
      if (i == 1)
        c.fail(i, status::unknown, because("no"), "so far");
      else
        c.succeed(i, "yes");
    }
    const auto part = c.take();
    REQUIRE(part.runs.size() == 3);
    CHECK(part.runs[1].first == 12);
    CHECK(part.runs[1].code == status::unknown);
    CHECK(part.runs[1].payloads[0] == "so far");
    REQUIRE(part.runs[1].details.size() == 1);
    CHECK(part.runs[1].details[0].message == "no");
    CHECK(part.runs[2].first == 13);
    CHECK(part.runs[2].payloads.size() == 2);
  }

  TEST_CASE("a run has details for all of its results or for none") {
    claim c(tasks(3), -1);
    REQUIRE(c.begin(0));
    c.succeed(0, "plain");
    REQUIRE(c.begin(1));
    c.succeed(1, "detailed", because("a"));
    REQUIRE(c.begin(2));
    c.succeed(2, "detailed", because("b"));
    const auto part = c.take();
    REQUIRE(part.runs.size() == 2);
    CHECK(part.runs[0].details.empty());
    CHECK(part.runs[1].details.size() == 2);
  }

  TEST_CASE("results that exceed a message's worth are split into several runs") {
    claim c(tasks(3), -1);
    const std::string half(proto::limits::batch_bytes / 2, 'x');
    for (std::uint32_t i = 0; c.begin(i); ++i) c.succeed(i, half);
    const auto part = c.take();
    REQUIRE(part.runs.size() == 2);
    CHECK(part.runs[0].payloads.size() == 2);
    CHECK(part.runs[1].payloads.size() == 1);
  }

  TEST_CASE("a result of 16 MiB is one; with a byte more its task has failed for good") {
    const std::string most(proto::limits::payload_bytes, 'x');
    for (const bool detailed : {false, true}) {
      claim c(tasks(3), -1);
      for (std::uint32_t i = 0; c.begin(i); ++i) {
        const std::string result = i == 0 ? "first" : most + (i == 1 ? "" : "x");
        if (detailed)
          c.succeed(i, result, because("done"));
        else
          c.succeed(i, result);
      }
      const auto part = c.take();
      REQUIRE(part.runs.size() == 3);
      CHECK(part.runs[1].code == status::ok);
      CHECK(part.runs[1].payloads[0] == most);
      CHECK(part.runs[2].code == status::resource_exhausted);
      CHECK(part.runs[2].payloads[0].empty());
      REQUIRE(part.runs[2].details.size() == 1);
      CHECK(!part.runs[2].details[0].retryable);
      CHECK(part.runs[2].details[0].message.find("16777217 bytes") != std::string::npos);
    }
  }

  TEST_CASE("released tasks are ranges of their own") {
    claim c(tasks(4), -1);
    REQUIRE(c.begin(0));
    c.succeed(0, "");
    for (std::uint32_t i = 1; i < 4 && c.begin(i); ++i) c.release(i);
    const auto part = c.take();
    REQUIRE(part.released.size() == 1);
    CHECK(part.released[0] == proto::seq_range{12, 14});
  }

  TEST_CASE("what was not begun can be taken away, and the runner is told so") {
    claim c(tasks(10), -1);
    REQUIRE(c.begin(0));
    REQUIRE(c.begin(1));
    const auto rest = c.withdraw();
    REQUIRE(rest);
    CHECK(rest->first == 13);
    CHECK(rest->payloads.size() == 8);
    CHECK(rest->payloads[0] == "task 2");
    CHECK_FALSE(c.withdraw());
    c.succeed(0, "");
    c.succeed(1, "");
    CHECK_FALSE(c.begin(2));
    CHECK(c.take().last == 12);
  }

  TEST_CASE("what a runner leaves unanswered can be taken up by another") {
    claim c(tasks(5), -1);
    REQUIRE(c.begin(3));
    c.succeed(0, "");
    const auto rest = c.leftover();
    REQUIRE(rest);
    CHECK(rest->first == 12);
    CHECK(rest->payloads.size() == 4);
  }

  TEST_CASE("cancelling concerns the tasks that were named, and wakes the runner") {
    const event wake;
    claim c(tasks(3), wake.fd);
    REQUIRE(c.begin(2));
    CHECK_FALSE(c.cancelled(1));
    c.cancel({12, 12});
    CHECK(wake.raised());
    CHECK_FALSE(c.cancelled(0));
    CHECK(c.why_stop(1) == stop_reason::cancelled);
    CHECK_FALSE(c.cancelled(2));
  }

  TEST_CASE("success after the time limit is a failure all the same") {
    const event wake;
    claim c(tasks(2), wake.fd);
    REQUIRE(c.begin(0));
    c.expire(0);
    CHECK(c.why_stop(0) == stop_reason::expired);
    c.succeed(0, "late");
    REQUIRE(c.begin(1));
    CHECK_FALSE(c.cancelled(1));
    c.succeed(1, "in time");
    const auto part = c.take();
    REQUIRE(part.runs.size() == 2);
    CHECK(part.runs[0].code == status::deadline_exceeded);
    CHECK(part.runs[1].code == status::ok);
  }

  TEST_CASE("a time limit that passes when the answer is already there changes nothing") {
    const event wake;
    claim c(tasks(1), wake.fd);
    REQUIRE(c.begin(0));
    c.succeed(0, "just in time");
    c.expire(0);
    CHECK(c.take().runs.at(0).code == status::ok);
  }

  TEST_CASE("what is stopped because the worker leaves is released, not failed") {
    const event wake;
    claim c(tasks(2), wake.fd);
    REQUIRE(c.begin(1));
    c.abandon();
    CHECK(c.cancelled(0));
    c.succeed(0, "done nevertheless");
    c.fail(1, status::cancelled, because("stopped"));
    const auto part = c.take();
    REQUIRE(part.runs.size() == 1);
    CHECK(part.runs[0].code == status::ok);
    REQUIRE(part.released.size() == 1);
    CHECK(part.released[0] == proto::seq_range{12, 12});
  }

  TEST_CASE("the newest report is the one that is told") {
    claim c(tasks(2), -1);
    REQUIRE(c.begin(0));
    c.report(0, 1, 10, "one");
    c.report(0, 2, 10, "two");
    const auto said = c.take_report();
    REQUIRE(said);
    CHECK(said->seq == 11);
    CHECK(said->attempt == 2);
    CHECK(said->done == 2);
    CHECK(said->text == "two");
    CHECK_FALSE(c.take_report());
  }
}

}  // namespace claim_test
