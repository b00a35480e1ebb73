// What a user typed, as the arguments of a call.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace weir::cli {

/// A method as `weir.services` describes it.
struct described_method {
  struct argument {
    std::string name;
    std::string type;
    bool optional = false;
  };
  std::string name;
  std::string signature;
  std::optional<std::vector<argument>> arguments;  ///< nothing: anything may be given
  bool streams = false;
};

enum class reading {
  typed,  ///< as the signature wants it; where that is not known, JSON or else text
  text,   ///< every word is text
};

/// One packed array of the words: by position, or NAME=VALUE for arguments whose names are
/// known.
///
/// Errors     weir::error `usage`: too many, too few, unknown or repeated ones, or one that is
/// not
///            of its type; with the signature.
[[nodiscard]] std::string pack_arguments(const std::vector<std::string>& words,
                                         const described_method* method, reading how);

/// One line of `weir call ... -`: a JSON array, or words as a shell would split them.
/// Errors     as above, and for lines that are neither.
[[nodiscard]] std::string pack_line(std::string_view line, const described_method* method,
                                    reading how);

}  // namespace weir::cli
