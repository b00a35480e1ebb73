// The manual, made from the same definitions as the options themselves.
#pragma once

#include "program.hpp"

#include <CLI/CLI.hpp>

#include <string>
#include <string_view>

namespace weir::nodes {

/// A page for man(7) macros, with NAME, SYNOPSIS, DESCRIPTION, OPTIONS by group, EXIT STATUS,
/// ENVIRONMENT, FILES, EXAMPLES and SEE ALSO. Every program prints its own with --man:
///
///   weir-sink --man > weir-sink.1
///   weir-sink --man | man -l -
[[nodiscard]] std::string man_page(const CLI::App& app, const program& about);

/// `text` as roff shows it: no character of it is a request or an escape, and a '-' can be
/// copied into a shell.
[[nodiscard]] std::string roff_escape(std::string_view text);

}  // namespace weir::nodes
