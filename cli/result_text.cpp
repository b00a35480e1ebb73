#include "result_text.hpp"

#include "io/json.hpp"

#include <weir/error.hpp>

namespace weir::cli {

void add_result_format(CLI::App& app, result_format& target) {
  auto* json = app.add_flag_callback(
      "--json", [&target] { target = result_format::json; },
      "Print results as JSON, a line each; bytes as {\"$base64\": ...}");
  auto* raw = app.add_flag_callback(
      "--raw", [&target] { target = result_format::raw; },
      "Print strings and bytes as they are, without a newline");
  json->excludes(raw)->group("Output");
  raw->group("Output");
}

std::string shown(std::string_view packed, result_format how) {
  try {
    if (how == result_format::raw) return io::plain_from_msgpack(packed);
    if (how == result_format::json) return io::json_from_msgpack(packed) + '\n';
    std::string text = io::plain_from_msgpack(packed);
    if (text == "null" && !io::is_plain(packed)) return {};
    if (text.empty() || text.back() != '\n') text += '\n';
    return text;
  } catch (const io::json_error& e) {
    throw error(exit_code::protocol, std::string("the result cannot be shown: ") + e.what());
  }
}

}  // namespace weir::cli
