// Records as they are: one value each.
#pragma once

#include "input.hpp"

#include <memory>
#include <string>
#include <vector>

namespace weir::cli::run {

/// Thrown when wake_fd has become readable. open() makes an end of it.
struct interrupted {};

/// White space as isspace(3) has it in the C locale.
inline constexpr const char* white_space = " \t\n\v\f\r";

/// Words of the command line.
[[nodiscard]] std::unique_ptr<task_source> word_source(std::vector<std::string> words,
                                                       const input_options& options);
/// A file, "-" for standard input, read as `options` say.
[[nodiscard]] std::unique_ptr<task_source> file_source(const std::string& file,
                                                       const input_options& options);
/// -L: a record with a blank or TAB at its end, and the one behind it, are one. `name` is for
/// messages.
[[nodiscard]] std::unique_ptr<task_source> continued_records(std::unique_ptr<task_source> rows,
                                                             std::string name);

}  // namespace weir::cli::run
