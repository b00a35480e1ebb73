#include "status_line.hpp"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <string>

namespace weir::cli::run {
namespace {

std::string bar(std::uint64_t done, std::uint64_t total) {
  constexpr std::uint64_t width = 20;
  const auto full = total == 0 ? width : width * std::min(done, total) / total;
  return "[" + std::string(full, '#') + std::string(width - full, ' ') + "]";
}

}  // namespace

bool status_line::wanted() const {
  return (settings_.bar || settings_.eta || settings_.progress) && say_.shows_status() &&
         !(settings_.ungroup && ::isatty(STDOUT_FILENO) == 1);
}

void status_line::draw(std::optional<std::uint64_t> in_flight) {
  const auto now = std::chrono::steady_clock::now();
  rate_.update(counts_.done, now);
  nodes::progress_figures figures;
  figures.done = counts_.done + counts_.left_out;
  figures.failed = counts_.failed;
  if (const std::uint64_t total = total_; total != unknown) figures.total = total;
  figures.in_flight = in_flight;
  figures.rate = rate_.per_second();
  if (settings_.bar && figures.total) figures.bar = bar(figures.done, *figures.total);
  say_.status(figures, now);
}

}  // namespace weir::cli::run
