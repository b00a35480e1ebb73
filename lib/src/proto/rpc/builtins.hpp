// What `weir.ping`, `weir.services`, `weir.stats`, `weir.route` and `weir.drain` answer.
#pragma once

#include "proto/message.hpp"
#include "proto/rpc/method_stats.hpp"
#include "proto/time.hpp"

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace weir::proto {

/// Methods that nodes themselves answer begin with this; nobody may offer such a name.
inline constexpr std::string_view builtin_prefix = "weir.";

/// One MessagePack value each, as docs/protocol.md describes it under "Built-in methods".
namespace builtins {

[[nodiscard]] std::string ping(const introduction& self, duration uptime);

struct service {
  const method_info* info = nullptr;
  std::uint64_t workers = 0;
  std::uint64_t queued = 0;
  std::uint64_t running = 0;
  std::uint64_t room = 0;
};
[[nodiscard]] std::string services(std::span<const service> all);

struct measured {
  std::string_view name;
  const method_stats* stats = nullptr;
  std::uint64_t queued = 0;
  std::uint64_t running = 0;
};
[[nodiscard]] std::string stats(const introduction& self, duration uptime,
                                std::uint64_t workers, std::uint64_t clients,
                                std::span<const measured> methods, time_point now);

/// A worker that offers a method.
struct route {
  std::vector<std::string> endpoints;  ///< where clients may call it directly; may be empty
  std::string name;
  double load = 0;  ///< in hand relative to its window
  session_id session{};
  bool idempotent = false;
  std::uint32_t deadline_ms = 0;  ///< that the method declares; 0: none
};
[[nodiscard]] std::string routes(std::span<const route> workers);

[[nodiscard]] std::string names(std::span<const std::string> all);

/// The only argument of `weir.route(method)` and `weir.drain(name?)`.
struct text_argument {
  bool valid = false;               ///< an array of at most one text
  std::optional<std::string> text;  ///< nothing: left out, or nil
};
[[nodiscard]] text_argument one_text(std::string_view arguments);

}  // namespace builtins
}  // namespace weir::proto
