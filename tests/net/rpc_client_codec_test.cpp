#include <weir/codec.hpp>

#include <doctest/doctest.h>

#include <cmath>

namespace rpc_client_codec_test {

using weir::decode_error;
using weir::type_name;
using weir::codec::decode;
using weir::codec::decode_arguments;
using weir::codec::encode;

struct city {
  std::string name;
  std::vector<int> lines;
  std::optional<double> height;
  MSGPACK_DEFINE(name, lines, height)
  bool operator==(const city&) const = default;
};

namespace {

using namespace std::string_literals;

template <class T>
void comes_back(const T& value) {
  CHECK(decode<T>(encode(value)) == value);
}

std::string repeated(std::string_view what, std::size_t times) {
  std::string all;
  for (std::size_t i = 0; i < times; ++i) all += what;
  return all;
}

}  // namespace

TEST_SUITE("codec") {
  TEST_CASE("values of every kind come back as they were") {
    comes_back(true);
    comes_back(std::int8_t{-128});
    comes_back(std::uint8_t{255});
    for (const std::int64_t n : {INT64_MIN, INT64_MIN + 1, std::int64_t{-32'769}, INT64_MAX})
      comes_back(n);
    for (const std::int64_t n :
         {-129, -128, -33, -32, -1, 0, 127, 128, 255, 256, 65'535, 65'536})
      comes_back(n);
    comes_back(UINT64_MAX);
    comes_back(0.1);
    comes_back(1.5F);
    comes_back(""s);
    comes_back(std::string(31, 'x'));
    comes_back(std::string(32, 'x'));
    comes_back(std::string(256, 'x'));
    comes_back(std::string(70'000, '\0'));
    comes_back(std::vector<char>{'a', '\0', '\xFF'});
    comes_back(std::vector<std::string>{"a", "", "b"});
    comes_back(std::vector<int>(70'000, 7));
    comes_back(std::map<std::string, std::vector<double>>{{"a", {1, 2}}, {"", {}}});
    comes_back(std::unordered_map<int, bool>{{1, true}, {-1, false}});
    comes_back(std::optional<int>{});
    comes_back(std::optional<int>{3});
    comes_back(std::tuple<int, std::string, std::pair<bool, float>>{1, "x", {true, 2.5F}});
    comes_back(std::monostate{});
    comes_back(std::set<int>{3, 1, 2});
    comes_back(std::array<int, 3>{1, 2, 3});
    comes_back(city{"Ulm", {1, 2}, 161.53});
    comes_back(std::vector<city>{{"Ulm", {}, std::nullopt}, {"Wien", {6}, 151.0}});
  }

  TEST_CASE("a value that is packed already goes through untouched") {
    const auto inner = encode(std::map<std::string, int>{{"a", 1}});
    CHECK(encode(weir::packed{inner}) == inner);
    CHECK(decode<weir::packed>(inner).bytes == inner);
    CHECK(decode<std::vector<weir::packed>>("\x92" + inner + "\xC0").at(0).bytes == inner);
  }

  TEST_CASE("integers are taken in any width, and refused where they do not fit") {
    CHECK(decode<int>("\xD3\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFE") == -2);
    CHECK(decode<std::uint8_t>(encode(std::uint64_t{255})) == 255);
    CHECK_THROWS_WITH_AS(decode<std::uint8_t>(encode(256)), "the integer 256 is out of range",
                         decode_error);
    CHECK(decode<std::int8_t>(encode(-128)) == -128);
    CHECK_THROWS_AS(decode<std::int8_t>(encode(-129)), decode_error);
    CHECK_THROWS_AS(decode<unsigned>(encode(-1)), decode_error);
    CHECK(decode<std::int64_t>(encode(std::uint64_t{INT64_MAX})) == INT64_MAX);
    CHECK_THROWS_AS(decode<std::int64_t>(encode(std::uint64_t{INT64_MAX} + 1)), decode_error);
  }

  TEST_CASE("an integer is a number, but a number is no integer") {
    CHECK(decode<double>(encode(3)) == 3);
    CHECK(decode<double>(encode(-3)) == -3);
    CHECK(decode<double>(encode(UINT64_MAX)) == std::ldexp(1.0, 64));
    CHECK_THROWS_WITH_AS(decode<int>(encode(3.5)), "int expected, found float", decode_error);
    CHECK_THROWS_WITH_AS(decode<double>(encode("3")), "float expected, found str",
                         decode_error);
  }

  TEST_CASE("what is of another type is named") {
    CHECK_THROWS_WITH_AS(decode<int>(encode("x")), "int expected, found str", decode_error);
    CHECK_THROWS_WITH_AS(decode<bool>(encode(1)), "bool expected, found int", decode_error);
    CHECK_THROWS_WITH_AS(decode<std::string>(encode(true)), "str expected, found bool",
                         decode_error);
    CHECK_THROWS_WITH_AS(decode<std::vector<int>>("\x80"s), "array expected, found map",
                         decode_error);
    CHECK_THROWS_WITH_AS(decode<std::monostate>(encode(0.5F)), "nil expected, found float",
                         decode_error);
    using both = std::tuple<int, int>;
    CHECK_THROWS_WITH_AS(decode<both>(encode(std::tuple(1))),
                         "array of 2 expected, found 1 elements", decode_error);
    CHECK_THROWS_AS(decode<city>(encode(3)), decode_error);
  }

  TEST_CASE("text and bytes stand for each other") {
    CHECK(decode<std::string>(encode(std::vector<char>{'h', 'i'})) == "hi");
    CHECK(decode<std::vector<char>>(encode("hi")) == std::vector<char>{'h', 'i'});
  }

  TEST_CASE("what is cut off anywhere is refused") {
    const auto whole = encode(std::tuple(
        std::string(40, 'x'), 70'000, 0.5,
        std::map<std::string, std::vector<int>>{{"a", {1, -70}}}, std::vector<char>(300, 'b')));
    for (std::size_t length = 0; length < whole.size(); ++length) {
      CAPTURE(length);
      CHECK_THROWS_AS(decode<weir::packed>(whole.substr(0, length)), decode_error);
    }
    CHECK(decode<weir::packed>(whole).bytes == whole);
    CHECK_THROWS_AS(decode<weir::packed>(whole + "\xC0"), decode_error);
    CHECK_THROWS_AS(decode<int>(""), decode_error);
    CHECK_THROWS_AS(decode<weir::packed>("\xC1"), decode_error);
  }

  TEST_CASE("lengths that are not there cost neither memory nor time") {
    for (const auto* claim :
         {"\xDD\xFF\xFF\xFF\xFF", "\xDF\xFF\xFF\xFF\xFF", "\xDB\xFF\xFF\xFF\xFF",
          "\xC6\xFF\xFF\xFF\xFF", "\xC9\xFF\xFF\xFF\xFF\x01"}) {
      CHECK_THROWS_AS(decode<weir::packed>(claim), decode_error);
      CHECK_THROWS_AS(decode<std::vector<int>>(claim), decode_error);
      CHECK_THROWS_AS(decode<city>(claim), decode_error);
      CHECK_THROWS_AS((decode<std::map<std::string, int>>(claim)), decode_error);
    }
    // Nested claims, each within what is left of it.
    CHECK_THROWS_AS(decode<weir::packed>(repeated("\xDC\x00\x10"s, 1000)), decode_error);
  }

  TEST_CASE("nesting is followed as deep as types go, and no deeper than 100 for structs") {
    const auto nested = [](std::size_t depth) { return repeated("\x91", depth) + "\xC0"; };
    CHECK_NOTHROW(decode<weir::packed>(nested(1'000'000)));
    CHECK_THROWS_WITH_AS(decode<city>(nested(101)), "the value is nested too deep",
                         decode_error);
    CHECK_THROWS_WITH_AS(decode<city>(nested(100'000)), "the value is nested too deep",
                         decode_error);
  }

  TEST_CASE("arguments: those at the end that are optional may be missing") {
    using arguments = std::tuple<int, std::optional<std::string>, std::optional<int>>;
    std::string packed;
    weir::codec::put_arguments(packed, 1, "x");
    CHECK(decode_arguments<arguments>(packed) == arguments{1, "x", std::nullopt});
    CHECK(decode_arguments<arguments>("\x91\x01") == arguments{1, std::nullopt, std::nullopt});
    CHECK(decode_arguments<std::tuple<>>("\x90") == std::tuple<>());
    CHECK_THROWS_WITH_AS(decode_arguments<arguments>("\x90"), "argument 1 is missing",
                         decode_error);
    CHECK_THROWS_WITH_AS(decode_arguments<arguments>("\x94\x01\xC0\xC0\xC0"),
                         "at most 3 arguments expected, found 4", decode_error);
    CHECK_THROWS_WITH_AS(decode_arguments<arguments>("\x92\x01\x02"),
                         "argument 2: str expected, found int", decode_error);
    CHECK_THROWS_AS(decode_arguments<arguments>("\x01"), decode_error);
    CHECK_THROWS_AS(decode_arguments<arguments>("\x91\x01\x01"), decode_error);
  }

  TEST_CASE("types have the names that signatures show") {
    CHECK(type_name<void>() == "nil");
    CHECK(type_name<bool>() == "bool");
    CHECK(type_name<std::uint16_t>() == "int");
    CHECK(type_name<float>() == "float");
    CHECK(type_name<const std::string&>() == "str");
    CHECK(type_name<std::string_view>() == "str");
    CHECK(type_name<const char*>() == "str");
    CHECK(type_name<std::vector<char>>() == "bytes");
    CHECK(type_name<std::vector<std::byte>>() == "bytes");
    CHECK(type_name<std::vector<std::vector<int>>>() == "[[int]]");
    CHECK(type_name<std::set<std::string>>() == "[str]");
    CHECK(type_name<std::array<double, 3>>() == "[float]");
    CHECK(type_name<std::map<std::string, int>>() == "{int}");
    CHECK(type_name<std::map<int, int>>() == "any");
    CHECK(type_name<std::optional<int>>() == "int?");
    CHECK(type_name<std::optional<std::optional<int>>>() == "int?");
    CHECK(type_name<std::optional<city>>() == "any");
    CHECK(type_name<std::pair<int, std::tuple<bool, std::string>>>() == "(int, (bool, str))");
    CHECK(type_name<city>() == "any");
    CHECK(type_name<weir::packed>() == "any");
  }
}

}  // namespace rpc_client_codec_test
