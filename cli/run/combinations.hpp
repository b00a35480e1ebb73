// Which options go together.
#pragma once

#include "options.hpp"

namespace weir::cli::run {

/// Throws weir::error `usage` for options that are meant for different ways of running
/// commands: none is ignored.
void check_combinations(const settings& s);

}  // namespace weir::cli::run
