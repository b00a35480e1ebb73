// What GNU parallel has and weir has not, and what to do instead.
#include "foreign_options.hpp"
#include "options.hpp"

#include <weir/error.hpp>

#include <string_view>

namespace weir::cli::run {

namespace {

/// The only option that may have been meant: spelled without its dashes, cut short, or longer,
/// as parallel has it. Empty: there is none, or several.
std::string meant_by(std::string_view word, const CLI::App& app) {
  const auto given = without_dashes(word);
  if (!word.starts_with("--") || given.empty()) return {};
  std::string found;
  for (const auto* option : app.get_options())
    for (const auto& name : option->get_lnames()) {
      const auto known = without_dashes(name);
      if (given == known) return "--" + name;
      if (!known.starts_with(given) && !(known.size() > 4 && given.starts_with(known)))
        continue;
      const auto first = "--" + option->get_lnames().front();
      if (!found.empty() && found != first) return {};
      found = first;
    }
  return found;
}

}  // namespace

void refuse_unknown(const std::vector<std::string>& words, const CLI::App& app) {
  if (words.empty() || words[0].size() < 2 || words[0][0] != '-') return;
  const auto option = std::string_view(words[0]).substr(0, words[0].find('='));
  if (const auto* foreign = find_foreign(words[0]))
    throw error(exit_code::usage, std::string(option) +
                                      " is not offered: " + std::string(foreign->instead) +
                                      " (docs/from-parallel.md)");
  if (const auto meant = meant_by(option, app); !meant.empty())
    throw error(exit_code::usage,
                "there is no option " + std::string(option) + ": use " + meant);
  throw error(exit_code::usage,
              "there is no option " + std::string(option) +
                  " (see weir run --help; a command that begins with - goes behind --)");
}

}  // namespace weir::cli::run
