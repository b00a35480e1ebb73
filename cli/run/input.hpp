// Where the tasks of `weir run` come from: what was typed, as a task_source.
#pragma once

#include "task_source.hpp"

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace weir::cli::run {

/// One source of values.
struct source_spec {
  enum class kind : std::uint8_t { words, file };
  kind what = kind::words;
  std::vector<std::string> words;  ///< of kind::words: each is a value, whatever is in it
  std::string file;                ///< of kind::file; "-" is standard input
  bool linked = false;             ///< goes along with the source before it (`:::+`)
  [[nodiscard]] bool operator==(const source_spec&) const = default;
};

/// `COMMAND... ::: a b :::: file`, taken apart.
struct command_words {
  std::vector<std::string> command;  ///< may be empty: then the values are the commands
  std::vector<source_spec> sources;
};

/// --arg-sep and --arg-file-sep; with a + behind them, for linked sources.
struct separators {
  std::string values = ":::";
  std::string files = "::::";
};

/// The words after the options. `:::` and `:::+` are followed by values, `::::` and `::::+` by
/// files, each of which is a source of its own.
/// Errors     weir::error `usage`: `::::` without a file; separators that are alike.
[[nodiscard]] command_words take_apart(const std::vector<std::string>& words,
                                       const separators& between = {});

enum class trim : std::uint8_t { none, left, right, both };
/// "n", "l", "r", "lr" or "rl". Errors     weir::error `usage`.
[[nodiscard]] trim parse_trim(const std::string& text);

/// What -d may be: characters, or \n \t \0 \\ \x41 \101 and the like among them.
/// Errors     weir::error `usage`: empty, or an escape that is none.
[[nodiscard]] std::string parse_delimiter(const std::string& text);

struct input_options {
  std::vector<std::string> files;     ///< -a FILE: sources before those of `:::`
  std::string delimiter = "\n";       ///< -0: "\0"; -d: parse_delimiter()
  std::optional<std::string> colsep;  ///< --colsep REGEXP
  bool csv = false;                   ///< --csv; colsep is then a character, "," if not given
  bool header = false;                ///< --header : the first record of each source has names
  std::optional<trim> trimmed;        ///< --trim; without it, both for --colsep, else none
  std::string end;                    ///< -E: a record that ends its source; empty: none
  bool continued = false;             ///< -L: a blank at its end joins a record to the next
  bool link = false;                  ///< --link: all sources in step, short ones repeated
  bool skip_blank = false;            ///< -r: records of nothing but white space are none
  bool nul_allowed = false;           ///< values are not for arguments of a command
  bool shuffle = false;               ///< --shuf: reads everything first
  std::optional<std::uint64_t> seed{};  ///< of the shuffling; random if not given
  int wake_fd = -1;                     ///< next() returns false while it is readable
  /// Or, where nothing is waited for, once this says so; empty: never.
  std::function<bool()> stopped{};
  /// Told what is no error and yet may be a surprise: a source of a product that is empty.
  std::function<void(const std::string&)> warn{};
};

/// All sources, combined: every combination, the last source varying fastest; standard input if
/// there is none. Of several sources, the first is read as it is used; the others are read as
/// they are first used, and then kept.
///
/// Errors     weir::error: `usage`, `no_input` (files are looked at here). The source throws
///            `data` for a record longer than 16 MiB, one with a NUL byte, and for CSV that is
///            none.
[[nodiscard]] std::unique_ptr<task_source> open(const input_options& options,
                                                const std::vector<source_spec>& sources);

/// Reads everything when first asked for something, so that total() is known after that.
[[nodiscard]] std::unique_ptr<task_source> hold(std::unique_ptr<task_source> source);

}  // namespace weir::cli::run
