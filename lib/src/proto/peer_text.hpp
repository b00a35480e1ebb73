// A peer's name, as people are told it.
#pragma once

#include "proto/message.hpp"

#include <string>

namespace weir::proto {

[[nodiscard]] inline std::string name_of(const introduction& who) {
  std::string name = who.name.empty() ? "?" : who.name;
  if (!who.host.empty()) name += "@" + who.host;
  return name;
}

}  // namespace weir::proto
