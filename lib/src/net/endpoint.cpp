#include <weir/endpoint.hpp>
#include <weir/error.hpp>

#include <arpa/inet.h>
#include <netdb.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>
#include <cctype>
#include <cstring>
#include <memory>

namespace weir {
namespace {

[[noreturn]] void refuse(std::string_view text, const std::string& why) {
  throw error(exit_code::usage, "endpoint '" + std::string(text) + "': " + why +
                                    " (expected tcp://HOST:PORT or ipc://PATH, e.g. " +
                                    std::string(default_tasks_endpoint) + ")");
}

bool is_loopback(const sockaddr* address) {
  if (address->sa_family == AF_INET) {
    const auto* v4 = reinterpret_cast<const sockaddr_in*>(address);
    return (ntohl(v4->sin_addr.s_addr) >> 24) == 127;
  }
  if (address->sa_family != AF_INET6) return false;
  const auto& v6 = reinterpret_cast<const sockaddr_in6*>(address)->sin6_addr;
  // ::ffff:127.0.0.1 reaches the same sockets as 127.0.0.1.
  if (IN6_IS_ADDR_V4MAPPED(&v6)) return v6.s6_addr[12] == 127;
  return IN6_IS_ADDR_LOOPBACK(&v6);
}

void check_port(std::string_view text, std::string_view port) {
  if (port == "*") return;
  const bool digits = !port.empty() && port.size() <= 5 &&
                      std::all_of(port.begin(), port.end(),
                                  [](unsigned char c) { return std::isdigit(c) != 0; });
  if (!digits) refuse(text, "the port must be a number or *");
  const int number = std::stoi(std::string(port));
  if (number < 1 || number > 65535) refuse(text, "the port must be 1 to 65535");
}

}  // namespace

endpoint endpoint::parse(std::string_view text) {
  endpoint parsed;
  parsed.text_ = text;
  if (text.starts_with("ipc://")) {
    const auto path = text.substr(6);
    if (path.empty()) refuse(text, "the path is missing");
    if (path.size() >= sizeof(sockaddr_un::sun_path))
      refuse(text, "the path is longer than " +
                       std::to_string(sizeof(sockaddr_un::sun_path) - 1) + " bytes");
    return parsed;
  }
  if (!text.starts_with("tcp://")) refuse(text, "unknown or missing transport");
  const auto rest = text.substr(6);
  const auto colon = rest.rfind(':');
  if (colon == std::string_view::npos) refuse(text, "the port is missing");
  auto host = rest.substr(0, colon);
  if (host.empty()) refuse(text, "the host is missing");
  if (host.front() == '[') {
    if (host.back() != ']') refuse(text, "the closing ] of the address is missing");
    host = host.substr(1, host.size() - 2);
  } else if (host.find(':') != std::string_view::npos) {
    refuse(text, "an IPv6 address must be in brackets");
  }
  check_port(text, rest.substr(colon + 1));
  parsed.host_ = host;
  return parsed;
}

bool endpoint::is_local() const {
  if (text_.starts_with("ipc://")) return true;
  if (host_ == "*") return false;
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  // What cannot be resolved may be an interface, or a name that exists later: not provably
  // local.
  if (getaddrinfo(host_.c_str(), nullptr, &hints, &found) != 0) return false;
  const std::unique_ptr<addrinfo, decltype(&freeaddrinfo)> owner(found, freeaddrinfo);
  for (const addrinfo* a = found; a; a = a->ai_next)
    if (!is_loopback(a->ai_addr)) return false;
  return true;
}

}  // namespace weir
