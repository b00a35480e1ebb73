// --results: the output of each task where other programs can find it.
#pragma once

#include "command_template.hpp"
#include "finished_task.hpp"
#include "io/output.hpp"

#include <memory>
#include <string>
#include <vector>

namespace weir::cli::run {

class result_files {
 public:
  virtual ~result_files() = default;
  virtual void write(const finished_task& task) = 0;
  virtual void flush() {}
};

/// FILE.csv, FILE.tsv and FILE.json (an object a line) are tables with the columns of the
/// joblog, the values, and the output. Anything else is a directory: DIR/1/VALUE/2/VALUE/ with
/// the files stdout, stderr and seq, names in place of the numbers if the columns have names;
/// slashes, backslashes, TABs and NULs in values are written \_ \\ \t \0. With replacement
/// strings in it, it names the files: NAME, NAME.err and NAME.seq, or, when it ends with a
/// slash, their directory.
///
/// Errors     weir::error cannot_create and io.
[[nodiscard]] std::unique_ptr<result_files> open_results(const std::string& where,
                                                         const command_template& command,
                                                         const template_options& strings);

}  // namespace weir::cli::run
