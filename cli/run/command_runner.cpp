#include "command_runner.hpp"

#include "exec/command.hpp"
#include "io/text.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <iterator>
#include <utility>

namespace weir::cli::run {
namespace {

using proto::clock;
using proto::duration;
using proto::time_point;
using namespace std::chrono_literals;

/// For this long we do not look at what a command writes, see exec::process_runner: most are
/// done by then, and have cost one wake-up instead of one for each write.
constexpr duration quiet = 10ms;
constexpr std::size_t much = 32 * 1024;
/// A pipe holds 64 KiB, 1 MiB at most. A bound, as what has left its group may go on writing.
constexpr int most_left_reads = 16;
/// For what a command reads from us: fewer wake-ups. As much as the system grants to anybody.
constexpr int input_pipe_bytes = 1 << 20;
/// How often --timeout N% is looked at anew.
constexpr duration limit_interval = 200ms;

exec::unique_fd copy_of(int fd) { return exec::unique_fd(::fcntl(fd, F_DUPFD_CLOEXEC, 3)); }

char* mutable_c_str(const std::string& text) {
  return const_cast<char*>(text.c_str());  // execve() promises not to change it
}

std::string seconds_text(duration length) {
  std::string text;
  const int digits = length < std::chrono::milliseconds(100) ? 3 : 1;
  io::append_number(text, std::chrono::duration<double>(length).count(), digits);
  return text;
}

void read_empty(int eventfd) {
  std::uint64_t count = 0;
  [[maybe_unused]] const auto n = ::read(eventfd, &count, sizeof count);
}

}  // namespace

struct command_runner::attempt_in_hand {
  attempt_in_hand(spool& room, const task_record& what, task_id which, std::uint32_t attempt,
                  slot_numbers& slots)
      : task(what), id(which), slot(slots), result(room) {
    result.attempt = attempt;
    result.slot = slot.number();
  }
  [[nodiscard]] place where() const { return {task.number, slot.number()}; }

  const task_record& task;
  task_id id;
  slot_numbers::held slot;
  local_attempt result;
  streams ours;
  time_point started;
  time_point expires = time_point::max();
  ending end;
  std::string tag;
};

command_runner::command_runner(run_context& context)
    : context_(context),
      null_(exec::above_stdio(exec::unique_fd(::open("/dev/null", O_RDONLY | O_CLOEXEC)))) {
  self_.wake_fd = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (context_.output == output_mode::inherit) {
    own_out_ = copy_of(STDOUT_FILENO);
    own_err_ = copy_of(STDERR_FILENO);
  }
}

command_runner::~command_runner() { ::close(self_.wake_fd); }

void command_runner::run(exec::claim& tasks) {
  for (std::uint32_t i = 0; tasks.begin(i); ++i) run_one(tasks, i);
}

void command_runner::run_one(exec::claim& tasks, std::uint32_t i) {
  const auto id = tasks.id(i);
  const auto task = context_.tasks.find(id.seq);
  // Not there: its outcome has come from elsewhere, and nobody wants another.
  const auto unwanted = [&] { return tasks.cancelled(i); };
  if (!task || unwanted()) return tasks.fail(i, status::cancelled, {});
  if (!context_.rules.may_start(unwanted)) {
    if (unwanted()) return tasks.fail(i, status::cancelled, {});
    context_.tasks.skip(id.seq);
    outcome_details details;
    details.retryable = false;
    return tasks.fail(i, status::cancelled, std::move(details));
  }
  attempt_in_hand now(context_.room, *task, id, tasks.attempt(), context_.slots);
  try {
    const auto why = carry_out(tasks, i, now);
    conclude(tasks, i, now, why);
  } catch (...) {  // output that can be neither kept nor printed: no other will be
    context_.late.keep(std::current_exception());
    context_.rules.press(governor::pressure::end_all);
    conclude(tasks, i, now, cut_short::run_ends);
  }
}

/// Who waits for --delay is told of every start, whatever came of it.
class command_runner::start_report {
 public:
  explicit start_report(governor& to) : to_(to) {}
  ~start_report() { to_.started(); }
  start_report(const start_report&) = delete;
  start_report& operator=(const start_report&) = delete;

 private:
  governor& to_;
};

/// Between its start and its end, others know of the command. Neither is left out, whatever
/// becomes of its output.
class command_runner::presence {
 public:
  presence(command_runner& of, const attempt_in_hand& now) : of_(of) {
    running_task& self = of_.self_;
    self.number = now.task.number;
    self.since = now.started;
    self.give_way = false;
    self.describe = [&of, &now] {
      return of.context_.command.text(now.task.values, now.where());
    };
    of_.context_.rules.enter(self);
  }
  ~presence() {
    if (of_.child_.running()) (void)end();
  }
  presence(const presence&) = delete;
  presence& operator=(const presence&) = delete;
  /// The command's exit status, see exec::child::end().
  int end() {
    of_.context_.rules.leave(of_.self_);
    return of_.child_.end();
  }

 private:
  command_runner& of_;
};

std::string_view command_runner::input_of(const attempt_in_hand& now,
                                          std::string_view payload) const {
  switch (context_.reads) {
    case run_context::input::record:
      return now.task.input;
    case run_context::input::payload:
      return payload;
    case run_context::input::none:
      break;
  }
  return {};
}

/// To the end of the command, if it can be started at all.
command_runner::cut_short command_runner::carry_out(exec::claim& tasks, std::uint32_t i,
                                                    attempt_in_hand& now) {
  if (!start(now, input_of(now, tasks.payload(i)))) return cut_short::no;
  presence here(*this, now);
  const auto why = attend(tasks, i, now);
  const int exit_status = here.end();
  if (context_.output != output_mode::inherit)
    for (int reads = 0; reads < most_left_reads && (now.ours.out || now.ours.err); ++reads)
      exchange(now);
  const auto verdict = exec::judge_exit(exit_status);
  now.result.end = {verdict.code == status::ok, std::max(verdict.details.exit_code, 0),
                    verdict.details.signal};
  now.result.runtime = std::chrono::duration<double>(clock::now() - now.started).count();
  wrote_much_ = now.result.out.size() > much;
  return why;
}

void command_runner::conclude(exec::claim& tasks, std::uint32_t i, attempt_in_hand& now,
                              cut_short why) {
  outcome_details details;
  switch (why) {
    case cut_short::gives_way:
      return tasks.release(i);
    case cut_short::not_wanted:
      return tasks.fail(i, status::cancelled, {});
    case cut_short::run_ends:
      context_.tasks.skip(now.id.seq);
      details.retryable = false;
      return tasks.fail(i, status::cancelled, std::move(details));
    case cut_short::timeout:
      now.result.end.ok = false;
      now.result.end.exit_code = -1;
      if (now.result.end.signal == 0) now.result.end.signal = SIGTERM;
      say(now, "task " + std::to_string(now.task.number) + ": ended after its time limit of " +
                   seconds_text(now.expires - now.started) + " s (--timeout)");
      break;
    case cut_short::no:
      break;
  }
  now.result.out.finish();
  now.result.err.finish();
  const task_end end = now.result.end;
  const auto runtime = clock::now() - now.started;
  if (context_.tasks.finish(now.id.seq, std::move(now.result), context_.retries))
    context_.rules.count(end, runtime);
  if (end.ok) return tasks.succeed(i, {});
  tasks.fail(i, why == cut_short::timeout ? status::deadline_exceeded : status::unknown,
             std::move(details));
}

/// False: there is nothing to wait for, and `now.result` says why.
bool command_runner::start(attempt_in_hand& now, std::string_view input) {
  const start_report when_over(context_.rules);
  now.started = clock::now();
  now.result.started = exec::wall_clock();
  now.result.sent = input.size();
  if (context_.tag) now.tag = context_.tag(now.task, now.where());
  if (context_.dry_run || context_.say != announce::no) {
    const std::string line = context_.command.text(now.task.values, now.where()) + "\n";
    const bool on_stderr = !context_.dry_run && context_.say == announce::on_stderr;
    kept_output said(context_.room);
    said.append(line);
    if (on_stderr || context_.output != output_mode::keep)
      context_.print.lines(on_stderr ? stream::err : stream::out, said, now.tag);
    else
      now.result.out = std::move(said);
    if (context_.dry_run) return false;
  }
  streams its;
  if (!open_streams(input, now.ours, its)) {
    complain(now, "cannot open a pipe", errno);
    return false;
  }
  exec::spawned process = spawn(now, its);
  if (process.error != 0) {
    now.result.end.exit_code = process.error == ENOENT || process.error == ENOTDIR ? 127 : 126;
    complain(now, name_, process.error);
    return false;
  }
  child_.started(std::move(process));
  const auto limit = context_.rules.time_limit();
  if (limit > duration::zero()) now.expires = now.started + limit;
  return true;
}

exec::spawned command_runner::spawn(attempt_in_hand& now, const streams& its) {
  auto words = context_.command.argv(now.task.values, now.where());
  if (words.empty()) words.emplace_back();
  if (path_.empty() || words[0] != name_) {
    name_ = words[0];
    const char* path = std::getenv("PATH");
    path_ = exec::find_in_path(name_, path ? path : "");
  }
  if (path_.empty() || name_.empty()) {
    exec::spawned nothing;
    nothing.error = ENOENT;
    return nothing;
  }
  static char shell[] = "sh";
  std::vector<char*> argv{shell};  // in front: for a script without "#!", which a shell runs
  for (const auto& word : words) argv.push_back(mutable_c_str(word));
  argv.push_back(nullptr);

  exec::spawn_request what;
  what.path = path_.c_str();
  what.argv = argv.data() + 1;
  what.envp = environment_.fill(now.id, now.task.number, now.slot.number(), now.result.attempt);
  what.in = its.in ? its.in.get() : null_.get();
  what.out = its.out ? its.out.get() : own_out_.get();
  what.err = its.err ? its.err.get() : own_err_.get();
  what.pid_place = child_.pid_place();
  exec::spawned process = spawner_.start(what);
  if (process.error != ENOEXEC) return process;
  argv[1] = path_.data();
  what.path = "/bin/sh";
  what.argv = argv.data();
  return spawner_.start(what);
}

bool command_runner::open_streams(std::string_view input, streams& ours, streams& its) {
  if (context_.output != output_mode::inherit) {
    exec::pipe_ends out = exec::open_pipe();
    exec::pipe_ends err = exec::open_pipe();
    if (!out.read || !err.read) return false;
    exec::set_nonblocking(out.read);
    exec::set_nonblocking(err.read);
    ours.out = std::move(out.read);
    ours.err = std::move(err.read);
    its.out = std::move(out.write);
    its.err = std::move(err.write);
  }
  if (context_.reads == run_context::input::none) return true;
  exec::pipe_ends in = exec::open_pipe();
  if (!in.read) return false;
  exec::set_nonblocking(in.write);
  its.in = std::move(in.read);
  ours.in = std::move(in.write);
  ours.unwritten = input;
  (void)::fcntl(ours.in.get(), F_SETPIPE_SZ, input_pipe_bytes);
  return true;
}

void command_runner::complain(attempt_in_hand& now, std::string_view what, int number) {
  now.result.end.ok = false;
  if (now.result.end.exit_code == 0) now.result.end.exit_code = 126;
  std::string text = std::string(what) + ": ";
  text += number == ENOENT ? "command not found" : std::strerror(number);
  if (number == E2BIG) text += " (put less into one command, or feed it with --pipe)";
  say(now, text);
}

/// Behind what the command itself has said.
void command_runner::say(attempt_in_hand& now, const std::string& text) {
  const std::string line = "weir run: " + text + "\n";
  if (context_.output == output_mode::keep) return now.result.err.append(line);
  kept_output said(context_.room);
  said.append(line);
  context_.print.lines(stream::err, said, now.tag);
}

/// Returns when the command has exited.
command_runner::cut_short command_runner::attend(exec::claim& tasks, std::uint32_t i,
                                                 attempt_in_hand& now) {
  auto why = cut_short::no;
  // The first look is at its end only, unless it needs us.
  bool listen = now.ours.in || wrote_much_ || context_.output == output_mode::lines;
  auto time = now.started;
  for (;;) {
    if (why == cut_short::no) {
      why = look(tasks, i, now, time);
      if (why != cut_short::no) now.end.begin(context_.to_end, time);
    }
    if (why != cut_short::no && context_.rules.level() == governor::pressure::kill_all)
      now.end.hurry(time);
    while (const int signal = now.end.due(time)) child_.send(signal);

    auto until = now.end.next();
    if (why == cut_short::no) until = std::min(until, now.expires);
    if (!listen) until = std::min(until, now.started + quiet);
    if (context_.rules.limit_moves()) until = std::min(until, time + limit_interval);
    pollfd watched[] = {{child_.pidfd(), POLLIN, 0},     {tasks.wake_fd(), POLLIN, 0},
                        {self_.wake_fd, POLLIN, 0},      {now.ours.out.get(), POLLIN, 0},
                        {now.ours.err.get(), POLLIN, 0}, {now.ours.in.get(), POLLOUT, 0}};
    if (::poll(watched, listen ? std::size(watched) : 3, exec::poll_timeout(until, time)) < 0 &&
        errno != EINTR) {
      child_.kill();  // out of memory, by the manual: there is no way to attend to it
      return why;
    }
    if (watched[0].revents != 0) return why;
    for (int k = 1; k < 3; ++k)
      if (watched[k].revents != 0) read_empty(watched[k].fd);
    time = clock::now();
    if (listen) exchange(now);
    listen = true;
  }
}

command_runner::cut_short command_runner::look(exec::claim& tasks, std::uint32_t i,
                                               attempt_in_hand& now, time_point at) {
  if (context_.rules.level() >= governor::pressure::end_all) return cut_short::run_ends;
  if (tasks.cancelled(i)) return cut_short::not_wanted;
  if (self_.give_way) return cut_short::gives_way;
  if (context_.rules.limit_moves()) {
    const auto limit = context_.rules.time_limit();
    if (limit > duration::zero()) now.expires = now.started + limit;
  }
  return at >= now.expires ? cut_short::timeout : cut_short::no;
}

/// Moves bytes both ways.
void command_runner::exchange(attempt_in_hand& now) {
  streams& ours = now.ours;
  if (ours.in) {
    const auto n = ::write(ours.in.get(), ours.unwritten.data(), ours.unwritten.size());
    if (n > 0) ours.unwritten.remove_prefix(static_cast<std::size_t>(n));
    // EPIPE: it does not want to read the rest, and may do so.
    if (ours.unwritten.empty() || (n < 0 && errno != EAGAIN && errno != EINTR)) ours.in.reset();
  }
  if (ours.out) take(stream::out, now);
  if (ours.err) take(stream::err, now);
}

void command_runner::take(stream which, attempt_in_hand& now) {
  auto& fd = which == stream::out ? now.ours.out : now.ours.err;
  auto& said = which == stream::out ? now.result.out : now.result.err;
  const auto before = said.buffer().size();
  if (exec::read_some(fd.get(), said.buffer()) == exec::read_result::end) fd.reset();
  if (which == stream::out) now.result.received += said.buffer().size() - before;
  if (context_.output == output_mode::lines &&
      (!context_.may_print || context_.may_print(now.id.seq)))
    context_.print.lines(which, said, now.tag);
  said.settle();
}

}  // namespace weir::cli::run
