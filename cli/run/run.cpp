// weir run: a command for each value, here and wherever workers join.
#include "io/output.hpp"
#include "options.hpp"
#include "session.hpp"
#include "verb.hpp"

#include <weir/memory.hpp>

namespace weir::cli {
namespace {

using run::other_error;

const nodes::program about{
    "weir run",
    "run a command for each value, here and on other machines",
    "[OPTION...] [--] COMMAND [ARG...] [::: VALUE...]",
    "Runs COMMAND once for each line of standard input, or each VALUE, several at a time, and "
    "prints the output of one after the other.\n\n"
    "{} in the command is replaced by the value, {.} {/} {//} {/.} by it without its "
    "extension, "
    "its base name, its directory, its base name without extension; {#} is the task's number, "
    "{%} its slot, {1} {2} are columns, {name} those of --header. Without any of these the "
    "value is appended.\n\n"
    "Several words are a command and its arguments, run without a shell: nothing in a value is "
    "ever split or interpreted. A single word with anything in it that means something to a "
    "shell is a script for sh, and the values are quoted.\n\n"
    "Values come from standard input, -a FILE, ::: VALUE... and :::: FILE...; of several "
    "sources every combination, or with :::+ and ::::+ in step. Input is read as it is needed: "
    "it may be endless.\n\n"
    "SIGHUP: finish what runs, start no more. SIGINT or SIGTERM: end what runs, by --term-seq; "
    "again: kill it. SIGUSR1: print what runs.",
    {{"Convert every FLAC file, as many at a time as there are processors",
      "find . -name '*.flac' -print0 | weir run -0 --bar ffmpeg -i {} {.}.mp3"},
     {"Every combination, in order, with its values before each line",
      "weir run -k --tag 'echo {1} | tr a-z A-Z; sleep {2}' ::: a b ::: 1 2"},
     {"Go on where it ended, whatever has become of the list since",
      "weir run --joblog log --resume-failed ./step {} :::: list"},
     {"Stop at the first failure, with its exit status",
      "weir run --halt now,fail=1 ./check {} ::: *.conf"}},
    {"weir-worker(1)", "parallel(1)", "xargs(1)"},
    {{0, "All tasks succeeded."},
     {1, "to 100: so many tasks failed; with --halt now,fail=1: what the task returned."},
     {101, "More than 100 tasks failed."},
     {other_error, "Another error: a bad option, no such file."}},
    /*common_options=*/false};

}  // namespace

int run_main(int argc, const char* const* argv) {
  keep_freed_memory();
  run::settings s;
  const CLI::App* parsed = nullptr;
  // An exit code of node_main() that is not ours must not be taken for a number of failures.
  bool ended_well = false;
  const int code = nodes::node_main(
      argc, argv, about,
      [&](CLI::App& app) {
        parsed = &app;
        run::declare(app, s);
      },
      [&](nodes::node_context& context) {
        try {
          const int status = run::run_session(s, *parsed, context);
          ended_well = true;
          return status;
        } catch (const io::broken_pipe&) {
          ended_well = true;  // as other filters end
          throw;
        }
      });
  return ended_well || code == 0 ? code : other_error;
}

}  // namespace weir::cli
