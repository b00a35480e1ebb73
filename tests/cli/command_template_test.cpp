#include "run/command_template.hpp"

#include <weir/error.hpp>

#include <doctest/doctest.h>

#include <string>
#include <vector>

namespace command_template_test {

using namespace weir;
using namespace weir::cli::run;
using texts = std::vector<std::string>;

namespace {

template_options named(texts names) {
  template_options options;
  options.names = std::move(names);
  return options;
}

template_options plus() {
  template_options options;
  options.plus = true;
  return options;
}

texts argv(const texts& command, const texts& values, const template_options& options = {}) {
  return command_template(command, options).argv({values}, {7, 2});
}

std::string refusal(const texts& command, const template_options& options = {}) {
  try {
    (void)argv(command, {"x"}, options);
  } catch (const error& e) {
    CHECK(e.code() == exit_code::usage);
    return e.what();
  }
  return "";
}

}  // namespace

TEST_SUITE("command template") {
  TEST_CASE("the header's example") {
    command_template command({"cp", "{}", "{.}.bak"}, {});
    CHECK(command.argv({{"my file.txt"}}, {}) == texts{"cp", "my file.txt", "my file.bak"});
  }

  TEST_CASE("each replacement string fills its argument, and a value is never interpreted") {
    for (const std::string value :
         {"a b", "", "-x", "'", "\"$(x)`\n", "{}", "{1}", "\xff", "*"}) {
      CAPTURE(value);
      CHECK(argv({"echo", "{}", "x{}y{}"}, {value}) ==
            texts{"echo", value, "x" + value + "y" + value});
      CHECK(argv({"echo", "{1}"}, {value}) == texts{"echo", value});
    }
  }

  TEST_CASE("without a replacement string, the values are appended, each by itself") {
    CHECK(argv({"echo", "x"}, {"a b", "c"}) == texts{"echo", "x", "a b", "c"});
    CHECK(argv({"echo"}, {""}) == texts{"echo", ""});
    CHECK(argv({"echo", "{#}"}, {"a"}) == texts{"echo", "7"});
  }

  TEST_CASE("{} alone is one argument for each value, within a word it is all of them") {
    CHECK(argv({"cp", "{}"}, {"a b", "c"}) == texts{"cp", "a b", "c"});
    CHECK(argv({"cp", "{.}", "{/}"}, {"x/a.c", "b"}) == texts{"cp", "x/a", "b", "a.c", "b"});
    CHECK(argv({"cp", "x{}y"}, {"a b", "c"}) == texts{"cp", "xa b cy"});
    CHECK(argv({"cp", "{}{}"}, {"a", "b"}) == texts{"cp", "a ba b"});
  }

  TEST_CASE("columns are counted from the left, and from the right if negative") {
    CHECK(argv({"e", "{1}", "{2}", "{-1}", "{-2}"}, {"a", "b", "c"}) ==
          texts{"e", "a", "b", "c", "b"});
    CHECK(argv({"e", "{2.}", "{2/}", "{2//}", "{2/.}", "{-1/.}"}, {"x", "d/a.b"}) ==
          texts{"e", "d/a", "a.b", "d", "a", "a"});
    CHECK(argv({"e", "{01}"}, {"a"}) == texts{"e", "a"});
    CHECK(argv({"e", "{0}", "{-0}", "{+1}", "{1x}"}, {"a"}) ==
          texts{"e", "{0}", "{-0}", "{+1}", "{1x}", "a"});
  }

  TEST_CASE("a column that is not there leaves nothing, an empty one is an empty argument") {
    CHECK(argv({"e", "{1}", "{2}", "z"}, {"a"}) == texts{"e", "a", "z"});
    CHECK(argv({"e", "{1}", "{2}", "z"}, {"a", ""}) == texts{"e", "a", "", "z"});
    CHECK(argv({"e", "x{2}", "{2}{3}", "{-2}"}, {"a"}) == texts{"e", "x"});
    // There is always a command.
    CHECK(argv({"{2}", "x"}, {"a"}) == texts{"", "x"});
    const command_template script({"e {1} {2} '{2}' z"}, {});
    CHECK(script.text({{"a"}}, {}) == "e a  '' z");
  }

  TEST_CASE("{#} is the task's number and {%} its slot") {
    CHECK(argv({"e", "{#}-{%}"}, {"a"}) == texts{"e", "7-2"});
    auto options = plus();
    options.total = 1000;
    options.slots = 16;
    CHECK(argv({"e", "{##}", "{0#}", "{0%}"}, {"a"}, options) ==
          texts{"e", "1000", "0007", "02"});
    CHECK(argv({"e", "{##}"}, {"a"}) == texts{"e", "{##}", "a"});
  }

  TEST_CASE("{##} needs a total, and one that counts tasks and not records") {
    for (const std::string text : {"{##}", "{0#}"}) {
      CHECK(uses_total({"e", "x" + text}, plus()));
      CHECK(!uses_total({"e", "x" + text}, {}));
      CHECK(refusal({"e", text}, plus()).find("not known") != std::string::npos);
      auto several = plus();
      several.total = 5;
      CHECK(refusal({"e", text}, several) == "");
      several.repeat = true;
      CHECK(refusal({"e", text}, several).find("-n") != std::string::npos);
    }
    CHECK(!uses_total({"e", "{#}"}, plus()));
  }

  TEST_CASE("columns with names can be had by name") {
    const auto options = named({"f", "my file", "f.x", "2"});
    CHECK(argv({"e", "{f}", "{my file}", "{my file.}"}, {"a", "b.c", "d", "g"}, options) ==
          texts{"e", "a", "b.c", "b"});
    // The longest name first, and names before numbers.
    CHECK(argv({"e", "{f.x}", "{f.x/}", "{f.}", "{2}"}, {"a.b", "b.c", "x/d", "g"}, options) ==
          texts{"e", "x/d", "d", "a", "g"});
    CHECK(argv({"e", "{g}"}, {"a"}, options) == texts{"e", "{g}", "a"});
    CHECK(argv({"e", "{}"}, {"a"}, named({""})) == texts{"e", "a"});
  }

  TEST_CASE("braces that are no replacement string stay") {
    CHECK(argv({"e", "{x}", "{ }", "{", "}", "{{}}", "{}}"}, {"a"}) ==
          texts{"e", "{x}", "{ }", "{", "}", "{a}", "a}"});
    CHECK(argv({"awk", "{print $1}", "{}"}, {"a"}) == texts{"awk", "{print $1}", "a"});
  }

  TEST_CASE("with -I, another string stands for the values, and {} and {1} stay") {
    template_options options;
    options.replace = ",,";
    CHECK(argv({"e", ",,", "{}", "{1}", "x,,y", "{.}", "{2.}", ",,,"}, {"a.b"}, options) ==
          texts{"e", "a.b", "{}", "{1}", "xa.by", "a", "a.b,"});
    CHECK(argv({"e", "x"}, {"a"}, options) == texts{"e", "x", "a"});
    options.replace = "{x}";
    CHECK(argv({"e", "{x}", "{}"}, {"a"}, options) == texts{"e", "a", "{}"});
    options.replace = "";
    CHECK(refusal({"e"}, options).find("-I") != std::string::npos);
  }

  TEST_CASE("--plus adds its strings, for columns too") {
    CHECK(argv({"e", "{..}", "{+.}", "{2:-none}", "{1%.gz}", "{1/a/b}"}, {"a.tar.gz", ""},
               plus()) == texts{"e", "a", "", "gz", "", "none", "a.tar", "b.tar.gz"});
    CHECK(argv({"e", "{..}", "{/a/b}"}, {"a"}) == texts{"e", "{..}", "{/a/b}", "a"});
  }

  TEST_CASE("what GNU parallel has and weir has not is refused, with something that helps") {
    CHECK(refusal({"e", "{= s/a/b/ =}"}).find("--plus") != std::string::npos);
    CHECK(refusal({"e", "{=", "s/a/b/", "=}"}).find("Perl") != std::string::npos);
    CHECK(refusal({"e", "{=1 uc =}x"}).find("{=1 uc =}") != std::string::npos);
    CHECK(refusal({"e", "{="}) == "");
    CHECK(refusal({"e", "{slot}"}, plus()).find("{%}") != std::string::npos);
    CHECK(refusal({"e", "{slot}"}) == "");
    CHECK(refusal({"e", "{100000}"}).find("99999") != std::string::npos);
    CHECK(refusal({"e", "{99999}"}) == "");
  }

  TEST_CASE("several words are run as they are, one with blanks or shell syntax by sh") {
    CHECK(!command_template({"echo", "a;b", "$x"}, {}).shell());
    CHECK(!command_template({"gzip"}, {}).shell());
    CHECK(!command_template({"./a-b_c.sh"}, {}).shell());
    CHECK(!command_template({"{}.sh"}, {}).shell());
    for (const std::string word : {"echo {}", "a;b", "a|b", "$x", "a>b", "a\tb", "a\nb", "`a`",
                                   "'a'", "*.sh", "~/x", "x=1", "{}", "{1}", "{} x"}) {
      CAPTURE(word);
      CHECK(command_template({word}, {}).shell());
    }
    CHECK(command_template({}, {}).shell());
    CHECK(argv({"echo {}; echo"}, {"a b"}) == texts{"/bin/sh", "-c", "echo 'a b'; echo"});
    CHECK(argv({"echo x;"}, {"a b"}) == texts{"/bin/sh", "-c", "echo x; 'a b'"});
  }

  TEST_CASE("--shell joins the words for sh, -q never uses one") {
    template_options options;
    options.shell = true;
    CHECK(argv({"echo", "a;", "echo", "{}"}, {"b c"}, options) ==
          texts{"/bin/sh", "-c", "echo a; echo 'b c'"});
    template_options quote;
    quote.quote = true;
    CHECK(argv({"my prog"}, {"a"}, quote) == texts{"my prog", "a"});
    CHECK(argv({}, {"my prog", "a"}, quote) == texts{"my prog", "a"});
    options.quote = true;
    CHECK(argv({"a", "b;"}, {"c"}, options) == texts{"a", "b;", "c"});
  }

  TEST_CASE("the text of a command can be pasted into a shell") {
    CHECK(command_template({"echo", "{}", "$x", "a"}, {}).text({{"it's"}}, {}) ==
          "echo 'it'\"'\"'s' '$x' a");
    CHECK(command_template({"echo", "{}"}, {}).text({{""}}, {}) == "echo ''");
    CHECK(command_template({"echo {} $x"}, {}).text({{"a b"}}, {}) == "echo 'a b' $x");
  }

  TEST_CASE("with -n and -X, a word is repeated for each value") {
    template_options options;
    options.repeat = true;
    const texts values{"a.q", "b c"};
    CHECK(argv({"e", "x{}y", "{.}-{}", "{1}{2}", "{1}:{}"}, values, options) ==
          texts{"e", "xa.qy", "xb cy", "a-a.q", "b c-b c", "a.qb c", "a.q:a.q", "a.q:b c"});
    // As with -n 0.
    CHECK(argv({"e", "x{}", "{}", "{1}{}", "z"}, {}, options) == texts{"e", "x", "z"});
    CHECK(command_template({"e x{} {} z"}, options).text({}, {}) == "e x  z");
    CHECK(argv({"e"}, {}, options) == texts{"e"});
  }

  TEST_CASE("with -m, the first and the last value have what is around them") {
    template_options options;
    options.spread = true;
    const texts values{"a.q", "b c", "d"};
    CHECK(argv({"e", "x{}y", "{.}-{}", "{1}:{}", "{}"}, values, options) ==
          texts{"e", "xa.q", "b c", "dy", "a", "b c", "d-a.q", "b c", "d", "a.q:a.q", "b c",
                "d", "a.q", "b c", "d"});
    CHECK(argv({"e", "x{}y", "{}"}, {}, options) == texts{"e", "xy"});
    CHECK(command_template({"e x{}y \"x{}y\""}, options).text({values}, {}) ==
          "e xa.q 'b c' dy \"xa.q b c dy\"");
  }

  TEST_CASE("its size is never less than what it becomes") {
    template_options options;
    SUBCASE("repeated") { options.repeat = true; }
    SUBCASE("spread") { options.spread = true; }
    const std::vector<texts> commands{{"e"},
                                      {"e", "x{}y", "{.}", "{#}"},
                                      {"e", "{2}", "{}-{1}", "{-1}"},
                                      {"e '{}' {}.x {2} {#}{}"},
                                      {}};
    for (const auto& command : commands) {
      const command_template made(command, options);
      arguments task;
      auto most = made.without_values();
      for (const std::string value : {"", "a", "it's '''", "a.b/c d", "\n\"$"}) {
        most += made.of_value(value);
        task.values.push_back(value);
        std::size_t bytes = 0;
        const auto argv_made = made.argv(task, {123, 4});
        for (const auto& argument : argv_made) bytes += argument.size() + 1;
        CHECK(most.bytes >= bytes);
        CHECK(most.arguments >= argv_made.size());
        if (command == texts{"e"}) CHECK(most.bytes == bytes);
      }
    }
  }
}

TEST_SUITE("text template") {
  TEST_CASE("nothing is quoted or appended") {
    CHECK(text_template("{1.}/{#} $x", {}).fill({{"a b.c", "d"}}, {7, 2}) == "a b/7 $x");
    CHECK(text_template("x", {}).fill({{"a"}}, {}) == "x");
    CHECK(text_template("{}:{3}", {}).fill({{"a", "b"}}, {}) == "a b:");
    CHECK_THROWS_AS(text_template("{= x =}", {}), error);
  }
}

}  // namespace command_template_test
