#include "store/spool_wire.hpp"

#include "proto/msgpack_reader.hpp"
#include "proto/rpc/call_id.hpp"

#include <doctest/doctest.h>

namespace spool_wire_test {

using namespace weir;
using namespace weir::store;
using namespace std::string_literals;

namespace {

constexpr unix_ms noon = 1'800'000'000'000;
const submission_defaults defaults{"made here", 1000};

std::string text(std::string_view t) {
  return static_cast<char>(0xA0 | t.size()) + std::string(t);
}
std::string bytes(std::string_view t) {
  return "\xC4"s + static_cast<char>(t.size()) + std::string(t);
}
/// ["add", [1, 2]] and these options, `count` of them.
std::string submit(std::size_t count, const std::string& options) {
  return "\x93" + text("add") + bytes("\x92\x01\x02") + static_cast<char>(0x80 | count) +
         options;
}
submission read(const std::string& arguments) {
  return read_submission(arguments, defaults, noon);
}

}  // namespace

TEST_CASE("a submission without options is due now, under an id that the gateway makes") {
  const auto call = read("\x92" + text("add") + bytes("\x92\x01\x02"));
  CHECK(call.id == "made here");
  CHECK(call.method == "add");
  CHECK(call.arguments == "\x92\x01\x02");
  CHECK(call.due == 0);
  CHECK(call.priority == 5);
  CHECK_FALSE(call.retries);
  CHECK(call.keep_ms == 1000);
  CHECK(call.key.empty());
}

TEST_CASE("options of a submission") {
  const auto id = proto::make_call_id(1, 2, 3);
  const auto call = read(submit(7, text("delay_ms") + "\xCD\x01\x00"s + text("priority") +
                                       "\x09" + text("retries") + "\x03" + text("deadline_ms") +
                                       "\xCD\x03\xE8" + text("idem_key") + bytes("order 7") +
                                       text("keep_s") + "\x3C" + text("id") + text(id)));
  CHECK(call.due == noon + 256);
  CHECK(call.priority == 9);
  CHECK(call.retries == 3);
  CHECK(call.deadline_ms == 1000);
  CHECK(call.key == "order 7");
  CHECK(call.keep_ms == 60'000);
  CHECK(call.id == id);
}

TEST_CASE("a time is in seconds since 1970, and may have a fraction") {
  // 1800000000.5
  CHECK(read(submit(1, text("at") + "\xCB\x41\xDA\xD2\x74\x80\x20\x00\x00"s)).due ==
        1'800'000'000'500);
  CHECK(read(submit(1, text("at") + "\x05")).due == 5000);
}

TEST_CASE("options that are nil or unknown are passed over; a key may be text") {
  CHECK_FALSE(
      read(submit(2, text("retries") + "\xC0" + text("color") + "\x92\x01\x02")).retries);
  CHECK(read(submit(1, text("idem_key") + text("order 7"))).key == "order 7");
  CHECK(read("\x93" + text("add") + bytes("\x90") + "\xC0").method == "add");
}

TEST_CASE("what is wrong with a submission is said") {
  const auto why = [](const std::string& arguments) -> std::string {
    try {
      (void)read(arguments);
    } catch (const wrong_arguments& e) {
      return std::string(e.what()).substr(
          std::string("weir.submit(method, arguments, options): ").size());
    }
    return "nothing";
  };
  CHECK(why("") == "a name and packed arguments are needed");
  CHECK(why("\x91" + text("add")) == "a name and packed arguments are needed");
  CHECK(why("\x92\x01" + bytes("\x90")) == "the method's name is text of at most 256 bytes");
  CHECK(why("\x92" + text("weir.drain") + bytes("\x90")) ==
        "methods of weir's own cannot be queued");
  CHECK(why("\x92" + text("add") + bytes("\x01")) ==
        "the arguments are bin that holds one packed array");
  CHECK(why("\x92" + text("add") + "\x91\x01") ==
        "the arguments are bin that holds one packed array");
  CHECK(why(submit(1, text("priority") + "\x0A")) == "`priority` is from 0 to 9");
  CHECK(why(submit(1, text("at") + "\xFF")) == "`at` is a time in seconds since 1970");
  CHECK(why(submit(1, text("retries") + text("many"))) == "option `retries` is out of range");
  CHECK(why(submit(1, text("idem_key") + "\xC5\x01\x01" + std::string(257, 'k'))) ==
        "`idem_key` has at most 256 bytes");
  CHECK(why(submit(1, text("id") + text("7"))).starts_with("`id` has 26 characters"));
}

TEST_CASE("one id, several, none") {
  CHECK(read_id("\x91" + text("abc"), "weir.wait") == "abc");
  CHECK_THROWS_AS(read_id("\x90", "weir.wait"), wrong_arguments);
  CHECK_THROWS_AS(read_id("\x91\x01", "weir.wait"), wrong_arguments);
  CHECK(read_ids("\x91\x92" + text("a") + text("b"), "weir.forget") ==
        std::vector<std::string>{"a", "b"});
  CHECK(read_ids("\x90", "weir.requeue") == std::nullopt);
  CHECK(read_ids("\x91\xC0", "weir.requeue") == std::nullopt);
  CHECK_THROWS_AS(read_ids("\x91\x91\x01", "weir.forget"), wrong_arguments);
  CHECK(read_after("\x90").empty());
  CHECK(read_after("\x91" + text("a")) == "a");
}

TEST_CASE("a report is a map") {
  call_report report;
  report.id = "abc";
  report.method = "add";
  report.state = call_state::done;
  report.result = "\x03";
  report.attempts = 2;
  report.submitted = 1500;
  report.finished = 2000;
  const std::string packed = written(report);
  proto::msgpack_reader in(packed);
  REQUIRE(in.map() == 10);
  const auto field = [&](std::string_view name) { return in.str(20) == name; };
  CHECK((field("id") && in.str(20) == "abc"));
  CHECK((field("method") && in.str(20) == "add"));
  CHECK((field("state") && in.str(20) == "done"));
  CHECK((field("code") && in.uint(16) == 0));
  CHECK((field("msg") && in.str(20).empty()));
  CHECK((field("type") && in.str(20).empty()));
  CHECK((field("result") && in.bin(20) == "\x03"));
  CHECK((field("attempts") && in.uint(20) == 2));
  CHECK((field("submitted") && in.number() == 1.5));
  CHECK((field("finished") && in.number() == 2.0));
  CHECK(in.at_end());
}

}  // namespace spool_wire_test
