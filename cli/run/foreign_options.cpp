#include "foreign_options.hpp"

#include <algorithm>
#include <array>
#include <string>

namespace weir::cli::run {
namespace {

constexpr std::string_view workers =
    "start weir-worker --from on the other machines, and weir run with --listen";
constexpr std::string_view no_ssh =
    "there is no ssh between weir's machines: workers connect by themselves, see --listen";
constexpr std::string_view no_files =
    "no files are copied: let the command read what it is given and print its result, or share "
    "a folder";
constexpr std::string_view no_semaphore = "use flock(1)";
constexpr std::string_view by_column =
    "sort by the column or divide by it, as awk '{print > $1}' does, and run a command for "
    "each";
constexpr std::string_view no_sql =
    "--joblog says what has been done, --results FILE.csv what came out, --listen shares the "
    "work";
constexpr std::string_view script =
    "write a script that begins with #!/bin/sh and has weir run in it";
constexpr std::string_view environment =
    "commands have the environment of weir run; on other machines weir-worker has --env";
constexpr std::string_view one_name = "only {} can be given another name, with -I";
constexpr std::string_view perl =
    "--plus has what is most often needed; for more, a script: weir run 'set -- {}; echo "
    "${1%.*}'";
constexpr std::string_view disk =
    "what does not fit into memory goes to a file in TMPDIR, which may be on a file system "
    "that "
    "compresses";
constexpr std::string_view processors = "see nproc(1) and lscpu(1)";
constexpr std::string_view counted = "-j takes a number, such as -j $(nproc)";
constexpr std::string_view limits = "see getconf ARG_MAX; -X keeps to it by itself";
constexpr std::string_view terminal =
    "a command that needs the terminal cannot share it: run it by itself";
constexpr std::string_view see_lines = "--line-buffer --tag shows who writes what";
constexpr std::string_view standard_input =
    "let the command read its standard input; as a file it is /dev/stdin";

constexpr std::array table{
    // Other machines
    foreign_option{"-S --sshlogin", workers},
    foreign_option{"--sshloginfile --slf", workers},
    foreign_option{"--ssh", no_ssh},
    foreign_option{"--ssh-delay", no_ssh},
    foreign_option{"--controlmaster -M", no_ssh},
    foreign_option{"--filter-hosts", "a machine that is down has no worker, and costs nothing"},
    foreign_option{"--hostgroups --hgrp",
                   "run one weir run for each group, with a --listen of its own"},
    foreign_option{"--onall",
                   "use a loop over the machines: for host in a b; do ssh $host COMMAND; done"},
    foreign_option{"--nonall",
                   "use a loop over the machines: for host in a b; do ssh $host COMMAND; done"},
    foreign_option{"--transfer", no_files},
    foreign_option{"--transferfile --tf", no_files},
    foreign_option{"--return", no_files},
    foreign_option{"--trc", no_files},
    foreign_option{"--cleanup", no_files},
    foreign_option{"--basefile --bf", no_files},
    foreign_option{"--rsync-opts", no_files},
    foreign_option{"--env", environment},
    foreign_option{"--record-env", environment},
    foreign_option{"--session", environment},
    foreign_option{
        "--workdir --wd",
        "cd there first, or in the command: 'cd DIR && COMMAND'; weir-worker has --cwd"},

    // Input and replacement strings
    foreign_option{"-i --replace", "use -I"},
    foreign_option{"-l --max-lines", "use -L"},
    foreign_option{"-x --exit", "a value that does not fit with -s is an error without it"},
    foreign_option{"--filter", "filter the values before: grep, awk"},
    foreign_option{"--template --tmpl",
                   "let the command make its file: sed, envsubst, a here-document"},
    foreign_option{"--rpl", perl},
    foreign_option{"--parens", perl},
    foreign_option{"--extensionreplace --er", one_name},
    foreign_option{"--basenamereplace --bnr", one_name},
    foreign_option{"--dirnamereplace --dnr", one_name},
    foreign_option{"--basenameextensionreplace --bner", one_name},
    foreign_option{"--seqreplace", one_name},
    foreign_option{"--slotreplace", one_name},
    foreign_option{"--process-slot-var",
                   "a command finds its slot in PARALLEL_JOBSLOT, from 1"},
    foreign_option{"--skip-first-line", "use --header : or tail -n +2"},
    foreign_option{"--shell-quote",
                   "values are quoted where it is needed; printf %q of bash shows it"},
    foreign_option{"--max-line-length-allowed", limits},
    foreign_option{"--show-limits", limits},

    // --pipe
    foreign_option{"--pipe-part", "use --pipe, with the file as standard input: < FILE"},
    foreign_option{"--cat", standard_input},
    foreign_option{"--fifo", standard_input},
    foreign_option{"--tee", "use tee(1): tee >(COMMAND) >(COMMAND)"},
    foreign_option{"--bin", by_column},
    foreign_option{"--shard", by_column},
    foreign_option{"--group-by", by_column},
    foreign_option{"--regexp --regex", "--recstart and --recend are plain text"},
    foreign_option{"--remove-rec-sep --rrs", "let the command leave them out: tr -d, sed"},
    foreign_option{"--block-timeout --bt", "use -N, whose tasks start with their last record"},

    // Output
    foreign_option{"--output-as-files --files", "use --results FOLDER"},
    foreign_option{"--compress", disk},
    foreign_option{"--compress-program", disk},
    foreign_option{"--decompress-program", disk},
    foreign_option{"--tmpdir", "set TMPDIR"},
    foreign_option{"--color", see_lines},
    foreign_option{"--color-failed --cf", "the joblog says what has failed"},
    foreign_option{"--ctag", "use --tag"},
    foreign_option{"--ctagstring", "use --tagstring"},
    foreign_option{"--latest-line --ll", see_lines},
    foreign_option{"--tmux", see_lines},
    foreign_option{"--tmuxpane", see_lines},
    foreign_option{"--tty", terminal},
    foreign_option{"--open-tty -o", terminal},
    foreign_option{"--no-keep-order", "leave out -k"},
    foreign_option{"--silent", "leave it out: commands are shown with -v or -t only"},
    foreign_option{"--total-jobs --total", "--bar and --eta count the values themselves"},

    // Control
    foreign_option{"--interactive -p", "use --dry-run, and run those lines that you want"},
    foreign_option{"--limit", "use --load or --memfree"},
    foreign_option{"--memsuspend", "use --memfree"},
    foreign_option{"--noswap", "use --memfree"},
    foreign_option{"--use-sockets-instead-of-threads", counted},
    foreign_option{"--use-cores-instead-of-threads", counted},
    foreign_option{"--use-cpus-instead-of-cores", counted},
    foreign_option{"--number-of-cpus", processors},
    foreign_option{"--number-of-cores", processors},
    foreign_option{"--number-of-sockets", processors},
    foreign_option{"--number-of-threads", processors},
    foreign_option{"--semaphore", no_semaphore},
    foreign_option{"--semaphore-name --id", no_semaphore},
    foreign_option{"--semaphore-timeout --st", no_semaphore},
    foreign_option{"--fg", "leave it out: weir run waits for its commands"},
    foreign_option{"--bg", "put & behind the command"},
    foreign_option{"--wait", "leave it out: weir run waits for its commands"},
    foreign_option{"--sql", no_sql},
    foreign_option{"--sql-master", no_sql},
    foreign_option{"--sql-worker", no_sql},
    foreign_option{"--sql-and-worker", no_sql},

    // Around it
    foreign_option{"--profile -J", "use --config FILE, or an alias of your shell"},
    foreign_option{"--plain", "leave it out: nothing is read that is not asked for"},
    foreign_option{"--gnu --tollef", "leave it out"},
    foreign_option{"-V", "use --version"},
    foreign_option{"--minversion", "see weir run --version"},
    foreign_option{"--embed", "weir is a program: scripts call it"},
    foreign_option{"--shebang --hashbang", script},
    foreign_option{"--shebang-wrap", script},
    foreign_option{"--shell-completion",
                   "completions for bash and zsh are installed with weir"},
    foreign_option{"--_parset",
                   "read the output into an array: mapfile -t results < <(weir run -k ...)"},
};

bool is(std::string_view name, std::string_view word) {
  const bool long_name = name.starts_with("--");
  if (long_name != word.starts_with("--")) return false;
  // Behind a short one, its value may follow at once.
  return long_name ? without_dashes(name) == without_dashes(word.substr(0, word.find('=')))
                   : word.starts_with(name);
}

bool has(const foreign_option& option, std::string_view word) {
  for (auto rest = option.names; !rest.empty();) {
    const auto end = std::min(rest.find(' '), rest.size());
    if (is(rest.substr(0, end), word)) return true;
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
  return false;
}

}  // namespace

std::string without_dashes(std::string_view name) {
  std::string out;
  std::copy_if(name.begin(), name.end(), std::back_inserter(out),
               [](char c) { return c != '-'; });
  return out;
}

std::span<const foreign_option> foreign_options() { return table; }

const foreign_option* find_foreign(std::string_view word) {
  const auto* found = std::find_if(table.begin(), table.end(),
                                   [&](const foreign_option& o) { return has(o, word); });
  return found == table.end() ? nullptr : found;
}

}  // namespace weir::cli::run
