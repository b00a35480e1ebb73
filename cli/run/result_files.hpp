// --results: the output of each task where other programs can find it.
#pragma once

#include "command_template.hpp"
#include "finished_task.hpp"
#include "io/output.hpp"

#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace weir::cli::run {

class result_files {
 public:
  virtual ~result_files() = default;
  virtual void write(const finished_task& task) = 0;
  virtual void flush() {}
  /// One file for all, with a row for each in the order in which they are written.
  [[nodiscard]] virtual bool is_table() const { return true; }
};

/// FILE.csv, FILE.tsv and FILE.json (an object a line) are tables with the columns of the
/// joblog, the values, and the output; going on, whole rows that are there stay, and a last one
/// that a crash has cut short is written over. Anything else is a directory:
/// DIR/1/VALUE/2/VALUE/ with the files stdout, stderr and seq, names in place of the numbers if
/// the columns have names; see as_file_name(). With replacement strings in it, it names the
/// files: NAME, NAME.err and NAME.seq, or, when it ends with a slash, their directory. What is
/// literal before the first replacement string is the folder that no value leads out of.
///
/// Errors     weir::error cannot_create and io; usage for a value that leads out of the folder.
[[nodiscard]] std::unique_ptr<result_files> open_results(const std::string& where,
                                                         const command_template& command,
                                                         const template_options& strings,
                                                         io::if_exists existing);

/// The value as the name of a directory, as GNU parallel writes it: slashes, backslashes, TABs
/// and NULs are \_ \\ \t \0. What that leaves dangerous or alike, and parallel does not care
/// for: nothing is \e, . and .. are \. and \.., and of what is longer than a name can be the
/// beginning is left, with \~ and 16 digits that tell it from others.
[[nodiscard]] std::string as_file_name(std::string_view value);

}  // namespace weir::cli::run
