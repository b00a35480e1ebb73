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

/// A command line whose words stay what they are: CLI11 takes "[1,2]" for a list of two. Words
/// in brackets get a mark, which add_call_words() takes off again.
class marked_words {
 public:
  marked_words(int argc, const char* const* argv);
  [[nodiscard]] int argc() const { return static_cast<int>(pointers_.size()); }
  [[nodiscard]] const char* const* argv() const { return pointers_.data(); }

 private:
  std::vector<std::string> words_;
  std::vector<const char*> pointers_;
};

/// METHOD, ARGUMENT..., --text, --no-check.
void add_call_words(CLI::App& app, call_words& target);

/// --deadline, --retries, --priority and the others.
void add_call_settings(CLI::App& app, call_settings& target);

}  // namespace weir::cli
