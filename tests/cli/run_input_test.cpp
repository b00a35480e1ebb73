#include "io/io_support.hpp"
#include "run/input.hpp"

#include <weir/error.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace run_input_test {

using namespace weir;
using namespace weir::cli::run;
using io_test::pipe_ends;
using io_test::temp_dir;
using texts = std::vector<std::string>;
using rows = std::vector<texts>;

namespace {

rows all_of(task_source& source) {
  rows all;
  for (arguments task; source.next(task);) all.push_back(task.values);
  return all;
}

/// The tasks of `::: a b ::: c` and so on.
rows tasks(const texts& words, const input_options& options = {}) {
  return all_of(*open(options, take_apart(words).sources));
}

/// The tasks of a file with this in it.
rows tasks_of(std::string_view content, const input_options& options = {}) {
  const temp_dir dir;
  return tasks({"::::", dir.file("input", content)}, options);
}

template <class Set>
input_options with(Set&& set) {
  input_options options;
  set(options);
  return options;
}

std::string refusal(exit_code code, auto&& action) {
  try {
    action();
  } catch (const error& e) {
    CHECK(e.code() == code);
    return e.what();
  }
  return "";
}

}  // namespace

TEST_SUITE("words of the command line") {
  TEST_CASE("the command ends where the first source begins") {
    const auto parts =
        take_apart({"echo", "{}", ":::", "a", "b", ":::+", "c", "::::", "f", "-"});
    CHECK(parts.command == texts{"echo", "{}"});
    REQUIRE(parts.sources.size() == 4);
    CHECK(parts.sources[0].words == texts{"a", "b"});
    CHECK(!parts.sources[0].linked);
    CHECK(parts.sources[1].words == texts{"c"});
    CHECK(parts.sources[1].linked);
    CHECK(parts.sources[2].what == source_spec::kind::file);
    CHECK(parts.sources[2].file == "f");
    CHECK(parts.sources[3].file == "-");
    CHECK(take_apart({"echo", "x"}).sources.empty());
    CHECK(take_apart({":::", "echo a"}).command.empty());
    CHECK(take_apart({}).command.empty());
  }

  TEST_CASE("::::+ links every file behind it, and :::: needs one") {
    const auto parts = take_apart({"::::", "a", "::::+", "b", "c"});
    REQUIRE(parts.sources.size() == 3);
    CHECK(!parts.sources[0].linked);
    CHECK(parts.sources[1].linked);
    CHECK(parts.sources[2].linked);
    CHECK(refusal(exit_code::usage, [] { (void)take_apart({"e", "::::"}); }).find("::::") == 0);
    CHECK(take_apart({"e", ":::"}).sources.size() == 1);
  }

  TEST_CASE("a delimiter may be any bytes, with escapes as of printf") {
    CHECK(parse_delimiter(",") == ",");
    CHECK(parse_delimiter("-=-") == "-=-");
    CHECK(parse_delimiter("\\n") == "\n");
    CHECK(parse_delimiter("\\t\\\\x") == "\t\\x");
    CHECK(parse_delimiter("\\0") == std::string(1, '\0'));
    CHECK(parse_delimiter("\\x41\\x4") == "A\x04");
    CHECK(parse_delimiter("\\101\\1012") == "AA2");
    CHECK(parse_delimiter("\\377") == "\xff");
    for (const std::string text : {"", "\\", "\\q", "\\x", "\\400", "\\8"}) {
      CAPTURE(text);
      CHECK(refusal(exit_code::usage, [&] { (void)parse_delimiter(text); }) != "");
    }
  }

  TEST_CASE("--trim takes what parallel's takes") {
    CHECK(parse_trim("n") == trim::none);
    CHECK(parse_trim("l") == trim::left);
    CHECK(parse_trim("r") == trim::right);
    CHECK(parse_trim("lr") == trim::both);
    CHECK(parse_trim("rl") == trim::both);
    CHECK(refusal(exit_code::usage, [] { (void)parse_trim("x"); }).find("--trim") == 0);
  }
}

TEST_SUITE("sources") {
  TEST_CASE("every word is a value, whatever is in it") {
    CHECK(tasks({":::", "a b", "", "x\ny", "::"}) == rows{{"a b"}, {""}, {"x\ny"}, {"::"}});
    CHECK(tasks({":::"}).empty());
  }

  TEST_CASE("every line is a value, an empty one and one without an end too") {
    CHECK(tasks_of("a b\n\n c\r\nd") == rows{{"a b"}, {""}, {" c\r"}, {"d"}});
    CHECK(tasks_of("").empty());
    CHECK(tasks_of("\n") == rows{{""}});
  }

  TEST_CASE("values may be separated by NUL or anything else") {
    const auto by = [](std::string delimiter) {
      return with([&](auto& o) { o.delimiter = std::move(delimiter); });
    };
    CHECK(tasks_of(std::string_view("a\nb\0c\0", 6), by(std::string(1, '\0'))) ==
          rows{{"a\nb"}, {"c"}});
    CHECK(tasks_of("a;b c;\n", by(";")) == rows{{"a"}, {"b c"}, {"\n"}});
    CHECK(tasks_of("a\r\nb\r\n", by("\r\n")) == rows{{"a"}, {"b"}});
  }

  TEST_CASE("-a files come before the other sources") {
    const temp_dir dir;
    const auto options = with([&](auto& o) { o.files = {dir.file("x", "1\n2\n")}; });
    CHECK(tasks({":::", "a"}, options) == rows{{"1", "a"}, {"2", "a"}});
    CHECK(tasks({}, options) == rows{{"1"}, {"2"}});
  }

  TEST_CASE("every combination is a task, the last source varying fastest") {
    CHECK(tasks({":::", "a", "b", ":::", "1", "2", ":::", "x", "y"}) == rows{{"a", "1", "x"},
                                                                             {"a", "1", "y"},
                                                                             {"a", "2", "x"},
                                                                             {"a", "2", "y"},
                                                                             {"b", "1", "x"},
                                                                             {"b", "1", "y"},
                                                                             {"b", "2", "x"},
                                                                             {"b", "2", "y"}});
    const temp_dir dir;
    const auto file = dir.file("f", "1\n2\n");
    CHECK(tasks({":::", "a", "b", "::::", file}) ==
          rows{{"a", "1"}, {"a", "2"}, {"b", "1"}, {"b", "2"}});
    CHECK(tasks({"::::", file, file}) == rows{{"1", "1"}, {"1", "2"}, {"2", "1"}, {"2", "2"}});
  }

  TEST_CASE("linked sources go in step, and the shortest is the end") {
    CHECK(tasks({":::", "a", "b", "c", ":::+", "1", "2", ":::", "X", "Y", ":::+", "11",
                 "22"}) == rows{{"a", "1", "X", "11"},
                                {"a", "1", "Y", "22"},
                                {"b", "2", "X", "11"},
                                {"b", "2", "Y", "22"}});
    CHECK(tasks({":::", "a", ":::+", "1", "2", ":::+", "x", "y"}) == rows{{"a", "1", "x"}});
    CHECK(tasks({":::+", "a", "b"}) == rows{{"a"}, {"b"}});
    CHECK(tasks({":::", "a", ":::+"}).empty());
  }

  TEST_CASE("--link goes in step too, but short sources begin again") {
    const auto link = with([](auto& o) { o.link = true; });
    CHECK(tasks({":::", "a", "b", "c", "d", "e", ":::", "1", "2", ":::", "x", "y", "z"},
                link) == rows{{"a", "1", "x"},
                              {"b", "2", "y"},
                              {"c", "1", "z"},
                              {"d", "2", "x"},
                              {"e", "1", "y"}});
    CHECK(tasks({":::", "a", ":::", "1", "2"}, link) == rows{{"a", "1"}, {"a", "2"}});
    CHECK(tasks({":::", "a", "b"}, link) == rows{{"a"}, {"b"}});
  }

  TEST_CASE("an empty source leaves nothing to combine, and that is said") {
    texts said;
    const auto telling =
        with([&](auto& o) { o.warn = [&](const std::string& text) { said.push_back(text); }; });
    CHECK(tasks({":::", "a", "b", ":::"}, telling).empty());
    CHECK(tasks({":::", ":::", "a", "b"}, telling).empty());
    REQUIRE(said.size() == 2);
    CHECK(said[0].find("source 2 of 2 is empty") == 0);
    CHECK(said[1].find("source 1 of 2 is empty") == 0);
    CHECK(tasks({":::"}, telling).empty());
    CHECK(said.size() == 2);
  }

  TEST_CASE("with -r, what is only white space is no value") {
    const auto options = with([](auto& o) { o.skip_blank = true; });
    CHECK(tasks_of(" \na\n\n\t\nb \n", options) == rows{{"a"}, {"b "}});
    CHECK(tasks({":::", "", "a", ":::", " ", "b"}, options) == rows{{"a", "b"}});
    CHECK(tasks_of(" \n\n", options).empty());
  }

  TEST_CASE("--trim takes white space off") {
    const auto trimmed = [](trim how) {
      return tasks({":::", " a b\t", "\n"}, with([&](auto& o) { o.trimmed = how; }));
    };
    CHECK(trimmed(trim::none) == rows{{" a b\t"}, {"\n"}});
    CHECK(trimmed(trim::left) == rows{{"a b\t"}, {""}});
    CHECK(trimmed(trim::right) == rows{{" a b"}, {""}});
    CHECK(trimmed(trim::both) == rows{{"a b"}, {""}});
  }

  TEST_CASE(
      "--shuf runs the same tasks in another order, and the same order for the same seed") {
    const texts words{":::", "1", "2", "3", "4", "5", "6", ":::", "a", "b"};
    const auto by = [&](std::uint64_t seed) {
      return tasks(words, with([&](auto& o) {
                     o.shuffle = true;
                     o.seed = seed;
                   }));
    };
    const auto plain = tasks(words);
    auto one = by(1);
    CHECK(one == by(1));
    CHECK(one != by(2));
    CHECK(one != plain);
    std::sort(one.begin(), one.end());
    CHECK(one == plain);
  }

  TEST_CASE("how many tasks there are is known when all are words") {
    const auto total = [](const texts& words, const input_options& options = {}) {
      return open(options, take_apart(words).sources)->total();
    };
    CHECK(total({":::", "a", "b", ":::", "c", "d", "e"}) == 6);
    CHECK(total({":::", "a", "b", ":::+", "c"}) == 1);
    CHECK(total({":::", "a", "b", ":::", "c"}, with([](auto& o) { o.link = true; })) == 2);
    CHECK(total({":::", "n", "a", "b"}, with([](auto& o) { o.header = true; })) == 2);
    CHECK(total({":::"}, with([](auto& o) { o.header = true; })) == 0);
    CHECK(total({":::", "", "b"}, with([](auto& o) { o.skip_blank = true; })) == 1);
    CHECK(total({":::", "a", ":::"}) == 0);
    CHECK(total({}) == std::nullopt);
    CHECK(total({":::", "a", "::::", "-"}) == std::nullopt);
  }

  TEST_CASE("what is held is counted by reading it, and nothing is lost") {
    const temp_dir dir;
    const auto held = hold(open({}, take_apart({"::::", dir.file("f", "a\nb\n")}).sources));
    CHECK(held->total() == 2);
    CHECK(all_of(*held) == rows{{"a"}, {"b"}});
    CHECK(held->total() == 2);
  }
}

TEST_SUITE("streaming") {
  TEST_CASE("a line is a task before the next one is written") {
    const pipe_ends input;
    const auto source = open({}, take_apart({"::::", input.read_path()}).sources);
    arguments task;
    for (const std::string line : {"a", "b"}) {
      input.put(line + "\n");
      REQUIRE(source->next(task));
      CHECK(task.values == texts{line});
    }
  }

  TEST_CASE("the first source of a product is read as it comes, and so is the last at first") {
    const pipe_ends first, last;
    const auto source = open(
        {}, take_apart({"::::", first.read_path(), ":::", "x", "y", "::::", last.read_path()})
                .sources);
    arguments task;
    first.put("a\n");
    last.put("1\n");
    REQUIRE(source->next(task));
    CHECK(task.values == texts{"a", "x", "1"});
    last.put("2\n");
    REQUIRE(source->next(task));
    CHECK(task.values == texts{"a", "x", "2"});
    auto& end = const_cast<int&>(last.write_end);
    pipe_ends::close(end);
    REQUIRE(source->next(task));
    CHECK(task.values == texts{"a", "y", "1"});
    REQUIRE(source->next(task));
    CHECK(task.values == texts{"a", "y", "2"});
    first.put("b\n");
    REQUIRE(source->next(task));
    CHECK(task.values == texts{"b", "x", "1"});
  }

  TEST_CASE("linked sources are read as they come") {
    const pipe_ends left, right;
    const auto source =
        open({}, take_apart({"::::", left.read_path(), "::::+", right.read_path()}).sources);
    arguments task;
    left.put("a\nb\n");
    right.put("1\n");
    REQUIRE(source->next(task));
    CHECK(task.values == texts{"a", "1"});
  }

  TEST_CASE("whoever waits for input can be woken, and then it is over") {
    const pipe_ends input, wake;
    for (const bool shuffle : {false, true}) {
      const auto source = open(with([&](auto& o) {
                                 o.wake_fd = wake.read_end;
                                 o.shuffle = shuffle;
                               }),
                               take_apart({"::::", input.read_path()}).sources);
      input.put("a\n");
      wake.put("x");
      arguments task;
      if (!shuffle) {
        CHECK_FALSE(source->next(task));
      }
      CHECK_FALSE(source->next(task));
      CHECK(wake.take() == "x");
      CHECK_FALSE(source->next(task));
      CHECK(source->names().empty());
    }
  }
}

TEST_SUITE("columns") {
  const auto split_at = [](std::string expression) {
    return with([&](auto& o) { o.colsep = std::move(expression); });
  };

  TEST_CASE("--colsep splits at each match, and takes white space off") {
    CHECK(tasks_of("a,b\n c , d \n,\n\n,x", split_at(",")) ==
          rows{{"a", "b"}, {"c", "d"}, {"", ""}, {""}, {"", "x"}});
    CHECK(tasks_of("a1b22c\n", split_at("[0-9]+")) == rows{{"a", "b", "c"}});
    CHECK(tasks_of("a\tb c\n", split_at("\\t")) == rows{{"a", "b c"}});
    CHECK(tasks_of("a|b\n", split_at("\\|")) == rows{{"a", "b"}});
    auto options = split_at(",");
    options.trimmed = trim::none;
    CHECK(tasks_of(" a , b \n", options) == rows{{" a ", " b "}});
  }

  TEST_CASE("columns of several sources follow each other") {
    CHECK(tasks({":::", "A-B", "C-D", ":::", "e-f", "g-h"}, split_at("-")) ==
          rows{{"A", "B", "e", "f"},
               {"A", "B", "g", "h"},
               {"C", "D", "e", "f"},
               {"C", "D", "g", "h"}});
  }

  TEST_CASE("an expression that matches nothing at all is refused") {
    CHECK(refusal(exit_code::usage, [&] { (void)open(split_at("|"), {}); }).find("'\\|'") !=
          std::string::npos);
    CHECK(refusal(exit_code::usage, [&] { (void)open(split_at("x*"), {}); }) != "");
    CHECK(refusal(exit_code::usage, [&] { (void)open(split_at(""), {}); }) != "");
  }

  TEST_CASE("--header takes the names from the first record of each source") {
    const auto options = with([](auto& o) { o.header = true; });
    const temp_dir dir;
    const auto file = dir.file("f", "x y\tz\na b\tc\n");
    const auto source = open(options, take_apart({"::::", file, ":::", "w", "1", "2"}).sources);
    CHECK(source->names() == texts{"x y", "z", "w"});
    CHECK(all_of(*source) == rows{{"a b", "c", "1"}, {"a b", "c", "2"}});
    // Also for who does not ask.
    CHECK(tasks({":::", "f", "a", ":::+", "g", "1"}, options) == rows{{"a", "1"}});
    CHECK(tasks({":::"}, options).empty());
    CHECK(open({}, take_apart({":::", "a"}).sources)->names().empty());
  }
}

TEST_SUITE("CSV") {
  const auto csv = with([](auto& o) { o.csv = true; });

  TEST_CASE("the manual's example is read as RFC 4180 has it") {
    CHECK(tasks_of("\"1 big, 2 small\",\"2\"\"x4\"\" plank\",12.34\n", csv) ==
          rows{{"1 big, 2 small", "2\"x4\" plank", "12.34"}});
  }

  TEST_CASE("fields may be empty, and hold blanks, separators, quotes and line ends") {
    struct {
      std::string_view text;
      rows expected;
    } const cases[] = {
        {"a,b\n", {{"a", "b"}}},
        {" a , b \n", {{" a ", " b "}}},
        {",\n", {{"", ""}}},
        {"\n", {{""}}},
        {"\"\"\n", {{""}}},
        {"\"\"\"\"\n", {{"\""}}},
        {"\"a\nb\",c\nd,e\n", {{"a\nb", "c"}, {"d", "e"}}},
        {"\"a\r\n\r\nb\"\r\n", {{"a\r\n\r\nb"}}},
        {"\"\n\n\"", {{"\n\n"}}},
        {"a,b\r\nc,\"d\"\r\n", {{"a", "b"}, {"c", "d"}}},
        {"a\rb,c\r\n", {{"a\rb", "c"}}},
        {"\"a,\"\"b\"\"\",\"c\"", {{"a,\"b\"", "c"}}},
        {"\xef\xbb\xbf\"a\",b\n", {{"a", "b"}}},
        {"a,\n", {{"a", ""}}},
        {"\"a\",\n", {{"a", ""}}},
    };
    for (const auto& c : cases) {
      CAPTURE(c.text);
      CHECK(tasks_of(c.text, csv) == c.expected);
    }
  }

  TEST_CASE("--colsep names another separator, a header the columns") {
    auto options = csv;
    options.colsep = ";";
    CHECK(tasks_of("\"a;b\";c,d\n", options) == rows{{"a;b", "c,d"}});
    options.colsep = "\\t";
    options.header = true;
    const temp_dir dir;
    const auto source =
        open(options, take_apart({"::::", dir.file("f", "\"n\nm\"\to\n1\t2\n")}).sources);
    CHECK(source->names() == texts{"n\nm", "o"});
    CHECK(all_of(*source) == rows{{"1", "2"}});
    for (const std::string bad : {"ab", "\"", "\\n"}) {
      options.colsep = bad;
      CHECK(refusal(exit_code::usage, [&] { (void)open(options, {}); }) != "");
    }
  }

  TEST_CASE("what is no CSV is refused with its row, and what came before it is handed out") {
    const temp_dir dir;
    for (const std::string bad :
         {"a\"b\n", "\"a\"b\n", "\"a", "\"a\n", "\"a\"\"", "\"a\"\r,b\n"}) {
      CAPTURE(bad);
      const auto file = dir.file("bad.csv", "x,y\n" + bad);
      const auto source = open(csv, take_apart({"::::", file}).sources);
      arguments task;
      REQUIRE(source->next(task));
      CHECK(task.values == texts{"x", "y"});
      const auto what = refusal(exit_code::data, [&] { (void)source->next(task); });
      CHECK(what.find(file + ": row 2 is not CSV") == 0);
    }
  }
}

TEST_SUITE("what cannot be read") {
  TEST_CASE("a missing file is found before anything runs") {
    const auto what = refusal(exit_code::no_input, [] {
      (void)open({}, take_apart({":::", "a", "::::", "/no/such/file"}).sources);
    });
    CHECK(what.find("/no/such/file") != std::string::npos);
  }

  TEST_CASE("standard input can be a source only once") {
    CHECK(refusal(exit_code::usage, [] {
            (void)open({}, take_apart({"::::", "-", "-"}).sources);
          }).find("only once") != std::string::npos);
    CHECK(refusal(exit_code::usage, [] {
            (void)open({}, take_apart({"::::", "-"}).sources);
          }) == "");
  }

  TEST_CASE("a value with a NUL byte ends the input, unless it is not for an argument") {
    const temp_dir dir;
    const auto file = dir.file("f", std::string_view("a\nb\0c\nd\n", 8));
    const auto words = take_apart({"::::", file}).sources;
    const auto source = open({}, words);
    arguments task;
    REQUIRE(source->next(task));
    const auto what = refusal(exit_code::data, [&] { (void)source->next(task); });
    CHECK(what.find(file + ": record 2 has a NUL byte") == 0);
    CHECK(what.find("-0") != std::string::npos);
    CHECK(all_of(*open(with([](auto& o) { o.nul_allowed = true; }), words)) ==
          rows{{"a"}, {{"b\0c", 3}}, {"d"}});
  }

  TEST_CASE("a record of more than 16 MiB ends the input, with its number and length") {
    const temp_dir dir;
    const std::size_t most = std::size_t{16} << 20;
    const auto file = dir.file(
        "f", "a\n" + std::string(most, 'x') + "\n" + std::string(most + 1, 'y') + "\nb\n");
    const auto source = open({}, take_apart({"::::", file}).sources);
    arguments task;
    REQUIRE(source->next(task));
    REQUIRE(source->next(task));
    CHECK(task.values[0].size() == most);
    const auto what = refusal(exit_code::data, [&] { (void)source->next(task); });
    CHECK(what.find(file + ": record 3 has 16777217 bytes") == 0);
  }
}

}  // namespace run_input_test
