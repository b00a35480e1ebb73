#include "machine_load.hpp"

#include <algorithm>
#include <fstream>
#include <limits>
#include <string>

namespace weir::cli::run {

double wanting_processor() {
  // "0.31 0.20 0.18 2/345 12345": the fourth field is those that can run, of all there are. The
  // averages before it would notice a minute too late what has been started just now.
  std::ifstream file("/proc/loadavg");
  std::string skipped, field;
  file >> skipped >> skipped >> skipped >> field;
  if (!file) return 0;
  return std::max(0.0, std::strtod(field.c_str(), nullptr) - 1);
}

std::uint64_t available_memory() {
  std::ifstream file("/proc/meminfo");
  for (std::string key; file >> key;) {
    std::uint64_t kilobytes = 0;
    if (key == "MemAvailable:" && file >> kilobytes) return kilobytes * 1024;
    file.ignore(std::numeric_limits<std::streamsize>::max(), '\n');
  }
  return std::numeric_limits<std::uint64_t>::max();
}

}  // namespace weir::cli::run
