// What can be said to `weir run`.
#pragma once

#include "input.hpp"

#include <weir/node.hpp>

#include <CLI/CLI.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace weir::cli::run {

/// As typed; what it means is made of it in run.cpp. Names are GNU parallel's where it has
/// them.
struct settings {
  // Input
  std::vector<std::string> files;
  bool nul = false;
  std::string delimiter;
  std::string colsep;
  bool csv = false;
  std::string header;
  bool link = false;
  std::string trim;
  bool shuffle = false;
  bool skip_blank = false;
  std::optional<std::uint64_t> most;
  std::optional<std::uint64_t> lines;
  std::string end;
  std::string arg_sep = separators().values;
  std::string arg_file_sep = separators().files;
  bool fill = false;
  bool spread = false;
  bool xargs = false;
  std::size_t max_bytes = 0;
  bool pipe = false;
  std::size_t block = std::size_t{1} << 20;
  std::optional<std::string> record_end;
  std::string record_start;
  bool round_robin = false;
  std::string coproc;

  // Command
  std::string replace = "{}";
  bool plus = false;
  bool shell = false;
  bool quote = false;

  // Output
  bool keep_order = false;
  bool group = false;
  bool line_buffer = false;
  bool ungroup = false;
  bool tag = false;
  std::string tagstring;
  std::string results;
  std::string joblog;
  bool verbose = false;
  bool verbose_stdout = false;
  bool dry_run = false;
  bool bar = false;
  bool eta = false;
  bool progress = false;

  // Control
  std::string jobs = "100%";
  std::uint32_t retries = 1;
  std::string timeout;
  std::chrono::milliseconds delay{};
  std::string halt = "never";
  std::string max_load;
  std::size_t memory_free = 0;
  int nice = 0;
  std::string term_sequence = "TERM,200,TERM,100,TERM,50,KILL,25";
  bool resume = false;
  bool resume_failed = false;
  bool retry_failed = false;

  // Links
  std::vector<std::string> listen;
  node_options node;
};

/// Declares them. What follows the options, from the first word that is none, is left to
/// CLI::App::remaining().
void declare(CLI::App& app, settings& s);

/// Whether it goes on with what its joblog has.
[[nodiscard]] inline bool goes_on(const settings& s) {
  return s.resume || s.resume_failed || s.retry_failed;
}

/// Whatever --jobs says.
inline constexpr unsigned most_slots = 4096;

/// How many commands run at a time: N, N% of the processors, +N more or -N fewer than they are;
/// at least 1 and at most most_slots. 0: as many as make sense. Errors     weir::error usage.
[[nodiscard]] unsigned parse_jobs(const std::string& text);

/// What `--timeout` says: a time, or a percentage of the median.
struct time_limit {
  std::chrono::milliseconds fixed{};
  double percent = 0;
};
[[nodiscard]] time_limit parse_timeout(const std::string& text);

/// N, or N% of the processors.
[[nodiscard]] std::optional<double> parse_load(const std::string& text);

[[nodiscard]] input_options input_of(const settings& s);

/// Throws weir::error `usage` if the first word is an option that is not one of ours. What GNU
/// parallel has and weir has not is answered with what to do instead.
void refuse_unknown(const std::vector<std::string>& words, const CLI::App& app);

}  // namespace weir::cli::run
