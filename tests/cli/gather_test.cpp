#include "run/gather.hpp"

#include "run/input.hpp"

#include <weir/error.hpp>

#include <doctest/doctest.h>

#include <string>
#include <vector>

namespace gather_test {

using namespace weir;
using namespace weir::cli::run;
using texts = std::vector<std::string>;

namespace {

texts numbers(int from, int to) {
  texts list;
  for (; from <= to; ++from) list.push_back(std::to_string(from));
  return list;
}

source_spec given(texts list) {
  source_spec spec;
  spec.words = std::move(list);
  return spec;
}

std::unique_ptr<task_source> words(texts list) { return open({}, {given(std::move(list))}); }

/// Each task's values.
std::vector<texts> gathered(std::unique_ptr<task_source> records, const gather_options& options,
                            const texts& command = {"echo"}) {
  template_options repeat;
  repeat.repeat = true;
  const auto tasks = gather(std::move(records), options, command_template(command, repeat));
  std::vector<texts> all;
  for (arguments task; tasks->next(task);) all.push_back(task.values);
  CHECK(!tasks->next(*std::make_unique<arguments>()));
  return all;
}

std::vector<std::size_t> counts(const std::vector<texts>& tasks) {
  std::vector<std::size_t> list;
  for (const auto& values : tasks) list.push_back(values.size());
  return list;
}

using sizes = std::vector<std::size_t>;

gather_options filled(unsigned slots, std::size_t max_bytes = 0) {
  gather_options options;
  options.fill = true;
  options.slots = slots;
  options.max_bytes = max_bytes;
  return options;
}

}  // namespace

TEST_SUITE("gathered records") {
  TEST_CASE("-n puts so many records into a task, and what is left over into the last") {
    CHECK(gathered(words({"a", "b", "c"}), {2}) == std::vector<texts>{{"a", "b"}, {"c"}});
    CHECK(gathered(words({"a", "b"}), {2}) == std::vector<texts>{{"a", "b"}});
    CHECK(gathered(words({"a", "b"}), {1}) == std::vector<texts>{{"a"}, {"b"}});
    CHECK(gathered(words({}), {2}).empty());
  }

  TEST_CASE("-n counts records, each with all its columns") {
    const std::vector<source_spec> two{given({"a", "b"}), given({"c", "d"})};
    CHECK(gathered(open({}, two), {3}) ==
          std::vector<texts>{{"a", "c", "a", "d", "b", "c"}, {"b", "d"}});
  }

  TEST_CASE("-n 0 makes a task of each record, without its values") {
    const auto tasks = gather(words({"a", "b"}), {0}, command_template({"echo"}, {}));
    CHECK(tasks->total() == 2);
    arguments task;
    CHECK(tasks->next(task));
    CHECK(task.values.empty());
    CHECK(tasks->next(task));
    CHECK(!tasks->next(task));
  }

  TEST_CASE("-n hands a task out without looking at what comes after it") {
    int asked = 0;
    struct counting final : task_source {
      explicit counting(int& count) : asked(count) {}
      bool next(arguments& out) override {
        out.values = {"x"};
        return ++asked, true;
      }
      int& asked;
    };
    const auto tasks =
        gather(std::make_unique<counting>(asked), {3}, command_template({"echo"}, {}));
    arguments task;
    CHECK(tasks->next(task));
    CHECK(asked == 3);
  }

  TEST_CASE("-X shares out among the slots what does not fill a command") {
    // As parallel -j3 -X, -j3 -n4 -X and -j5 -X do.
    CHECK(counts(gathered(words(numbers(1, 10)), filled(3))) == sizes{4, 4, 2});
    auto four = filled(3);
    four.most = 4;
    CHECK(counts(gathered(words(numbers(1, 11)), four)) == sizes{4, 4, 1, 1, 1});
    CHECK(counts(gathered(words(numbers(1, 2)), filled(5))) == sizes{1, 1});
    CHECK(counts(gathered(words(numbers(1, 10)), filled(1))) == sizes{10});
    CHECK(counts(gathered(words({"a"}), filled(4))) == sizes{1});
  }

  TEST_CASE("-s limits the bytes of a command, its endings included") {
    // "command\0", 9 of "1\0", 10 of "10\0": 58. As parallel -j3 -s 60 -X.
    const auto tasks = gathered(words(numbers(1, 50)), filled(3, 60), {"/tmp/args"});
    CHECK(counts(tasks) == sizes{19, 16, 5, 5, 5});
    CHECK(tasks[1][0] == "20");
    CHECK(counts(gathered(words({"aa", "bb"}), filled(1, 11))) == sizes{2});
    CHECK(counts(gathered(words({"aa", "bb"}), filled(1, 10))) == sizes{1, 1});
  }

  TEST_CASE("no command grows beyond 128 KiB, and nothing is lost") {
    const auto tasks = gathered(words(numbers(1, 100000)), filled(1));
    CHECK(tasks.size() > 2);
    int expected = 1;
    for (const auto& values : tasks) {
      std::size_t bytes = 5;
      for (const auto& value : values) {
        CHECK(value == std::to_string(expected++));
        bytes += value.size() + 1;
      }
      CHECK(bytes <= 128 * 1024);
      if (&values != &tasks.back()) CHECK(bytes > 128 * 1024 - 7);
    }
    CHECK(expected == 100001);
  }

  TEST_CASE("a script is no longer than what one argument may be") {
    template_options options;
    options.repeat = true;
    const command_template script({"echo '{}'; ls {}.x"}, options);
    const auto tasks = gather(words(numbers(1, 20000)), filled(1), script);
    int count = 0;
    for (arguments task; tasks->next(task); ++count)
      CHECK(script.argv(task, {}).back().size() < 128 * 1024);
    CHECK(count > 1);
  }

  TEST_CASE(
      "a value that fits into no command is refused, and so is a limit beyond the system's") {
    CHECK_THROWS_WITH_AS(gathered(words({"a", std::string(100, 'b')}), filled(1, 50)),
                         doctest::Contains("bbb..."), error);
    CHECK_THROWS_WITH_AS(gathered(words({"a"}), filled(1, std::size_t{1} << 40)),
                         doctest::Contains("at most"), error);
  }

  TEST_CASE("without any of the options, records are tasks") {
    auto records = words({"a"});
    const auto* before = records.get();
    CHECK(gather(std::move(records), {}, command_template({"echo"}, {})).get() == before);
  }
}

}  // namespace gather_test
