#include "proto/wire.hpp"

#include "proto/wire_names.hpp"

#include <array>

namespace weir::proto {
namespace {
constexpr std::array<std::string_view, 9> rejects{
    "header_too_long", "not_msgpack",  "not_a_message",   "unknown_kind", "missing_field",
    "wrong_type",      "out_of_range", "must_understand", "body_mismatch"};
}  // namespace

std::string_view to_string(reject why) noexcept {
  return rejects[static_cast<std::size_t>(why)];
}

std::string_view to_string(role r) noexcept { return wire::roles[static_cast<std::size_t>(r)]; }

}  // namespace weir::proto
