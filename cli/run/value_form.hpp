// What a replacement string makes of a value: {.} {/} {//} and the others after the braces'
// column.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>

namespace weir::cli::run {

/// Makes a new value of one. Empty: leaves it as it is.
using value_form = std::function<std::string(std::string_view)>;

/// What stands between the column and the closing brace: "" "." "/" "//" "/."; with `plus` also
///
///     ..  ...  /..  /...            without the last two, three extensions; of the basename
///     +/                            the directory, empty if there is none
///     +.  +..  +...                 the last extension, the last two, the last three
///     :-TEXT                        TEXT if the value is empty
///     :N  :N:LENGTH                 without the first N bytes; LENGTH bytes from there
///     #RE  ##RE                     without the shortest, longest beginning that matches RE
///     %RE  %%RE                     without the shortest, longest end that matches RE
///     /RE/TEXT  //RE/TEXT           TEXT for the first, for every match of RE
///     ^RE  ^^RE  ,RE  ,,RE          upper or lower case for RE at the beginning, for every RE
///
/// Nothing: it is none of these.
/// Errors     weir::error `usage`: RE is not a regular expression.
[[nodiscard]] std::optional<value_form> parse_form(std::string_view suffix, bool plus);

}  // namespace weir::cli::run
