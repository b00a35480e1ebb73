// What ZeroMQ says when an address does not work, in words that help, and as exit codes.
#pragma once

#include <weir/endpoint.hpp>
#include <weir/error.hpp>

#include <zmq.hpp>

#include <cerrno>
#include <string>

namespace weir::net {

[[nodiscard]] inline std::string describe(const zmq::error_t& e) {
  switch (e.num()) {
    case EADDRINUSE:
      return "address in use (is another node running there? see: ss -ltnp)";
    case EADDRNOTAVAIL:
      return "this machine has no such address";
    case EACCES:
      return "permission denied (is it a port below 1024, or a folder that is not yours?)";
    case ENODEV:
      return "no such interface, or the host name is unknown";
    default:
      return e.what();
  }
}

[[nodiscard]] inline exit_code code_of(const zmq::error_t& e) {
  switch (e.num()) {
    case EACCES:
      return exit_code::permission;
    case EADDRINUSE:
    case EADDRNOTAVAIL:
      return exit_code::unavailable;
    default:
      return exit_code::usage;
  }
}

/// Throws weir::error `permission` if other machines can reach the address and nobody said that
/// they may. `verb`: "bind" or "connect".
inline void require_local(const endpoint& where, bool insecure, const char* verb) {
  if (insecure || where.is_local()) return;
  throw error(exit_code::permission,
              std::string(verb) + " " + where.str() +
                  ": other machines can reach this address, and there is neither "
                  "authentication nor encryption yet. Use a loopback or ipc:// address, or "
                  "say --insecure on a network you trust");
}

}  // namespace weir::net
