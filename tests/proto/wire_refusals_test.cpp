#include "proto/foreign_headers.hpp"
#include "proto/limits.hpp"
#include "proto/task_command.hpp"
#include "proto/wire.hpp"
#include "support/golden.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <limits>

namespace wire_refusals_test {

using namespace weir;
using namespace weir::proto;
using namespace weir::test;

namespace {

/// A TASK of one run with these figures, and payloads of no bytes.
std::string task_header(std::uint64_t first, std::uint64_t attempt, std::uint64_t count) {
  return packed([&](packer& out) {
    out.pack_array(3).pack(3);
    pack_source(out);
    out.pack_array(1).pack_array(4).pack(first).pack(attempt).pack(count).pack(0);
  });
}

/// A RESULT of one empty payload, with these details.
template <class Write>
std::string result_header(std::uint64_t code, Write details) {
  return packed([&](packer& out) {
    out.pack_array(3).pack(4);
    pack_source(out);
    out.pack_array(1).pack_array(6).pack(1).pack(1).pack(1).pack(0).pack(code);
    details(out);
  });
}

std::string release_header(std::uint32_t ranges) {
  return packed([&](packer& out) {
    out.pack_array(3).pack(8);
    pack_source(out);
    out.pack_array(2 * ranges);
    for (std::uint32_t i = 1; i <= ranges; ++i) out.pack(i).pack(i);
  });
}

std::string window_header(std::uint32_t sources, std::uint32_t ranges_each) {
  return packed([&](packer& out) {
    out.pack_array(4).pack(6).pack(1).pack(1).pack_array(sources);
    for (std::uint32_t n = 0; n < sources; ++n) {
      out.pack_array(2);
      pack_source(out);
      out.pack_array(2 * ranges_each);
      for (std::uint32_t i = 1; i <= ranges_each; ++i) out.pack(i).pack(i);
    }
  });
}

std::string error_header(std::uint64_t code, const std::string& text) {
  return packed([&](packer& out) {
    out.pack_array(3).pack(18).pack(code);
    pack_text(out, text);
  });
}

std::string welcome_header(std::uint64_t heartbeat_ms) {
  return packed([&](packer& out) {
    out.pack_array(7).pack(2).pack(1);
    pack_text(out, "sink");
    pack_text(out, "");
    pack_bytes(out, "12345678");
    out.pack(heartbeat_ms).pack_map(0);
  });
}

}  // namespace

TEST_SUITE("wire: at each limit, and one past it") {
  TEST_CASE("the header's length") {
    // An ALIVE with an element of a later version: 1 for the array, 1 for the kind, 5 for a
    // bin.
    const auto header = [](std::size_t length) {
      return packed([&](packer& out) {
        out.pack_array(2).pack(16);
        pack_bytes(out, std::string(length - 7, 'x'));
      });
    };
    REQUIRE(header(limits::header_bytes).size() == limits::header_bytes);
    CHECK(refusal(header(limits::header_bytes)) == accepted);
    CHECK(refusal(header(limits::header_bytes + 1)) == reject::header_too_long);
  }

  TEST_CASE("tasks in a message, in one run and over all runs") {
    CHECK(refusal(task_header(1, 1, 1)) == accepted);
    CHECK(refusal(task_header(1, 1, 0)) == reject::out_of_range);
    CHECK(refusal(task_header(1, 1, limits::items)) == accepted);
    CHECK(refusal(task_header(1, 1, limits::items + 1)) == reject::out_of_range);
    const auto runs = [](std::uint32_t last) {
      return packed([&](packer& out) {
        out.pack_array(3).pack(3);
        pack_source(out);
        out.pack_array(2);
        out.pack_array(4).pack(1).pack(1).pack(limits::items - 1).pack(0);
        out.pack_array(4).pack(1).pack(1).pack(last).pack(0);
      });
    };
    CHECK(refusal(runs(1)) == accepted);
    CHECK(refusal(runs(2)) == reject::out_of_range);
  }

  TEST_CASE("sequence numbers and attempts") {
    CHECK(refusal(task_header(limits::seq, 1, 1)) == accepted);
    CHECK(refusal(task_header(limits::seq, 1, 2)) == reject::out_of_range);
    CHECK(refusal(task_header(limits::seq + 1, 1, 1)) == reject::out_of_range);
    CHECK(refusal(task_header(0, 1, 1)) == reject::out_of_range);
    CHECK(refusal(task_header(1, 0xFFFFFFFF, 1)) == accepted);
    CHECK(refusal(task_header(1, 0x100000000, 1)) == reject::out_of_range);
    CHECK(refusal(task_header(1, 0, 1)) == reject::out_of_range);
  }

  TEST_CASE("a payload's length") {
    const auto frame = [](std::uint32_t length) {
      return encode(task_batch{s, {{1, 1, pack::of(std::string(length, 'x')), 0}}});
    };
    const frames most = frame(limits::payload_bytes);
    CHECK(refusal(most.header, std::string(most.body.bytes)) == accepted);
    const frames over = frame(limits::payload_bytes + 1);
    CHECK(refusal(over.header, std::string(over.body.bytes)) == reject::out_of_range);
  }

  TEST_CASE("ranges in a message, of one source and over all sources") {
    CHECK(refusal(release_header(0)) == accepted);
    CHECK(refusal(release_header(limits::ranges)) == accepted);
    CHECK(refusal(release_header(limits::ranges + 1)) == reject::out_of_range);
    CHECK(refusal(window_header(2, limits::ranges / 2)) == accepted);
    CHECK(refusal(window_header(2, limits::ranges / 2 + 1)) == reject::out_of_range);
    CHECK(refusal(window_header(limits::sources, 0)) == accepted);
    CHECK(refusal(window_header(limits::sources + 1, 0)) == reject::out_of_range);
  }

  TEST_CASE("text, and the tail of stderr") {
    CHECK(refusal(error_header(1, std::string(limits::text_bytes, 'x'))) == accepted);
    CHECK(refusal(error_header(1, std::string(limits::text_bytes + 1, 'x'))) ==
          reject::out_of_range);
    const auto err = [](std::size_t length) {
      return result_header(2, [&](packer& out) {
        out.pack_array(1).pack_map(1);
        pack_text(out, "err");
        pack_bytes(out, std::string(length, 'x'));
      });
    };
    CHECK(refusal(err(limits::stderr_bytes)) == accepted);
    CHECK(refusal(err(limits::stderr_bytes + 1)) == reject::out_of_range);
  }

  TEST_CASE("the heartbeat, codes of status and error, modes") {
    CHECK(refusal(welcome_header(0)) == reject::out_of_range);
    CHECK(refusal(welcome_header(1)) == accepted);
    CHECK(refusal(welcome_header(limits::heartbeat_ms)) == accepted);
    CHECK(refusal(welcome_header(limits::heartbeat_ms + 1)) == reject::out_of_range);
    const auto nothing = [](packer& out) { out.pack_nil(); };
    CHECK(refusal(result_header(16, nothing)) == accepted);
    CHECK(refusal(result_header(17, nothing)) == reject::out_of_range);
    CHECK(refusal(error_header(255, "")) == accepted);
    CHECK(refusal(error_header(256, "")) == reject::out_of_range);
    auto mode = encode(cancel{s, {{1, 1}}, cancel_mode::give_back}).header;
    CHECK(refusal(mode) == accepted);
    mode.back() = 2;
    CHECK(refusal(mode) == reject::out_of_range);
  }

  TEST_CASE("entries of a map") {
    const auto map = [](std::uint32_t entries) {
      return result_header(2, [&](packer& out) {
        out.pack_array(1).pack_map(entries);
        for (std::uint32_t i = 0; i < entries; ++i) out.pack(std::to_string(i)).pack(i);
      });
    };
    CHECK(refusal(map(limits::map_entries)) == accepted);
    CHECK(refusal(map(limits::map_entries + 1)) == reject::out_of_range);
  }

  TEST_CASE("nesting in what is skipped") {
    const auto nested = [](std::size_t levels) {
      return "\x92\x10" + std::string(levels, '\x91') + '\x01';
    };
    CHECK(refusal(nested(limits::depth)) == accepted);
    CHECK(refusal(nested(limits::depth + 1)) == reject::not_msgpack);
  }
}

TEST_SUITE("wire: what a hostile peer may try") {
  TEST_CASE("a golden frame that is cut anywhere is refused") {
    for (const auto& frame : read_golden_frames(WEIR_PROTOCOL_PAGE)) {
      if (frame.what == "refused") continue;
      CAPTURE(frame.name);
      for (std::size_t n = 0; n < frame.header.size(); ++n)
        CHECK(refusal(frame.header.substr(0, n), frame.body) != accepted);
      for (std::size_t n = 0; n < frame.body.size(); ++n)
        CHECK(refusal(frame.header, frame.body.substr(0, n)) == reject::body_mismatch);
      CHECK(refusal(frame.header + '\0', frame.body) == reject::not_msgpack);
      CHECK(refusal(frame.header, frame.body + '\0') == reject::body_mismatch);
    }
  }

  TEST_CASE("counts that do not agree with each other are refused") {
    const auto lengths = [](std::uint32_t count, std::uint32_t stated) {
      return packed([&](packer& out) {
        out.pack_array(3).pack(3);
        pack_source(out);
        out.pack_array(1).pack_array(4).pack(1).pack(1).pack(count).pack_array(stated);
        for (std::uint32_t i = 0; i < stated; ++i) out.pack(0);
      });
    };
    CHECK(refusal(lengths(3, 3)) == accepted);
    CHECK(refusal(lengths(3, 2)) == reject::out_of_range);
    CHECK(refusal(lengths(3, 4)) == reject::out_of_range);
    const auto two = [](packer& out) { out.pack_array(2).pack_map(0).pack_map(0); };
    CHECK(refusal(result_header(0, two)) == reject::out_of_range);
  }

  TEST_CASE("lengths whose sum does not fit into 32 bits do not wrap around") {
    const auto header = packed([](packer& out) {
      out.pack_array(3).pack(3);
      pack_source(out);
      // 257 times 16 MiB is 4 GiB and 16 MiB.
      out.pack_array(1).pack_array(4).pack(1).pack(1).pack(257).pack_array(257);
      for (int i = 0; i < 257; ++i) out.pack(limits::payload_bytes);
    });
    CHECK(refusal(header, std::string(limits::payload_bytes, 'x')) == reject::body_mismatch);
  }

  TEST_CASE("figures of the wrong sign or type are refused") {
    const auto items = [](auto value) {
      return packed([&](packer& out) { out.pack_array(3).pack(6).pack(value).pack(1); });
    };
    CHECK(refusal(items(1)) == accepted);
    CHECK(refusal(items(-1)) == reject::out_of_range);
    CHECK(refusal(items(-70'000)) == reject::out_of_range);
    CHECK(refusal(items(1.5)) == reject::wrong_type);
    CHECK(refusal(items("1")) == reject::wrong_type);
    CHECK(refusal(items(true)) == reject::wrong_type);
    CHECK(refusal(items(std::numeric_limits<std::uint64_t>::max())) == reject::out_of_range);
  }

  TEST_CASE("times that are no times are refused") {
    const auto runtime = [](auto value) {
      return result_header(
          0, [&](packer& out) { out.pack_array(1).pack_map(1).pack("dur").pack(value); });
    };
    CHECK(refusal(runtime(0.5)) == accepted);
    CHECK(refusal(runtime(0.5f)) == accepted);
    CHECK(refusal(runtime(2)) == accepted);
    CHECK(refusal(runtime(-0.5)) == reject::out_of_range);
    CHECK(refusal(runtime(std::nan(""))) == reject::out_of_range);
    CHECK(refusal(runtime(HUGE_VAL)) == reject::out_of_range);
    CHECK(refusal(runtime("2")) == reject::wrong_type);
  }

  TEST_CASE("what a callee has seen may be left out of its BYE, or be nil") {
    const auto bye_with = [](auto value) {
      return packed([&](packer& out) { out.pack_array(3).pack(17).pack(0).pack(value); });
    };
    CHECK(refusal(bye_with(msgpack::type::nil_t{})) == accepted);
    CHECK(refusal(bye_with(limits::seq)) == accepted);
    CHECK(refusal(bye_with(limits::seq + 1)) == reject::out_of_range);
    CHECK(refusal(bye_with("1")) == reject::wrong_type);
    CHECK(refusal(encode(bye{}).header) == accepted);
  }

  TEST_CASE("unknown values of every type are passed over") {
    const auto header = packed([](packer& out) {
      out.pack_array(17).pack(16);
      out.pack_nil().pack(true).pack(-1).pack(-200).pack(-70'000).pack(
          std::int64_t{-5'000'000'000});
      out.pack(0.5f).pack(0.5).pack(std::string(40, 'x')).pack(std::string(70'000, 'x'));
      pack_bytes(out, std::string(300, 'x'));
      out.pack_ext(1, 7).pack_ext_body("x", 1);
      out.pack_ext(16, 7).pack_ext_body("0123456789abcdef", 16);
      out.pack_ext(3, 7).pack_ext_body("xyz", 3);
      out.pack_map(1).pack(1).pack_array(0);
      out.pack_array(2).pack(1).pack_map(0);
    });
    CHECK(refusal(header) == accepted);
  }

  TEST_CASE("a command that names no program, or has a NUL byte, is none") {
    using namespace std::string_literals;
    const auto read = [](std::vector<std::string> argv) {
      return decode_command(encode(task_command{std::move(argv)}));
    };
    CHECK(read({"echo", ""})->argv == std::vector<std::string>{"echo", ""});
    CHECK(!read({}));
    CHECK(!read({""}));
    CHECK(!read({"", "x"}));
    CHECK(!read({"echo", "a\0b"s}));
  }

  TEST_CASE("every reason has a name") {
    for (int why = 0; why <= static_cast<int>(reject::body_mismatch); ++why)
      CHECK(to_string(static_cast<reject>(why)).size() > 5);
  }
}

}  // namespace wire_refusals_test
