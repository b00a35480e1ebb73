// Records taken apart into columns.
#pragma once

#include "input.hpp"
#include "pattern.hpp"

#include <memory>
#include <string>

namespace weir::cli::run {

/// Splits each record at what `separator` matches.
[[nodiscard]] std::unique_ptr<task_source> split_columns(std::unique_ptr<task_source> records,
                                                         pattern separator);

/// Takes each record as a row of CSV (RFC 4180) with `separator` between its fields. A field in
/// quotes may hold `delimiter`; then the row is made of several records. A byte order mark at
/// the beginning, and a carriage return at the end of a row, are passed over.
/// Errors     weir::error `data`, with the row's number and `name`.
[[nodiscard]] std::unique_ptr<task_source> csv_columns(std::unique_ptr<task_source> records,
                                                       char separator, std::string delimiter,
                                                       std::string name);

/// Removes white space around each value.
[[nodiscard]] std::unique_ptr<task_source> trim_values(std::unique_ptr<task_source> rows,
                                                       trim how);

/// Takes the first row as the names of the columns.
[[nodiscard]] std::unique_ptr<task_source> with_header(std::unique_ptr<task_source> rows);

}  // namespace weir::cli::run
