#include "io/record_format.hpp"

namespace weir::io {

namespace {

void append_bin_header(std::string& out, std::size_t length) {
  const auto byte = [&out, length](unsigned shift) {
    out += static_cast<char>((length >> shift) & 0xff);
  };
  if (length <= 0xff) {
    out += '\xc4';
  } else if (length <= 0xffff) {
    out += '\xc5';
    byte(8);
  } else {
    out += '\xc6';
    byte(24);
    byte(16);
    byte(8);
  }
  byte(0);
}

}  // namespace

void append_record(std::string& out, const record_format& format, std::string_view payload) {
  if (format.how == framing::msgpack) append_bin_header(out, payload.size());
  out += payload;
  const bool unfinished = format.how == framing::block && !payload.ends_with('\n');
  if (format.how == framing::lines || unfinished) out += '\n';
  if (format.how == framing::nul) out += '\0';
  if (format.how == framing::delimited) out += format.delimiter;
}

}  // namespace weir::io
