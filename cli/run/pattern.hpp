// Regular expressions as users of GNU parallel write them.
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace weir::cli::run {

/// A POSIX extended regular expression over bytes, with Perl's \t \n \d \s \w \b and (?: ) as
/// well. What has nothing special in it is searched as text.
///
/// It is POSIX's, not std::regex, because that one overflows the stack on values of 100 KB.
///
/// Threads    const members may be called from several.
/// Errors     weir::error `usage`: not valid, or Perl's own (lookaround, non-greedy); it names
///            `option`.
class pattern {
 public:
  pattern(std::string_view expression, const std::string& option);

  struct hit {
    std::size_t begin = 0, end = 0;
  };
  /// The leftmost match that begins at `from` or later, the longest of those.
  [[nodiscard]] std::optional<hit> find(std::string_view text, std::size_t from = 0) const;
  /// The length of the longest match that begins where `text` begins, or of the shortest.
  [[nodiscard]] std::optional<std::size_t> longest_prefix(std::string_view text) const;
  [[nodiscard]] std::optional<std::size_t> shortest_prefix(std::string_view text) const;
  /// The same for matches that end where `text` ends.
  [[nodiscard]] std::optional<std::size_t> longest_suffix(std::string_view text) const;
  [[nodiscard]] std::optional<std::size_t> shortest_suffix(std::string_view text) const;

 private:
  struct compiled;
  std::string literal_;
  std::shared_ptr<const compiled> anywhere_, at_begin_, at_end_, whole_;
};

}  // namespace weir::cli::run
