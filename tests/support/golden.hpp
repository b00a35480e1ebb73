// The frames that docs/protocol.md shows, read out of the page.
#pragma once

#include <cstdint>
#include <fstream>
#include <sstream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace weir::test {

/// One fenced block of the page:
///
///     ```golden NAME            what encode() makes, byte for byte
///     ```same NAME GOLDEN       reads as the golden frame of that name
///     ```refused NAME REASON    is refused for that reason
///     [1, "the header in diagnostic notation"]     (or a line that starts with '#')
///     H 91 10                   the header frame, in as many lines as it takes
///     B 61 62                   the body frame, if there is one
///     ```
struct golden_frame {
  std::string what;  ///< golden, same or refused
  std::string name;
  std::string other;  ///< the third word
  std::string notation;
  std::string header;
  std::string body;
};

inline std::string from_hex(std::string_view text) {
  std::string bytes;
  std::istringstream words{std::string(text)};
  for (std::string word; words >> word;)
    bytes += static_cast<char>(std::stoi(word, nullptr, 16));
  return bytes;
}

inline std::vector<golden_frame> read_golden_frames(const std::string& page) {
  std::ifstream in(page);
  if (!in) throw std::runtime_error("cannot read " + page);
  std::vector<golden_frame> all;
  for (std::string line; std::getline(in, line);) {
    if (!line.starts_with("```") || line.size() == 3) continue;
    golden_frame frame;
    std::istringstream head(line.substr(3));
    head >> frame.what >> frame.name >> frame.other;
    while (std::getline(in, line) && line != "```") {
      if (line.starts_with("H "))
        frame.header += from_hex(std::string_view(line).substr(2));
      else if (line.starts_with("B "))
        frame.body += from_hex(std::string_view(line).substr(2));
      else
        frame.notation = line;
    }
    if (!frame.header.empty()) all.push_back(std::move(frame));
  }
  return all;
}

}  // namespace weir::test
