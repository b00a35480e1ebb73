#include "io/value_type.hpp"

#include "io/json.hpp"

#include <doctest/doctest.h>

#include <string>

namespace value_type_test {

using namespace weir::io;

namespace {
bool accepts(std::string_view type, std::string_view json) {
  return value_type::parse(type).accepts(msgpack_from_json(json));
}
}  // namespace

TEST_CASE("values are told apart by their types") {
  CHECK(accepts("nil", "null"));
  CHECK_FALSE(accepts("nil", "0"));
  CHECK(accepts("bool", "true"));
  CHECK_FALSE(accepts("bool", "1"));
  CHECK(accepts("int", "-3"));
  CHECK_FALSE(accepts("int", "3.5"));
  CHECK(accepts("float", "3"));
  CHECK(accepts("str", "\"a\""));
  CHECK(accepts("bytes", "\"a\""));
  CHECK_FALSE(accepts("str", "[]"));
  CHECK(accepts("any", "{\"a\": [1]}"));
}

TEST_CASE("types may hold types") {
  CHECK(accepts("[int]", "[]"));
  CHECK(accepts("[int]", "[1, 2]"));
  CHECK_FALSE(accepts("[int]", "[1, \"2\"]"));
  CHECK(accepts("{[float]}", "{\"a\": [1, 2.5]}"));
  CHECK_FALSE(accepts("{int}", "{\"a\": null}"));
  CHECK(accepts("{int?}", "{\"a\": null}"));
  CHECK(accepts("(int, str)", "[1, \"a\"]"));
  CHECK_FALSE(accepts("(int, str)", "[1]"));
  CHECK(accepts("()", "[]"));
}

TEST_CASE("a type of a later version stands for anything") {
  for (const auto* type : {"date", "[date]", "[int", "int?!", ""}) CHECK(accepts(type, "[7]"));
  CHECK(accepts(std::string(1000, '[') + "int" + std::string(1000, ']'), "3"));
}

TEST_CASE("a word is read as its type wants it") {
  const auto read = [](std::string_view type, std::string_view word) {
    return value_type::parse(type).from_word(word);
  };
  CHECK(read("str", "12") == msgpack_text("12"));
  CHECK(read("bytes", "12") == msgpack_bytes("12"));
  CHECK(read("int", "12") == msgpack_from_json("12"));
  CHECK(read("any", "12") == msgpack_from_json("12"));
  CHECK(read("any", "{twelve") == msgpack_text("{twelve"));
  CHECK(read("str?", "null") == msgpack_from_json("null"));
  CHECK(read("[str]", R"(["a"])") == msgpack_from_json(R"(["a"])"));
  CHECK_THROWS_WITH_AS((void)read("int", "twelve"), doctest::Contains("'twelve' is not int"),
                       json_error);
  CHECK_THROWS_WITH_AS((void)read("[int]", "[1.5]"), "'[1.5]' is not [int]", json_error);
}

}  // namespace value_type_test
