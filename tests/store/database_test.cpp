#include "store/database.hpp"

#include "temp_dir.hpp"

#include <doctest/doctest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

namespace database_test {

using namespace weir;
using namespace weir::store;

namespace {

constexpr std::int32_t mark = 42;

exit_code refusal(const std::string& path, std::string& text) {
  try {
    const database db(path, mark, "spool");
  } catch (const error& e) {
    text = e.what();
    return e.code();
  }
  return exit_code::ok;
}

void write(const std::string& path, const std::string& content) {
  std::ofstream(path, std::ios::binary) << content;
}

}  // namespace

TEST_CASE("a new file can be read by its owner alone") {
  const test::temp_dir dir;
  const database db(dir.file("spool"), mark, "spool");
  struct stat about {};
  REQUIRE(::stat(dir.file("spool").c_str(), &about) == 0);
  CHECK((about.st_mode & 0777) == 0600);
}

TEST_CASE("what is committed is there after the file is opened again, what is not is undone") {
  const test::temp_dir dir;
  {
    database db(dir.file("spool"), mark, "spool");
    db.run("CREATE TABLE t (x)");
    {
      transaction kept(db);
      db.run("INSERT INTO t VALUES (1)");
      kept.commit();
    }
    const transaction undone(db);
    db.run("INSERT INTO t VALUES (2)");
  }
  database db(dir.file("spool"), mark, "spool");
  CHECK(db.number("SELECT count(*) FROM t") == 1);
}

TEST_CASE("a second user of the file is told that it is in use") {
  const test::temp_dir dir;
  const database first(dir.file("spool"), mark, "spool");
  std::string text;
  CHECK(refusal(dir.file("spool"), text) == exit_code::in_use);
  CHECK(text == dir.file("spool") + " is in use by another process (another gateway?)");
}

TEST_CASE("a file that is no database, or another program's, is left alone") {
  const test::temp_dir dir;
  std::string text;
  write(dir.file("notes"), std::string(5000, 'x'));
  CHECK(refusal(dir.file("notes"), text) == exit_code::data);
  CHECK(text == dir.file("notes") + " is something else than a database");
  CHECK(std::filesystem::file_size(dir.file("notes")) == 5000);

  {
    database other(dir.file("other"), 7, "diary");
    other.run("CREATE TABLE t (x)");
  }
  CHECK(refusal(dir.file("other"), text) == exit_code::data);
  CHECK(text == dir.file("other") + " is a database, but not a weir spool");
}

TEST_CASE("a damaged file is noticed when it is opened") {
  const test::temp_dir dir;
  const auto path = dir.file("spool");
  {
    database db(path, mark, "spool");
    db.run("CREATE TABLE t (x TEXT)");
    db.run("CREATE INDEX i ON t (x)");
    for (int i = 0; i < 1000; ++i)
      db.run("INSERT INTO t VALUES ('" + std::to_string(i) + std::string(100, 'x') + "')");
  }
  const auto size = std::filesystem::file_size(path);
  REQUIRE(size > 20 * 4096);
  {
    std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(10 * 4096);
    file << std::string(4096, '\x5a');
  }
  std::string text;
  CHECK(refusal(path, text) == exit_code::data);
  CHECK(text.starts_with(path + " is damaged: "));
}

TEST_CASE("a place where no file can be made is named, with the reason") {
  const test::temp_dir dir;
  std::string text;
  CHECK(refusal(dir.file("missing/spool"), text) == exit_code::cannot_create);
  CHECK(text == "creating " + dir.file("missing/spool") + ": No such file or directory");
  CHECK(refusal(dir.file(""), text) == exit_code::cannot_create);
  CHECK(text == dir.file("") + " is not a regular file");
}

}  // namespace database_test
