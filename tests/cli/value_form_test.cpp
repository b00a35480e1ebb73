#include "run/value_form.hpp"

#include <weir/error.hpp>

#include <doctest/doctest.h>

#include <string>
#include <string_view>

namespace value_form_test {

using namespace weir;
using namespace weir::cli::run;

namespace {

/// "none" if there is no such form.
std::string formed(std::string_view suffix, std::string_view value, bool plus = true) {
  const auto form = parse_form(suffix, plus);
  if (!form) return "none";
  return *form ? (*form)(value) : std::string(value);
}

}  // namespace

TEST_SUITE("value forms") {
  TEST_CASE("paths are taken apart as GNU parallel does it") {
    // What parallel 20221122 prints for {.} {/} {//} {/.}
    struct {
      std::string_view value, no_extension, base, directory, stem;
    } const cases[] = {
        {"foo.jpg", "foo", "foo.jpg", ".", "foo"},
        {"a.b/c.d.e", "a.b/c.d", "c.d.e", "a.b", "c.d"},
        {"a.b/c", "a.b/c", "c", "a.b", "c"},
        {".x", "", ".x", ".", ""},
        {"a/.x", "a/", ".x", "a", ""},
        {"/a", "/a", "a", "/", "a"},
        {"/", "/", "", "/", ""},
        {"a/", "a/", "", ".", ""},
        {"", "", "", ".", ""},
        {"a.", "a", "a.", ".", "a"},
        {"a/b.", "a/b", "b.", "a", "b"},
        {".", "", ".", ".", ""},
        {"a.b/", "a.b/", "", ".", ""},
        {"../x", "../x", "x", "..", "x"},
        {"a//b", "a//b", "b", "a", "b"},
        {"//x", "//x", "x", "/", "x"},
        {"a b.c\n.d", "a b.c\n", "a b.c\n.d", ".", "a b.c\n"},
    };
    for (const auto& c : cases) {
      CAPTURE(c.value);
      CHECK(formed("", c.value) == c.value);
      CHECK(formed(".", c.value) == c.no_extension);
      CHECK(formed("/", c.value) == c.base);
      CHECK(formed("//", c.value) == c.directory);
      CHECK(formed("/.", c.value) == c.stem);
    }
  }

  TEST_CASE("with --plus, two and three extensions come off, and what came off can be had") {
    CHECK(formed("..", "a.b/c.d.e") == "a.b/c");
    CHECK(formed("..", "a.b/c.d") == "a.b/c.d");
    CHECK(formed("...", "a/b.c.d.e") == "a/b");
    CHECK(formed("/..", "a/c.tar.gz") == "c");
    CHECK(formed("/...", "a/b.c.d.e") == "b");
    CHECK(formed("+/", "a/b/c") == "a/b");
    CHECK(formed("+/", "c") == "");
    CHECK(formed("+.", "a/c.tar.gz") == "gz");
    CHECK(formed("+..", "a/c.tar.gz") == "tar.gz");
    CHECK(formed("+...", "a/b.c.d.e") == "c.d.e");
    CHECK(formed("+.", "a.b/c") == "");
    CHECK(formed("+..", "c.d") == "");
  }

  TEST_CASE("with --plus, values can be cut and changed as bash does it") {
    struct {
      std::string_view suffix, value, expected;
    } const cases[] = {
        {":-none", "", "none"},
        {":-none", "x", "x"},
        {":2", "abcd", "cd"},
        {":4", "abcd", ""},
        {":5", "abcd", ""},
        {":1:2", "abcd", "bc"},
        {":3:2", "abcd", "d"},
        {":0:0", "abcd", ""},
        {"#a.", "abab", "ab"},
        {"#a.*b", "a1b2b3", "2b3"},
        {"##a.*b", "a1b2b3", "3"},
        {"#x", "ab", "ab"},
        {"%.gz", "a.gz", "a"},
        {"%a.*b", "3a2a1b", "3a2"},
        {"%%a.*b", "3a2a1b", "3"},
        {"%x", "ab", "ab"},
        {"/b/X", "abcb", "aXcb"},
        {"//b/X", "abcb", "aXcX"},
        {"/b/", "abcb", "acb"},
        {"//[bc]+/-", "abcab", "a-a-"},
        {"/#ab/X/", "abab", "X/ab"},
        {"/#b/X", "abab", "abab"},
        {"/#[ab]*/", "abcab", "cab"},
        {"/%ab/X", "abab", "abX"},
        {"/%[ab]+/X", "abcab", "abcX"},
        {"/%a/X", "abab", "abab"},
        {"^a", "aab", "Aab"},
        {"^b", "aab", "aab"},
        {"^^[ab]", "abc", "ABc"},
        {",A", "AAB", "aAB"},
        {",,[AB]", "ABC", "abC"},
        {"//x*/-", "ab", "-a-b-"},
        {"^^.", "\xc3\xa9x", "\xc3\xa9X"},
    };
    for (const auto& c : cases) {
      CAPTURE(c.suffix);
      CAPTURE(c.value);
      CHECK(formed(c.suffix, c.value) == c.expected);
      CHECK(formed(c.suffix, c.value, false) == "none");
    }
  }

  TEST_CASE("what is no form is none, and a form with a bad expression is refused") {
    for (const std::string_view suffix : {"x", " ", "+", "....", ":", ":x", ":1:", ":1:x", ":-",
                                          "#", "%", "%%", "/a", "^", ",,", "1"}) {
      CAPTURE(suffix);
      CHECK(formed(suffix, "v") == "none");
    }
    CHECK_THROWS_WITH_AS(parse_form("%(", true), doctest::Contains("{%(}"), error);
  }
}

}  // namespace value_form_test
