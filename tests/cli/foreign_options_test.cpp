#include "run/foreign_options.hpp"

#include <doctest/doctest.h>

#include <fstream>
#include <map>
#include <set>
#include <sstream>
#include <string>

using namespace weir::cli::run;

namespace {

/// The rows of docs/from-parallel.md that say "not offered": names -> what to do instead.
std::map<std::string, std::string> refused_by_page() {
  std::ifstream page(WEIR_FROM_PARALLEL_PAGE);
  REQUIRE(page);
  std::map<std::string, std::string> found;
  const std::string cell = " | not offered | ";
  for (std::string line; std::getline(page, line);) {
    const auto at = line.find(cell);
    if (!line.starts_with("| `-") || at == std::string::npos) continue;
    std::string names = line.substr(2, at - 2);
    std::erase(names, '`');
    std::string instead = line.substr(at + cell.size());
    instead.resize(instead.rfind(" |"));
    found[names] = instead;
  }
  return found;
}

}  // namespace

TEST_SUITE("options of GNU parallel that are not offered") {
  TEST_CASE("docs/from-parallel.md refuses the same ones with the same words") {
    std::map<std::string, std::string> refused;
    for (const auto& option : foreign_options())
      refused[std::string(option.names)] = std::string(option.instead);
    CHECK(refused.size() > 90);
    CHECK(refused == refused_by_page());
  }

  TEST_CASE("each says what to do instead, as a clause that ends no sentence") {
    std::set<std::string> seen;
    for (const auto& option : foreign_options()) {
      CAPTURE(option.names);
      CHECK(option.instead.size() > 5);
      CHECK(option.instead.back() != '.');
      CHECK(option.instead.find('\n') == std::string_view::npos);
      std::istringstream names{std::string(option.names)};
      for (std::string name; names >> name;) {
        CHECK(name.starts_with('-'));
        CHECK(seen.insert(name).second);
        CHECK(find_foreign(name) == &option);
      }
    }
  }

  TEST_CASE("a value may be part of the word") {
    REQUIRE(find_foreign("--sshlogin=host"));
    CHECK(find_foreign("--sshlogin=host") == find_foreign("-Shost"));
    CHECK(find_foreign("-S") == find_foreign("-Shost"));
  }

  TEST_CASE("dashes between the words of a name may be missing") {
    CHECK(find_foreign("--pipepart") == find_foreign("--pipe-part"));
    REQUIRE(find_foreign("--sqlmaster=db"));
    CHECK(find_foreign("--sqlmaster=db")->names == "--sql-master");
  }

  TEST_CASE("what is no option of GNU parallel is not found") {
    for (const auto* word : {"--no-such", "-Y", "", "-", "--", "sshlogin", "S", "---"}) {
      CAPTURE(word);
      CHECK(find_foreign(word) == nullptr);
    }
    CHECK(find_foreign("--sshl") == nullptr);
  }
}
