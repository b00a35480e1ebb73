// What GNU parallel has and weir run has not.
#pragma once

#include <span>
#include <string>
#include <string_view>

namespace weir::cli::run {

/// An option of GNU parallel that weir run refuses, and what to do instead.
///
///   if (const auto* foreign = find_foreign("--sshlogin=host"))
///     throw error(exit_code::usage, refusal(*foreign));
///
/// docs/from-parallel.md has the same for readers; foreign_options_test holds the two together.
struct foreign_option {
  std::string_view names;    ///< "-S --sshlogin": all that mean the same
  std::string_view instead;  ///< a clause: "start weir-worker on the other machines"
};

/// GNU parallel spells its long options with and without the dashes between words.
[[nodiscard]] std::string without_dashes(std::string_view name);

[[nodiscard]] std::span<const foreign_option> foreign_options();

/// The option that `word` is, as it may be typed: --sshlogin=host, -Shost, --semaphorename
/// for --semaphore-name. Null if it is none of these.
[[nodiscard]] const foreign_option* find_foreign(std::string_view word);

}  // namespace weir::cli::run
