#include "proto/utf8.hpp"

#include <doctest/doctest.h>

namespace utf8_test {

using weir::proto::to_utf8;
using weir::proto::valid_utf8_prefix;

TEST_SUITE("utf8") {
  TEST_CASE("characters of one to four bytes are text") {
    for (const std::string_view text :
         {"", "plain",
          "Stra\xC3\x9F"
          "e",
          "\xE2\x82\xAC 5", "\xF0\x9F\x90\x9F", "\xC2\x80\xDF\xBF", "\xE0\xA0\x80\xEF\xBF\xBF",
          "\xF0\x90\x80\x80\xF4\x8F\xBF\xBF"}) {
      CHECK(valid_utf8_prefix(text) == text.size());
      CHECK(to_utf8(text, 100) == text);
    }
  }

  TEST_CASE("bytes that are no text become question marks, one for each") {
    CHECK(to_utf8("caf\xE9", 100) == "caf?");
    CHECK(to_utf8("a\xFF"
                  "b\x80"
                  "c",
                  100) == "a?b?c");
    // Overlong, surrogate, above U+10FFFF, and each of them on the wrong side of its boundary.
    CHECK(to_utf8("\xC1\xBF", 100) == "??");
    CHECK(to_utf8("\xE0\x9F\xBF", 100) == "???");
    CHECK(to_utf8("\xED\xA0\x80", 100) == "???");
    CHECK(to_utf8("\xF0\x8F\xBF\xBF", 100) == "????");
    CHECK(to_utf8("\xF4\x90\x80\x80", 100) == "????");
    CHECK(to_utf8("\xF5\x80\x80\x80", 100) == "????");
    CHECK(to_utf8("\xE2\x82", 100) == "??");
  }

  TEST_CASE("text that is too long is cut between characters") {
    const std::string_view euros = "\xE2\x82\xAC\xE2\x82\xAC";
    CHECK(to_utf8(euros, 6) == euros);
    CHECK(to_utf8(euros, 5) == euros.substr(0, 3));
    CHECK(to_utf8(euros, 4) == euros.substr(0, 3));
    CHECK(to_utf8(euros, 3) == euros.substr(0, 3));
    CHECK(to_utf8(euros, 2).empty());
    CHECK(to_utf8("\xF0\x9F\x90\x9F", 3).empty());
    CHECK(to_utf8("\x80\x80\x80\x80\x80\x80", 5).size() <= 5);
  }
}

}  // namespace utf8_test
