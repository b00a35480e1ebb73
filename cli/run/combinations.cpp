#include "combinations.hpp"

#include <weir/error.hpp>

#include <string>

namespace weir::cli::run {
namespace {

constexpr std::size_t largest_block = std::size_t{16} << 20;

}  // namespace

void check_combinations(const settings& s) {
  const auto refuse = [](const std::string& what) { throw error(exit_code::usage, what); };
  if (s.pipe && !s.coproc.empty()) refuse("--pipe and --coproc exclude each other");
  if (s.round_robin && !s.pipe) refuse("--round-robin is for --pipe");
  if (s.pipe && s.block > largest_block)
    refuse("--block: at most 16M; a block is one task, and travels as one message");
  if (s.dry_run && (!s.coproc.empty() || s.round_robin || !s.listen.empty()))
    refuse("--dry-run does not go with --coproc, --round-robin and --listen: leave those out");
  const bool goes_on = s.resume || s.resume_failed || s.retry_failed;
  if (s.pipe && (!s.files.empty() || goes_on))
    refuse(
        "--pipe cuts standard input into blocks: give it the file with < FILE instead of -a; "
        "what was done is not known by value, so there is no --resume and --retry-failed");
  if (!s.results.empty() && goes_on)
    for (const char* table : {".csv", ".tsv", ".json"})
      if (s.results.ends_with(table))
        refuse("--results " + s.results +
               ": going on would write the table anew; name another");
  const bool plain_output = s.joblog.empty() && s.results.empty() && !s.tag &&
                            s.tagstring.empty() && !s.line_buffer && !s.ungroup;
  if (!s.coproc.empty() && !plain_output)
    refuse(
        "--coproc answers each line with a line: --joblog, --results, --tag, --tagstring, "
        "--line-buffer and --ungroup are for commands that run once for each value");
  if (s.round_robin && !plain_output)
    refuse(
        "--round-robin prints what its few commands have to say: --joblog, --results, --tag, "
        "--tagstring, --line-buffer and --ungroup are for one command for each block");
  if (!s.coproc.empty() && !s.listen.empty())
    refuse(
        "--coproc is for this machine: weir-ventilator and weir-worker --coproc do the same "
        "on several");
  if (s.round_robin && !s.listen.empty())
    refuse("--round-robin is for this machine; leave it out to give blocks to others");
  if (goes_on && s.joblog.empty())
    refuse(
        "--resume, --resume-failed and --retry-failed need --joblog FILE, which says what was "
        "done");
}

}  // namespace weir::cli::run
