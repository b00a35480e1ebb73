// A command that travels with its task.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace weir::proto {

/// What a worker that takes commands gets as the payload: `[argv, input?]` in MessagePack, argv
/// an array of bin, input bin. docs/protocol.md, "Commands".
struct task_command {
  std::vector<std::string> argv;  ///< not empty
  std::string_view input{};       ///< for standard input; a view into what was decoded
  bool has_input = false;         ///< else: no input
};

[[nodiscard]] std::string encode(const task_command& command);
/// Nothing: it is none. Never throws.
[[nodiscard]] std::optional<task_command> decode_command(std::string_view payload);

}  // namespace weir::proto
