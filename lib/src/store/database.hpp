// SQLite, as much of it as weir needs.
#pragma once

#include <weir/error.hpp>

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

struct sqlite3;
struct sqlite3_stmt;

namespace weir::store {

/// It cannot be written for now: the disk is full, a quota is used up, or it was refused for
/// another reason. The transaction is undone, and what was committed before it stands.
class not_writable : public error {
 public:
  using error::error;
};

class statement;

/// One connection to one file, which nobody else can use meanwhile.
///
/// What is committed has been synchronised with the disk (WAL, synchronous=FULL).
///
/// Threads    One at a time.
/// Errors     Everything throws weir::error, naming the file: `in_use` if another process has
///            it, `data` if it is damaged or something else than it should be, `permission`,
///            `cannot_create`, `io`; not_writable.
class database {
 public:
  /// Opens the file, or creates it. `application` marks files as being of this kind; a file
  /// that has another mark, and anything in it, is refused.
  database(std::string path, std::int32_t application, const char* kind);
  ~database();
  database(const database&) = delete;
  database& operator=(const database&) = delete;

  void run(const std::string& sql);
  [[nodiscard]] std::int64_t number(const std::string& sql);  ///< its first row's first column
  [[nodiscard]] const std::string& path() const { return path_; }
  /// Rows that the last statement has changed.
  [[nodiscard]] std::int64_t changes() const;
  /// Rows that all statements so far have changed.
  [[nodiscard]] std::int64_t all_changes() const;
  /// Whether the statements since BEGIN are still to be committed or undone.
  [[nodiscard]] bool in_transaction() const;
  /// Throws what SQLite's `code` means here.
  [[noreturn]] void fail(int code, std::string_view doing) const;

 private:
  friend class statement;
  void configure(std::int32_t application, const char* kind);
  void check_whole();

  struct closer {
    void operator()(sqlite3* db) const;
  };
  std::string path_;
  std::unique_ptr<sqlite3, closer> db_;
};

/// A prepared statement.
///
///     statement find(db, "SELECT name FROM calls WHERE n = ?1");
///     auto row = find.with(7);
///     while (row.next()) use(row.text(0));
class statement {
 public:
  statement(database& db, const std::string& sql);
  ~statement();
  statement(const statement&) = delete;
  statement& operator=(const statement&) = delete;

  /// One execution; what it read is gone with it.
  class execution {
   public:
    explicit execution(statement& of) : of_(of) {}
    ~execution();
    execution(const execution&) = delete;
    execution& operator=(const execution&) = delete;
    /// The next row, if there is one.
    bool next();
    [[nodiscard]] std::int64_t integer(int column) const;
    [[nodiscard]] std::string text(int column) const;  ///< or BLOB
    [[nodiscard]] bool null(int column) const;

   private:
    statement& of_;
  };

  /// Binds ?1, ?2, ... and begins. Text must outlive the execution.
  template <class... Values>
  [[nodiscard]] execution with(const Values&... values) {
    int at = 0;
    (bind(++at, values), ...);
    return execution(*this);
  }
  /// For what gives no rows.
  template <class... Values>
  void run(const Values&... values) {
    auto once = with(values...);
    while (once.next()) {
    }
  }

  struct blob {
    std::string_view bytes;
  };
  struct null_value {};

 private:
  void bind(int at, std::int64_t value);
  void bind(int at, std::string_view value);
  void bind(int at, blob value);
  void bind(int at, null_value);
  void bind(int at, bool) = delete;
  void check(int code) const;

  database& db_;
  sqlite3_stmt* handle_ = nullptr;
};

/// BEGIN; undone unless commit() is reached.
class transaction {
 public:
  explicit transaction(database& db) : db_(db) { db_.run("BEGIN IMMEDIATE"); }
  ~transaction();
  transaction(const transaction&) = delete;
  transaction& operator=(const transaction&) = delete;
  void commit() { db_.run("COMMIT"); }

 private:
  database& db_;
};

}  // namespace weir::store
