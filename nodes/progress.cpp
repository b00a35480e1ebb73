#include "progress.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <vector>

namespace weir::nodes {

namespace {

template <typename... Arguments>
std::string print(const char* format, Arguments... arguments) {
  std::array<char, 64> text{};
  std::snprintf(text.data(), text.size(), format, arguments...);
  return text.data();
}

}  // namespace

std::string format_count(double n) {
  static constexpr std::array<const char*, 5> units{"", "k", "M", "G", "T"};
  std::size_t unit = 0;
  // Cut, not rounded: 999 999 is 999k. The tiny addition undoes 1.2 * 10 = 11.999...
  const auto cut = [](double value) { return std::floor(value + 1e-9); };
  while (n >= 1000 && unit + 1 < units.size()) {
    n /= 1000;
    ++unit;
  }
  const double tenths = cut(n * 10) / 10;
  const bool whole = n >= 10 || cut(n) == tenths;
  return (whole ? print("%.0f", cut(n)) : print("%.1f", tenths)) + units[unit];
}

std::string plural(std::uint64_t n, const std::string& what) {
  return std::to_string(n) + " " + what + (n == 1 ? "" : "s");
}

std::string format_duration(std::chrono::seconds length) {
  const auto s = static_cast<long long>(length.count());
  if (s < 3600) return print("%lld:%02lld", s / 60, s % 60);
  return print("%lld:%02lld:%02lld", s / 3600, s / 60 % 60, s % 60);
}

std::string format_progress(const progress_figures& figures, std::size_t width) {
  const auto count = [](std::uint64_t n) { return format_count(static_cast<double>(n)); };
  std::vector<std::string> parts;
  std::string done = count(figures.done);
  if (figures.total) done.append("/").append(count(*figures.total));
  parts.push_back(done + " done");
  if (!figures.bar.empty()) parts.push_back(figures.bar);
  if (figures.failed > 0) parts.push_back(count(figures.failed) + " failed");
  if (figures.in_flight) parts.push_back(count(*figures.in_flight) + " in flight");
  parts.push_back(format_count(figures.rate) + "/s");
  if (figures.total && *figures.total > figures.done && figures.rate > 0) {
    const double seconds =
        std::ceil(static_cast<double>(*figures.total - figures.done) / figures.rate);
    // A year and more is no estimate.
    if (seconds < 3e7)
      parts.push_back("ETA " +
                      format_duration(std::chrono::seconds(static_cast<long long>(seconds))));
  }
  if (!figures.note.empty()) parts.push_back(figures.note);

  std::string line = parts.front();
  for (std::size_t i = 1; i < parts.size(); ++i) {
    if (line.size() + 2 + parts[i].size() > width) break;
    line.append("  ").append(parts[i]);
  }
  return line.substr(0, width);
}

void rate_meter::update(std::uint64_t count, time_point now) {
  using seconds = std::chrono::duration<double>;
  const double elapsed = seconds(now - at_).count();
  if (!started_) {
    started_ = true;
    count_ = count;
    at_ = now;
    return;
  }
  if (elapsed < 0.05) return;  // too little to divide by
  const double current = static_cast<double>(count - count_) / elapsed;
  // At first the average of all there was: from a first moment in which nothing was done yet,
  // it would take seconds to get to where it belongs.
  measured_ += elapsed;
  const double weight = std::max(1 - std::exp(-elapsed / 5), elapsed / measured_);
  rate_ += weight * (current - rate_);
  count_ = count;
  at_ = now;
}

}  // namespace weir::nodes
