#include "options.hpp"

#include "help.hpp"
#include "option_types.hpp"

#include <weir/error.hpp>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <thread>

namespace weir::cli::run {
namespace {

using nodes::daily;

/// -j0: more than anything but waiting needs, and few enough for descriptors and threads.
constexpr unsigned most_jobs = 250;

CLI::Option* text(CLI::App& app, const std::string& flags, std::string& target,
                  const std::string& type, const std::string& description) {
  return app.add_option(flags, target, description)->type_name(type);
}

/// As GNU parallel reads them: k is 1000, K is 1024, and so on.
std::size_t parse_amount(std::string_view text) {
  constexpr std::string_view small = "kmgtp";
  const auto unit = text.empty() ? small.npos : small.find(text.back());
  if (unit == small.npos) return nodes::parse_size(text);
  double value = static_cast<double>(nodes::parse_size(text.substr(0, text.size() - 1)));
  for (std::size_t i = 0; i <= unit; ++i) value *= 1000;
  return static_cast<std::size_t>(value);
}

CLI::Option* size(CLI::App& app, const std::string& flags, std::size_t& target,
                  const std::string& description) {
  return app
      .add_option_function<std::string>(
          flags,
          [&target, flags](const std::string& given) {
            try {
              target = parse_amount(given);
            } catch (const error& e) {
              const auto name = flags.substr(flags.find("--"));
              throw CLI::ValidationError(name.substr(0, name.find(',')), e.what());
            }
          },
          description)
      ->type_name("SIZE")
      ->default_str("");
}

void declare_input(CLI::App& app, settings& s) {
  const std::string group = "Input";
  daily(app.add_option("-a,--arg-file", s.files,
                       "Read from FILE instead of standard input; several: every combination")
            ->type_name("FILE")
            ->allow_extra_args(false)
            ->group(group),
        "Values are the lines of FILE, not of standard input");
  daily(app.add_flag("-0,--null", s.nul, "Values end with a NUL byte (find -print0)")
            ->group(group));
  text(app, "-d,--delimiter", s.delimiter, "CHARS", "Values end with CHARS: '\\t', ', ', '\\0'")
      ->group(group);
  daily(text(app, "-C,--colsep", s.colsep, "REGEXP", "Split each line into columns {1} {2} ...")
            ->group(group),
        "Lines have columns: {1} {2} ...");
  app.add_flag("--csv", s.csv, "Lines are CSV")->group(group);
  text(app, "--header", s.header, ":",
       "The first line of each source names its columns: {name}")
      ->check(CLI::IsMember({":"}))
      ->group(group);
  app.add_flag("--link,--xapply", s.link, "Go through all sources in step")->group(group);
  text(app, "--trim", s.trim, "n|l|r|lr", "Remove white space around values")->group(group);
  app.add_flag("--shuf", s.shuffle, "In random order: reads everything first")->group(group);
  app.add_flag("-r,--no-run-if-empty", s.skip_blank, "Leave out blank lines")->group(group);
  text(app, "-E,-e,--eof", s.end, "TEXT", "A line that is TEXT ends its source")->group(group);
  auto* most = daily(
      app.add_option("-n,--max-args,-N,--max-replace-args", s.most, "So many values in a task")
          ->type_name("MAX")
          ->check(CLI::Range(0, INT32_MAX).description(""))
          ->group(group),
      "So many values in a task");
  app.add_option("-L", s.lines,
                 "The same, and a line that ends with a blank goes on in the next")
      ->type_name("MAX")
      ->check(CLI::Range(1, INT32_MAX).description(""))
      ->excludes(most)
      ->group(group);
  daily(app.add_flag("-X", s.fill,
                     "As many values in a task as fit on a command line; x{} is xa xb")
            ->group(group),
        "As many values in a task as fit on a command line");
  app.add_flag("-m", s.spread, "The same; x{} is xa b")->group(group);
  app.add_flag("--xargs", s.xargs, "As -m, and what is left is not shared out among the slots")
      ->group(group);
  size(app, "-s,--max-chars", s.max_bytes, "The longest command line for -X, -m, --xargs")
      ->group(group);
  text(app, "--arg-sep", s.arg_sep, "TEXT", "Instead of :::")->group(group);
  text(app, "--arg-file-sep", s.arg_file_sep, "TEXT", "Instead of ::::")->group(group);
  daily(app.add_flag("--pipe,--spreadstdin", s.pipe,
                     "Cut standard input into blocks, which the commands read from theirs")
            ->group(group),
        "Blocks of standard input for the commands to read");
  size(app, "--block,--block-size", s.block, "With --pipe: about so much in a task")
      ->default_str("1M")
      ->group(group);
  app.add_option("--recend", s.record_end,
                 "With --pipe: records end with TEXT (\\n, unless --recstart is given)")
      ->type_name("TEXT")
      ->group(group);
  text(app, "--recstart", s.record_start, "TEXT", "With --pipe: records begin with TEXT")
      ->group(group);
  app.add_flag("--round-robin,--round", s.round_robin,
               "With --pipe: one command for each slot, which reads block after block")
      ->group(group);
  app.add_flag("--coproc{line}", s.coproc,
               "Start the command once for each slot: a line in, a line out. With "
               "--coproc=frame: 4-byte big-endian lengths before each")
      ->check(CLI::IsMember({"line", "frame"}))
      ->group(group);
}

void declare_command(CLI::App& app, settings& s) {
  const std::string group = "Command";
  text(app, "-I", s.replace, "TEXT", "What stands for the value")->group(group);
  app.add_flag("--plus", s.plus, "More replacement strings: {..} {+/} {%suffix} ...")
      ->group(group);
  daily(app.add_flag("--shell", s.shell, "The command is a script for sh, values are quoted")
            ->group(group));
  app.add_flag("-q,--quote", s.quote, "The command is no script, whatever is in it")
      ->group(group);
  daily(app.add_flag("--dry-run,--dryrun", s.dry_run, "Print the commands and run none")
            ->group(group));
  app.add_option("--nice", s.nice, "Run commands with this niceness")
      ->type_name("N")
      ->check(CLI::Range(-20, 19).description(""))
      ->group(group);
}

void declare_output(CLI::App& app, settings& s) {
  const std::string group = "Output";
  daily(
      app.add_flag("-k,--keep-order", s.keep_order, "In the order of the tasks")->group(group));
  auto* grouped = app.add_flag("--group", s.group,
                               "Each task's output, then its errors, when it has ended: so "
                               "unless told otherwise")
                      ->group(group);
  auto* lines = daily(app.add_flag("--line-buffer,--lb", s.line_buffer,
                                   "Whole lines, as soon as they are written")
                          ->group(group),
                      "Whole lines, as soon as they are written");
  auto* ungrouped = daily(app.add_flag("-u,--ungroup", s.ungroup,
                                       "As it is written, mixed: the fastest with much output")
                              ->group(group),
                          "As it is written, mixed");
  grouped->excludes(lines, ungrouped);
  lines->excludes(ungrouped);
  auto* tag =
      daily(app.add_flag("--tag", s.tag, "The value and a TAB before each line")->group(group),
            "The value and a TAB before each line");
  auto* tagstring =
      text(app, "--tagstring", s.tagstring, "TEXT", "TEXT and a TAB before each line")
          ->group(group);
  tag->excludes(tagstring);
  tag->excludes(ungrouped);
  tagstring->excludes(ungrouped);
  daily(text(app, "--results,--res", s.results, "PLACE",
             "Output goes to files below PLACE, or into the table PLACE.csv, .tsv or .json")
            ->excludes(ungrouped)
            ->group(group),
        "Output goes to files below PLACE, or to PLACE.csv");
  daily(text(app, "--joblog,--jl", s.joblog, "FILE", "A line for each task; +FILE appends")
            ->group(group));
  app.add_flag("-t,--verbose", s.verbose, "Print each command to standard error")->group(group);
  app.add_flag("-v", s.verbose_stdout, "Print each command before its output")->group(group);
  daily(app.add_flag("--bar", s.bar, "Show a bar, how far it is, and how long it will take")
            ->group(group),
        "Show how far it is, and how long it will take");
  app.add_flag("--eta", s.eta, "Show how long it will take: reads all values first")
      ->group(group);
  app.add_flag("--progress", s.progress, "Show how many are done")->group(group);
}

void declare_control(CLI::App& app, settings& s) {
  const std::string group = "Control";
  daily(text(app, "-j,--jobs,-P,--max-procs", s.jobs, "N",
             "So many at a time: N, N% of the processors, +N or -N; 0: 250")
            ->group(group),
        "N or N% of the processors at a time");
  daily(app.add_option("--retries", s.retries,
                       "Run it up to N times until it succeeds; 0: for ever")
            ->type_name("N")
            ->check(CLI::Range(0, INT32_MAX).description(""))
            ->group(group),
        "Up to N attempts until it succeeds");
  daily(text(app, "--timeout", s.timeout, "TIME",
             "End what takes longer: 30, 5m, or 300%, of the median of those that succeeded")
            ->group(group),
        "End what takes longer: 30, 5m");
  nodes::add_duration(app, "--delay", s.delay, "Between two starts")->group(group);
  daily(text(app, "--halt,--halt-on-error", s.halt, "WHEN,WHY=X",
             "now or soon, on fail, success or done = N or N%: now,fail=1")
            ->group(group),
        "now or soon, on fail, success or done: now,fail=1");
  text(app, "--load,--max-load", s.max_load, "N",
       "Start nothing while N processes, or N% of the processors, want to run")
      ->group(group);
  size(app, "--memfree", s.memory_free,
       "Start nothing with less memory left; below half of it, end the youngest and start it "
       "again later")
      ->group(group);
  text(app, "--term-seq,--termseq", s.term_sequence, "SEQUENCE",
       "Signals and milliseconds, to end a command")
      ->group(group);
  app.add_flag("--resume", s.resume, "Leave out what is in the joblog, by what it is")
      ->group(group);
  daily(app.add_flag("--resume-failed", s.resume_failed,
                     "Leave out what has succeeded according to the joblog")
            ->group(group),
        "Leave out what has succeeded, as the joblog has it");
  app.add_flag("--retry-failed", s.retry_failed,
               "Run again what has failed according to the joblog, and nothing else")
      ->group(group);
  app.add_flag("--will-cite,--no-notice")->group("");  // so that scripts need not change
}

void declare_links(CLI::App& app, settings& s) {
  daily(nodes::add_endpoints(
            app, "--listen", s.listen, "",
            "Give tasks to workers that connect here as well: weir-worker --from. "
            "They run their own command, or this one with --accept-command")
            ->group("Other machines"),
        "Give tasks to workers that connect here as well");
  app.add_flag("--insecure", s.node.insecure,
               "Allow addresses that other machines can reach: nothing is authenticated or "
               "encrypted yet")
      ->group("Other machines");
  nodes::add_duration(app, "--heartbeat", s.node.heartbeat,
                      "How often a silent node shows that it lives; five times this without a "
                      "word and it is taken for dead")
      ->group("Other machines");
}

double number_in(const std::string& text, std::string_view digits, const char* option) {
  double value = 0;
  const auto [end, failure] =
      std::from_chars(digits.data(), digits.data() + digits.size(), value);
  if (failure != std::errc{} || end != digits.data() + digits.size() || value < 0)
    throw error(exit_code::usage, std::string(option) + " " + text + ": not a number");
  return value;
}

double processors() { return std::max(1U, std::thread::hardware_concurrency()); }

}  // namespace

void declare(CLI::App& app, settings& s) {
  app.prefix_command();
  declare_input(app, s);
  declare_command(app, s);
  declare_output(app, s);
  declare_control(app, s);
  declare_links(app, s);
}

unsigned parse_jobs(const std::string& text) {
  std::string_view digits = text;
  const char sign = digits.starts_with('+') || digits.starts_with('-') ? digits[0] : ' ';
  if (sign != ' ') digits.remove_prefix(1);
  const bool percent = digits.ends_with('%');
  if (percent) digits.remove_suffix(1);
  double n = number_in(text, digits, "--jobs");
  if (!percent && n != std::floor(n))
    throw error(exit_code::usage, "--jobs " + text + ": not a whole number");
  if (percent) n = processors() * n / 100;
  if (sign == '+') n = processors() + n;
  if (sign == '-') n = processors() - n;
  if (n == 0 && sign == ' ' && !percent) return most_jobs;
  return static_cast<unsigned>(std::clamp<double>(n, 1, most_slots));
}

time_limit parse_timeout(const std::string& text) {
  time_limit limit;
  if (text.empty()) return limit;
  if (text.ends_with('%'))
    limit.percent =
        number_in(text, std::string_view(text).substr(0, text.size() - 1), "--timeout");
  else
    try {
      limit.fixed = nodes::parse_duration(text);
    } catch (const error& e) {
      throw error(e.code(), std::string("--timeout: ") + e.what());
    }
  return limit;
}

std::optional<double> parse_load(const std::string& text) {
  if (text.empty()) return std::nullopt;
  std::string_view digits = text;
  const bool percent = digits.ends_with('%');
  if (percent) digits.remove_suffix(1);
  const double n = number_in(text, digits, "--load");
  return percent ? processors() * n / 100 : n;
}

input_options input_of(const settings& s) {
  input_options in;
  in.files = s.files;
  if (!s.delimiter.empty()) in.delimiter = parse_delimiter(s.delimiter);
  if (s.nul) in.delimiter = std::string(1, '\0');
  if (!s.colsep.empty()) in.colsep = s.colsep;
  in.csv = s.csv;
  in.header = !s.header.empty();
  if (!s.trim.empty()) in.trimmed = parse_trim(s.trim);
  in.end = s.end;
  in.continued = s.lines.has_value();
  in.link = s.link;
  in.skip_blank = s.skip_blank;
  in.shuffle = s.shuffle;
  return in;
}

}  // namespace weir::cli::run
