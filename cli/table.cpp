#include "table.hpp"

#include "console.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>

namespace weir::cli {
namespace {

std::size_t width_of(const std::string& text) {
  return static_cast<std::size_t>(std::count_if(text.begin(), text.end(), [](char c) {
    return (static_cast<unsigned char>(c) & 0xC0) != 0x80;
  }));
}

}  // namespace

void table::add(std::vector<std::string> cells) {
  for (auto& cell : cells) cell = nodes::escape_controls(cell);
  cells.resize(columns_.size());
  rows_.push_back(std::move(cells));
}

std::string table::str() const {
  std::vector<std::string> head;
  for (const auto& c : columns_) head.push_back(c.head);
  std::vector<std::size_t> widths;
  for (std::size_t i = 0; i < columns_.size(); ++i) {
    widths.push_back(width_of(head[i]));
    for (const auto& row : rows_) widths[i] = std::max(widths[i], width_of(row[i]));
  }
  std::string out;
  const auto line = [&](const std::vector<std::string>& cells) {
    std::string text;
    for (std::size_t i = 0; i < cells.size(); ++i) {
      const std::string padding(widths[i] - width_of(cells[i]), ' ');
      if (i > 0) text += "  ";
      text += columns_[i].how == align::right ? padding + cells[i] : cells[i] + padding;
    }
    text.erase(text.find_last_not_of(' ') + 1);
    out += text + '\n';
  };
  line(head);
  for (const auto& row : rows_) line(row);
  return out;
}

std::string format_micros(double micros) {
  if (!std::isfinite(micros) || micros < 0) return "-";
  struct unit {
    double length;
    const char* name;
  };
  static constexpr std::array<unit, 3> units{{{1, "us"}, {1e3, "ms"}, {1e6, "s"}}};
  const auto* best = units.data();
  for (const auto& u : units)
    if (micros >= u.length * 0.9995) best = &u;
  const double value = micros / best->length;
  std::array<char, 32> text{};
  const int digits = best == units.data() || value >= 99.95 ? 0 : value >= 9.995 ? 1 : 2;
  std::snprintf(text.data(), text.size(), "%.*f %s", digits, value, best->name);
  return text.data();
}

}  // namespace weir::cli
