#include "store/call_table.hpp"

#include "proto/stable_hash.hpp"
#include "store/retry_policy.hpp"

#include <algorithm>
#include <string_view>

namespace weir::store {
namespace {

constexpr std::int32_t application = 0x77656972;  // "weir"
constexpr std::int64_t version = 2;

// `state` is a call_state. The partial indexes follow a call through its life: it is in `ready`
// while queued, in `attention` while running or dead, in `ends` when there is an outcome that
// will go. Those in `ready` are in the order in which they are started. `digest` is of the
// arguments, which go when the call is done; NULL: not known, in a file of version 1.
constexpr const char* schema = R"(
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
  result BLOB NOT NULL DEFAULT x'',
  digest INTEGER
);
CREATE UNIQUE INDEX keys ON calls (key) WHERE key IS NOT NULL;
CREATE INDEX ready ON calls (method, priority, due) WHERE state = 0;
CREATE INDEX attention ON calls (state) WHERE state = 1 OR state = 5;
CREATE INDEX ends ON calls (expires) WHERE expires IS NOT NULL;
)";

#define WEIR_REPORT \
  "n, id, method, state, code, message, type, attempts, submitted, finished, due"
/// Followed by the time: what is due to be removed is gone already.
#define WEIR_KEPT "ifnull(expires, 9223372036854775807) > "

std::int64_t number(call_state s) { return static_cast<std::int64_t>(s); }
std::int64_t number(call_number n) { return static_cast<std::int64_t>(n); }

std::int64_t digest_of(std::string_view arguments) {
  return static_cast<std::int64_t>(proto::stable_hash(arguments));
}

/// From a row of `attempt`.
void read_attempt(const statement::execution& row, attempt_end& last) {
  last.failures = row.integer(1);
  last.retries = row.integer(2);
  last.cancel_asked = row.integer(3) != 0;
  last.repeatable = row.integer(4) != 0;
}

call_report report_from(const statement::execution& row) {
  call_report r;
  r.number = call_number{row.integer(0)};
  r.id = row.text(1);
  r.method = row.text(2);
  r.state = static_cast<call_state>(row.integer(3));
  r.code = status_from(static_cast<std::uint64_t>(row.integer(4))).value_or(status::unknown);
  r.message = row.text(5);
  r.type = row.text(6);
  r.attempts = static_cast<std::uint32_t>(row.integer(7));
  r.submitted = row.integer(8);
  r.finished = row.integer(9);
  r.due = row.integer(10);
  return r;
}

}  // namespace

std::string_view to_string(call_state state) noexcept {
  switch (state) {
    case call_state::queued:
      return "queued";
    case call_state::running:
      return "running";
    case call_state::done:
      return "done";
    case call_state::failed:
      return "failed";
    case call_state::cancelled:
      return "cancelled";
    case call_state::dead:
      return "dead";
  }
  return "unknown";
}

struct call_table::statements {
  explicit statements(database& db)
      : insert(
            db,
            "INSERT INTO calls (n, id, key, method, state, priority, due, retries, repeatable,"
            " deadline_ms, keep_ms, submitted, arguments, digest)"
            " VALUES (?1, ?2, ?3, ?4, 0, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)"
            " ON CONFLICT DO NOTHING"),
        same(db,
             "SELECT id, method, digest FROM calls WHERE id = ?1 OR key = ?2"
             " ORDER BY id <> ?1"),
        make_room(db, "DELETE FROM calls WHERE (id = ?1 OR key = ?2) AND expires <= ?3"),
        pages(db,
              "SELECT page_count - freelist_count"
              " FROM pragma_page_count, pragma_freelist_count"),
        priority_below(db,
                       "SELECT priority FROM calls WHERE state = 0 AND method = ?1 AND"
                       " priority < ?2 ORDER BY priority DESC LIMIT 1"),
        due(db,
            "SELECT n, id, arguments, deadline_ms, attempts, key, length(arguments) FROM calls"
            " WHERE state = 0 AND method = ?1 AND priority = ?2 AND due <= ?3"
            " ORDER BY due, n LIMIT ?4"),
        first_due(db,
                  "SELECT due FROM calls WHERE state = 0 AND method = ?1 AND priority = ?2"
                  " ORDER BY due LIMIT 1"),
        start(db,
              "UPDATE calls SET state = 1, attempts = attempts + 1,"
              " repeatable = repeatable OR ?2 WHERE n = ?1"),
        attempt(db,
                "SELECT method, failures, retries, cancel_asked, repeatable FROM calls"
                " WHERE n = ?1 AND state = 1"),
        again(db,
              "UPDATE calls SET state = 0, due = ?2, failures = failures + ?3, code = ?4,"
              " message = ?5, type = ?6 WHERE n = ?1"),
        uncount(db, "UPDATE calls SET attempts = attempts - 1 WHERE n = ?1"),
        end(db,
            "UPDATE calls SET state = ?2, code = ?3, message = ?4, type = ?5, result = ?6,"
            " finished = ?7, expires = iif(keep_ms = 0, NULL, ?7 + keep_ms),"
            " arguments = iif(?2 = 2, x'', arguments) WHERE n = ?1"),
        by_number(db, "SELECT " WEIR_REPORT " FROM calls WHERE n = ?1"),
        by_id(db,
              "SELECT " WEIR_REPORT ", result FROM calls WHERE id = ?1 AND " WEIR_KEPT "?2"),
        ask_cancel(db, "UPDATE calls SET cancel_asked = 1 WHERE n = ?1"),
        number_of(db, "SELECT n FROM calls WHERE id = ?1"),
        dead(db, "SELECT " WEIR_REPORT " FROM calls WHERE state = 5 AND n > ?1 AND " WEIR_KEPT
                 "?3 ORDER BY n LIMIT ?2"),
        requeue(db,
                "UPDATE calls SET state = 0, due = ?2, failures = 0, cancel_asked = 0,"
                " finished = 0, expires = NULL, code = 0, message = '', type = ''"
                " WHERE id = ?1 AND state IN (3, 4, 5) AND " WEIR_KEPT "?2 RETURNING method"),
        forget(db, "DELETE FROM calls WHERE id = ?1 AND state >= 2"),
        expire(db,
               "DELETE FROM calls WHERE n IN"
               " (SELECT n FROM calls WHERE expires <= ?1 ORDER BY expires LIMIT ?2)"),
        running(db, "SELECT n FROM calls WHERE state = 1 AND n > ?1 ORDER BY n LIMIT 1000"),
        next_method(db,
                    "SELECT method FROM calls WHERE state = 0 AND method > ?1"
                    " ORDER BY method LIMIT 1") {}

  statement insert, same, make_room, pages, priority_below, due, first_due, start, attempt,
      again, uncount, end, by_number, by_id, ask_cancel, number_of, dead, requeue, forget,
      expire, running, next_method;
};

call_table::call_table(const std::string& path, options o, unix_ms now)
    : options_(o), db_(path, application, "spool"), random_(o.seed) {
  transaction opening(db_);
  const auto found = db_.number("PRAGMA user_version");
  if (found == 0) {
    db_.run(schema);
  } else if (found == 1) {
    migrate();
  } else if (found != version) {
    throw error(exit_code::data, path + " was written by another version of weir (format " +
                                     std::to_string(found) + ", this one knows " +
                                     std::to_string(version) + ")");
  }
  if (found != version) db_.run("PRAGMA user_version=" + std::to_string(version));
  sql_ = std::make_unique<statements>(db_);
  last_ = db_.number("SELECT max(n) FROM calls");
  recover(now);
  opening.commit();
}

call_table::~call_table() = default;

database& call_table::file() { return db_; }

call_table::recovered call_table::at_opening() const { return recovered_; }

/// From version 1, which could not tell whether a submission was repeated with other arguments.
void call_table::migrate() {
  db_.run("ALTER TABLE calls ADD COLUMN digest INTEGER");
  statement next(db_,
                 "SELECT n, arguments FROM calls WHERE n > ?1 AND arguments <> x''"
                 " ORDER BY n LIMIT 1");
  statement set(db_, "UPDATE calls SET digest = ?2 WHERE n = ?1");
  for (std::int64_t last = 0;;) {
    std::int64_t digest = 0;
    {
      auto row = next.with(last);
      if (!row.next()) return;
      last = row.integer(0);
      digest = digest_of(row.text(1));
    }
    set.run(last, digest);
  }
}

void call_table::recover(unix_ms now) {
  std::vector<call_number> interrupted;
  for (std::int64_t after = 0;;) {
    interrupted.clear();
    {
      auto row = sql_->running.with(after);
      while (row.next()) interrupted.push_back(call_number{row.integer(0)});
    }
    if (interrupted.empty()) return;
    after = number(interrupted.back());
    for (const auto which : interrupted) {
      attempt_end last;
      {
        auto row = sql_->attempt.with(number(which));
        if (!row.next()) continue;
        read_attempt(row, last);
      }
      attempt_result how;
      how.code = status::unavailable;
      how.message = "the gateway ended while it ran: it may have done something";
      switch (judge_interrupted(last)) {
        case verdict::cancelled:
          how.code = status::cancelled;
          how.message = "cancelled";
          end(which, call_state::cancelled, how, now);
          break;
        case verdict::dead:
          end(which, call_state::dead, how, now);
          ++recovered_.given_up;
          break;
        default:
          sql_->again.run(number(which), now, std::int64_t{last.repeatable ? 0 : 1},
                          static_cast<std::int64_t>(how.code), how.message, how.type);
          ++recovered_.queued_again;
          break;
      }
    }
  }
}

call_table::submit_result call_table::submit(const submission& call, unix_ms now) {
  if (options_.max_bytes != 0) {
    constexpr std::uint64_t page = 4096;
    auto row = sql_->pages.with();
    const auto used = row.next() ? static_cast<std::uint64_t>(row.integer(0)) : 0;
    if (used * page + call.arguments.size() > options_.max_bytes)
      return {submitted::full, call.id};
  }
  if (insert(call, now)) return {submitted::stored, call.id};
  const statement::blob key{call.key};
  sql_->make_room.run(call.id, key, now);
  if (db_.changes() > 0 && insert(call, now)) return {submitted::stored, call.id};
  auto row = sql_->same.with(call.id, key);
  if (!row.next()) db_.fail(1, "submitting");  // its number is new, so it was one of the two
  submit_result result{submitted::known, row.text(0)};
  if (row.text(1) != call.method)
    result.what = submitted::other_method;
  else if (!row.null(2) && row.integer(2) != digest_of(call.arguments))
    result.what = submitted::other_arguments;
  return result;
}

/// False: there is one with this id or key.
bool call_table::insert(const submission& call, unix_ms now) {
  const std::int64_t n = last_ + 1;
  const auto with_key = [&](const auto& key) {
    sql_->insert.run(
        n, call.id, key, call.method, std::int64_t{call.priority}, std::max(call.due, now),
        call.retries ? std::int64_t{*call.retries} : unstated_retries,
        std::int64_t{call.key.empty() ? 0 : 1}, std::int64_t{call.deadline_ms}, call.keep_ms,
        now, statement::blob{call.arguments}, digest_of(call.arguments));
  };
  if (call.key.empty()) {
    with_key(statement::null_value{});
  } else {
    with_key(statement::blob{call.key});
  }
  if (db_.changes() != 1) return false;
  last_ = n;
  return true;
}

call_table::due_calls call_table::start(const std::string& method, std::size_t most,
                                        std::size_t most_bytes, bool idempotent, unix_ms now) {
  due_calls found;
  std::size_t bytes = 0;
  bool full = false;
  for (std::int64_t priority = 256; !full;) {
    {
      auto row = sql_->priority_below.with(method, priority);
      if (!row.next()) break;
      priority = row.integer(0);
    }
    auto row = sql_->due.with(method, priority, now,
                              static_cast<std::int64_t>(most - found.calls.size()));
    while (row.next()) {
      const auto size = static_cast<std::size_t>(row.integer(6));
      full = !found.calls.empty() && bytes + size > most_bytes;
      if (full) break;
      bytes += size;
      found.calls.push_back({call_number{row.integer(0)}, row.text(1), method, row.text(2),
                             static_cast<std::uint8_t>(priority),
                             static_cast<std::uint32_t>(row.integer(3)),
                             static_cast<std::uint32_t>(row.integer(4)) + 1, row.text(5)});
    }
    full = full || found.calls.size() >= most;
  }
  for (const auto& call : found.calls)
    sql_->start.run(number(call.number), std::int64_t{idempotent});
  found.next = full ? now : next_due(method);
  return found;
}

unix_ms call_table::next_due(const std::string& method) {
  unix_ms next = never;
  for (std::int64_t priority = 256;;) {
    {
      auto row = sql_->priority_below.with(method, priority);
      if (!row.next()) return next;
      priority = row.integer(0);
    }
    auto row = sql_->first_due.with(method, priority);
    if (row.next()) next = std::min(next, row.integer(0));
  }
}

void call_table::end(call_number which, call_state state, const attempt_result& how,
                     unix_ms now) {
  sql_->end.run(number(which), number(state), static_cast<std::int64_t>(how.code), how.message,
                how.type, statement::blob{how.result}, now);
}

std::optional<call_table::settled> call_table::finish(call_number which,
                                                      const attempt_result& how, unix_ms now) {
  attempt_end last{how.code, how.never_started};
  settled s;
  {
    auto row = sql_->attempt.with(number(which));
    if (!row.next()) return std::nullopt;
    s.report.method = row.text(0);
    read_attempt(row, last);
  }
  s.report.number = which;
  const auto what = judge(last);
  if (what == verdict::try_again || what == verdict::wait_again) {
    const auto wait =
        what == verdict::try_again
            ? std::chrono::duration_cast<std::chrono::milliseconds>(
                  options_.retry.after(static_cast<std::uint32_t>(last.failures + 1), random_))
            : options_.absence;
    s.report.due = now + std::max<std::int64_t>(wait.count(), how.retry_after_ms);
    sql_->again.run(number(which), s.report.due,
                    std::int64_t{what == verdict::try_again ? 1 : 0},
                    static_cast<std::int64_t>(how.code), how.message, how.type);
    if (what == verdict::wait_again) sql_->uncount.run(number(which));
    return s;
  }
  s.ended = true;
  attempt_result kept = how;
  call_state state = call_state::done;
  if (what == verdict::cancelled) {
    kept = {status::cancelled, "cancelled", {}, {}};
    state = call_state::cancelled;
  } else if (what != verdict::done) {
    kept.result.clear();
    state = what == verdict::dead ? call_state::dead : call_state::failed;
  }
  end(which, state, kept, now);
  auto row = sql_->by_number.with(number(which));
  if (!row.next()) db_.fail(1, "finishing");
  s.report = report_from(row);
  s.report.result = std::move(kept.result);
  return s;
}

std::optional<call_report> call_table::find(std::string_view id, unix_ms now) {
  auto row = sql_->by_id.with(id, now);
  if (!row.next()) return std::nullopt;
  auto report = report_from(row);
  report.result = row.text(11);
  bytes_read_ += report.result.size();
  return report;
}

call_table::cancel_result call_table::cancel(std::string_view id, unix_ms now) {
  auto found = find(id, now);
  if (!found) return {};
  if (has_ended(found->state)) return {cancelled::ended, found->number, std::nullopt};
  if (found->state == call_state::running) {
    sql_->ask_cancel.run(number(found->number));
    return {cancelled::asked, found->number, std::nullopt};
  }
  end(found->number, call_state::cancelled, {status::cancelled, "cancelled", {}, {}}, now);
  return {cancelled::now, found->number, find(id, now)};
}

std::vector<call_report> call_table::dead(std::string_view after, std::size_t most,
                                          unix_ms now) {
  std::int64_t from = 0;
  if (!after.empty()) {
    auto row = sql_->number_of.with(after);
    if (row.next()) from = row.integer(0);
  }
  std::vector<call_report> found;
  auto row = sql_->dead.with(from, static_cast<std::int64_t>(most), now);
  while (row.next()) found.push_back(report_from(row));
  return found;
}

std::optional<std::string> call_table::requeue(std::string_view id, unix_ms now) {
  std::optional<std::string> method;
  auto row = sql_->requeue.with(id, now);
  while (row.next()) method = row.text(0);
  return method;
}

bool call_table::forget(std::string_view id) {
  sql_->forget.run(id);
  return db_.changes() > 0;
}

std::size_t call_table::expire(unix_ms now, std::size_t most) {
  sql_->expire.run(now, static_cast<std::int64_t>(most));
  return static_cast<std::size_t>(db_.changes());
}

std::vector<call_table::waiting_method> call_table::waiting() {
  std::vector<waiting_method> found;
  for (std::string last;;) {
    {
      auto row = sql_->next_method.with(last);
      if (!row.next()) return found;
      last = row.text(0);
    }
    found.push_back({last, next_due(last)});
  }
}

std::uint64_t call_table::count(call_state state) {
  return static_cast<std::uint64_t>(
      db_.number("SELECT count(*) FROM calls WHERE state = " + std::to_string(number(state))));
}

}  // namespace weir::store
