#include "plan.hpp"

#include "gather.hpp"
#include "input.hpp"
#include "io/output.hpp"

#include <weir/error.hpp>

#include <unistd.h>

#include <utility>

namespace weir::cli::run {

namespace {

/// `--joblog list :::: list` would empty the values before they are read.
void keep_inputs(const settings& s, const std::vector<source_spec>& sources,
                 bool from_standard_input) {
  if (s.dry_run) return;
  auto inputs = s.files;
  for (const auto& source : sources)
    if (source.what == source_spec::kind::file) inputs.push_back(source.file);
  if (from_standard_input) inputs.emplace_back("-");
  const auto check = [&](const char* option, const std::string& output) {
    for (const auto& input : inputs)
      if (!output.empty() && io::is_same_file(input, output))
        throw error(exit_code::usage, std::string(option) + " " + output +
                                          ": values are read from that file: say another one");
  };
  check("--joblog", joblog_file(s));
  check("--results", s.results);
}

}  // namespace

plan::plan(const settings& s, const std::vector<std::string>& words, plan_options options)
    : stopped_(options.stopped) {
  auto typed = take_apart(words, {s.arg_sep, s.arg_file_sep});
  auto input = input_of(s);
  input.wake_fd = options.wake_fd;
  input.stopped = options.stopped;
  input.warn = std::move(options.warn);
  if (s.pipe && !typed.sources.empty())
    throw error(
        exit_code::usage,
        "--pipe cuts standard input into blocks, there are no values: leave out what is "
        "behind ::: or ::::, or use < FILE");
  const bool from_standard_input = s.pipe || (typed.sources.empty() && s.files.empty());
  if (from_standard_input && !s.retry_failed && ::isatty(STDIN_FILENO) == 1 && input.warn)
    input.warn(
        "reading from the terminal, to Ctrl-D (values can also stand behind :::, or in a "
        "file: -a FILE)");
  // One source that is empty.
  if (s.pipe) typed.sources = {source_spec{source_spec::kind::words, {}, {}, false}};
  input.nul_allowed = !s.coproc.empty();  // there values are no arguments
  if (!s.retry_failed) keep_inputs(s, typed.sources, from_standard_input);
  if (options.before_reading) options.before_reading();
  std::unique_ptr<task_source> records;
  if (s.retry_failed) {
    auto failed = std::make_unique<failed_before>(joblog_file(s));
    retried_ = failed.get();
    records = std::move(failed);
  } else {
    records = open(std::move(input), typed.sources);
  }

  strings_.replace = s.replace;
  strings_.plus = s.plus;
  strings_.shell = s.shell;
  strings_.quote = s.quote;
  const auto most = s.lines ? s.lines : s.most;
  const bool fill = s.fill || s.spread || s.xargs || s.max_bytes > 0;
  strings_.spread = !s.fill && (s.spread || s.xargs);
  strings_.repeat = !strings_.spread && (most || fill);
  strings_.names = records->names();
  strings_.slots = options.jobs;
  auto texts = typed.command;
  texts.insert(texts.end(), {s.tagstring, s.results});
  if (!s.listen.empty() && uses_slot(texts, strings_))
    throw error(exit_code::usage,
                "{%} numbers the slots of this machine: with --listen, leave it out");
  has_slot_ = uses_slot(typed.command, strings_);
  const bool gathers = (most || fill) && !s.pipe;
  // How many tasks gathered records make, and how many blocks there are, is only known
  // afterwards: {##} is refused there.
  if (!gathers && !s.pipe) {
    const bool count = options.count || uses_total(texts, strings_);
    if (count && !records->total()) records = hold(std::move(records));
    total_ = strings_.total = records->total();
  }
  command_.emplace(s.retry_failed ? std::vector<std::string>() : typed.command, strings_);
  if (gathers) {
    const bool share = s.fill || s.spread || !s.xargs;
    records = gather(std::move(records), {most, fill, s.max_bytes, share ? options.jobs : 0},
                     *command_);
    if (options.count) {
      records = hold(std::move(records));
      total_ = records->total();
    }
  }
  source_ = std::move(records);
  if (s.resume || s.resume_failed)
    done_.emplace(joblog_file(s), s.resume_failed ? done_before::counts::successes
                                                  : done_before::counts::whatever_came);
  if (s.tag) tag_.emplace(s.replace, strings_);
  if (!s.tagstring.empty()) tag_.emplace(s.tagstring, strings_);
}

bool plan::next(arguments& values, std::uint64_t& number) {
  while (!(stopped_ && stopped_()) && source_->next(values)) {
    number_ = retried_ != nullptr ? retried_->number() : number_ + 1;
    number = number_;
    if (!done_ || !was_done(values, number)) return true;
    ++left_out_;
  }
  return false;
}

/// The joblog has commands as they were run, so each with the number of its slot. As one task
/// on one slot may look like another on another ({}{%}), the number has to be the same then.
bool plan::was_done(const arguments& values, std::uint64_t number) {
  if (!has_slot_) return done_->take(number, command_->text(values, {number, 1}));
  for (unsigned slot = 1; slot <= most_slots && done_->left() > 0; ++slot)
    if (done_->take_same(number, command_->text(values, {number, slot}))) return true;
  return false;
}

std::string joblog_file(const settings& s) {
  return s.joblog.starts_with('+') ? s.joblog.substr(1) : s.joblog;
}

}  // namespace weir::cli::run
