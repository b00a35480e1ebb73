// Values as sh has to be given them.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace weir::cli::run {

/// Where in a script a value stands.
enum class quoting : std::uint8_t {
  none,    ///< bare: echo {}
  single,  ///< echo '{}'
  twice,   ///< echo "{}"
};

/// Appends `value` such that sh takes it for these very bytes. It cannot contain NUL. `always`:
/// with quotes even if it looks harmless: 2>file is not what {}>file means.
void append_quoted(std::string& out, std::string_view value, quoting where,
                   bool always = false);

/// As one word, and as GNU parallel writes it: bare if that is safe.
[[nodiscard]] std::string quoted(std::string_view value);

/// Whether a shell would do something with this word that execve(2) does not.
[[nodiscard]] bool needs_shell(std::string_view word);

}  // namespace weir::cli::run
