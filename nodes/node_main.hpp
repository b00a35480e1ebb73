// What all programs share: from the command line to the exit code.
#pragma once

#include "console.hpp"
#include "option_types.hpp"
#include "program.hpp"

#include <CLI/CLI.hpp>

#include <functional>
#include <string>

namespace weir::nodes {

/// What a program is given besides its own options.
struct node_context {
  std::string name;  ///< --name; HOST:PID unless given
  console& say;      ///< messages and the status line
};

/// A whole main(): declares the common options next to the program's own, parses, runs, and
/// makes an exit code of what happens.
///
///   int main(int argc, char** argv) {
///     std::vector<std::string> bind{std::string(weir::default_results_endpoint)};
///     std::size_t block = 0;
///     return node_main(argc, argv, about,
///       [&](CLI::App& app) {
///         add_endpoints(app, "--bind", bind, "WEIR_SINK_BIND", "Where workers deliver");
///         add_size(app, "--block", block, "Whole lines up to SIZE per task")->group("Input");
///       },
///       [&](node_context& node) -> int {
///         signals ends;               // before the first thread
///         node.say.notice("listening on " + bind.front());
///         return 0;
///       });
///   }
///
/// Common options: -h --help, --version, -v -q, --name, --config FILE; hidden: --man,
/// --list-options and, for completion, --list-value-options. What the command line says goes
/// before the configuration file, and that before the environment. A key of the file that is no
/// option is an error.
///
/// Standard descriptors that are closed are occupied first, so that no file or socket becomes
/// standard output; using one fails with EBADF, so `weir-sink >&-` does not succeed silently.
///
/// Errors     usage mistakes: 64, one line on standard error. weir::error: its code() and, but
///            for io::broken_pipe, "program: what()". Any other exception: 70.
[[nodiscard]] int node_main(int argc, const char* const* argv, const program& about,
                            const std::function<void(CLI::App&)>& declare,
                            const std::function<int(node_context&)>& run);

/// Occupies descriptors 0 to 2 that are closed. node_main() does it.
void occupy_standard_fds();

}  // namespace weir::nodes
