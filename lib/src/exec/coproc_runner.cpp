#include "exec/coproc_runner.hpp"

#include "exec/framing.hpp"
#include "proto/limits.hpp"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

namespace weir::exec {
namespace {

using proto::clock;
using proto::duration;
using namespace std::chrono_literals;

/// Bytes that we have ready for the process, beyond what is in its pipe.
constexpr std::size_t write_ahead = 128 * 1024;
/// A buffer that has grown beyond this is not kept for later.
constexpr std::size_t kept_buffer = 1024 * 1024;
/// After a process that has answered nothing, and twice as long after each further one.
constexpr duration first_pause = 50ms;
constexpr duration longest_pause = 1s;

/// Forgets the bytes before `from`, but not at every call: moving the rest costs something.
void forget(std::string& bytes, std::size_t& from) {
  if (from < bytes.size() && from < bytes.size() / 2) return;
  bytes.erase(0, from);
  from = 0;
  if (bytes.empty() && bytes.capacity() > kept_buffer) std::string().swap(bytes);
}

}  // namespace

coproc_runner::coproc_runner(std::shared_ptr<const prepared_command> command)
    : command_(std::move(command)),
      invocation_(command_),
      errors_(proto::limits::stderr_bytes) {}

coproc_runner::~coproc_runner() {
  // The end of its input is how a filter learns that it is done.
  if (child_.running()) stop_process(command_->options.grace);
}

void coproc_runner::run(claim& tasks) {
  if (!tasks.begin(0)) return;
  if (child_.running() && !in_step()) stop_process(0s);
  if (!child_.running() && !(pause(tasks) && start(tasks))) return;

  const auto mode = command_->options.mode;
  for (asked_ = 0;;) {
    const auto i = tasks.answered();
    if (i < asked_ || tasks.begin(i)) {
      if (const auto reason = tasks.why_stop(i); reason != stop_reason::none) {
        stop_process(0s);
        asked_ = std::max(asked_, i + 1);
        return reason == stop_reason::expired
                   ? give_up(tasks, failure(status::deadline_exceeded, "time limit passed"))
                   : give_up(tasks, failure(status::cancelled, "cancelled"));
      }
      ask(tasks);
      if (tasks.answered() != i) continue;  // it could not be asked, and has failed
    } else {
      return;
    }
    const state written = write_out();
    const state read = read_in();
    if (!take_answers(tasks)) {
      const auto at = std::string_view(answers_).substr(unread_);
      const bool long_one = first_answer(mode, at, command_->options.max_output).too_long;
      stop_process(0s);
      if (!long_one) return;  // more answers than questions; those given cannot be taken back
      return give_up(
          tasks, final_failure(status::resource_exhausted,
                               "the coprocess's answer is longer than " +
                                   std::to_string(command_->options.max_output) + " bytes"));
    }
    if (read == state::gone) return give_up(tasks, judge_death(stop_process(1s)));
    if (written != state::going && read == state::stuck) wait_for_either(tasks);
  }
}

/// Whether the process still runs and owes us nothing, nor we it.
bool coproc_runner::in_step() const {
  pollfd watched[] = {{child_.pidfd(), POLLIN, 0}, {out_.get(), POLLIN, 0}};
  return unread_ == answers_.size() && ::poll(watched, 2, 0) == 0;
}

/// False: the task was cancelled meanwhile, and has been answered.
bool coproc_runner::pause(claim& tasks) {
  for (auto now = clock::now(); now < not_before_; now = clock::now()) {
    pollfd watched{tasks.wake_fd(), POLLIN, 0};
    if (::poll(&watched, 1, poll_timeout(not_before_, now)) > 0) read_empty(tasks.wake_fd());
    if (!tasks.cancelled(0)) continue;
    tasks.release(0);
    return false;
  }
  return true;
}

/// False: it could not be started, and the task has failed.
bool coproc_runner::start(claim& tasks) {
  const auto fail = [&](verdict why) {
    why.details.host = command_->host;
    tasks.fail(0, why.code, std::move(why.details));
    return false;
  };
  pipe_ends in = open_pipe();
  pipe_ends out = open_pipe();
  pipe_ends err = open_pipe();
  if (!in.read || !out.read || !err.read)
    return fail(failure(status::resource_exhausted,
                        std::string("cannot open a pipe: ") + std::strerror(errno)));
  set_nonblocking(in.write);
  set_nonblocking(out.read);
  set_nonblocking(err.read);

  started_at_ = wall_clock();
  spawned process = invocation_.start(spawner_, in.read.get(), out.write.get(), err.write.get(),
                                      child_.pid_place());
  if (process.error != 0)
    return fail(judge_failed_start(process, *command_, invocation_.name()));
  child_.started(std::move(process));
  in_ = std::move(in.write);
  out_ = std::move(out.read);
  err_ = std::move(err.read);
  questions_.clear();
  answers_.clear();
  errors_.clear();
  unwritten_ = unread_ = 0;
  answered_any_ = exited_ = false;
  return true;
}

/// Makes questions of further tasks. One that cannot be asked fails, once those before it are
/// answered.
void coproc_runner::ask(claim& tasks) {
  const auto mode = command_->options.mode;
  if (!in_) return;
  forget(questions_, unwritten_);
  while (questions_.size() - unwritten_ < write_ahead && tasks.begin(asked_)) {
    const auto payload = tasks.payload(asked_);
    if (can_ask(mode, payload)) {
      append_question(mode, payload, questions_);
    } else if (tasks.answered() == asked_) {
      auto why = final_failure(status::invalid_argument,
                               "a payload with a newline cannot be a line: use --coproc=frame");
      why.details.host = command_->host;
      tasks.fail(asked_, why.code, std::move(why.details));
    } else {
      return;
    }
    ++asked_;
  }
}

coproc_runner::state coproc_runner::write_out() {
  bool moved = false;
  while (in_ && unwritten_ < questions_.size()) {
    const auto n =
        ::write(in_.get(), questions_.data() + unwritten_, questions_.size() - unwritten_);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno == EAGAIN) return moved ? state::going : state::stuck;
    if (n < 0) {
      // It reads no more, so it ends, or else is ended; what it still answers, we take.
      in_.reset();
      child_.ask_to_end(clock::now(), command_->options.grace);
      return state::gone;
    }
    unwritten_ += static_cast<std::size_t>(n);
    moved = true;
  }
  return moved ? state::going : state::stuck;
}

coproc_runner::state coproc_runner::read_in() {
  forget(answers_, unread_);
  switch (read_some(out_.get(), answers_)) {
    case read_result::some:
      return state::going;
    case read_result::nothing_now:
      break;
    case read_result::end:
      return state::gone;
  }
  // A descendant may hold the pipe open for a process that is no more. What that wrote, we have
  // read: it had exited before this look into the pipe.
  return exited_ ? state::gone : state::stuck;
}

/// False: an answer that is too long, or that nobody asked for.
bool coproc_runner::take_answers(claim& tasks) {
  const auto mode = command_->options.mode;
  const std::string_view all = answers_;
  for (auto i = tasks.answered(); unread_ < all.size(); ++i) {
    if (i == asked_) return false;
    const auto found = first_answer(mode, all.substr(unread_), command_->options.max_output);
    if (found.too_long) return false;
    if (found.consumed == 0) return true;
    tasks.succeed(i, found.answer);
    unread_ += found.consumed;
    answered_any_ = true;
  }
  return true;
}

void coproc_runner::wait_for_either(claim& tasks) {
  pollfd watched[] = {{child_.pidfd(), POLLIN, 0},
                      {tasks.wake_fd(), POLLIN, 0},
                      {out_.get(), POLLIN, 0},
                      {err_.get(), POLLIN, 0},
                      {unwritten_ < questions_.size() ? in_.get() : -1, POLLOUT, 0}};
  const auto now = clock::now();
  ::poll(watched, 5, poll_timeout(child_.kill_due(), now));
  exited_ = watched[0].revents != 0;
  if (watched[1].revents != 0) read_empty(tasks.wake_fd());
  if (watched[3].revents != 0) {
    if (read_some(err_.get(), errors_.buffer()) == read_result::end) err_.reset();
    errors_.trim();
  }
  child_.kill_if_due(clock::now());
}

/// Fails the task that was being answered, and releases those that were asked behind it.
void coproc_runner::give_up(claim& tasks, verdict why) {
  why.details.host = command_->host;
  why.details.stderr_tail = errors_.view();
  auto i = tasks.answered();
  if (i < asked_) {
    tasks.fail(i, why.code, std::move(why.details));
    while (++i < asked_) tasks.release(i);
  }
  pause_ = answered_any_ ? duration::zero()
                         : std::clamp<duration>(2 * pause_, first_pause, longest_pause);
  not_before_ = clock::now() + pause_;
}

/// Ends its input, then, after some patience, the process: TERM, grace, KILL.
int coproc_runner::stop_process(duration patience) {
  in_.reset();
  auto now = clock::now();
  const auto patient_until = now + patience;
  for (;;) {
    if (now >= patient_until) child_.ask_to_end(now, command_->options.grace);
    child_.kill_if_due(now);
    pollfd watched[] = {
        {child_.pidfd(), POLLIN, 0}, {out_.get(), POLLIN, 0}, {err_.get(), POLLIN, 0}};
    const auto until = now < patient_until ? patient_until : child_.kill_due();
    if (::poll(watched, 3, poll_timeout(until, now)) > 0) {
      if (watched[0].revents != 0) break;
      // It may not end before it has written what it has to say.
      std::string unwanted;
      if (out_ && watched[1].revents && read_some(out_.get(), unwanted) == read_result::end)
        out_.reset();
      if (err_ && watched[2].revents &&
          read_some(err_.get(), errors_.buffer()) == read_result::end)
        err_.reset();
      errors_.trim();
    }
    now = clock::now();
  }
  const int exit_status = child_.end();
  for (int reads = 0; err_ && reads < 16; ++reads)
    if (read_some(err_.get(), errors_.buffer()) != read_result::some) break;
  out_.reset();
  err_.reset();
  unwritten_ = unread_ = 0;
  questions_.clear();
  answers_.clear();
  return exit_status;
}

verdict coproc_runner::judge_death(int exit_status) const {
  verdict end = judge_exit(exit_status);
  if (end.code == status::ok) end.details.message = "exit 0";
  end.code = status::unavailable;
  end.details.message = "the coprocess ended before it answered: " + end.details.message;
  end.details.started = started_at_;
  return end;
}

}  // namespace weir::exec
