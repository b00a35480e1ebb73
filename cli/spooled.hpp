// Calls that a gateway keeps: what the verbs for them have in common.
#pragma once

#include "connection.hpp"
#include "result_text.hpp"

#include <string>
#include <vector>

namespace weir::cli {

/// Where the spool is, and the ids. The endpoint may come first among the words.
struct spooled_options {
  connection_options link;
  std::vector<std::string> words;
  std::vector<std::string> ids;  ///< after split()
  spooled_options();
};

enum class ids { required, none };
/// ID..., or ENDPOINT alone; --gateway [WEIR_GATEWAY], the connection's options.
void add_spooled(CLI::App& app, spooled_options& target, ids how);
/// `weir wait ENDPOINT ID` is `weir wait --gateway ENDPOINT ID`. Errors: weir::error `usage`.
void split(spooled_options& target, ids how);

/// Prints an outcome as weir call would: the result, or the failure. Returns the exit status.
[[nodiscard]] int print_outcome(const answer& outcome, result_format how,
                                nodes::node_context& context);

/// How a state is over.
[[nodiscard]] bool over(const answer& outcome);

}  // namespace weir::cli
