// A hash that is the same on every machine and in every process, which std::hash need not be.
#pragma once

#include <cstdint>
#include <string_view>

namespace weir::proto {

/// FNV-1a, 64 bits. Good against mistakes, not against somebody who wants two to be the same.
[[nodiscard]] constexpr std::uint64_t stable_hash(std::string_view bytes) {
  std::uint64_t h = 0xcbf29ce484222325U;
  for (const char c : bytes) h = (h ^ static_cast<unsigned char>(c)) * 0x100000001b3U;
  return h;
}

}  // namespace weir::proto
