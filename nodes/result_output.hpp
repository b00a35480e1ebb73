// Where results go, as options: the same for a sink and for a ventilator without one.
#pragma once

#include "node_main.hpp"

#include <weir/results.hpp>

#include <memory>
#include <string>

namespace weir::nodes {

struct output_options {
  std::string out = "-";
  std::string format = "raw";
  std::string joblog;
  bool tag = false;
  bool append = false;
  bool overwrite = false;
};

/// Declares --out, --append, --overwrite, --tag, --joblog, and `format_flag` for the format.
void add_output_options(CLI::App& app, output_options& target, const std::string& format_flag);

/// Opens what the options say; failed tasks' stderr goes to `say`.
/// Errors: weir::error when a file cannot be opened, or options contradict each other.
[[nodiscard]] std::unique_ptr<result_store> open_output(const output_options& options,
                                                        console& say);

}  // namespace weir::nodes
