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
                                                       bool skip_blank);
/// A file, "-" for standard input, read as `options` say.
[[nodiscard]] std::unique_ptr<task_source> file_source(const std::string& file,
                                                       const input_options& options);

}  // namespace weir::cli::run
