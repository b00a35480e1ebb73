// A call for each line of an input.
#pragma once

#include "interruption.hpp"
#include "node_main.hpp"
#include "result_text.hpp"

#include <weir/raw_client.hpp>

#include <functional>
#include <istream>
#include <string>
#include <string_view>

namespace weir::cli {

struct many_options {
  unsigned in_flight = 16;
  bool keep_order = false;
  result_format format = result_format::text;
};

/// Calls `method` with pack(line) for every line that is not empty, at most `in_flight` at a
/// time, and prints the results. At most that many lines and results are in memory. A line
/// that pack() refuses, and a call that fails, are reported with the line's number; the others
/// go on.
///
/// Outcomes are dropped once `ends` has come: then it does not return.
///
/// Returns 0, or 1 if something failed. Errors: those of reading and writing.
[[nodiscard]] int call_each_line(raw_client& client, const std::string& method,
                                 const prepared_settings& settings, const many_options& options,
                                 const interruption& ends, std::istream& lines,
                                 const std::function<std::string(std::string_view)>& pack,
                                 nodes::node_context& context);

}  // namespace weir::cli
