// How a coprocess is asked and how it answers: lines, or lengths and bytes.
#pragma once

#include <weir/command.hpp>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>

namespace weir::exec {

inline constexpr std::size_t frame_header = 4;

/// Whether this mode can carry the payload at all.
[[nodiscard]] inline bool can_ask(command_mode mode, std::string_view payload) {
  if (mode == command_mode::coproc_frames) return payload.size() <= UINT32_MAX;
  return payload.find('\n') == std::string_view::npos;
}

inline void append_question(command_mode mode, std::string_view payload, std::string& to) {
  if (mode == command_mode::coproc_frames) {
    const auto n = static_cast<std::uint32_t>(payload.size());
    const char length[frame_header] = {static_cast<char>(n >> 24), static_cast<char>(n >> 16),
                                       static_cast<char>(n >> 8), static_cast<char>(n)};
    to.append(length, frame_header);
    to.append(payload);
    return;
  }
  to.append(payload);
  to.push_back('\n');
}

/// What the first answer in some bytes is.
struct answer_at {
  std::string_view answer;
  std::size_t consumed = 0;  ///< 0: it is not complete yet
  bool too_long = false;     ///< it is, or will be, longer than it may be
};

[[nodiscard]] inline answer_at first_answer(command_mode mode, std::string_view bytes,
                                            std::size_t most) {
  if (mode == command_mode::coproc_frames) {
    if (bytes.size() < frame_header) return {};
    std::uint32_t length = 0;
    for (std::size_t i = 0; i < frame_header; ++i)
      length = length << 8 | static_cast<unsigned char>(bytes[i]);
    if (length > most) return {{}, 0, true};
    if (bytes.size() - frame_header < length) return {};
    return {bytes.substr(frame_header, length), frame_header + length, false};
  }
  const auto end = bytes.find('\n');
  if (end == std::string_view::npos) return {{}, 0, bytes.size() > most};
  if (end > most) return {{}, 0, true};
  return {bytes.substr(0, end), end + 1, false};
}

}  // namespace weir::exec
