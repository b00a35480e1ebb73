// What weir throws: mistakes that the caller can mend.
#pragma once

#include <stdexcept>
#include <string>

namespace weir {

/// Process exit codes (sysexits.h where one fits). README, "Exit codes", lists them for users.
enum class exit_code : int {
  ok = 0,
  some_failed = 1,     ///< everything is accounted for, and some tasks failed for good
  usage = 64,          ///< a bad option, endpoint or configuration
  data = 65,           ///< malformed input data
  no_input = 66,       ///< an input file cannot be opened
  unavailable = 69,    ///< no peer within --connect-timeout
  software = 70,       ///< a bug in weir
  cannot_create = 73,  ///< an output file cannot be created
  io = 74,             ///< reading or writing failed
  in_use = 75,         ///< another process uses the file; it may work later
  protocol = 76,    ///< a peer speaks another version, or not weir at all; so with coprocesses
  permission = 77,  ///< address or file not permitted, or --insecure is missing
  signalled = 128,  ///< 128 + n: ended by signal n before the work was complete
};

/// Thrown for what the caller can mend. what() says what happened and what to do about it, and
/// names the endpoint, file or option. code() is what a program should exit with.
class error : public std::runtime_error {
 public:
  error(exit_code code, const std::string& what) : std::runtime_error(what), code_(code) {}
  [[nodiscard]] exit_code code() const noexcept { return code_; }

 private:
  exit_code code_;
};

}  // namespace weir
