// What a command's arguments look like before a call fills them in.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

namespace weir::exec {

/// An argument of a command: text with the call's arguments in between.
struct argument_template {
  std::vector<std::string> texts;   ///< one more than there are places
  std::vector<std::size_t> places;  ///< indexes of the call's arguments
  [[nodiscard]] std::string fill(const std::vector<std::string>& values) const;
};

/// Where a command's placeholders are, and what its arguments are called.
struct command_form {
  std::vector<argument_template> arguments;  ///< all of argv but the command itself
  /// Of the call's arguments, as far as they are known: names, and which of them have a place.
  std::vector<std::string> names;
  std::vector<bool> placed;
  /// Finds `{1}` and `{name}`. If `declared` is not empty, no other names are placeholders.
  /// Errors     weir::error `usage`.
  [[nodiscard]] static command_form of(const std::vector<std::string>& argv,
                                       const std::vector<std::string>& declared);
};

}  // namespace weir::exec
