#include "fuzz/decode_property.hpp"

#include "proto/limits.hpp"
#include "proto/wire.hpp"
#include "support/same_message.hpp"

#include <algorithm>
#include <cstdio>
#include <cstdlib>

namespace weir::fuzz {
namespace {

void require(bool holds, const char* what) {
  if (holds) return;
  std::fprintf(stderr, "decode: %s\n", what);
  std::abort();
}

template <class Runs>
std::size_t detail_bytes(const Runs& runs) {
  std::size_t bytes = 0;
  for (const auto& run : runs)
    for (const auto& details : run.details) bytes += proto::encoded_size(details);
  return bytes;
}

/// What this message's details come to, or its descriptions.
std::size_t detail_bytes(const proto::message& m) {
  if (const auto* results = std::get_if<proto::result_batch>(&m))
    return detail_bytes(results->runs);
  if (const auto* replies = std::get_if<proto::reply_batch>(&m))
    return detail_bytes(replies->runs);
  return 0;
}

}  // namespace

std::string joined(std::string_view header, std::string_view body) {
  std::string bytes;
  bytes += static_cast<char>(header.size() >> 8);
  bytes += static_cast<char>(header.size());
  bytes += header;
  bytes += body;
  return bytes;
}

bool check_decode(const std::uint8_t* input, std::size_t size) {
  if (size < 2) return false;
  // Copies of the exact size, so that a sanitizer sees a read beyond either end.
  const std::size_t stated = static_cast<std::size_t>(input[0] << 8 | input[1]);
  const std::size_t split = std::min(stated, size - 2);
  const auto* bytes = reinterpret_cast<const char*>(input) + 2;
  const std::string header(bytes, split);
  const auto first =
      proto::decode(header, proto::blob::from({bytes + split, size - 2 - split}));
  const auto* m = std::get_if<proto::message>(&first);
  if (!m) {
    require(!to_string(std::get<proto::reject>(first)).empty(), "a reason without a name");
    return false;
  }
  const auto once = proto::encode(*m);
  const auto second = proto::decode(once.header, once.body);
  const auto* again = std::get_if<proto::message>(&second);
  require(again != nullptr, "what was encoded is refused");
  // A sender would not have put so many details into one message: see encode().
  if (detail_bytes(*m) <= proto::limits::details_bytes)
    require(test::same(*m, *again), "another message after encode and decode");
  const auto twice = proto::encode(*again);
  require(twice.header == once.header, "another header the second time");
  require(twice.body.bytes == once.body.bytes, "another body the second time");
  return true;
}

}  // namespace weir::fuzz
