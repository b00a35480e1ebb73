// One run: from the options to the exit status.
#pragma once

#include "node_main.hpp"
#include "options.hpp"

namespace weir::cli::run {

/// The exit status for everything that is no task's failure.
inline constexpr int other_error = 255;

/// `parsed` has what follows the options. Returns as GNU parallel does: 0; 1 to 100: so many
/// failed; 101: more; what --halt says; 128 + n: ended by signal n; other_error, when it has
/// said what ended it before all was accounted for.
///
/// Errors     weir::error, before anything was started. io::broken_pipe.
[[nodiscard]] int run_session(const settings& s, const CLI::App& parsed,
                              nodes::node_context& context);

}  // namespace weir::cli::run
