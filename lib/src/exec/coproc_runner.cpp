#include "exec/coproc_runner.hpp"

#include "exec/framing.hpp"
#include "proto/limits.hpp"
#include "proto/utf8.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/ioctl.h>
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
/// How long the first answer of a process is kept back, once: a banner is followed by the
/// answer.
constexpr int first_look_ms = 1;
/// Of what nobody asked for, so much is quoted.
constexpr std::size_t quoted_bytes = 80;
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

std::string unasked_text(std::string_view bytes) {
  std::string line = proto::to_utf8(bytes.substr(0, bytes.find('\n')), quoted_bytes);
  for (char& c : line)
    if (static_cast<unsigned char>(c) < ' ' || c == '\x7f') c = '?';
  return "the coprocess wrote what nobody asked for: \"" + line +
         "\"; it must answer each task once and write nothing else, or answers go to the wrong "
         "tasks, as some of those before may have";
}

}  // namespace

coproc_runner::coproc_runner(std::shared_ptr<const prepared_command> command)
    : command_(std::move(command)),
      invocation_(command_),
      errors_(proto::limits::stderr_bytes) {}

/// The end of its input is how a filter learns that it is done. Whatever it has written
/// meanwhile, nobody is waiting for it.
void coproc_runner::wind_up() {
  if (!child_.running()) return;
  stop_process(command_->options.grace);
  if (!answers_.empty()) throw useless(exit_code::protocol, unasked_text(answers_));
}

void coproc_runner::run(claim& tasks) {
  if (!tasks.begin(0)) return;
  asked_ = 0;
  if (child_.running()) look_before(tasks);
  if (!child_.running() && !(pause(tasks) && start(tasks))) return;

  for (;;) {
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
    if (!answered_any_ && begins_unasked()) out_of_step(tasks);
    const answers found = take_answers(tasks);
    if (found == answers::unasked) out_of_step(tasks);
    if (found == answers::too_long) {
      stop_process(0s);
      return give_up(
          tasks, final_failure(status::resource_exhausted,
                               "the coprocess's answer is longer than " +
                                   std::to_string(command_->options.max_output) + " bytes"));
    }
    if (read == state::gone) return give_up(tasks, judge_death(stop_process(1s)));
    if (written != state::going && read == state::stuck) wait_for_either(tasks);
  }
}

/// Between two claims the process owes us nothing. One that has exited is no longer there
/// afterwards.
void coproc_runner::look_before(claim& tasks) {
  pollfd watched[] = {{child_.pidfd(), POLLIN, 0}, {out_.get(), POLLIN, 0}};
  if (::poll(watched, 2, 0) <= 0) return;
  if (watched[1].revents != 0) (void)read_in();
  if (unread_ < answers_.size()) out_of_step(tasks);
  stop_process(0s);
}

/// Whether a process that was asked one task, its first, has written before that, or more than
/// the answer.
bool coproc_runner::begins_unasked() {
  if (unread_ == answers_.size()) return false;
  if (question_untouched()) return true;
  const auto first =
      first_answer(command_->options.mode, std::string_view(answers_).substr(unread_),
                   command_->options.max_output);
  if (first.consumed == 0) return false;
  if (unread_ + first.consumed == answers_.size()) {
    pollfd watched{out_.get(), POLLIN, 0};
    if (::poll(&watched, 1, first_look_ms) > 0) (void)read_in();
  }
  return unread_ + first.consumed < answers_.size();
}

/// Whether all that was ever written to the process is still in its pipe. Asked after reading
/// what it wrote: then that was no answer.
bool coproc_runner::question_untouched() const {
  int in_pipe = 0;
  return in_ && ::ioctl(in_.get(), FIONREAD, &in_pipe) == 0 &&
         static_cast<std::uint64_t>(in_pipe) == written_;
}

/// It has said what nobody asked for: none of its answers can be relied on, nor those of
/// others like it.
void coproc_runner::out_of_step(claim& tasks) {
  const std::string text = unasked_text(std::string_view(answers_).substr(unread_));
  stop_process(0s);
  const auto next = tasks.answered();
  if (tasks.begin(next)) asked_ = std::max(asked_, next + 1);
  give_up(tasks, failure(status::unavailable, text));
  throw useless(exit_code::protocol, text);
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
  written_ = 0;
  answered_any_ = exited_ = false;
  return true;
}

/// Makes questions of further tasks, of one only until the process has answered something. One
/// that cannot be asked fails, once those before it are answered.
void coproc_runner::ask(claim& tasks) {
  const auto mode = command_->options.mode;
  if (!in_) return;
  forget(questions_, unwritten_);
  while (questions_.size() - unwritten_ < write_ahead &&
         (answered_any_ || asked_ == tasks.answered()) && tasks.begin(asked_)) {
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
    written_ += static_cast<std::uint64_t>(n);
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

coproc_runner::answers coproc_runner::take_answers(claim& tasks) {
  const auto mode = command_->options.mode;
  const std::string_view all = answers_;
  for (auto i = tasks.answered(); unread_ < all.size(); ++i) {
    if (i == asked_) return answers::unasked;
    const auto found = first_answer(mode, all.substr(unread_), command_->options.max_output);
    if (found.too_long) return answers::too_long;
    if (found.consumed == 0) break;
    tasks.succeed(i, found.answer);
    unread_ += found.consumed;
    answered_any_ = true;
  }
  return answers::taken;
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

/// Ends its input, then, after some patience, the process: TERM, grace, KILL. The beginning of
/// what it writes meanwhile is in answers_ afterwards.
int coproc_runner::stop_process(duration patience) {
  in_.reset();
  auto now = clock::now();
  const auto patient_until = now + patience;
  questions_.clear();
  answers_.clear();
  unwritten_ = unread_ = 0;
  const auto read_out = [this] {
    const auto result = read_some(out_.get(), answers_);
    if (answers_.size() > quoted_bytes) answers_.resize(quoted_bytes);
    if (result == read_result::end) out_.reset();
    return result == read_result::some;
  };
  for (;;) {
    if (now >= patient_until) child_.ask_to_end(now, command_->options.grace);
    child_.kill_if_due(now);
    pollfd watched[] = {
        {child_.pidfd(), POLLIN, 0}, {out_.get(), POLLIN, 0}, {err_.get(), POLLIN, 0}};
    const auto until = now < patient_until ? patient_until : child_.kill_due();
    if (::poll(watched, 3, poll_timeout(until, now)) > 0) {
      if (watched[0].revents != 0) break;
      // It may not end before it has written what it has to say.
      if (out_ && watched[1].revents) read_out();
      if (err_ && watched[2].revents &&
          read_some(err_.get(), errors_.buffer()) == read_result::end)
        err_.reset();
      errors_.trim();
    }
    now = clock::now();
  }
  const int exit_status = child_.end();
  for (int reads = 0; out_ && reads < 16 && read_out(); ++reads) {
  }
  for (int reads = 0; err_ && reads < 16; ++reads)
    if (read_some(err_.get(), errors_.buffer()) != read_result::some) break;
  out_.reset();
  err_.reset();
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
