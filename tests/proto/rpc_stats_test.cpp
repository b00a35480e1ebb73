// What is measured: how long, how often, and which way.
#include "proto/rpc/clock_offset.hpp"
#include "proto/rpc/histogram.hpp"
#include "proto/rpc/rate_meter.hpp"

#include <doctest/doctest.h>

namespace rpc_stats_test {

using namespace weir::proto;
using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::seconds;

namespace {
constexpr time_point t0{std::chrono::hours(1)};
}

TEST_CASE("an empty histogram reports zeros") {
  const histogram h;
  CHECK(h.count() == 0);
  CHECK(h.mean() == 0);
  CHECK(h.percentile(0.99) == 0);
}

TEST_CASE("percentiles are right within three per cent, from a microsecond to an hour") {
  for (const std::int64_t us :
       std::initializer_list<std::int64_t>{1, 31, 32, 33, 1000, 123456, 7000000, 3600000000}) {
    histogram h;
    h.record(microseconds(us), 10);
    h.record(microseconds(2 * us));  // so that the largest does not correct the estimate
    CHECK(h.percentile(0.5) == doctest::Approx(static_cast<double>(us)).epsilon(0.032));
  }
}

TEST_CASE("the slowest per cent decides the 99.9th percentile and not the median") {
  histogram h;
  h.record(microseconds(100), 990);
  h.record(milliseconds(20), 10);
  CHECK(h.percentile(0.5) == doctest::Approx(100).epsilon(0.03));
  CHECK(h.percentile(0.99) == doctest::Approx(100).epsilon(0.03));
  CHECK(h.percentile(0.999) == doctest::Approx(20'000).epsilon(0.03));
  CHECK(h.mean() == doctest::Approx((100.0 * 990 + 20'000 * 10) / 1000));
}

TEST_CASE("a percentile is never above the largest duration that was seen") {
  histogram h;
  h.record(microseconds(1025));
  CHECK(h.percentile(0.999) <= 1025);
}

TEST_CASE("durations below zero or beyond all bounds are kept at the ends") {
  histogram h;
  h.record(microseconds(-5));
  h.record(std::chrono::hours(10'000));
  CHECK(h.count() == 2);
  CHECK(h.percentile(0.5) == 0);
  CHECK(h.percentile(1) > 4e9);
}

TEST_CASE("the rate is that of the last ten seconds") {
  rate_meter m;
  for (int s = 0; s < 30; ++s) m.add(100, t0 + seconds(s) + milliseconds(500));
  CHECK(m.per_second(t0 + seconds(30)) == doctest::Approx(100).epsilon(0.02));
  CHECK(m.per_second(t0 + seconds(60)) == 0);
}

TEST_CASE("a burst is not taken for a rate before a second has gone by") {
  rate_meter m;
  m.add(1000, t0);
  CHECK(m.per_second(t0 + milliseconds(1)) == doctest::Approx(1000));
  CHECK(m.per_second(t0 + seconds(5)) == doctest::Approx(200));
}

TEST_CASE("a clock that is hours off does not disturb the split of request and response") {
  clock_offset offset;
  const duration theirs = std::chrono::hours(7);
  const auto exchange = [&](time_point at, duration there, duration back) {
    const duration received = at.time_since_epoch() + there + theirs;
    return offset.sample(at, received, received + milliseconds(3),
                         at + there + milliseconds(3) + back);
  };
  (void)exchange(t0, microseconds(50), microseconds(50));
  const auto slow_request = exchange(t0 + seconds(1), microseconds(950), microseconds(50));
  CHECK(slow_request.request == microseconds(950));
  CHECK(slow_request.response == microseconds(50));
  const auto slow_response = exchange(t0 + seconds(2), microseconds(60), milliseconds(8));
  CHECK(slow_response.request == microseconds(60));
  CHECK(slow_response.response == milliseconds(8));
}

TEST_CASE("a clock that drifts is followed") {
  clock_offset offset;
  clock_offset::legs last;
  for (int s = 0; s < 100; ++s) {
    const time_point at = t0 + seconds(s);
    const duration received = at.time_since_epoch() + microseconds(100) + milliseconds(s);
    last = offset.sample(at, received, received, at + microseconds(200));
  }
  // A millisecond a second: the estimate is never older than twenty seconds.
  CHECK(last.request < milliseconds(21));
}

}  // namespace rpc_stats_test
