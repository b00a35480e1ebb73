// The command of `weir run`, before the values of a task are filled in.
#pragma once

#include "task_source.hpp"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace weir::cli::run {

/// Where a task runs.
struct place {
  std::uint64_t seq = 1;  ///< {#}
  unsigned slot = 1;      ///< {%}
};

struct template_options {
  std::string replace = "{}";        ///< -I: stands for the values in place of {}; no {1} then
  bool plus = false;                 ///< --plus: {..} {+/} {%suffix} {/a/b} and so on
  bool shell = false;                ///< --shell: the words, joined by blanks, are for sh -c
  bool quote = false;                ///< -q: not for a shell, whatever is in them
  bool repeat = false;               ///< -n -N -X: a word with {} is repeated for each value
  std::vector<std::string> names{};  ///< of the columns: task_source::names()
  /// For {##} and {0#}, and for {0%}.
  std::optional<std::uint64_t> total{};
  std::optional<unsigned> slots{};
};

/// A command with replacement strings.
///
///   command_template command({"cp", "{}", "{.}.bak"}, {});
///   command.argv({{"my file.txt"}}, {}) == {"cp", "my file.txt", "my file.bak"}
///
/// Several words are run without a shell. A word that is nothing but {} becomes one argument for
/// each value, as "$@" does; within a word, {} is the values with blanks between them, as in
/// "x$*". Nothing that a value contains is ever split, unquoted or interpreted, or taken for a
/// replacement string. Without any replacement string, the values are appended.
///
/// One word with a blank or anything that means something to a shell is a script for sh, as
/// are all words with `shell`, and the values are quoted for the place in it where they stand:
/// bare, in '...' or in "...". A replacement string that begins the script is the command
/// itself, and not quoted. Without any words, the values are scripts.
///
/// A column that a task does not have leaves nothing behind, not even an empty argument.
///
/// Threads    const members may be called from several.
/// Errors     The constructor throws weir::error `usage`: {= perl =}, a place in a script where
///            no quoting is safe, {##} without a total.
class command_template {
 public:
  command_template(const std::vector<std::string>& words, template_options options);
  ~command_template();
  command_template(command_template&&) noexcept;
  command_template& operator=(command_template&&) noexcept;

  /// What to execute: the command and its arguments, or {"/bin/sh", "-c", script}.
  [[nodiscard]] std::vector<std::string> argv(const arguments& task, place where) const;
  /// The same as a line for sh, for people to read and to paste.
  [[nodiscard]] std::string text(const arguments& task, place where) const;

  [[nodiscard]] bool shell() const;

  /// How many bytes argv() takes as the system counts them, with an ending and a pointer for
  /// each argument: of the command without any values, and at most so many more for each value.
  [[nodiscard]] std::size_t size_without_values() const;
  [[nodiscard]] std::size_t size_of(const std::string& value) const;

 private:
  struct impl;
  std::unique_ptr<const impl> impl_;
};

/// Text with replacement strings for --tagstring, --results, --workdir: nothing is quoted or
/// appended, and several values are joined by blanks.
class text_template {
 public:
  text_template(const std::string& text, const template_options& options);
  ~text_template();
  text_template(text_template&&) noexcept;
  text_template& operator=(text_template&&) noexcept;
  [[nodiscard]] std::string fill(const arguments& task, place where) const;

 private:
  struct impl;
  std::unique_ptr<const impl> impl_;
};

}  // namespace weir::cli::run
