// The operating system's refusals as weir::error.
#pragma once

#include <weir/error.hpp>

#include <cerrno>
#include <string>
#include <system_error>

namespace weir::io {

/// "reading tasks.txt: Input/output error". Reads errno unless told the number.
[[noreturn]] inline void throw_errno(exit_code code, const std::string& what,
                                     int number = errno) {
  throw error(code, what + ": " + std::generic_category().message(number));
}

}  // namespace weir::io
