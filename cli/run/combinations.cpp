#include "combinations.hpp"

#include <weir/error.hpp>

#include <initializer_list>
#include <string>

namespace weir::cli::run {
namespace {

constexpr std::size_t largest_message = std::size_t{16} << 20;

[[noreturn]] void refuse(const std::string& what) { throw error(exit_code::usage, what); }

/// An option, whether it was given, and what does the same there, if anything does.
struct option {
  const char* name;
  bool given;
  const char* instead = nullptr;
};

/// Of options that would have no effect, the first that was given is refused.
void refuse_any(const std::string& because, std::initializer_list<option> options) {
  for (const auto& o : options)
    if (o.given)
      refuse(because + ": leave out " + o.name +
             (o.instead != nullptr ? ", or use " + std::string(o.instead) : ""));
}

void check_pipe(const settings& s) {
  if (!s.coproc.empty()) refuse("--pipe and --coproc exclude each other");
  refuse_any("--pipe cuts standard input into blocks, there are no values",
             {{"-a", !s.files.empty(), "< FILE"},
              {"-0", s.nul, "--recend '\\0'"},
              {"-d", !s.delimiter.empty(), "--recend"},
              {"--colsep", !s.colsep.empty()},
              {"--csv", s.csv},
              {"--link", s.link},
              {"--trim", !s.trim.empty()},
              {"--shuf", s.shuffle, "shuf(1) before it"},
              {"-E", !s.end.empty()},
              {"-L", s.lines.has_value(), "-N"},
              {"-X", s.fill, "--block"},
              {"-m", s.spread, "--block"},
              {"--xargs", s.xargs, "--block"},
              {"-s", s.max_bytes > 0, "--block"}});
  refuse_any("--pipe learns how many blocks there are when all is read",
             {{"--bar", s.bar, "--progress"}, {"--eta", s.eta, "--progress"}});
  refuse_any("--pipe does not know by its value what was done",
             {{"--resume", s.resume},
              {"--resume-failed", s.resume_failed},
              {"--retry-failed", s.retry_failed}});
}

/// For a command that is there as long as the slot, not as long as a task.
void refuse_for_each_task(const settings& s, const std::string& because) {
  refuse_any(because, {{"--joblog", !s.joblog.empty()},
                       {"--results", !s.results.empty()},
                       {"--tag", s.tag},
                       {"--tagstring", !s.tagstring.empty()},
                       {"--line-buffer", s.line_buffer},
                       {"-u", s.ungroup},
                       {"--dry-run", s.dry_run},
                       {"--delay", s.delay.count() > 0},
                       {"--load", !s.max_load.empty()},
                       {"--memfree", s.memory_free > 0},
                       {"-t", s.verbose},
                       {"-v", s.verbose_stdout}});
}

void check_coproc(const settings& s) {
  refuse_for_each_task(
      s, "--coproc starts a command for each slot, which answers line after line");
  refuse_any("--coproc ends a command by TERM and then KILL",
             {{"--term-seq", s.term_sequence != settings().term_sequence}});
  refuse_any("--coproc does not measure how long each line takes",
             {{"--timeout N%", s.timeout.ends_with('%'), "a time"}});
  refuse_any("--coproc is for this machine",
             {{"--listen", !s.listen.empty(), "weir-ventilator and weir-worker --coproc"}});
}

void check_round_robin(const settings& s) {
  if (!s.pipe) refuse("--round-robin is for --pipe");
  const std::string because =
      "--round-robin starts a command for each slot, which reads block after block";
  refuse_for_each_task(s, because);
  refuse_any(because, {{"--timeout", !s.timeout.empty()}, {"--retries", s.retries != 1}});
  refuse_any("--round-robin is for this machine", {{"--listen", !s.listen.empty()}});
  refuse_any("--round-robin has commands that fail, and blocks that are counted",
             {{"--halt N%", s.halt.ends_with('%'), "a number of commands"}});
}

void check_listen(const settings& s) {
  refuse_any("--listen has others run commands", {{"--dry-run", s.dry_run}});
  refuse_any("--listen tells others how long a command may take, and no median is known there",
             {{"--timeout N%", s.timeout.ends_with('%'), "a time"}});
  if (s.pipe && s.block > largest_message)
    refuse("--block: at most 16M with --listen, as a block travels in one message");
}

}  // namespace

void check_combinations(const settings& s) {
  if (s.pipe) check_pipe(s);
  if (!s.coproc.empty()) check_coproc(s);
  if (s.round_robin) check_round_robin(s);
  if (!s.listen.empty()) check_listen(s);
  if (goes_on(s) && s.joblog.empty())
    refuse(
        "--resume, --resume-failed and --retry-failed need --joblog FILE, which says what was "
        "done");
}

}  // namespace weir::cli::run
