// Commands as methods: from a call's arguments to a process, and from its end to an answer.
#pragma once

#include <weir/method.hpp>

#include <string>
#include <utility>

namespace weir::exec {

/// What a pool needs to offer the command (weir/method.hpp has the rules), under that name.
/// Errors     weir::error `usage` for what is wrong with the command.
[[nodiscard]] std::pair<method_description, raw_method> method_of(std::string name,
                                                                  command_method command,
                                                                  method_options options);

}  // namespace weir::exec
