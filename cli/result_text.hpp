// How a result is shown.
#pragma once

#include <CLI/CLI.hpp>

#include <string>
#include <string_view>

namespace weir::cli {

enum class result_format {
  text,  ///< strings and bytes as they are, nothing for nil, the rest as JSON; a line each
  json,  ///< JSON, a line each
  raw,   ///< the bytes of a string or of bytes and nothing else; of other values, their JSON
};

/// Declares --json and --raw.
void add_result_format(CLI::App& app, result_format& target);

/// What to write for one packed value. Errors: weir::error `protocol`, it is no MessagePack
/// value.
[[nodiscard]] std::string shown(std::string_view packed, result_format how);

}  // namespace weir::cli
