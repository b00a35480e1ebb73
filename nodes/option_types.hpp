// The kinds of option that weir's programs have and CLI11 has not.
#pragma once

#include <CLI/CLI.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace weir::nodes {

/// "500ms", "10s", "1.5m", "2h", "1d", "1h30m"; a bare number is seconds. A hundred years at
/// most: what is more is as much. Errors: weir::error usage.
[[nodiscard]] std::chrono::milliseconds parse_duration(std::string_view text);
[[nodiscard]] std::string format_interval(std::chrono::milliseconds length);

/// "4096", "64K", "1.5M", "2G", powers of 1024, also written KiB or KB. Errors: weir::error
/// usage.
[[nodiscard]] std::uint64_t parse_size(std::string_view text);
[[nodiscard]] std::string format_size(std::uint64_t bytes);

/// `--task-timeout 30s`. What `target` holds is the default.
CLI::Option* add_duration(CLI::App& app, const std::string& flags,
                          std::chrono::milliseconds& target, const std::string& description);

/// `--block 1M`. What `target` holds is the default.
CLI::Option* add_size(CLI::App& app, const std::string& flags, std::size_t& target,
                      const std::string& description);

/// `--bind EP`, repeatable, or several with commas between them, or from the environment
/// variable `env` if the option is not given. What `target` holds is the default.
CLI::Option* add_endpoints(CLI::App& app, const std::string& flags,
                           std::vector<std::string>& target, const std::string& env,
                           const std::string& description);

}  // namespace weir::nodes
