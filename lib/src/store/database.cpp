#include "store/database.hpp"

#include "io/system_error.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <new>
#include <sqlite3.h>

namespace weir::store {
namespace {

/// Another gateway on the same file, on its way out, gets this long to leave.
constexpr int busy_timeout_ms = 2000;
/// The log's file is cut down to this when it has been copied into the database.
constexpr int log_bytes = 64 * 1024 * 1024;

/// That a new file exists has to be as durable as what will be in it.
void sync_directory_of(const std::string& path) {
  const auto slash = path.rfind('/');
  const std::string directory = slash == std::string::npos ? "." : path.substr(0, slash + 1);
  const int fd = ::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return;  // may be forbidden although files in it can be written
  (void)::fsync(fd);
  ::close(fd);
}

/// Before SQLite does, which has neither a mode nor good messages: whoever can read the file
/// can read all calls.
void create_if_missing(const std::string& path) {
  struct stat about {};
  if (::stat(path.c_str(), &about) == 0) {
    if (!S_ISREG(about.st_mode))
      throw error(exit_code::cannot_create, path + " is not a regular file");
    return;
  }
  const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (fd < 0)
    io::throw_errno(errno == EACCES ? exit_code::permission : exit_code::cannot_create,
                    "creating " + path);
  ::close(fd);
  sync_directory_of(path);
}

}  // namespace

void database::closer::operator()(sqlite3* db) const { sqlite3_close_v2(db); }

database::database(std::string path, std::int32_t application, const char* kind)
    : path_(std::move(path)) {
  create_if_missing(path_);
  sqlite3* opened = nullptr;
  const int code = sqlite3_open_v2(path_.c_str(), &opened,
                                   SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, nullptr);
  db_.reset(opened);
  if (code != SQLITE_OK) fail(code, "opening");
  sqlite3_extended_result_codes(opened, 1);
  sqlite3_busy_timeout(opened, busy_timeout_ms);
  configure(application, kind);
}

database::~database() = default;

void database::configure(std::int32_t application, const char* kind) {
  // Before the first access: then WAL needs no shared memory, and a second process is refused.
  run("PRAGMA locking_mode=EXCLUSIVE");
  const auto mark = number("PRAGMA application_id");
  if (mark != application && (mark != 0 || number("SELECT count(*) FROM sqlite_schema") != 0))
    throw error(exit_code::data, path_ + " is a database, but not a weir " + kind);
  check_whole();
  run("PRAGMA journal_mode=WAL");
  run("PRAGMA synchronous=FULL");
  run("PRAGMA journal_size_limit=" + std::to_string(log_bytes));
  // Takes the lock for good, also when there is nothing to write.
  transaction first(*this);
  if (mark == 0) run("PRAGMA application_id=" + std::to_string(application));
  first.commit();
}

void database::check_whole() {
  statement check(*this, "PRAGMA quick_check(1)");
  auto row = check.with();
  const std::string found = row.next() ? row.text(0) : "nothing to check";
  if (found != "ok") throw error(exit_code::data, path_ + " is damaged: " + found);
}

void database::run(const std::string& sql) {
  const int code = sqlite3_exec(db_.get(), sql.c_str(), nullptr, nullptr, nullptr);
  if (code != SQLITE_OK) fail(code, sql.substr(0, sql.find('(')));
}

std::int64_t database::number(const std::string& sql) {
  statement once(*this, sql);
  auto row = once.with();
  return row.next() ? row.integer(0) : 0;
}

std::int64_t database::changes() const { return sqlite3_changes64(db_.get()); }

std::int64_t database::all_changes() const { return sqlite3_total_changes64(db_.get()); }

bool database::in_transaction() const { return sqlite3_get_autocommit(db_.get()) == 0; }

void database::fail(int code, std::string_view doing) const {
  const std::string what = sqlite3_errmsg(db_.get());
  switch (code & 0xff) {
    case SQLITE_NOMEM:
      throw std::bad_alloc();
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      throw error(exit_code::in_use,
                  path_ + " is in use by another process (another gateway?)");
    case SQLITE_NOTADB:
      throw error(exit_code::data, path_ + " is something else than a database");
    case SQLITE_CORRUPT:
      throw error(exit_code::data, path_ + " is damaged: " + what);
    case SQLITE_FULL:
      throw not_writable(exit_code::io, path_ + " cannot be written: no space is left");
    case SQLITE_CANTOPEN: {
      const int number = sqlite3_system_errno(db_.get());
      const std::string reason = number == 0 ? what : std::string(std::strerror(number));
      throw error(exit_code::cannot_create, "opening " + path_ + ": " + reason);
    }
    case SQLITE_READONLY:
    case SQLITE_PERM:
    case SQLITE_AUTH:
      throw error(exit_code::permission, path_ + " cannot be written: " + what);
    case SQLITE_IOERR: {
      const int number = sqlite3_system_errno(db_.get());
      const std::string reason = number == 0 ? what : std::string(std::strerror(number));
      // Of ENOSPC alone SQLite says that it is FULL; quotas and limits come as this. What has
      // been synchronised in vain is another matter: nobody knows what is on the disk then.
      if (code == SQLITE_IOERR_WRITE)
        throw not_writable(exit_code::io, path_ + " cannot be written: " + reason);
      throw error(exit_code::io, "writing or reading " + path_ + ": " + reason + " (" +
                                     std::to_string(code) + ")");
    }
    default:
      throw error(exit_code::software, path_ + ": " + std::string(doing) + ": " + what);
  }
}

statement::statement(database& db, const std::string& sql) : db_(db) {
  const int code =
      sqlite3_prepare_v3(db_.db_.get(), sql.c_str(), static_cast<int>(sql.size()) + 1,
                         SQLITE_PREPARE_PERSISTENT, &handle_, nullptr);
  if (code != SQLITE_OK) db_.fail(code, sql);
}

statement::~statement() { sqlite3_finalize(handle_); }

void statement::check(int code) const {
  if (code != SQLITE_OK) db_.fail(code, sqlite3_sql(handle_));
}

void statement::bind(int at, std::int64_t value) {
  check(sqlite3_bind_int64(handle_, at, value));
}

void statement::bind(int at, std::string_view value) {
  const char* const text = value.data() == nullptr ? "" : value.data();
  check(sqlite3_bind_text64(handle_, at, text, value.size(), SQLITE_STATIC, SQLITE_UTF8));
}

void statement::bind(int at, blob value) {
  const char* const bytes = value.bytes.data() == nullptr ? "" : value.bytes.data();
  check(sqlite3_bind_blob64(handle_, at, bytes, value.bytes.size(), SQLITE_STATIC));
}

void statement::bind(int at, null_value) { check(sqlite3_bind_null(handle_, at)); }

statement::execution::~execution() {
  sqlite3_reset(of_.handle_);
  sqlite3_clear_bindings(of_.handle_);
}

bool statement::execution::next() {
  const int code = sqlite3_step(of_.handle_);
  if (code == SQLITE_ROW) return true;
  if (code == SQLITE_DONE) return false;
  of_.db_.fail(code, sqlite3_sql(of_.handle_));
}

std::int64_t statement::execution::integer(int column) const {
  return sqlite3_column_int64(of_.handle_, column);
}

std::string statement::execution::text(int column) const {
  const auto* const bytes = static_cast<const char*>(sqlite3_column_blob(of_.handle_, column));
  if (bytes == nullptr) return {};
  return {bytes, static_cast<std::size_t>(sqlite3_column_bytes(of_.handle_, column))};
}

bool statement::execution::null(int column) const {
  return sqlite3_column_type(of_.handle_, column) == SQLITE_NULL;
}

transaction::~transaction() {
  // SQLite undoes some by itself, such as those that a full disk has ended.
  if (!db_.in_transaction()) return;
  try {
    db_.run("ROLLBACK");
  } catch (const std::exception&) {  // what went wrong before is on its way up already
  }
}

}  // namespace weir::store
