// How options are described: the same words in --help and in the man page.
#pragma once

#include "program.hpp"

#include <CLI/CLI.hpp>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace weir::nodes {

/// "-j, --jobs N", "--bind ENDPOINT ...", "FILE ...".
[[nodiscard]] std::string option_synopsis(const CLI::Option& option);
/// What it does, its default and its environment variable, as a sentence or two.
[[nodiscard]] std::string option_description(const CLI::Option& option);

/// The options' groups in the order in which they were defined; hidden options have none.
struct option_group {
  std::string name;
  std::vector<const CLI::Option*> options;
};
/// Positional arguments come first, as the group "Arguments".
[[nodiscard]] std::vector<option_group> option_groups(const CLI::App& app);

/// Marks an option as one of those that are used daily, and says what it does in `brief`, for
/// --help: half a line. Nothing: its description is as short.
CLI::Option* daily(CLI::Option* option, const std::string& brief = "");
/// Whether there are daily ones: --help shows no others then, and --help-all everything.
[[nodiscard]] bool has_daily_options(const CLI::App& app);

enum class help_extent : std::uint8_t { daily, all };
/// --help, at most `width` columns wide. With `daily`, a line for each of the daily options.
[[nodiscard]] std::string help_text(const CLI::App& app, const program& about,
                                    help_extent extent = help_extent::all,
                                    std::size_t width = 80);

/// With a value: those whose value is the next word, unless it is in the same one.
enum class which_options : std::uint8_t { all, with_value };
/// The names of options, "-j" and "--jobs", a line each: for completion in shells.
[[nodiscard]] std::string option_names(const CLI::App& app, which_options which);

}  // namespace weir::nodes
