// weir-worker --method: commands that callers call.
#pragma once

#include "node_main.hpp"

#include <weir/worker.hpp>

#include <string>
#include <vector>

namespace weir::nodes {

/// One method as the command line describes it.
struct method_spec {
  std::string name;
  command_method command;
  method_options options;
};

struct method_settings {
  std::vector<std::string> methods;  ///< NAME[(ARG, ...)][->RESULT]=COMMAND
  std::vector<std::string> direct;
  std::string result = "text";
  std::vector<std::string> describe, idempotent, concurrency, deadline, cacheable;
  [[nodiscard]] bool on() const { return !methods.empty(); }
};

/// Declares --method and what goes with it.
void add_method_options(CLI::App& app, method_settings& target);
/// In a parse_complete_callback: what makes no sense together. `tasks_only` are the options
/// that mean nothing with --method. Errors: CLI::ValidationError.
void check_methods(const CLI::App& app, const method_settings& settings,
                   std::initializer_list<const char*> tasks_only);
/// The methods, `common` being what they share: environment, folder, limits, and
/// command_mode::shell if all of them are scripts. Errors: weir::error `usage`.
[[nodiscard]] std::vector<method_spec> method_specs(const method_settings& settings,
                                                    const command_options& common);

/// To its end, and the exit code.
[[nodiscard]] int run_method_worker(worker_options node, const method_settings& settings,
                                    const command_options& common, node_context& context);

}  // namespace weir::nodes
