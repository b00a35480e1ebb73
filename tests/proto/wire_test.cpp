#include "proto/wire.hpp"

#include "proto/foreign_headers.hpp"
#include "proto/limits.hpp"
#include "support/same_message.hpp"

#include <weir/version.hpp>

#include <doctest/doctest.h>

#include <cmath>
#include <limits>

namespace wire_test {

using namespace weir;
using namespace weir::proto;
using namespace weir::test;

namespace {

message decoded(const frames& f) {
  auto result = decode(f.header, f.body);
  REQUIRE(std::holds_alternative<message>(result));
  return std::get<message>(std::move(result));
}

pack payloads(std::uint32_t count, std::uint32_t step) {
  pack_builder builder;
  for (std::uint32_t i = 0; i < count; ++i)
    builder.add(std::string(i * step % 300, static_cast<char>('a' + i % 26)));
  return builder.take();
}

}  // namespace

TEST_SUITE("wire: what is sent arrives") {
  TEST_CASE("thousands of payloads of mixed lengths come back as they went in") {
    for (const std::uint32_t count : {1u, 2u, 100u, 4096u, limits::items}) {
      const message m = task_batch{s, {{7, 3, payloads(count, 7), 0}}};
      CHECK(same(decoded(encode(m)), m));
    }
  }

  TEST_CASE("a row of payloads of one length takes no more header than one payload") {
    const frames f = encode(
        task_batch{s, {{1, 1, pack(blob::from(std::string(64'000, 'x')), 1000, 64), 0}}});
    CHECK(f.header.size() < 40);
    CHECK(
        same(decoded(f),
             task_batch{s, {{1, 1, pack(blob::from(std::string(64'000, 'x')), 1000, 64), 0}}}));
  }

  TEST_CASE("one run, and runs that lie side by side in one blob, are sent without a copy") {
    const pack all = payloads(100, 3);
    const frames whole = encode(task_batch{s, {{1, 1, all, 0}}});
    CHECK(whole.body.bytes.data() == all.body().bytes.data());
    const frames parts =
        encode(task_batch{s, {{1, 1, all.slice(0, 40), 0}, {41, 2, all.slice(40, 60), 0}}});
    CHECK(parts.body.bytes.data() == all.body().bytes.data());
    CHECK(parts.body.bytes == all.body().bytes);
  }

  TEST_CASE("runs from different places are gathered in the order of the header") {
    const pack all = payloads(100, 3);
    const message m = task_batch{s,
                                 {{51, 1, all.slice(50, 50), 0},
                                  {1, 1, all.slice(0, 50), 0},
                                  {900, 2, pack::of("alone"), 10},
                                  {901, 2, pack::of(""), 10}}};
    CHECK(same(decoded(encode(m)), m));
  }

  TEST_CASE("a received payload is a part of the received body") {
    const frames f = encode(result_batch{s, {{1, 1, status::ok, payloads(10, 5), {}}}});
    const message m = decoded(f);
    const pack& got = std::get<result_batch>(m).runs[0].payloads;
    CHECK(got.body().bytes.data() == f.body.bytes.data());
    CHECK(got.body().owner == f.body.owner);
  }

  TEST_CASE("every status code and every detail arrives") {
    for (std::uint64_t code = 0; code <= 16; ++code) {
      outcome_details d;
      d.message = "why";
      d.host = "h";
      d.stderr_tail = std::string("\0\xFF", 2);
      d.exit_code = 0;
      d.signal = 64;
      d.started = 1.5;
      d.runtime = 1e-9;
      d.retryable = false;
      const message m = result_batch{s,
                                     {{1, 0, *status_from(code), pack::of("x"), {d}},
                                      {2, 1, *status_from(code), payloads(2, 1), {{}, d}}}};
      CHECK(same(decoded(encode(m)), m));
    }
  }

  TEST_CASE("times of any size are floats, whole seconds and centuries too") {
    for (const double time : {1.0, 1e9, 0x1p63, 0x1p64, 1e300, 5e-324}) {
      outcome_details d;
      d.runtime = time;
      const message m = result_batch{s, {{1, 1, status::ok, pack::of(""), {d}}}};
      const frames f = encode(m);
      CHECK(f.header.find("dur\xCB") != std::string::npos);
      CHECK(same(decoded(f), m));
    }
  }

  TEST_CASE("a batch of nothing is a message too") {
    CHECK(same(decoded(encode(task_batch{s, {}})), task_batch{s, {}}));
  }

  TEST_CASE("nodes of a later version are recognised whatever else they say") {
    const auto later =
        decode(packed([](packer& out) { out.pack_array(3).pack(1).pack(2).pack(true); }),
               blob::from("x"));
    CHECK(same(std::get<message>(later), hello{2, {}}));
    const auto cut = decode(std::string("\x95\x01\xCD\x12\x34\xC1\xC1\xC1", 8), {});
    CHECK(same(std::get<message>(cut), hello{0x1234, {}}));
    const auto welcomed =
        decode(packed([](packer& out) { out.pack_array(2).pack(2).pack(99); }), {});
    CHECK(same(std::get<message>(welcomed), welcome{99, {}, 0}));
    CHECK(refusal(packed([](packer& out) { out.pack_array(2).pack(1).pack(wire_version); })) ==
          reject::missing_field);
    CHECK(refusal(packed([](packer& out) { out.pack_array(2).pack(1).pack("one"); })) ==
          reject::wrong_type);
  }

  TEST_CASE("a role of a later version is a role that nobody has a use for") {
    auto f = encode(hello{1, {role::sink, "", session_id{1}, "", 0, "", 0}});
    f.header.replace(f.header.find("sink"), 4, "pump");
    CHECK(std::get<hello>(decoded(f)).self.role == role::unknown);
  }
}

TEST_SUITE("wire: a sender keeps to the limits") {
  TEST_CASE("text is cut to its limit, stderr keeps its end, bad bytes are replaced") {
    outcome_details d;
    d.message = std::string(limits::text_bytes + 1, 'm');
    d.host = "caf\xE9";
    d.stderr_tail = "start" + std::string(limits::stderr_bytes, 'e');
    const auto m =
        decoded(encode(result_batch{s, {{1, 1, status::unknown, pack::of(""), {d}}}}));
    const auto& got = std::get<result_batch>(m).runs[0].details[0];
    CHECK(got.message == std::string(limits::text_bytes, 'm'));
    CHECK(got.host == "caf?");
    CHECK(got.stderr_tail == std::string(limits::stderr_bytes, 'e'));
  }

  TEST_CASE("figures that mean \"no limit\" are sent as the largest there is") {
    constexpr auto most = std::numeric_limits<std::uint64_t>::max();
    const auto m = decoded(encode(window{most, most, false, {}}));
    CHECK(same(m, window{limits::seq, limits::seq, false, {}}));
  }

  TEST_CASE("times that are no times are left out") {
    for (const double odd : {std::nan(""), HUGE_VAL, -1.0, 0.0}) {
      outcome_details d;
      d.started = d.runtime = odd;
      const auto m = decoded(encode(result_batch{s, {{1, 1, status::ok, pack::of(""), {d}}}}));
      CHECK(std::get<result_batch>(m).runs[0].details[0] == outcome_details{});
    }
  }

  TEST_CASE("encoded_size is never less than what details take") {
    const auto size = [](const outcome_details& d) {
      const result_run with{1, 1, status::ok, pack::of(""), {d}};
      const result_run without{1, 1, status::ok, pack::of(""), {}};
      return encode(result_batch{s, {with}}).header.size() -
             encode(result_batch{s, {without}}).header.size() - 1;
    };
    outcome_details d;
    CHECK(size(d) <= encoded_size(d));
    d = {"m",
         "h",
         "e",
         std::numeric_limits<std::int32_t>::max(),
         std::numeric_limits<std::int32_t>::max(),
         1e300,
         1e300,
         false};
    CHECK(size(d) <= encoded_size(d));
    d.message = d.host = std::string(5000, 'x');
    d.stderr_tail = std::string(50'000, 'x');
    CHECK(size(d) <= encoded_size(d));
    CHECK(encoded_size(d) <= limits::stderr_bytes + 2 * limits::text_bytes + 100);
  }

  TEST_CASE("results are cut into messages that lose none of their details") {
    result_run run{
        1, 1, status::unknown, pack(blob::from(std::string(2000, 'p')), 1000, 2), {}};
    CHECK(fitting_results(run) == 1000);
    outcome_details d;
    d.stderr_tail = std::string(limits::stderr_bytes, 'e');
    run.details.assign(1000, d);
    const auto n = fitting_results(run);
    CHECK(n * encoded_size(d) <= limits::details_bytes);
    CHECK((n + 1) * encoded_size(d) > limits::details_bytes);
    CHECK(fitting_results({1, 1, status::ok, pack::of(std::string(5'000'000, 'p')), {}}) == 1);
  }

  TEST_CASE("a resync of more ranges than a message may have leaves out the rest") {
    const auto scattered = [](std::uint64_t n) {
      seq_ranges ranges;
      for (std::uint64_t i = 1; i <= n; ++i) ranges.push_back({2 * i, 2 * i});
      return ranges;
    };
    const message all = window{1, 1, true, {{s, scattered(limits::ranges)}}};
    CHECK(same(decoded(encode(all)), all));
    const message over =
        window{1, 1, true, {{s, scattered(limits::ranges + 1)}, {s, {{1, 1}}}}};
    const message sent = window{1, 1, true, {{s, scattered(limits::ranges)}, {s, {}}}};
    CHECK(same(decoded(encode(over)), sent));
  }

  TEST_CASE("details beyond their limit are left out, and the message can still be read") {
    outcome_details d{"m", "host", std::string(limits::stderr_bytes, 'e'), 1, 0, 1.0,
                      1.0, false};
    result_batch batch{s, {}};
    for (std::uint64_t seq = 1; seq <= limits::items; ++seq)
      batch.runs.push_back({limits::seq - 3 * seq,
                            1u << 31,
                            status::unknown,
                            pack::of(std::string(1, 'p')),
                            {d}});
    const auto m = decoded(encode(batch));
    const auto& got = std::get<result_batch>(m);
    REQUIRE(got.runs.size() == limits::items);
    CHECK(got.runs.front().details[0] == d);
    CHECK(got.runs.back().details[0].stderr_tail.empty());
    CHECK_FALSE(got.runs.back().details[0].retryable);
  }
}

}  // namespace wire_test
