#include "io/json.hpp"

#include <doctest/doctest.h>

#include <string>

namespace json_test {

using namespace weir::io;
using namespace std::string_literals;

namespace {
std::string there_and_back(std::string_view json) {
  return json_from_msgpack(msgpack_from_json(json));
}
}  // namespace

TEST_CASE("JSON comes back as it went, in the order of its keys") {
  for (const std::string text :
       {"null", "true", "-1", "0", "18446744073709551615", "-9223372036854775808", "1.5",
        "\"\\u0000a\\\"b\"", "[]", "{}", "[1,[2,[3]]]", "{\"b\":1,\"a\":{\"c\":null}}"})
    CHECK(there_and_back(text) == text);
}

TEST_CASE("integers keep all their digits beyond 2^53") {
  CHECK(there_and_back("9007199254740993") == "9007199254740993");
}

TEST_CASE("bytes are shown as base64 and become bytes again") {
  const std::string bytes = "\0\xff\x10"s;
  for (std::size_t n = 0; n <= bytes.size(); ++n) {
    const auto packed = msgpack_bytes(bytes.substr(0, n));
    CHECK(msgpack_from_json(json_from_msgpack(packed)) == packed);
  }
  CHECK(json_from_msgpack(msgpack_bytes("Man")) == R"({"$base64":"TWFu"})");
}

TEST_CASE("what JSON has no form for is shown all the same") {
  CHECK(json_from_msgpack("\xcb\x7f\xf8\0\0\0\0\0\0"s) == "null");  // NaN
  CHECK(json_from_msgpack("\x81\x01\x02"s) == R"({"1":2})");        // an integer as a key
  CHECK(json_from_msgpack("\xd4\x05\x41"s) == R"({"$ext":5,"$base64":"QQ=="})");
  CHECK(json_from_msgpack("\xa1\xff"s) == "\"\xEF\xBF\xBD\"");  // not UTF-8
}

TEST_CASE("what is not one MessagePack value is an error, whatever it claims to be") {
  for (const std::string& packed :
       {""s, "\x92\x01"s, "\x01\x02"s, "\xdd\xff\xff\xff\xff"s, "\xc1"s,
        "\xdb\xff\xff\xff\xff"s, std::string(200, '\x91') + "\x01"})
    CHECK_THROWS_AS((void)json_from_msgpack(packed), json_error);
}

TEST_CASE("what is not JSON is an error that says where") {
  CHECK_THROWS_WITH_AS((void)msgpack_from_json("[1,"), doctest::Contains("column 4"),
                       json_error);
  CHECK_THROWS_AS((void)msgpack_from_json(""), json_error);
  CHECK_THROWS_AS((void)msgpack_from_json(R"({"$base64": "a b"})"), json_error);
  CHECK_THROWS_WITH_AS((void)msgpack_from_json(std::string(5000, '[') + std::string(5000, ']')),
                       doctest::Contains("100 levels"), json_error);
}

TEST_CASE("an array is taken apart and put together") {
  const auto packed = msgpack_from_json(R"([1, "two", [3]])");
  const auto elements = msgpack_elements(packed);
  REQUIRE(elements.size() == 3);
  CHECK(elements[1] == msgpack_text("two"));
  CHECK(msgpack_array(elements) == packed);
  CHECK_THROWS_AS((void)msgpack_elements(msgpack_text("no array")), json_error);
}

TEST_CASE("text and bytes are plain, everything else is JSON") {
  CHECK(plain_from_msgpack(msgpack_text("a\nb")) == "a\nb");
  CHECK(plain_from_msgpack(msgpack_bytes("\xff"s)) == "\xff"s);
  CHECK(plain_from_msgpack(msgpack_from_json("[1]")) == "[1]");
  CHECK(is_plain(msgpack_text("")));
  CHECK_FALSE(is_plain(msgpack_from_json("7")));
}

TEST_CASE("a map is taken apart, and its numbers are read") {
  const auto entries = msgpack_entries(msgpack_from_json(R"({"a": 1.5, "b": "x", "c": true})"));
  REQUIRE(entries.size() == 3);
  CHECK(msgpack_number(entries.at("a")) == 1.5);
  CHECK_FALSE(msgpack_number(entries.at("b")));
  CHECK(msgpack_number(entries.at("c")) == 1);
  CHECK_THROWS_AS((void)msgpack_entries(msgpack_from_json("[]")), json_error);
}

}  // namespace json_test
