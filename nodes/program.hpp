// What a program says about itself: the source of --help, --version and the man page.
#pragma once

#include <string>
#include <vector>

namespace weir::nodes {

struct example {
  std::string text;     ///< what it does: "Hash every file, on all cores"
  std::string command;  ///< one or more shell lines
};

/// What an exit status means.
struct status_meaning {
  int code;
  std::string text;
};

struct program {
  std::string name;         ///< "weir-sink"
  std::string summary;      ///< for NAME, in lower case: "collect the results of weir tasks"
  std::string usage;        ///< what follows the name: "[OPTION...] [FILE...]"
  std::string description;  ///< paragraphs, an empty line between them
  std::vector<example> examples;      ///< --help shows the first, or two if it is brief
  std::vector<std::string> see_also;  ///< "weir-worker(1)"
  /// Where they are not those of the nodes; those of 64 and above are the same everywhere.
  std::vector<status_meaning> statuses{};
  /// Whether -v, -q and --name are what they are everywhere. No: the program has its own.
  bool common_options = true;
};

}  // namespace weir::nodes
