// Several sources as one.
#pragma once

#include "task_source.hpp"

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace weir::cli::run {

using sources = std::vector<std::unique_ptr<task_source>>;
using warning = std::function<void(const std::string&)>;

/// In step, until one of them ends: `:::+`.
[[nodiscard]] std::unique_ptr<task_source> linked(sources from);

/// In step, until all have ended; those that end early begin again: `--link`. Keeps what it has
/// read of a source for as long as another goes on.
[[nodiscard]] std::unique_ptr<task_source> recycled(sources from, warning warn);

/// Every combination, the last source varying fastest. Each is read as it is needed; what will
/// be needed again is kept, so not the first source, nor one that is gone through only once.
[[nodiscard]] std::unique_ptr<task_source> product(sources from, warning warn);

/// In random order. Reads everything first.
[[nodiscard]] std::unique_ptr<task_source> shuffled(std::unique_ptr<task_source> from,
                                                    std::optional<std::uint64_t> seed);

}  // namespace weir::cli::run
