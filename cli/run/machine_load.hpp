// What this machine has left, as the kernel says.
#pragma once

#include <cstdint>

namespace weir::cli::run {

/// Processes and threads that run or could run at this moment, the one that asks apart.
/// 0 where the system does not say.
[[nodiscard]] double wanting_processor();

/// Bytes that can be had without swapping. The largest number where the system does not say.
[[nodiscard]] std::uint64_t available_memory();

}  // namespace weir::cli::run
