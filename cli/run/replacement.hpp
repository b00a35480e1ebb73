// Text taken apart at its replacement strings.
#pragma once

#include "command_template.hpp"
#include "value_form.hpp"

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace weir::cli::run {

/// One replacement string, such as {} {2.} {#}.
struct replacement {
  enum class kind : std::uint8_t { values, column, seq, slot, total };
  kind what = kind::values;
  int column = 0;      ///< of kind::column: from 1, or from -1 at the end
  value_form form{};   ///< of kind::values and kind::column
  int width = 0;       ///< of kind::seq and kind::slot: zeros to the left
  std::string source;  ///< as it was written

  /// Stands for all the values of a task, not for one thing.
  [[nodiscard]] bool of_all() const { return what == kind::values; }
  /// Calls `each` with every text that it stands for: none for a column that is not there.
  template <class Each>
  void expand(const arguments& task, place where, Each&& each) const;
  [[nodiscard]] std::string changed(const std::string& value) const {
    return form ? form(value) : value;
  }

 private:
  [[nodiscard]] std::string number_text(place where) const;
  friend struct replacement_parser;
  std::uint64_t total_ = 0;
};

/// Literal text, or a replacement string.
struct piece {
  std::string text;
  std::optional<replacement> instead{};
};

/// Errors     weir::error `usage`.
[[nodiscard]] std::vector<piece> parse_pieces(std::string_view text,
                                              const template_options& options);
/// Refuses {= perl =}, which may be spread over several words.
void refuse_perl(const std::vector<std::string>& words);

template <class Each>
void replacement::expand(const arguments& task, place where, Each&& each) const {
  const auto& values = task.values;
  switch (what) {
    case kind::values:
      for (const auto& value : values) each(changed(value));
      return;
    case kind::column: {
      const auto count = static_cast<long>(values.size());
      const long at = column > 0 ? column - 1 : count + column;
      if (at >= 0 && at < count) each(changed(values[static_cast<std::size_t>(at)]));
      return;
    }
    default:
      each(number_text(where));
  }
}

}  // namespace weir::cli::run
