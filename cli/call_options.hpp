// Options that calls have, whether they are made now or submitted.
#pragma once

#include "arguments.hpp"

#include <weir/call_settings.hpp>

#include <CLI/CLI.hpp>

#include <string>
#include <vector>

namespace weir::cli {

/// What is called with what.
struct call_words {
  std::string method;
  std::vector<std::string> words;
  reading how = reading::typed;
  bool check = true;
};

/// METHOD, ARGUMENT..., --text, --no-check.
void add_call_words(CLI::App& app, call_words& target);

/// --deadline, --retries, --priority and the others.
void add_call_settings(CLI::App& app, call_settings& target);

}  // namespace weir::cli
