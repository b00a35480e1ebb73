#include "run/pattern.hpp"

#include <weir/error.hpp>

#include <doctest/doctest.h>

#include <string>
#include <string_view>

namespace pattern_test {

using namespace weir;
using namespace weir::cli::run;

namespace {

/// The part of `text` that is found, in brackets; or "".
std::string found(std::string_view expression, std::string_view text) {
  const auto hit = pattern(expression, "--colsep").find(text);
  if (!hit) return "";
  return std::string(text.substr(0, hit->begin)) + "[" +
         std::string(text.substr(hit->begin, hit->end - hit->begin)) + "]" +
         std::string(text.substr(hit->end));
}

std::string complaint(std::string_view expression) {
  try {
    const pattern p(expression, "--colsep");
  } catch (const error& e) {
    CHECK(e.code() == exit_code::usage);
    return e.what();
  }
  return "";
}

}  // namespace

TEST_SUITE("pattern") {
  TEST_CASE("the leftmost match is found, the longest of those") {
    CHECK(found("b", "abc") == "a[b]c");
    CHECK(found("b+", "abbbc") == "a[bbb]c");
    CHECK(found("b|bb", "abbbc") == "a[bb]bc");
    CHECK(found("x", "abc") == "");
    CHECK(found("[,;] *", "a;  b") == "a[;  ]b");
    CHECK(found(".", "") == "");
  }

  TEST_CASE("Perl's escapes mean what they mean there") {
    struct {
      std::string_view expression, text, expected;
    } const cases[] = {
        {"\\t", "a\tb", "a[\t]b"},      {"\\n", "a\nb", "a[\n]b"},
        {"\\d+", "a12b", "a[12]b"},     {"\\D", "1a2", "1[a]2"},
        {"\\s+", "a \t b", "a[ \t ]b"}, {"\\S+", " ab ", " [ab] "},
        {"\\w+", "-a_1-", "-[a_1]-"},   {"\\W+", "a-+b", "a[-+]b"},
        {"\\|", "a|b", "a[|]b"},        {"\\.", "ab.c", "ab[.]c"},
        {"\\\\", "a\\b", "a[\\]b"},     {"(?:ab)+", "xababy", "x[abab]y"},
        {"[\\t,]", "a\tb", "a[\t]b"},   {"[\\d.]+", "v1.2x", "v[1.2]x"},
        {"[^\\s]+", " ab ", " [ab] "},  {"[]x]", "a]b", "a[]]b"},
        {"[[:digit:]]", "a1", "a[1]"},  {"a{2}", "aaa", "[aa]a"},
        {"\\*+", "a**b", "a[**]b"},     {"\\bb", "ab b", "ab [b]"},
    };
    for (const auto& c : cases) {
      CAPTURE(c.expression);
      CHECK(found(c.expression, c.text) == c.expected);
    }
  }

  TEST_CASE("what is Perl's alone is refused, and so is what is no expression at all") {
    for (const std::string_view expression : {"a*?", "a+?", "(?=a)", "(?i)a", "a\\", "[a", "(a",
                                              "a)b(", "\\1", "\\pL", "*a[", "[\\]]"}) {
      CAPTURE(expression);
      const auto what = complaint(expression);
      CHECK(what.starts_with("--colsep: '" + std::string(expression) + "' is not"));
    }
    CHECK(complaint("a\\*?") == "");
  }

  TEST_CASE("beginnings and ends can be matched as long or as short as possible") {
    const pattern p("a.*b", "");
    CHECK(p.longest_prefix("a1b2b3") == 5);
    CHECK(p.shortest_prefix("a1b2b3") == 3);
    CHECK(p.longest_prefix("xa1b") == std::nullopt);
    CHECK(p.longest_suffix("3a2a1b") == 5);
    CHECK(p.shortest_suffix("3a2a1b") == 3);
    CHECK(p.shortest_suffix("a1bx") == std::nullopt);
    const pattern text("ab", "");
    CHECK(text.shortest_prefix("abab") == 2);
    CHECK(text.longest_suffix("abab") == 2);
    CHECK(text.longest_suffix("abc") == std::nullopt);
    // An alternative is anchored as a whole.
    CHECK(pattern("x|b", "").longest_prefix("ab") == std::nullopt);
  }

  TEST_CASE("a value may be of any bytes and as long as a command line can be") {
    const auto found = [](const char* expression, const std::string& text) {
      return pattern(expression, "").find(text).value_or(pattern::hit{99, 99});
    };
    const std::string odd("a\0\xff,b", 5);
    CHECK(found("[,]", odd).begin == 3);
    CHECK(found("a[^,]+,", odd).end == 4);
    CHECK(!pattern("a..,", "").find(odd));  // POSIX: . is any character but NUL
    const std::string large(1 << 20, 'x');
    CHECK(found(".*x", large).end == large.size());
  }
}

}  // namespace pattern_test
