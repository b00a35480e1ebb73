// Headers as some other encoder may write them, with msgpack-c's packer.
#pragma once

#include "proto/wire.hpp"

#include <msgpack.hpp>

#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace weir::test {

using packer = msgpack::packer<msgpack::sbuffer>;

/// A header as some other encoder may write it.
template <class Write>
std::string packed(Write write) {
  msgpack::sbuffer buffer;
  packer out(buffer);
  write(out);
  return {buffer.data(), buffer.size()};
}

inline constexpr source_id s{{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}};

inline void pack_source(packer& out) {
  out.pack_bin(16);
  out.pack_bin_body(reinterpret_cast<const char*>(s.bytes.data()), 16);
}

inline void pack_text(packer& out, std::string_view text) {
  out.pack_str(static_cast<std::uint32_t>(text.size()));
  out.pack_str_body(text.data(), static_cast<std::uint32_t>(text.size()));
}

inline void pack_bytes(packer& out, std::string_view bytes) {
  out.pack_bin(static_cast<std::uint32_t>(bytes.size()));
  out.pack_bin_body(bytes.data(), static_cast<std::uint32_t>(bytes.size()));
}

/// Why it is refused; nothing if it is not.
inline std::optional<proto::reject> refusal(const std::string& header, std::string body = {}) {
  const auto decoded = proto::decode(header, proto::blob::from(std::move(body)));
  if (const auto* why = std::get_if<proto::reject>(&decoded)) return *why;
  return std::nullopt;
}
inline constexpr std::optional<proto::reject> accepted{};

}  // namespace weir::test
