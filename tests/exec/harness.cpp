#include "harness.hpp"

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>

namespace exec_test {

temporary_directory::~temporary_directory() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

bool alive(int pid) {
  // "pid (name) state ...": the name may contain anything, so look behind its last parenthesis.
  const std::string stat = contents("/proc/" + std::to_string(pid) + "/stat");
  const auto name_end = stat.rfind(')');
  return name_end != std::string::npos && stat.size() > name_end + 2 &&
         stat[name_end + 2] != 'Z' && stat[name_end + 2] != 'X';
}

std::string contents(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

int number_in(const std::string& path) {
  REQUIRE(eventually([&] { return contents(path).find('\n') != std::string::npos; }));
  return std::atoi(contents(path).c_str());
}

}  // namespace exec_test
