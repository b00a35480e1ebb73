// Addresses that nodes bind and connect to.
#pragma once

#include <string>
#include <string_view>

namespace weir {

/// A ZeroMQ endpoint that has been checked: `tcp://HOST:PORT` or `ipc://PATH`.
///
///     weir::endpoint where = weir::endpoint::parse("tcp://127.0.0.1:5557");
///
/// HOST is a name, an IPv4 address, an IPv6 address in brackets, an interface, or `*`; PORT is
/// 1 to 65535, or `*` to let the system choose one where it is bound. Printing gives back what
/// was parsed.
class endpoint {
 public:
  /// Errors: weir::error `usage`, saying what is wrong with the text.
  [[nodiscard]] static endpoint parse(std::string_view text);

  [[nodiscard]] const std::string& str() const noexcept { return text_; }
  /// Whether nobody on another machine can reach it: ipc, 127.0.0.0/8, ::1, and names that
  /// resolve to nothing else. Asks the resolver for names.
  [[nodiscard]] bool is_local() const;

 private:
  std::string text_;
  std::string host_;  // of tcp
};

/// Where the nodes meet unless told otherwise. Loopback, and below 32768: a TCP connect to an
/// unbound port of the ephemeral range can connect to itself (libzmq #4588).
inline constexpr std::string_view default_tasks_endpoint = "tcp://127.0.0.1:5557";
inline constexpr std::string_view default_results_endpoint = "tcp://127.0.0.1:5558";
inline constexpr std::string_view default_rpc_endpoint = "tcp://127.0.0.1:5555";

}  // namespace weir
