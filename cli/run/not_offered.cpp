// What GNU parallel has and weir has not, and what to do instead.
#include "options.hpp"

#include <weir/error.hpp>

#include <algorithm>
#include <string_view>

namespace weir::cli::run {
namespace {

struct replacement {
  std::string_view option;
  std::string_view instead;
};

constexpr replacement not_offered[] = {
    {"-S", "start weir-worker on the other machines and --listen here"},
    {"--sshlogin", "start weir-worker on the other machines and --listen here"},
    {"--sshloginfile", "start weir-worker on the other machines and --listen here"},
    {"--slf", "start weir-worker on the other machines and --listen here"},
    {"--nonall", "weir has no ssh: use a loop over the machines"},
    {"--onall", "weir has no ssh: use a loop over the machines"},
    {"--transferfile",
     "send the file's content as the task, with --pipe, or share a directory"},
    {"--transfer", "send the file's content as the task, with --pipe, or share a directory"},
    {"--return", "let the command print its result: --results collects it"},
    {"--cleanup", "let the command remove what it leaves: rm in the script"},
    {"--trc", "let the command read its task and print its result"},
    {"--basefile", "install the file where the worker runs"},
    {"--env", "the environment is inherited here; weir-worker has --env"},
    {"--rpl", "use --plus, or a script for sh: ${1%.*} and the like"},
    {"--sem", "use flock(1)"},
    {"--semaphore", "use flock(1)"},
    {"--sql", "use --results FILE.csv"},
    {"--sqlmaster", "use --results FILE.csv"},
    {"--sqlworker", "use --listen and weir-worker"},
    {"--sqlandworker", "use --listen and weir-worker"},
    {"--tmux", "use --line-buffer --tag"},
    {"--fg", "leave it out: weir run waits anyway"},
    {"--bg", "put & behind the command"},
    {"--pipepart", "use --pipe: it reads the file as fast as it can be read"},
    {"--pipe-part", "use --pipe: it reads the file as fast as it can be read"},
    {"--cat", "let the command read its standard input: 'cat > file; command file'"},
    {"--fifo", "let the command read its standard input"},
    {"--tee", "use tee >(command) >(command)"},
    {"--group-by", "sort by the column, then use --recstart"},
    {"--shard", "use split or awk to distribute by a column"},
    {"--bin", "use split or awk to distribute by a column"},
    {"--files", "use --results DIR"},
    {"--compress", "output beyond memory goes to TMPDIR: choose a compressing file system"},
    {"--tmpdir", "set TMPDIR"},
    {"--tempdir", "set TMPDIR"},
    {"--workdir", "cd there first; weir-worker has --cwd"},
    {"--wd", "cd there first; weir-worker has --cwd"},
    {"--profile", "use --config FILE"},
    {"-J", "use --config FILE"},
    {"--total-jobs", "use --eta or --bar, which count the values first"},
    {"--memsuspend", "use --memfree"},
    {"--limit", "use --load or --memfree, or a script that waits before its work"},
    {"--noswap", "use --memfree"},
    {"--interactive", "use --dry-run and run what you want"},
    {"-p", "use --dry-run and run what you want"},
    {"--max-line-length-allowed", "-X finds out by itself; -s sets it"},
    {"--show-limits", "-X finds out by itself; -s sets it"},
    {"-L", "use -n or -N"},
    {"-l", "use -n or -N"},
    {"-i", "use -I"},
    {"-E", "end the input before that line: sed '/^END$/Q'"},
    {"-e", "end the input before that line: sed '/^END$/Q'"},
    {"--semaphorename", "use flock(1)"},
    {"--id", "use flock(1)"},
    {"--citation", "there is none to cite"},
    {"--embed", "weir is a program to be installed"},
    {"--plain", "there are no profiles to leave out"},
    {"--record-env", "the environment is inherited as it is"},
    {"--session", "the environment is inherited as it is"},
    {"--ctag", "use --tag"},
    {"--ctagstring", "use --tagstring"},
    {"--color", "use --tag"},
    {"--latest-line", "use --line-buffer --tag"},
    {"--ll", "use --line-buffer --tag"},
    {"--regexp", "--recend and --recstart are plain text"},
    {"--remove-rec-sep", "remove them in the command: tr -d"},
    {"--milestone", "run one weir run after the other"},
};

}  // namespace

void refuse_unknown(const std::vector<std::string>& words) {
  if (words.empty() || words[0].size() < 2 || words[0][0] != '-') return;
  const auto option = std::string_view(words[0]).substr(0, words[0].find('='));
  for (const auto& known : not_offered) {
    const bool attached = known.option.size() == 2 && option.starts_with(known.option);
    if (option == known.option || (attached && !option.starts_with("--")))
      throw error(exit_code::usage, std::string(known.option) +
                                        " is not offered: " + std::string(known.instead) +
                                        " (docs/from-parallel.md)");
  }
  throw error(exit_code::usage,
              "there is no option " + std::string(option) +
                  " (see weir run --help; a command that begins with - goes behind --)");
}

}  // namespace weir::cli::run
