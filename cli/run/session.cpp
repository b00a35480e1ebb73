#include "session.hpp"

#include "block_reader.hpp"
#include "command_runner.hpp"
#include "gather.hpp"
#include "governor.hpp"
#include "line_writer.hpp"
#include "outcome_writer.hpp"
#include "printer.hpp"
#include "progress.hpp"
#include "resume.hpp"
#include "round_robin.hpp"
#include "signals.hpp"
#include "spool.hpp"
#include "task_table.hpp"
#include "watcher.hpp"

#include <weir/command.hpp>
#include <weir/error.hpp>
#include <weir/local_slots.hpp>
#include <weir/ventilator.hpp>

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <csignal>
#include <exception>
#include <limits>
#include <memory>
#include <utility>

namespace weir::cli::run {
namespace {

/// Tasks read and not printed yet: bounds memory, and hides that input comes in bursts.
constexpr std::size_t most_in_hand = 16'384;
constexpr std::size_t largest_block = std::size_t{16} << 20;

std::string joined(const arguments& task) {
  std::string text;
  for (const auto& value : task.values) {
    if (&value != task.values.data()) text += ' ';
    text += value;
  }
  return text;
}

/// What --recend means: \n and the like are one character; it may be empty.
std::string unescaped(const std::string& text) {
  return text.empty() ? text : parse_delimiter(text);
}

std::string bar(std::uint64_t done, std::uint64_t total) {
  constexpr std::uint64_t width = 20;
  const auto full = total == 0 ? width : width * std::min(done, total) / total;
  return "[" + std::string(full, '#') + std::string(width - full, ' ') + "]";
}

/// The pieces of one run, in the order in which they need each other.
class session {
 public:
  session(const settings& s, const std::vector<std::string>& words,
          nodes::node_context& context);
  int run();

 private:
  [[nodiscard]] std::string joblog_file() const;
  [[nodiscard]] std::unique_ptr<task_source> retry();
  [[nodiscard]] std::unique_ptr<result_store> store();
  [[nodiscard]] local_slots slots();
  void read_values(ventilator& tasks);
  void read_blocks(ventilator& tasks);
  void read_lines(ventilator& tasks);
  void on_tick();
  [[nodiscard]] std::vector<std::string> for_elsewhere(const arguments& values,
                                                       std::uint64_t number) const;
  void on_signal(int signal);
  void end_coprocesses();
  [[nodiscard]] int conclude(bool read_all);
  [[nodiscard]] governor_options rules();
  [[nodiscard]] outcome_writer::options output();
  [[nodiscard]] ventilator_options node();

  const settings& settings_;
  nodes::node_context& context_;
  nodes::signals signals_{SIGUSR1};  // before any thread
  unsigned jobs_;
  governor rules_;
  std::unique_ptr<task_source> source_;
  failed_before* retried_ = nullptr;  // source_, with --retry-failed
  std::optional<done_before> done_before_;
  template_options strings_;
  std::optional<command_template> command_;
  std::optional<text_template> tag_;
  spool room_;
  printer print_;
  task_table table_{most_in_hand};
  slot_numbers slots_;
  run_counts counts_;
  outcome_writer* writer_ = nullptr;  // the ventilator's
  ventilator* tasks_ = nullptr;       // while it runs
  std::unique_ptr<run_context> local_;
  late_failure late_;
  nodes::rate_meter rate_;
  std::atomic<int> ended_by_ = 0;
};

session::session(const settings& s, const std::vector<std::string>& words,
                 nodes::node_context& context)
    : settings_(s),
      context_(context),
      jobs_(parse_jobs(s.jobs)),
      rules_(rules()),
      print_([this] { context_.say.clear(); }) {
  auto typed = take_apart(words);
  auto input = input_of(s);
  input.wake_fd = rules_.closed_fd();
  input.warn = [this](const std::string& text) { context_.say.notice(text); };
  // With --pipe, values are no business of ours; there is one source that is empty.
  if (s.pipe) typed.sources = {source_spec{source_spec::kind::words, {}, {}, false}};
  input.nul_allowed = !s.coproc.empty();  // there values are no arguments
  auto records = s.retry_failed ? retry() : open(std::move(input), typed.sources);

  strings_.replace = s.replace;
  strings_.plus = s.plus;
  strings_.shell = s.shell;
  strings_.quote = s.quote;
  const bool fill = s.fill || s.max_bytes > 0;
  strings_.repeat = s.most.has_value() || fill;
  strings_.names = records->names();
  strings_.slots = jobs_;
  const bool gathers = strings_.repeat && !s.pipe;
  const bool counted = s.eta || s.bar || rules_.halt().wants_total();
  // How many tasks gathered records make is only known afterwards: {##} is refused there.
  if (!gathers) {
    if (counted || uses_total(typed.command, strings_)) records = hold(std::move(records));
    strings_.total = records->total();
  }
  command_.emplace(s.retry_failed ? std::vector<std::string>() : typed.command, strings_);
  if (gathers) {
    records = gather(std::move(records), {s.most, fill, s.max_bytes, jobs_}, *command_);
    if (counted) records = hold(std::move(records));
  }
  source_ = std::move(records);
  if (s.resume || s.resume_failed)
    done_before_.emplace(joblog_file(), s.resume_failed ? done_before::counts::successes
                                                        : done_before::counts::whatever_came);
  if (s.tag) tag_.emplace(s.replace, strings_);
  if (!s.tagstring.empty()) tag_.emplace(s.tagstring, strings_);

  local_.reset(new run_context{*command_, table_, rules_, room_, print_, slots_, late_,
                               term_sequence::parse(s.term_sequence)});
  local_->output = s.ungroup                            ? output_mode::inherit
                   : s.line_buffer && s.results.empty() ? output_mode::lines
                                                        : output_mode::keep;
  local_->say = s.verbose_stdout ? announce::on_stdout
                : s.verbose      ? announce::on_stderr
                                 : announce::no;
  local_->dry_run = s.dry_run;
  local_->nice = s.nice;
  local_->retries = s.retries > 0 ? s.retries : std::numeric_limits<std::uint32_t>::max();
  local_->payload_is_input = s.pipe;
  if (s.keep_order)
    local_->may_print = [this](std::uint64_t seq) { return writer_->may_print(seq); };
}

std::string session::joblog_file() const {
  const std::string& name = settings_.joblog;
  return name.starts_with('+') ? name.substr(1) : name;
}

std::unique_ptr<task_source> session::retry() {
  auto failed = std::make_unique<failed_before>(joblog_file());
  retried_ = failed.get();
  return failed;
}

governor_options session::rules() {
  governor_options o;
  const auto limit = parse_timeout(settings_.timeout);
  o.timeout = limit.fixed;
  o.timeout_percent = limit.percent;
  o.delay = settings_.delay;
  o.max_load = parse_load(settings_.max_load);
  o.memory_free = settings_.memory_free;
  o.halt = halt_policy::parse(settings_.halt);
  o.on_halt = [this](halt_policy::decision what) {
    context_.say.notice(what == halt_policy::decision::now
                            ? "--halt: ending what runs"
                            : "--halt: finishing what runs, starting no more");
    if (what == halt_policy::decision::now) end_coprocesses();
  };
  return o;
}

outcome_writer::options session::output() {
  outcome_writer::options o;
  o.keep_order = settings_.keep_order;
  if (tag_)
    o.tag = [this](const task_record& task, place where) {
      return tag_->fill(task.values, where) + "\t";
    };
  local_->tag = o.tag;
  const bool goes_on = settings_.resume || settings_.resume_failed || settings_.retry_failed;
  if (settings_.dry_run) return o;  // nothing is done, so there is nothing to note
  if (!settings_.joblog.empty())
    o.log.emplace(goes_on ? "+" + joblog_file() : settings_.joblog).flush();
  if (!settings_.results.empty()) {
    o.files = open_results(settings_.results, *command_, strings_);
    o.print = false;
  }
  return o;
}

ventilator_options session::node() {
  ventilator_options o;
  static_cast<node_options&>(o) = settings_.node;
  o.name = context_.name;
  o.bind = settings_.listen;
  o.on_notice = [this](bool warning, const std::string& text) {
    if (warning || !settings_.listen.empty()) context_.say.notice(text);
  };
  o.keep_order = settings_.keep_order && !settings_.coproc.empty();  // others do it themselves
  if (settings_.coproc.empty()) o.window = most_in_hand;
  o.max_failures = local_->retries;
  o.retry_delay = std::chrono::milliseconds(0);
  return o;
}

int session::run() {
  std::signal(SIGCHLD, SIG_DFL);  // whoever started us may ignore it
  start_reaper();                 // before any thread
  auto store = this->store();
  ventilator tasks(node(), std::move(store), slots());
  tasks_ = &tasks;  // before there is a signal or a result
  nodes::watcher watch(
      signals_, [this](int signal) { on_signal(signal); }, [this] { on_tick(); });
  std::exception_ptr bad_input;
  try {
    if (settings_.pipe)
      read_blocks(tasks);
    else if (settings_.coproc.empty())
      read_values(tasks);
    else
      read_lines(tasks);
  } catch (...) {  // what came before is run
    bad_input = std::current_exception();
  }
  const bool read_all = rules_.level() == governor::pressure::none;
  (void)tasks.wait();
  late_.rethrow();
  if (bad_input) std::rethrow_exception(bad_input);
  return conclude(read_all);
}

std::unique_ptr<result_store> session::store() {
  if (!settings_.coproc.empty())
    return std::make_unique<line_writer>(
        settings_.coproc == "frame" ? line_writer::ending::none : line_writer::ending::newline,
        rules_, counts_);
  auto writer = std::make_unique<outcome_writer>(output(), *command_, table_, rules_, room_,
                                                 print_, counts_);
  writer_ = writer.get();
  return writer;
}

local_slots session::slots() {
  if (!settings_.coproc.empty()) {
    command_options command;
    command.mode =
        settings_.coproc == "frame" ? command_mode::coproc_frames : command_mode::coproc_lines;
    command.argv = command_->argv({}, {});
    check(command);
    return {jobs_, std::move(command)};
  }
  return {jobs_, [this](unsigned) -> std::unique_ptr<exec::runner> {
            if (settings_.round_robin) return std::make_unique<round_robin_runner>(*local_);
            return std::make_unique<command_runner>(*local_);
          }};
}

void session::read_blocks(ventilator& tasks) {
  const std::string usual_end = settings_.record_start.empty() ? "\n" : "";
  block_options how{settings_.block, unescaped(settings_.record_end.value_or(usual_end)),
                    unescaped(settings_.record_start), settings_.most.value_or(0)};
  block_reader blocks(STDIN_FILENO, rules_.closed_fd(), std::move(how));
  std::uint64_t seq = 0;
  const bool listens = !settings_.listen.empty();
  std::string head;
  if (!settings_.header.empty()) head = blocks.first_line();
  for (std::string block; blocks.next(block);) {
    if (!head.empty()) block.insert(0, head);
    ++seq;
    table_.add(seq, seq, {});
    const bool taken = listens
                           ? tasks.submit(block, encode_command(for_elsewhere({}, seq), block))
                           : tasks.submit(block);
    if (!taken) return;
  }
  rules_.set_total(seq);
}

void session::read_lines(ventilator& tasks) {
  std::uint64_t seq = 0;
  for (arguments values; source_->next(values); ++seq)
    if (!(values.values.size() == 1 ? tasks.submit(values.values[0])
                                    : tasks.submit(joined(values))))
      return;
  rules_.set_total(seq);
}

void session::on_tick() {
  rules_.tick();
  if (!settings_.bar && !settings_.eta && !settings_.progress) return;
  const auto now = std::chrono::steady_clock::now();
  rate_.update(counts_.done, now);
  nodes::progress_figures figures;
  figures.done = counts_.done;
  figures.failed = counts_.failed;
  figures.total = strings_.total;
  figures.in_flight = rules_.running_count();
  figures.rate = rate_.per_second();
  if (settings_.bar && strings_.total) figures.note = bar(counts_.done, *strings_.total);
  context_.say.status(figures, now);
}

void session::read_values(ventilator& tasks) {
  std::uint64_t number = 0;
  std::uint64_t seq = 0;
  const bool listens = !settings_.listen.empty();
  for (arguments values; source_->next(values);) {
    number = retried_ ? retried_->number() : number + 1;
    if (done_before_ && done_before_->take(number, command_->text(values, {number}))) continue;
    // Here the table has all that is needed. A worker elsewhere gets the value, or a command.
    std::string value, command;
    if (listens) {
      value = joined(values);
      command = encode_command(for_elsewhere(values, number));
    }
    table_.add(++seq, number, std::move(values));
    if (!(listens ? tasks.submit(value, command) : tasks.submit({}))) return;
  }
  rules_.set_total(seq);
  if (done_before_ && done_before_->left() > 0)
    context_.say.notice(std::to_string(done_before_->left()) +
                        " tasks of the joblog are not among these: the list or the command has "
                        "changed");
}

std::vector<std::string> session::for_elsewhere(const arguments& values,
                                                std::uint64_t number) const {
  auto words = command_->argv(values, {number, 1});
  if (number == 1 && words != command_->argv(values, {number, 2}))
    throw error(exit_code::usage,
                "{%} numbers the slots of this machine: with --listen, leave it out");
  return words;
}

void session::on_signal(int signal) {
  using pressure = governor::pressure;
  if (signal == SIGUSR1) {
    const auto lines = rules_.running();
    context_.say.notice(std::to_string(lines.size()) + " running, " +
                        std::to_string(counts_.done) + " done");
    for (const auto& line : lines) context_.say.notice(line);
    return;
  }
  if (signal == SIGHUP) {
    context_.say.notice("finishing what runs, starting no more");
    return rules_.press(pressure::start_no_more);
  }
  const bool again = ended_by_.exchange(signal) != 0;
  context_.say.notice(again ? "killing what runs" : "ending what runs (again to kill it)");
  rules_.press(again ? pressure::kill_all : pressure::end_all);
  end_coprocesses();
}

/// Commands that run once for each value see for themselves that they are to end; a coprocess
/// would only end with its input.
void session::end_coprocesses() {
  if (!settings_.coproc.empty()) tasks_->stop();
}

int session::conclude(bool read_all) {
  const std::uint64_t skipped = counts_.skipped;
  if (skipped > 0 || !read_all) {
    std::string text = std::to_string(counts_.done) + " done, " +
                       (read_all ? std::to_string(skipped) : "the others") + " not";
    text += settings_.joblog.empty() ? "; with --joblog FILE it could be resumed"
                                     : "; to go on, give the same command again with --resume";
    context_.say.notice(text);
  }
  if (const int signal = ended_by_) return static_cast<int>(exit_code::signalled) + signal;
  return rules_.halt().exit_status();
}

/// Options that are meant for different ways of running commands.
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
}

}  // namespace

int run_session(const settings& s, const std::vector<std::string>& words,
                nodes::node_context& context) {
  check_combinations(s);
  if ((s.resume || s.resume_failed || s.retry_failed) && s.joblog.empty())
    throw error(exit_code::usage,
                "--resume, --resume-failed and --retry-failed need --joblog FILE, which says "
                "what was done");
  auto command = words;
  if (!command.empty() && command[0] == "--")
    command.erase(command.begin());
  else
    refuse_unknown(command);
  return session(s, command, context).run();
}

}  // namespace weir::cli::run
