// How a stream of bytes is cut into tasks.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace weir::io {

enum class framing : std::uint8_t {
  lines,      ///< one per line; the '\n' is not part of the task, a '\r' is; an empty line is a
              ///< task
  nul,        ///< one per NUL byte, as `find -print0` writes them
  delimited,  ///< as lines, with `delimiter` in place of '\n'
  msgpack,    ///< a stream of MessagePack bin or str objects
  block,      ///< whole lines, with their '\n', up to `size` bytes together; for filters
  fixed,      ///< `size` bytes each
};

struct record_format {
  framing how = framing::lines;
  std::size_t size = 0;     ///< of framing::block and framing::fixed; not used by the others
  std::string delimiter{};  ///< of framing::delimited: one byte or more
  [[nodiscard]] bool operator==(const record_format&) const = default;
};

/// Appends `payload` to `out` such that a record_reader of the same format reads it back: what
/// `--failed FILE` holds can be fed back in. A payload that contains the delimiter of its
/// format comes back as several; blocks may be cut elsewhere, between lines, and their last
/// line has an end. Of framing::fixed, one that is short must be the last.
void append_record(std::string& out, const record_format& format, std::string_view payload);

}  // namespace weir::io
