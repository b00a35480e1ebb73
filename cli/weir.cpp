// weir: the shell client. The first word says what it does.
#include "node_main.hpp"
#include "verb.hpp"

#include <weir/error.hpp>
#include <weir/version.hpp>

#include <algorithm>
#include <csignal>
#include <iostream>
#include <string>
#include <string_view>
#include <vector>

namespace {

using weir::cli::verbs;

std::string overview() {
  std::string text =
      "Usage: weir VERB [OPTION...] [ARGUMENT...]\n\n"
      "Calls methods of weir workers, through a weir-gateway or directly.\n\nVerbs:\n";
  for (const auto& v : verbs) {
    text += "  " + std::string(v.name) + std::string(11 - v.name.size(), ' ');
    text += std::string(v.summary) + '\n';
  }
  text +=
      "\nExample: Hash a file on a worker, which offers hash='sha256sum'\n"
      "  weir call tcp://127.0.0.1:5555 hash \"$(cat file)\"\n"
      "\nMore: weir VERB --help; the whole manual: weir VERB --man | man -l -\n";
  return text;
}

int print(const std::string& text) {
  std::cout << text << std::flush;
  return std::cout ? 0 : static_cast<int>(weir::exit_code::io);
}

/// How many letters have to be changed, added or left out to make one of the other.
std::size_t distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  for (std::size_t j = 0; j < row.size(); ++j) row[j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::size_t diagonal = row[0]++;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t change = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, change});
    }
  }
  return row.back();
}

int unknown(const std::string& word) {
  const auto nearest = std::min_element(verbs.begin(), verbs.end(), [&](auto& a, auto& b) {
    return distance(word, a.name) < distance(word, b.name);
  });
  std::string text = "weir: there is no verb '" + word + "'";
  if (distance(word, nearest->name) <= 2)
    text += "; did you mean '" + std::string(nearest->name) + "'?";
  std::cerr << text << " (see weir --help)\n";
  return static_cast<int>(weir::exit_code::usage);
}

}  // namespace

int main(int argc, char** argv) {
  weir::nodes::occupy_standard_fds();
  std::signal(SIGPIPE, SIG_IGN);
  const std::string word = argc > 1 ? argv[1] : "";
  if (word.empty()) {
    std::cerr << overview();
    return static_cast<int>(weir::exit_code::usage);
  }
  if (word == "--help" || word == "-h" || word == "help") return print(overview());
  if (word == "--list-verbs") {  // for the completions
    std::string names;
    for (const auto& v : verbs) names += std::string(v.name) + '\n';
    return print(names);
  }
  if (word == "--version") return print("weir " WEIR_VERSION "\n");
  const auto found =
      std::find_if(verbs.begin(), verbs.end(), [&](const auto& v) { return v.name == word; });
  if (found == verbs.end()) return unknown(word);
  return found->main(argc - 1, argv + 1);
}
