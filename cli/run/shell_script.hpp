// A script for sh with replacement strings in it.
#pragma once

#include "replacement.hpp"
#include "shell_text.hpp"

#include <string>
#include <vector>

namespace weir::cli::run {

/// Part of a script: text, or a replacement string and how its values are to be quoted.
struct script_part {
  std::string text{};
  std::optional<replacement> instead{};
  quoting where = quoting::none;
  bool always_quoted = false;
  bool raw = false;  ///< not quoted at all
};

/// A word of the script with replacement strings, or what is between such words.
struct script_word {
  std::vector<script_part> parts;
  [[nodiscard]] bool of_all() const;  ///< one of them stands for all values
  /// It is nothing but one that does, outside quotes.
  [[nodiscard]] bool only_all() const;
};

/// Follows the script as sh would read it, through quotes, comments and $( ), to see how values
/// have to be quoted where they stand. Where it cannot be sure, it refuses.
///
/// Errors     weir::error `usage`: a replacement string in `...`, ${...}, $((...)), a
///            here-document or behind $; it says what to write instead.
[[nodiscard]] std::vector<script_word> parse_script(std::vector<piece> pieces);

}  // namespace weir::cli::run
