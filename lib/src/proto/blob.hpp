// Bytes that somebody keeps alive.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <utility>

namespace weir::proto {

/// An immutable run of bytes together with what owns them: a received frame, a string, a part
/// of either. Copying copies a reference. The owner may be released on any thread.
struct blob {
  std::shared_ptr<const void> owner;
  std::string_view bytes;

  blob() = default;
  blob(std::shared_ptr<const void> keeps_alive, std::string_view view)
      : owner(std::move(keeps_alive)), bytes(view) {}

  [[nodiscard]] static blob from(std::string text) {
    auto kept = std::make_shared<const std::string>(std::move(text));
    const std::string_view view = *kept;
    return {std::move(kept), view};
  }
  [[nodiscard]] std::size_t size() const { return bytes.size(); }
  [[nodiscard]] blob part(std::size_t offset, std::size_t length) const {
    return {owner, bytes.substr(offset, length)};
  }
};

}  // namespace weir::proto
