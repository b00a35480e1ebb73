// Several records in one task: -n, -N and -X.
#pragma once

#include "command_template.hpp"
#include "task_source.hpp"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>

namespace weir::cli::run {

struct gather_options {
  std::optional<std::uint64_t>
      most{};                 ///< -n, -N: records in a task; 0: one, without its values
  bool fill = false;          ///< -X: as many as fit
  std::size_t max_bytes = 0;  ///< -s; 0: what the system allows, at most 128 KiB
  /// With `fill`: what is left at the end is shared out among so many tasks; 0: it is not.
  unsigned slots = 1;
};

/// Puts records together. A task comes out when it is full or the input ends; a task of `most`
/// without `fill` as soon as its last record has been read. Fewer are left over for the last.
///
/// Errors     weir::error `usage` from next(): a single value that does not fit.
[[nodiscard]] std::unique_ptr<task_source> gather(std::unique_ptr<task_source> records,
                                                  const gather_options& options,
                                                  const command_template& command);

}  // namespace weir::cli::run
