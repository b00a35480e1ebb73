// What commands find in their environment.
#pragma once

#include <weir/task.hpp>

#include <cstdint>
#include <string>
#include <vector>

namespace weir::cli::run {

/// Ours, and of the task WEIR_TASK_ID (the source in hexadecimal, "-", seq), WEIR_SEQ and
/// PARALLEL_SEQ ({#}), WEIR_SLOT and PARALLEL_JOBSLOT ({%}, of this attempt), WEIR_ATTEMPT, and
/// PARALLEL_PID. Ours of these names are not inherited: we may be somebody's command ourselves.
///
/// Threads    One at a time.
class task_environment {
 public:
  task_environment();
  /// Valid until the next call.
  [[nodiscard]] char* const* fill(const task_id& id, std::uint64_t number, unsigned slot,
                                  std::uint32_t attempt);

 private:
  std::vector<std::string> inherited_;
  std::vector<std::string> own_;
  std::vector<char*> envp_;
};

}  // namespace weir::cli::run
