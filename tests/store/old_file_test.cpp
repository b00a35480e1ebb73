// Files that earlier versions have written.
#include "store/call_table.hpp"
#include "temp_dir.hpp"

#include <doctest/doctest.h>

#include <string>

namespace old_file_test {

using namespace weir;
using namespace weir::store;
using submitted = call_table::submitted;

namespace {

constexpr std::int32_t application = 0x77656972;  // "weir"
constexpr unix_ms noon = 1'800'000'000'000;
const std::string queued_id = "01m7wq4g37ky08t7rajc5je826";
const std::string done_id = "01m7wq4g37ky08t7rajc5je827";

/// As version 1 made it: a call that is queued, with two arguments, and one that is done.
constexpr const char* version_1 = R"(
CREATE TABLE calls (
  n INTEGER PRIMARY KEY,
  id TEXT NOT NULL UNIQUE,
  key BLOB,
  method TEXT NOT NULL,
  state INTEGER NOT NULL,
  priority INTEGER NOT NULL,
  due INTEGER NOT NULL,
  retries INTEGER NOT NULL,
  failures INTEGER NOT NULL DEFAULT 0,
  attempts INTEGER NOT NULL DEFAULT 0,
  repeatable INTEGER NOT NULL,
  cancel_asked INTEGER NOT NULL DEFAULT 0,
  deadline_ms INTEGER NOT NULL,
  keep_ms INTEGER NOT NULL,
  submitted INTEGER NOT NULL,
  finished INTEGER NOT NULL DEFAULT 0,
  expires INTEGER,
  code INTEGER NOT NULL DEFAULT 0,
  message TEXT NOT NULL DEFAULT '',
  type TEXT NOT NULL DEFAULT '',
  arguments BLOB NOT NULL,
  result BLOB NOT NULL DEFAULT x''
);
CREATE UNIQUE INDEX keys ON calls (key) WHERE key IS NOT NULL;
CREATE INDEX ready ON calls (method, priority, due) WHERE state = 0;
CREATE INDEX attention ON calls (state) WHERE state = 1 OR state = 5;
CREATE INDEX ends ON calls (expires) WHERE expires IS NOT NULL;
INSERT INTO calls (n, id, key, method, state, priority, due, retries, repeatable, deadline_ms,
                   keep_ms, submitted, arguments)
  VALUES (1, '01m7wq4g37ky08t7rajc5je826', x'6b31', 'm', 0, 5, 0, -1, 1, 0, 0, 0, x'920102');
INSERT INTO calls (n, id, key, method, state, priority, due, retries, attempts, repeatable,
                   deadline_ms, keep_ms, submitted, finished, arguments, result)
  VALUES (2, '01m7wq4g37ky08t7rajc5je827', x'6b32', 'm', 2, 5, 0, -1, 1, 1, 0, 0, 0, 1, x'', x'2a');
)";

struct file {
  test::temp_dir dir;
  std::string path = dir.file("spool");
  explicit file(std::int64_t version) {
    database db(path, application, "spool");
    db.run(version_1);
    db.run("PRAGMA user_version=" + std::to_string(version));
  }
};

submission with(std::string key, std::string arguments, std::string method = "m") {
  return {.id = "01m7wq4g37ky08t7rajc5je830",
          .method = std::move(method),
          .arguments = std::move(arguments),
          .key = std::move(key)};
}

}  // namespace

TEST_CASE("calls in a file of version 1 are there, and known by their arguments") {
  const file old(1);
  for (const bool again : {false, true}) {
    CAPTURE(again);
    call_table t(old.path, {}, noon);
    CHECK(t.find(done_id, noon)->result == "\x2a");
    const auto same = t.submit(with("k1", "\x92\x01\x02"), noon);
    CHECK(same.what == submitted::known);
    CHECK(same.id == queued_id);
    const auto other = t.submit(with("k1", "\x92\x01\x03"), noon);
    CHECK(other.what == submitted::other_arguments);
    CHECK(other.id == queued_id);
    // Of a call that was done, that version has not kept them.
    CHECK(t.submit(with("k2", "\x90"), noon).what == submitted::known);
    CHECK(t.submit(with("k2", "\x90", "other"), noon).what == submitted::other_method);
    if (!again) continue;
    const auto calls = t.start("m", 10, 1000, false, noon).calls;
    REQUIRE(calls.size() == 1);
    CHECK(calls[0].id == queued_id);
    CHECK(calls[0].arguments == "\x92\x01\x02");
  }
}

TEST_CASE("a file of a later version is left alone, and said to be one") {
  const file later(3);
  CHECK_THROWS_WITH_AS(
      call_table(later.path, {}, noon),
      doctest::Contains("another version of weir (format 3, this one knows 2)"), error);
}

}  // namespace old_file_test
