// What GNU parallel has and weir has not, and what to do instead.
#include "foreign_options.hpp"
#include "options.hpp"

#include <weir/error.hpp>

#include <string_view>

namespace weir::cli::run {

void refuse_unknown(const std::vector<std::string>& words) {
  if (words.empty() || words[0].size() < 2 || words[0][0] != '-') return;
  const auto option = std::string_view(words[0]).substr(0, words[0].find('='));
  if (const auto* foreign = find_foreign(words[0]))
    throw error(exit_code::usage, std::string(option) +
                                      " is not offered: " + std::string(foreign->instead) +
                                      " (docs/from-parallel.md)");
  throw error(exit_code::usage,
              "there is no option " + std::string(option) +
                  " (see weir run --help; a command that begins with - goes behind --)");
}

}  // namespace weir::cli::run
