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
  bool repeat = false;               ///< -n -N -L -X: a word with {} is repeated for each value
  bool spread = false;               ///< -m --xargs: x{}y is xa b cy, as "x$@y" is in a shell
  std::vector<std::string> names{};  ///< of the columns: task_source::names()
  /// For {##} and {0#}, and for {0%}.
  std::optional<std::uint64_t> total{};
  std::optional<unsigned> slots{};
};

/// Whether there is a {##} or {0#} in there, so that `total` is needed.
[[nodiscard]] bool uses_total(const std::vector<std::string>& words,
                              const template_options& options);
/// Whether there is a {%} or {0%} in there, so that what comes of it depends on the slot.
[[nodiscard]] bool uses_slot(const std::vector<std::string>& words,
                             const template_options& options);

/// A command with replacement strings.
///
///   command_template command({"cp", "{}", "{.}.bak"}, {});
///   command.argv({{"my file.txt"}}, {}) == {"cp", "my file.txt", "my file.bak"}
///
/// Several words are run without a shell. A word that is nothing but {} becomes one argument
/// for each value, as "$@" does; within a word, {} is the values with blanks between them, as
/// in "x$*". Nothing that a value contains is ever split, unquoted or interpreted, or taken for
/// a replacement string. Without any replacement string, the values are appended.
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
///            no quoting is safe, {##} without a total or with -n and -X.
class command_template {
 public:
  command_template(const std::vector<std::string>& words, const template_options& options);

  /// What to execute: the command and its arguments, or {"/bin/sh", "-c", script}.
  [[nodiscard]] std::vector<std::string> argv(const arguments& task, place where) const;
  /// The same as a line for sh, for people to read and to paste.
  [[nodiscard]] std::string text(const arguments& task, place where) const;

  [[nodiscard]] bool shell() const;

  /// How much execve(2) has to take.
  struct extent {
    std::size_t bytes = 0;  ///< each argument with its ending
    std::size_t arguments = 0;
    extent& operator+=(const extent& more) {
      bytes += more.bytes;
      arguments += more.arguments;
      return *this;
    }
  };
  /// Of the command without any values, and what each value adds to that at most.
  [[nodiscard]] extent without_values() const;
  [[nodiscard]] extent of_value(const std::string& value) const;

 private:
  struct impl;
  std::shared_ptr<const impl> impl_;
};

/// Text with replacement strings for --tagstring, --results, --workdir: nothing is quoted or
/// appended, and several values are joined by blanks.
class text_template {
 public:
  text_template(const std::string& text, const template_options& options);
  [[nodiscard]] std::string fill(const arguments& task, place where) const;

 private:
  struct impl;
  std::shared_ptr<const impl> impl_;
};

}  // namespace weir::cli::run
