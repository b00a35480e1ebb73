#include "session.hpp"

#include "combinations.hpp"
#include "command_runner.hpp"
#include "exec/command.hpp"
#include "feeder.hpp"
#include "governor.hpp"
#include "io/joblog.hpp"
#include "line_writer.hpp"
#include "outcome_writer.hpp"
#include "plan.hpp"
#include "printer.hpp"
#include "round_robin.hpp"
#include "signals.hpp"
#include "spool.hpp"
#include "status_line.hpp"
#include "task_table.hpp"
#include "teller.hpp"
#include "watcher.hpp"

#include <weir/command.hpp>
#include <weir/error.hpp>
#include <weir/local_slots.hpp>
#include <weir/ventilator.hpp>

#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstring>
#include <exception>
#include <functional>
#include <limits>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>

namespace weir::cli::run {
namespace {

/// Tasks read and not printed yet: bounds memory, and hides that input comes in bursts.
constexpr std::size_t most_in_hand = 16'384;
/// After a second INT or TERM, a run that comes no further for so long waits for somebody who
/// does not read.
constexpr auto patience = std::chrono::seconds(2);

/// Before any thread: it forks.
struct ends_commands_with_us {
  ends_commands_with_us() {
    std::signal(SIGCHLD, SIG_DFL);  // whoever started us may ignore it
    start_reaper();
  }
};

/// The pieces of one run, in the order in which they need each other.
class session {
 public:
  session(const settings& s, const std::vector<std::string>& words,
          nodes::node_context& context);
  int run();

 private:
  class while_it_runs;

  [[nodiscard]] int run_all();

  [[nodiscard]] std::unique_ptr<result_store> store();
  [[nodiscard]] local_slots slots();
  void on_signal(int signal);
  void on_tick();
  void end_if_stuck();
  [[nodiscard]] std::function<void()> status();
  [[nodiscard]] std::optional<std::uint64_t> in_flight();
  void tell_ventilator();
  [[nodiscard]] int conclude(bool read_all);
  [[nodiscard]] governor_options rules();
  [[nodiscard]] printer::write_aside aside();
  [[nodiscard]] plan_options reading();
  [[nodiscard]] std::size_t input_under_way() const;
  void claim_joblog();
  [[nodiscard]] outcome_writer::options output();
  [[nodiscard]] ventilator_options node();

  const settings& settings_;
  nodes::node_context& context_;
  nodes::signals signals_{SIGUSR1};  // before any thread
  ends_commands_with_us reaper_;
  unsigned jobs_;
  governor rules_;
  run_counts counts_;
  status_line status_;
  std::mutex tasks_mutex_;
  ventilator* tasks_ = nullptr;  // while it runs
  teller tell_;                  // the watcher's, too
  std::atomic<int> ended_by_ = 0;
  // The watcher's alone:
  std::uint64_t over_ = 0;
  std::chrono::steady_clock::time_point came_further_{};
  nodes::watcher watch_;  // before the first byte of input: it may be long in coming
  std::optional<io::joblog> log_;
  plan plan_;
  spool room_;
  printer print_;
  task_table table_;
  slot_numbers slots_;
  late_failure late_;
  first_round round_;                 // of --round-robin
  outcome_writer* writer_ = nullptr;  // the ventilator's
  std::unique_ptr<run_context> local_;
};

/// Linux has a niceness for each thread, and a process begins with that of the thread that
/// started it.
void set_niceness(int niceness) {
  if (niceness == 0 || ::setpriority(PRIO_PROCESS, 0, niceness) == 0) return;
  throw error(exit_code::usage, "--nice " + std::to_string(niceness) + ": " +
                                    std::strerror(errno) +
                                    (niceness < 0 ? " (only root may go below 0)" : ""));
}

session::session(const settings& s, const std::vector<std::string>& words,
                 nodes::node_context& context)
    : settings_(s),
      context_(context),
      jobs_(parse_jobs(s.jobs)),
      rules_(rules()),
      status_(s, context.say, counts_),
      tell_(context.say, status()),
      watch_(
          signals_, [this](int signal) { on_signal(signal); }, [this] { on_tick(); }),
      plan_(s, words, reading()),
      print_(aside()),
      table_(most_in_hand, input_under_way()),
      round_(jobs_) {
  if (plan_.total()) {
    status_.count(*plan_.total());
    // What is left out is not counted: then it is known when all has been read.
    if (!s.resume && !s.resume_failed) rules_.set_total(*plan_.total());
  }
  local_.reset(new run_context{plan_.command(), table_, rules_, room_, print_, slots_, late_,
                               term_sequence::parse(s.term_sequence)});
  local_->output = s.ungroup                            ? output_mode::inherit
                   : s.line_buffer && s.results.empty() ? output_mode::lines
                                                        : output_mode::keep;
  local_->say = s.verbose_stdout ? announce::on_stdout
                : s.verbose      ? announce::on_stderr
                                 : announce::no;
  local_->dry_run = s.dry_run;
  local_->retries = s.retries > 0 ? s.retries : std::numeric_limits<std::uint32_t>::max();
  if (s.pipe)
    local_->reads = s.listen.empty() ? run_context::input::record : run_context::input::payload;
  if (s.keep_order)
    local_->may_print = [this](std::uint64_t seq) { return writer_->may_print(seq); };
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
  o.on_rise = [this] { tell_ventilator(); };
  o.on_halt = [this](halt_policy::decision what) {
    tell_.notice(what == halt_policy::decision::now
                     ? "--halt: ending what runs"
                     : "--halt: finishing what runs, starting no more");
  };
  return o;
}

printer::write_aside session::aside() {
  return [this](char last, const std::function<void()>& write) {
    context_.say.aside(last, write);
  };
}

plan_options session::reading() {
  plan_options o;
  o.jobs = jobs_;
  o.count = settings_.eta || settings_.bar || rules_.halt().wants_total();
  o.wake_fd = rules_.closed_fd();
  o.stopped = [this] { return rules_.level() != governor::pressure::none; };
  o.warn = [this](const std::string& text) { tell_.notice(text); };
  o.before_reading = [this] { claim_joblog(); };
  return o;
}

/// --pipe: each slot has a block, and there is one to come and one that is done.
std::size_t session::input_under_way() const {
  const auto usual = ventilator_options().window_bytes;
  return settings_.pipe ? std::max(usual, (jobs_ + 2) * settings_.block) : usual;
}

/// A second run that went on with the same joblog would do the same tasks again: this is before
/// we read it.
void session::claim_joblog() {
  if (goes_on(settings_) && !settings_.dry_run)
    log_.emplace("+" + joblog_file(settings_), io::claim::alone);
}

outcome_writer::options session::output() {
  outcome_writer::options o;
  o.keep_order = settings_.keep_order;
  if (!settings_.listen.empty()) o.elsewhere = answers::lines;
  if (plan_.tag())
    o.tag = [this](const task_record& task, place where) {
      return plan_.tag()->fill(task.values, where) + "\t";
    };
  local_->tag = o.tag;
  if (settings_.dry_run) return o;  // nothing is done, so there is nothing to note
  if (!settings_.joblog.empty()) {
    if (!log_) log_.emplace(settings_.joblog);
    log_->flush();
    o.log = std::exchange(log_, {});
  }
  if (!settings_.results.empty()) {
    o.files =
        open_results(settings_.results, plan_.command(), plan_.strings(),
                     goes_on(settings_) ? io::if_exists::append : io::if_exists::overwrite);
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
    if (warning || !settings_.listen.empty()) tell_.notice(text);
  };
  o.keep_order = settings_.keep_order && !settings_.coproc.empty();  // others do it themselves
  if (settings_.coproc.empty()) o.window = most_in_hand;
  o.window_bytes = input_under_way();
  o.max_failures = local_->retries;
  // The joblog has commands, and no values for workers with commands of their own.
  o.commands_only = settings_.retry_failed;
  // Our own slots know better: for them --delay and the like do not count.
  if (!settings_.listen.empty() || !settings_.coproc.empty())
    o.task_timeout = parse_timeout(settings_.timeout).fixed;
  o.retry_delay = std::chrono::milliseconds(0);
  return o;
}

/// Signals and --halt reach the ventilator for as long as there is one.
class session::while_it_runs {
 public:
  while_it_runs(session& of, ventilator& tasks) : of_(of) {
    set(&tasks);
    of_.tell_ventilator();  // of what has been said before
  }
  ~while_it_runs() { set(nullptr); }
  while_it_runs(const while_it_runs&) = delete;
  while_it_runs& operator=(const while_it_runs&) = delete;

 private:
  void set(ventilator* tasks) {
    const std::lock_guard lock(of_.tasks_mutex_);
    of_.tasks_ = tasks;
  }
  session& of_;
};

int session::run() try {
  const int code = run_all();
  tell_.finish();  // while signals are heard
  return code;
} catch (const io::broken_pipe&) {
  throw;
} catch (const error& e) {
  tell_.error(e.what());
  tell_.finish();
  return other_error;
}

int session::run_all() {
  auto store = this->store();
  ventilator tasks(node(), std::move(store), slots());
  const while_it_runs known(*this, tasks);
  feeder input(settings_, plan_, table_, rules_, counts_);
  std::exception_ptr bad_input;
  try {
    input.feed(tasks);
  } catch (...) {  // what came before is run
    bad_input = std::current_exception();
  }
  round_.end_of_input(input.handed_over());
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
        rules_, late_, counts_, aside());
  auto writer = std::make_unique<outcome_writer>(output(), plan_.command(), table_, rules_,
                                                 room_, print_, counts_);
  writer_ = writer.get();
  return writer;
}

local_slots session::slots() {
  exec::runner_factory of_slot;
  if (!settings_.coproc.empty()) {
    command_options command;
    command.mode =
        settings_.coproc == "frame" ? command_mode::coproc_frames : command_mode::coproc_lines;
    command.argv = plan_.command().argv({}, {});
    check(command);
    of_slot = exec::command_runner_factory(std::move(command));
  } else if (settings_.round_robin) {
    of_slot = [this](unsigned) {
      return std::make_unique<round_robin_runner>(*local_, round_);
    };
  } else {
    of_slot = [this](unsigned) { return std::make_unique<command_runner>(*local_); };
  }
  return {jobs_, [of_slot = std::move(of_slot), niceness = settings_.nice](unsigned slot) {
            set_niceness(niceness);
            return of_slot(slot);
          }};
}

void session::on_signal(int signal) {
  using pressure = governor::pressure;
  if (signal == SIGUSR1) {
    const auto lines = rules_.running();
    tell_.notice(std::to_string(lines.size()) + " running, " + std::to_string(counts_.done) +
                 " done");
    for (const auto& line : lines) tell_.notice(line);
    return;
  }
  if (signal == SIGHUP) {
    rules_.press(pressure::start_no_more);
    return tell_.notice("finishing what runs, starting no more");
  }
  const bool again = ended_by_.exchange(signal) != 0;
  rules_.press(again ? pressure::kill_all : pressure::end_all);
  tell_.notice(again ? "killing what runs" : "ending what runs (again to kill it)");
}

void session::on_tick() {
  rules_.tick();
  if (rules_.level() == governor::pressure::kill_all) end_if_stuck();
}

/// Whoever has asked twice need not read what we write. Our commands end with us.
void session::end_if_stuck() {
  const auto now = std::chrono::steady_clock::now();
  const std::uint64_t over = 1 + counts_.done + counts_.skipped;
  if (std::exchange(over_, over) != over) came_further_ = now;
  if (now - came_further_ >= patience)
    ::_exit(static_cast<int>(exit_code::signalled) + ended_by_);
}

std::function<void()> session::status() {
  if (!status_.wanted()) return {};
  return [this] { status_.draw(in_flight()); };
}

/// A coprocess has what it has.
std::optional<std::uint64_t> session::in_flight() {
  if (!settings_.coproc.empty()) return {};
  if (settings_.listen.empty()) return rules_.running_count();
  const std::lock_guard lock(tasks_mutex_);
  if (tasks_ == nullptr) return {};
  return tasks_->stats().in_flight;
}

/// Commands here that run once for each value see for themselves that they are to end. A
/// coprocess would only end with its input, and workers elsewhere know nothing of it.
void session::tell_ventilator() {
  const std::lock_guard lock(tasks_mutex_);
  if (tasks_ == nullptr) return;
  const auto level = rules_.level();
  const bool end_all = level >= governor::pressure::end_all;
  if (!settings_.coproc.empty()) {
    if (end_all) tasks_->stop();
  } else if (!settings_.listen.empty() && level != governor::pressure::none) {
    tasks_->withdraw(end_all ? withdrawal::all : withdrawal::unstarted);
  }
}

int session::conclude(bool read_all) {
  if (plan_.not_asked_for() > 0 && read_all)
    tell_.notice("this list lacks " + nodes::plural(plan_.not_asked_for(), "task") +
                 " of the joblog: it or the command has changed");
  const std::uint64_t skipped = counts_.skipped;
  if (skipped > 0 || !read_all) {
    std::string text = std::to_string(counts_.done) + " done, " +
                       (read_all ? std::to_string(skipped) : "the others") + " not";
    text += settings_.joblog.empty() ? "; with --joblog FILE it could be resumed"
                                     : "; to go on, give the same command again with --resume";
    tell_.notice(text);
  }
  if (const int signal = ended_by_) return static_cast<int>(exit_code::signalled) + signal;
  return rules_.halt().exit_status();
}

}  // namespace

int run_session(const settings& s, const CLI::App& parsed, nodes::node_context& context) {
  check_combinations(s);
  auto command = parsed.remaining();
  if (!command.empty() && command[0] == "--")
    command.erase(command.begin());
  else
    refuse_unknown(command, parsed);
  return session(s, command, context).run();
}

}  // namespace weir::cli::run
