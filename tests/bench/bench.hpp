// What the benchmark programs share: one clock for all processes, order statistics, JSON.
#pragma once

#include <time.h>

#include <algorithm>
#include <cstdint>
#include <sstream>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

namespace bench {

/// CLOCK_MONOTONIC, which all processes of one machine share: a time taken in one of them may
/// be subtracted from a time taken in another.
[[nodiscard]] inline std::int64_t now_ns() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return std::int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
}

/// The value below which `fraction` of the samples lie. Reorders them; requires at least one.
[[nodiscard]] inline double quantile(std::vector<std::int64_t>& samples, double fraction) {
  const auto last = static_cast<double>(samples.size() - 1);
  const auto nth = samples.begin() + static_cast<std::ptrdiff_t>(fraction * last + 0.5);
  std::nth_element(samples.begin(), nth, samples.end());
  return static_cast<double>(*nth);
}

/// One JSON object on one line. Keys and texts are ours and need no escaping.
class json_line {
 public:
  json_line& add(std::string_view key, std::string_view text) {
    return raw(key, '"' + std::string(text) + '"');
  }
  json_line& add(std::string_view key, const char* text) {
    return add(key, std::string_view(text));
  }
  template <typename Number>
  requires std::is_arithmetic_v<Number> json_line& add(std::string_view key, Number number) {
    std::ostringstream digits;
    digits.precision(9);
    digits << number;
    return raw(key, digits.str());
  }
  /// `value` is JSON already.
  json_line& raw(std::string_view key, std::string_view value) {
    text_ += text_.empty() ? "{\"" : ", \"";
    text_.append(key).append("\": ").append(value);
    return *this;
  }
  [[nodiscard]] std::string str() const { return text_ + '}'; }

 private:
  std::string text_;
};

}  // namespace bench
