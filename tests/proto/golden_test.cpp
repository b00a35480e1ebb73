#include "support/golden.hpp"

#include "proto/wire.hpp"
#include "support/same_message.hpp"

#include <doctest/doctest.h>
#include <msgpack.hpp>

#include <cstdio>
#include <map>
#include <numeric>
#include <set>

namespace golden_test {

using namespace weir;
using namespace weir::proto;
using weir::test::golden_frame;
using weir::test::same;

namespace {

const std::vector<golden_frame>& page() {
  static const auto all = test::read_golden_frames(WEIR_PROTOCOL_PAGE);
  return all;
}

pack payloads(std::initializer_list<std::string_view> all) {
  pack_builder builder;
  for (const auto one : all) builder.add(one);
  return builder.take();
}

/// The source of all frames on the page.
constexpr source_id s{{0x5e, 0x11, 0xaa, 0x00, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88,
                       0x99, 0xaa, 0xbb, 0xcc}};

introduction worker() {
  return {role::worker, "w1", session_id{0x0102030405060708}, "node7", 4, "", 16777216};
}
introduction ventilator() {
  return {role::ventilator,   "numbers", session_id{0x1112131415161718}, "node1", 0,
          "tcp://node1:5558", 16777216};
}
introduction sink() {
  return {role::sink, "out", session_id{0x2122232425262728}, "node1", 0, "", 16777216};
}

outcome_details failed_command() {
  outcome_details d;
  d.message = "exit code 3";
  d.host = "node7";
  d.stderr_tail = "no such row\n";
  d.exit_code = 3;
  d.started = 1700000000.5;
  d.runtime = 0.25;
  return d;
}

outcome_details killed_command() {
  outcome_details d;
  d.message = "killed";
  d.signal = 9;
  d.retryable = false;
  return d;
}

offer two_methods() {
  method_info add;
  add.name = "add";
  add.doc = "Adds two numbers.";
  add.signature = "(a: int, b: int) -> int";
  add.arguments_known = true;
  add.arguments = {{"a", "int"}, {"b", "int"}};
  add.result = "int";
  add.idempotent = true;
  add.cache_ms = 60000;
  method_info tail;
  tail.name = "tail";
  tail.arguments_known = true;
  tail.arguments = {{"file", "str"}, {"lines", "int", true}};
  tail.result = "nil";
  tail.streams = true;
  tail.concurrency = 2;
  tail.deadline_ms = 30000;
  return {{add, tail}, {"tcp://node7:5560"}};
}

std::shared_ptr<const call_options> many_options() {
  call_options o;
  o.priority = 9;
  o.attempt = 2;
  o.stream_window = 64;
  o.stream_bytes = 65'536;
  o.hash_key = "log";
  o.idempotency_key = std::string("\0\x11", 2);
  o.metadata = {{"traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}};
  return std::make_shared<const call_options>(o);
}

std::shared_ptr<const call_options> nobody_waits() {
  call_options o;
  o.no_reply = true;
  return std::make_shared<const call_options>(o);
}

reply_details no_such_file() {
  return {"no such file: x", "std::runtime_error", "\xa1x", "gateway-2@node1 worker-7@node7"};
}
reply_details exit_code() { return {"exit code 3", "exit 3", "", ""}; }
reply_details overload() { return {"the queue of add is full", "", "", "", 250, true}; }
reply_details three_parts() { return {"", "", "", "", 0, false, 3}; }

/// What the golden frames on the page say, in C++.
const std::map<std::string, message>& meanings() {
  static const std::map<std::string, message> all{
      {"hello-worker", hello{1, worker()}},
      {"hello-ventilator", hello{1, ventilator()}},
      {"hello-takes-commands",
       hello{1, {role::worker, "", session_id{0x0102030405060708}, "", 2, "", 0, true}}},
      {"task-commands", task_batch{s,
                                   {{8, 1,
                                     payloads({std::string("\x91\x92\xc4\x04"
                                                           "echo\xc4\x01"
                                                           "a",
                                                           11)}),
                                     0, true}}}},
      {"hello-bare",
       hello{1, {role::worker, "", session_id{0x0102030405060708}, "", 0, "", 0}}},
      {"welcome-ventilator", welcome{1, ventilator(), 1000}},
      {"welcome-sink", welcome{1, sink(), 1000}},
      {"task-one-length", task_batch{s, {{1, 1, payloads({"one", "two"}), 0}}}},
      {"task-lengths", task_batch{s, {{3, 1, payloads({"three", "", "five"}), 0}}}},
      {"task-runs",
       task_batch{s, {{6, 1, payloads({"six"}), 0}, {2, 2, payloads({"two"}), 60000}}}},
      {"task-empty", task_batch{s, {{7, 1, payloads({"", ""}), 0}}}},
      {"result-ok", result_batch{s, {{1, 1, status::ok, payloads({"ONE", "TWO"}), {}}}}},
      {"result-failed",
       result_batch{s, {{3, 1, status::unknown, payloads({"partial"}), {failed_command()}}}}},
      {"result-given-up",
       result_batch{s, {{2, 3, status::aborted, payloads({""}), {killed_command()}}}}},
      {"window", window{64, 1048576, false, {}}},
      {"window-holding", window{64, 1048576, true, {{s, {{1, 2}, {5, 5}}}}}},
      {"window-empty-handed", window{64, 1048576, true, {}}},
      {"window-drain", window{0, 0, false, {}}},
      {"cancel-stop", cancel{s, {{4, 4}}, cancel_mode::stop}},
      {"cancel-give-back", cancel{s, {{40, 64}, {80, 80}}, cancel_mode::give_back}},
      {"release", release{s, {{60, 64}, {80, 80}}}},
      {"register", register_source{s, 1, 0, {}}},
      {"registered", registered{s, 1, 2, {{5, 5}}}},
      {"ack", ack{s, 1, 70000, {{70003, 70010}, {70012, 70012}}}},
      {"committed", committed{s, {{1, 2}}}},
      {"resend", resend{s}},
      {"finish", finish{s, 1, 70012}},
      {"progress", progress{s, 3, 1, 250, 1000, "reading"}},
      {"alive", alive{}},
      {"bye-leaving", bye{bye_reason::leaving}},
      {"bye-finished", bye{bye_reason::finished}},
      {"bye-callee", bye{bye_reason::leaving, 300}},
      {"error-say-hello",
       error_message{wire_error::say_hello, "no session on this connection: say HELLO"}},
      {"hello-client",
       hello{1,
             {role::client, "c1", session_id{0x3132333435363738}, "node2", 0, "", 16777216}}},
      {"welcome-gateway",
       welcome{1,
               {role::gateway, "g1", session_id{0x4142434445464748}, "node1", 0, "", 16777216},
               1000}},
      {"offer", two_methods()},
      {"offer-nothing", offer{}},
      {"call", call_batch{0, {{1, "add", 5000, payloads({"\x92\2\3"}), nullptr}}}},
      {"call-runs", call_batch{1,
                               {{2, "add", 5000, payloads({"\x92\1\1", "\x92\2\2"}), nullptr},
                                {4, "upper", 800, payloads({"\x91\xa2up"}), nullptr}}}},
      {"call-options",
       call_batch{4, {{5, "tail", 30000, payloads({"\x91\xa3log"}), many_options()}}}},
      {"call-notify",
       call_batch{5, {{6, "log", 5000, payloads({"\x91\xa2hi"}), nobody_waits()}}}},
      {"call-none", call_batch{7, {}}},
      {"reply", reply_batch{{{1, status::ok, payloads({"\5"}), {}}}}},
      {"reply-runs",
       reply_batch{{{2, status::ok, payloads({"\2", "\4"}), {}, 120, 15, 4'000'000'000},
                    {4, status::ok, payloads({"\xa2UP"}), {}}}}},
      {"reply-failed",
       reply_batch{{{7, status::unknown, payloads({"", ""}), {no_such_file(), exit_code()}}}}},
      {"reply-rejected",
       reply_batch{{{9, status::resource_exhausted, payloads({""}), {overload()}}}}},
      {"reply-end-of-stream",
       reply_batch{{{5, status::ok, payloads({"\xc0"}), {three_parts()}}}}},
      {"part",
       part_batch{{{5, 1, payloads({"\xa5line1", "\xa4last"})}, {8, 41, payloads({"\x2a"})}}}},
      {"credit", credit{{{5, 2, 66}, {8, 0, 32}}}},
      {"cancel-calls", cancel_calls{{{5, 5}, {7, 9}}, "the caller has gone away"}},
      {"call-progress", call_progress{5, 250, 1000, "reading"}},
      {"direct-calls", direct_calls{{{"add", 1200}, {"tail", 3}}}},
  };
  return all;
}

/// The page's notation, from msgpack-c's own decoder and not from ours.
std::string notation(const msgpack::object& o) {
  const auto joined = [](std::string_view open, std::string_view close, const auto& parts) {
    std::string text(open);
    for (std::size_t i = 0; i < parts.size(); ++i) text += (i ? ", " : "") + parts[i];
    return text + std::string(close);
  };
  std::vector<std::string> parts;
  switch (o.type) {
    case msgpack::type::NIL:
      return "nil";
    case msgpack::type::BOOLEAN:
      return o.via.boolean ? "true" : "false";
    case msgpack::type::POSITIVE_INTEGER:
      return std::to_string(o.via.u64);
    case msgpack::type::FLOAT64: {
      char text[40];
      std::snprintf(text, sizeof text, "%.15g", o.via.f64);
      return text;
    }
    case msgpack::type::STR:
      return "\"" + o.as<std::string>() + "\"";
    case msgpack::type::BIN: {
      std::string text = "h'";
      for (const char byte : o.as<std::vector<char>>()) {
        char digits[3];
        std::snprintf(digits, sizeof digits, "%02x", static_cast<unsigned char>(byte));
        text += digits;
      }
      return text + "'";
    }
    case msgpack::type::ARRAY:
      for (std::uint32_t i = 0; i < o.via.array.size; ++i)
        parts.push_back(notation(o.via.array.ptr[i]));
      return joined("[", "]", parts);
    case msgpack::type::MAP:
      for (std::uint32_t i = 0; i < o.via.map.size; ++i)
        parts.push_back(notation(o.via.map.ptr[i].key) + ": " + notation(o.via.map.ptr[i].val));
      return joined("{", "}", parts);
    default:
      return "?";
  }
}

std::variant<message, reject> decode_frame(const golden_frame& frame) {
  return decode(frame.header, blob::from(frame.body));
}

}  // namespace

TEST_SUITE("docs/protocol.md") {
  TEST_CASE("every golden frame reads as what the page says it is, and is written so again") {
    for (const auto& frame : page()) {
      if (frame.what != "golden") continue;
      CAPTURE(frame.name);
      REQUIRE(meanings().contains(frame.name));
      const message& expected = meanings().at(frame.name);
      const auto decoded = decode_frame(frame);
      REQUIRE(std::holds_alternative<message>(decoded));
      CHECK(same(std::get<message>(decoded), expected));
      for (const message& m : {expected, std::get<message>(decoded)}) {
        const frames written = encode(m);
        CHECK(written.header == frame.header);
        CHECK(written.body.bytes == frame.body);
      }
    }
  }

  TEST_CASE("no kind of message is without a golden frame") {
    std::set<std::size_t> shown;
    std::set<std::string> names;
    for (const auto& frame : page()) {
      CAPTURE(frame.name);
      CHECK_MESSAGE(names.insert(frame.name).second, "two frames of one name");
      if (frame.what != "golden") continue;
      const auto decoded = decode_frame(frame);
      if (const auto* m = std::get_if<message>(&decoded)) shown.insert(m->index());
    }
    CHECK(shown.size() == std::variant_size_v<message>);
    for (const auto& [name, meaning] : meanings())
      CHECK_MESSAGE(names.contains(name), name << " is not on the page");
  }

  TEST_CASE("the notation beside each frame is what its bytes say") {
    int compared = 0;
    for (const auto& frame : page()) {
      if (frame.notation.starts_with('#')) continue;
      CAPTURE(frame.name);
      const auto object = msgpack::unpack(frame.header.data(), frame.header.size());
      CHECK(notation(object.get()) == frame.notation);
      ++compared;
    }
    CHECK(compared >= 40);
  }

  TEST_CASE("frames of other encoders and later versions mean what the page says they mean") {
    int seen = 0;
    for (const auto& frame : page()) {
      if (frame.what != "same") continue;
      CAPTURE(frame.name);
      REQUIRE(meanings().contains(frame.other));
      const auto decoded = decode_frame(frame);
      REQUIRE(std::holds_alternative<message>(decoded));
      CHECK(same(std::get<message>(decoded), meanings().at(frame.other)));
      ++seen;
    }
    CHECK(seen > 0);
  }

  TEST_CASE("frames that the page says are refused are refused, for the reason it names") {
    std::set<std::string> reasons;
    for (const auto& frame : page()) {
      if (frame.what != "refused") continue;
      CAPTURE(frame.name);
      const auto decoded = decode_frame(frame);
      REQUIRE(std::holds_alternative<reject>(decoded));
      CHECK(to_string(std::get<reject>(decoded)) == frame.other);
      reasons.insert(frame.other);
    }
    // All but header_too_long, which would fill the page.
    CHECK(reasons.size() == static_cast<std::size_t>(reject::body_mismatch));
  }
}

}  // namespace golden_test
