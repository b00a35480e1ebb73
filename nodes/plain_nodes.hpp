// --plain: the three programs over bare PUSH and PULL sockets.
#pragma once

#include "io/record_format.hpp"
#include "node_main.hpp"
#include "result_output.hpp"

#include <weir/command.hpp>
#include <weir/plain.hpp>

#include <chrono>
#include <cstdint>
#include <initializer_list>
#include <string>
#include <vector>

namespace weir::nodes {

struct plain_settings {
  bool on = false;
  std::uint64_t expect = 0;
  std::chrono::milliseconds idle_timeout{0};
};

/// Declares --plain; `what` says what the program does then.
void add_plain_option(CLI::App& app, plain_settings& target, const std::string& what);
/// Declares --idle-timeout, for those who cannot know when all is done.
void add_idle_timeout(CLI::App& app, plain_settings& target);
/// In a parse_complete_callback: refuses `meaningless` options with --plain, and those that
/// only
/// --plain has without it. Errors: CLI::ValidationError, a usage mistake.
void check_plain(const CLI::App& app, const plain_settings& settings,
                 std::initializer_list<const char*> meaningless);
/// What everybody is told at the start.
void warn_of_plain(console& say);

/// Each to its end, and the exit code.
[[nodiscard]] int run_plain_ventilator(const node_options& node,
                                       const std::vector<std::string>& inputs,
                                       const io::record_format& format, node_context& context);
[[nodiscard]] int run_plain_worker(plain_worker_options node, const command_options& command,
                                   node_context& context);
[[nodiscard]] int run_plain_sink(const plain_sink_options& node, const output_options& output,
                                 node_context& context);

}  // namespace weir::nodes
