// Map and reduce: which words do these files use most?
//
//   word_count FILE...
//
// The ventilator's tasks are paths. The worker's handlers, one for each core, map a path to the
// words of that file and how often each occurs; the ventilator's own handler reduces what comes
// back to one table. Here both are in one process, but only the endpoint says so: on other
// machines with the same files, any number of workers could take part.
//
// Delivery   A file may be read twice, after a death; it is added to the table once.
#include "socket_folder.hpp"
#include "worker_thread.hpp"

#include <weir/error.hpp>
#include <weir/ventilator.hpp>

#include <algorithm>
#include <cctype>
#include <cstdint>
#include <fstream>
#include <iostream>
#include <iterator>
#include <map>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

namespace {

using table = std::map<std::string, std::uint64_t>;
constexpr std::size_t shown = 10;

// Map. Runs on several threads at a time, and shares nothing.
std::string count_words(const weir::task& t) {
  std::ifstream file{std::string(t.payload()), std::ios::binary};
  if (!file)  // trying again would not help
    throw weir::task_error(weir::status::not_found, "cannot open " + std::string(t.payload()),
                           weir::task_error::retry::pointless);
  table counts;
  std::string word;
  for (std::istreambuf_iterator<char> c{file}, end; c != end; ++c) {
    if (std::isalpha(static_cast<unsigned char>(*c)) != 0)
      word += static_cast<char>(std::tolower(static_cast<unsigned char>(*c)));
    else if (!word.empty())
      ++counts[std::exchange(word, {})];
  }
  if (!word.empty()) ++counts[word];
  std::string result;
  for (const auto& [each, n] : counts) result += each + ' ' + std::to_string(n) + '\n';
  return result;
}

// Reduce. Called for one result at a time: no lock.
void add(const weir::result& r, table& total) {
  if (r.code != weir::status::ok) {
    std::cerr << "word_count: " << r.details->message << '\n';
    return;
  }
  std::istringstream lines{std::string(r.payload)};
  std::string word;
  for (std::uint64_t n = 0; lines >> word >> n;) total[word] += n;
}

void print_most_frequent(const table& total) {
  std::vector<std::pair<std::string, std::uint64_t>> words(total.begin(), total.end());
  std::stable_sort(words.begin(), words.end(),
                   [](const auto& a, const auto& b) { return a.second > b.second; });
  words.resize(std::min(words.size(), shown));
  for (const auto& [word, n] : words) std::cout << word << ' ' << n << '\n';
}

int run(const std::vector<std::string>& paths) {
  const socket_folder sockets;
  const std::string tasks = sockets.endpoint("tasks");
  table total;
  weir::ventilator v{{{.bind = {tasks}}}, [&](const weir::result& r) { add(r, total); }};
  worker_thread mapping{{{.connect = {tasks}}}, count_words};
  for (const auto& path : paths) v.submit(path);
  v.wait();
  mapping.finish();
  print_most_frequent(total);
  return v.stats().failed == 0 ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return run({argv + 1, argv + argc});
  } catch (const weir::error& e) {
    std::cerr << "word_count: " << e.what() << '\n';
    return static_cast<int>(e.code());
  }
}
