// What a script makes of its values is asked of sh itself.
#include "io/io_support.hpp"
#include "run/command_template.hpp"
#include "run/shell_text.hpp"

#include <weir/error.hpp>

#include <doctest/doctest.h>

#include <cstdlib>
#include <random>
#include <string>
#include <string_view>
#include <vector>

namespace shell_script_test {

using namespace weir;
using namespace weir::cli::run;
using io_test::temp_dir;
using texts = std::vector<std::string>;

namespace {

command_template script(const std::string& text) {
  template_options options;
  options.shell = true;
  return {{text}, options};
}

/// What each script prints, when sh runs them one after the other.
texts run(const texts& scripts) {
  const temp_dir dir;
  std::string all;
  // Each in a subshell and with an end of its own, so that one that goes wrong harms no other.
  for (const auto& one : scripts) all += "( " + one + "\n)\nprintf '\\0'\n";
  const auto command = "cd " + dir.path() + " && sh " + dir.file("script", all) + " >" +
                       dir.path("out") + " 2>" + dir.path("err");
  CHECK(std::system(command.c_str()) == 0);
  const auto printed = io_test::content_of(dir.path("out"));
  CHECK(io_test::content_of(dir.path("err")) == "");
  texts each;
  for (std::size_t at = 0; at < printed.size();) {
    const auto end = printed.find('\0', at);
    each.push_back(printed.substr(at, end - at));
    if (end == std::string::npos) break;
    at = end + 1;
  }
  REQUIRE(each.size() == scripts.size());
  return each;
}

std::string filled(const std::string& text, const texts& values) {
  return script(text).text({values}, {7, 2});
}

/// Everything that has ever been trouble.
texts awkward() {
  texts values{"",         "-n",       "--",          "a b",      "  ",    "'",
               "\"",       "\\",       "\\n",         "it's",     "''",    "'a'",
               "$HOME",    "${x}",     "$(echo x)",   "`echo x`", "a\nb",  "\n",
               "\n\n",     "a\n",      "*",           "?",        "[a-z]", "~",
               "~root",    "!!",       "#",           "a#b",      "a;b",   "a&b",
               "a|b",      "<x",       ">x",          "(",        ")",     "{a,b}",
               "{}",       "=",        "a=b",         "\t",       "\r\n",  "%s",
               "\xff\xfe", "\xc3\xa9", "\xc3",        "if",       "done",  "case",
               "1",        "\\'\"",    "'\"'\"'",     "a\\",      "$",     "\"$(x)\"",
               "\x01",     "\x7f",     "\x81\x82\x88"};
  for (int byte = 1; byte < 256; ++byte) {
    values.emplace_back(1, static_cast<char>(byte));
    values.push_back("x" + std::string(1, static_cast<char>(byte)) + "y");
  }
  return values;
}

texts random_values(unsigned seed, std::size_t count) {
  std::mt19937 random(seed);
  const std::string_view likely = "'\"\\$`(){}; \n#a1-=<>&|*";
  texts values;
  while (values.size() < count) {
    std::string value;
    for (auto length = random() % 12; length > 0; --length)
      value += random() % 3 == 0 ? static_cast<char>(1 + random() % 255)
                                 : likely[random() % likely.size()];
    values.push_back(value);
  }
  return values;
}

/// Puts each value into each of the scripts, which print their value and nothing else.
void check_printed(const texts& scripts, const texts& values) {
  for (const auto& text : scripts) {
    CAPTURE(text);
    const auto command = script(text);
    texts all;
    for (const auto& value : values) all.push_back(command.text({{value}}, {}));
    const auto printed = run(all);
    for (std::size_t i = 0; i < values.size(); ++i) {
      CAPTURE(values[i]);
      CHECK(printed[i] == values[i]);
    }
  }
}

std::string refusal(const std::string& text) {
  try {
    (void)script(text);
  } catch (const error& e) {
    CHECK(e.code() == exit_code::usage);
    return e.what();
  }
  return "";
}

/// Wherever sh lets a word stand.
const texts places{
    "printf %s {}",
    "printf %s '{}'",
    "printf %s \"{}\"",
    "printf %s ''{}''",
    "x={}; printf %s \"$x\"",
    "x=\"{}\"; printf %s \"$x\"",
    "printf %s \"$(printf %s. {})\" | sed '$s/\\.$//'",
    "printf %s. \"$(printf %s. \"{}\")\" | sed '$s/\\.\\.$//'",
    "printf %s. \"$(printf %s. '{}')\" | sed '$s/\\.\\.$//'",
    "(printf %s {})",
    "{ printf %s {}; }",
    "case x in x) printf %s {} ;; esac",
    "case {} in {}) printf %s {} ;; esac",
    "for x in {}; do printf %s \"$x\"; done",
    "echo \"it's\" >/dev/null # it's \"a\n printf %s {}",
    "printf %s \\\n{}",
    "true \\' \\\" \"\\\"\" '\\' && printf %s {}",
    "printf %s \"${HOME:+}\"{}",
    "true $((1 << 2)); printf %s {}",
    "true $(true)#; printf %s {}",
    "true ${x#*/} ${#x} $#; printf %s {}",
};

}  // namespace

TEST_SUITE("scripts for sh") {
  TEST_CASE("sh takes every awkward value for exactly what it is, wherever it stands") {
    check_printed(places, awkward());
  }

  TEST_CASE("sh takes random bytes for exactly what they are, wherever they stand") {
    check_printed(places, random_values(1, 400));
  }

  TEST_CASE("a harmless value is left bare, and quotes are as few as they can be") {
    CHECK(quoted("a-b_c.d+e/F9") == "a-b_c.d+e/F9");
    CHECK(quoted("") == "''");
    CHECK(quoted("a b") == "'a b'");
    CHECK(quoted("a'b") == "'a'\"'\"'b'");
    CHECK(quoted("'a") == "\"'\"'a'");
    CHECK(quoted("a'") == "'a'\"'\"");
    CHECK(quoted("'") == "\"'\"");
  }

  TEST_CASE("a number in front of a redirection is no descriptor") {
    CHECK(run({filled("cd /; echo {}>/dev/null; echo {}", {"2"}),
               filled("echo 1{}>&1", {"2"})}) == texts{"2\n", "12\n"});
  }

  TEST_CASE("a value that is a word of the language is a word like others") {
    CHECK(filled("x; {} y", {"if"}) == "x; 'if' y");
    CHECK(filled("x; {} y", {"ift"}) == "x; ift y");
  }

  TEST_CASE("in a comment and behind a backslash, braces stay as they are") {
    CHECK(filled("echo {} # {}\n", {"a b"}) == "echo 'a b' # {}\n");
    CHECK(filled("echo a#{}", {"b c"}) == "echo a#'b c'");
    CHECK(run({filled("printf %s \\{} {}", {"x"})}) == texts{"{}x"});
  }

  TEST_CASE("behind a backslash that stands for itself in quotes, a value is safe") {
    CHECK(run({filled("printf %s \"\\{}\"", {"$HOME"}), filled("printf %s \"\\{}\"", {"\""}),
               filled("printf %s '\\{}'", {"'"})}) == texts{"\\$HOME", "\\\"", "\\'"});
  }

  TEST_CASE("where no quoting is safe, a replacement string is refused") {
    struct {
      std::string text, why;
    } const cases[] = {
        {"echo `cat {}`", "backquotes"},
        {"echo \"`cat {}`\"", "backquotes"},
        {"echo `echo $(cat {})`", "backquotes"},
        {"echo ${x:-{}}", "${ }"},
        {"echo \"${x:-{}}\"", "${ }"},
        {"echo \"${x:-'{}'}\"", "${ }"},
        {"echo ${x#'{}'}", "${ }"},
        {"echo $(({} + 1))", "$(( ))"},
        {"echo $(( (1 + {}) * 2))", "$(( ))"},
        {"echo $((1 + \"{}\"))", "$(( ))"},
        {"((n = {}))", "$(( ))"},
        {"cat <<END\n{}\nEND\n", "here-document"},
        {"cat <<'END'\n{}\nEND\n", "here-document"},
        {"cat <<-END; echo\n\t{}\nEND\n", "here-document"},
        {"cat << {}\n", "<<"},
        {"echo ${}", "behind $"},
        {"echo \"${1}\"", "behind $"},
        {"echo $'a\\'' {}", "$'...'"},
        {"echo \"$(case x in x) echo {};; esac)\"", "case"},
    };
    for (const auto& c : cases) {
      CAPTURE(c.text);
      const auto what = refusal(c.text);
      CHECK(what.find("cannot be filled in") != std::string::npos);
      CHECK(what.find(c.why) != std::string::npos);
    }
  }

  TEST_CASE("what is refused in one place is not in the next") {
    for (const auto* text :
         {"echo `date` {}", "echo ${x} {}", "echo \"${x:-\\}}\" {}", "echo $((1 + (2))) {}",
          "( (echo {}))", "cat <<<{}", "echo {} <<END\nx\nEND\n", "echo \\${}", "echo '${}'",
          "echo \\$'a' {}", "echo $(case x in x) true;; esac) {}", "echo \"$(( $(cat {}) ))\"",
          "echo $(cat \"${x:-$(echo {})}\")"}) {
      CAPTURE(text);
      CHECK(refusal(text) == "");
    }
  }

  TEST_CASE("several values are words where {} is a word, and one text within a word") {
    CHECK(filled("ls {}", {"a", "b c"}) == "ls a 'b c'");
    CHECK(filled("ls {};", {"a", "b c"}) == "ls a 'b c';");
    CHECK(filled("ls x{}", {"a", "b c"}) == "ls x'a b c'");
    CHECK(filled("ls '{}'", {"a", "b c"}) == "ls 'a b c'");
    CHECK(filled("ls \"{.}\"", {"a.x", "b"}) == "ls \"a b\"");
  }

  TEST_CASE("with -n and -X, a word is repeated for each value") {
    template_options options;
    options.shell = true;
    options.repeat = true;
    const auto repeated = [&](const std::string& text) {
      return command_template({text}, options).text({{"a", "b c"}}, {7, 2});
    };
    CHECK(repeated("ls x{}y") == "ls xay x'b c'y");
    CHECK(repeated("ls {};ls '{}-{1}'>{#}") == "ls a 'b c';ls 'a-a' 'b c-a'>7");
    CHECK(repeated("ls \"{} z\" q") == "ls \"a z\" \"b c z\" q");
    CHECK(repeated("ls {1} {3}") == "ls a ");
  }

  TEST_CASE("a replacement string that is the command is not quoted, others are") {
    CHECK(filled("{} x", {"echo a; echo"}) == "echo a; echo x");
    CHECK(filled("{1} {2}", {"echo a", "b c"}) == "echo a 'b c'");
    CHECK(filled("{}.sh x", {"a b"}) == "'a b'.sh x");
    CHECK(filled(" {} x", {"a b"}) == " 'a b' x");
    CHECK(command_template({}, {}).text({{"echo a;", "b"}}, {}) == "echo a; b");
    CHECK(command_template({"{2}"}, {}).text({{"echo a", "b c"}}, {}) == "b c");
  }

  TEST_CASE("sh takes no script for an option") {
    CHECK(filled("{} x", {"-x"}) == " -x x");
    CHECK(filled("{} x", {"+x"}) == " +x x");
    CHECK(filled("{} x", {"x"}) == "x x");
  }
}

}  // namespace shell_script_test
