// Columns for people.
#pragma once

#include <string>
#include <utility>
#include <vector>

namespace weir::cli {

enum class align { left, right };

/// Rows of cells in columns as wide as their widest cell, two spaces between them, no spaces at
/// the end of a line. Widths are counted in code points. Control characters are escaped: cells
/// may hold what peers say.
class table {
 public:
  struct column {
    std::string head;
    align how = align::left;
  };
  explicit table(std::vector<column> columns) : columns_(std::move(columns)) {}
  /// As many cells as there are columns, or fewer.
  void add(std::vector<std::string> cells);
  [[nodiscard]] std::string str() const;
  [[nodiscard]] bool empty() const { return rows_.empty(); }

 private:
  std::vector<column> columns_;
  std::vector<std::vector<std::string>> rows_;
};

/// "12 us", "3.4 ms", "1.2 s": three digits or so.
[[nodiscard]] std::string format_micros(double micros);

}  // namespace weir::cli
