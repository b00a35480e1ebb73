#include "exec/process_runner.hpp"

#include "proto/limits.hpp"
#include "proto/task_command.hpp"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <utility>

namespace weir::exec {
namespace {

using proto::clock;
using proto::duration;
using proto::time_point;
using namespace std::chrono_literals;

/// For this long we do not look at what a process writes. Most are done by then with less than
/// its pipe holds, and have cost us one wake-up instead of one for each write. Not so when the
/// last one wrote much: a process that has filled its pipe would wait for us.
constexpr duration quiet = 10ms;
constexpr std::size_t much = 32 * 1024;
/// A buffer that has grown beyond this is not kept for the next task.
constexpr std::size_t kept_output = 256 * 1024;
/// Reads that empty a pipe of the largest size (1 MiB) whose writers have gone. A bound, as a
/// process that escaped its group may go on writing.
constexpr int most_left_reads = 16;

std::string seconds(duration d) {
  char text[32];
  std::snprintf(text, sizeof text, "%g s", std::chrono::duration<double>(d).count());
  return text;
}

}  // namespace

process_runner::process_runner(std::shared_ptr<const prepared_command> command)
    : command_(std::move(command)),
      invocation_(command_),
      brought_(command_),
      null_(above_stdio(unique_fd(::open("/dev/null", O_RDONLY | O_CLOEXEC)))),
      errors_(proto::limits::stderr_bytes) {}

void process_runner::run(claim& tasks) {
  for (std::uint32_t i = 0; tasks.begin(i); ++i) run_one(tasks, i);
}

void process_runner::run_one(claim& tasks, std::uint32_t i) {
  const auto fail = [&](verdict end) {
    end.details.host = command_->host;
    tasks.fail(i, end.code, std::move(end.details));
  };
  if (tasks.cancelled(i))
    return fail(failure(status::cancelled, "cancelled before it started"));
  std::optional<std::string_view> input;
  const auto why_not = prepare(tasks, i, input);
  if (!why_not.empty())
    return fail(final_failure(status::invalid_argument, std::string(why_not)));

  streams ours;
  streams its;
  if (!open_streams(input, ours, its))
    return fail(failure(status::resource_exhausted,
                        std::string("cannot open a pipe: ") + std::strerror(errno)));

  const auto started = clock::now();
  const double started_at = wall_clock();
  const int in = its.in ? its.in.get() : null_.get();
  spawned process =
      current_->start(spawner_, in, its.out.get(), its.err.get(), child_.pid_place());
  if (process.error != 0) return fail(judge_failed_start(process, *command_, current_->name()));
  child_.started(std::move(process));
  its = {};

  output_.clear();
  errors_.clear();
  const auto cut = attend(tasks, i, ours, started);
  const int exit_status = child_.end();
  drain(ours);

  verdict end = judge(exit_status, cut, tasks.time_limit());
  end.details.host = command_->host;
  end.details.stderr_tail = errors_.view();
  end.details.started = started_at;
  end.details.runtime = std::chrono::duration<double>(clock::now() - started).count();
  const auto result = std::string_view(output_).substr(0, command_->options.max_output);
  if (end.code == status::ok)
    tasks.succeed(i, result, std::move(end.details));
  else
    tasks.fail(i, end.code, std::move(end.details), result);
  wrote_much_ = output_.size() > much;
  if (output_.capacity() > kept_output) std::string().swap(output_);
}

/// Says why this task cannot be run; empty: it can. `input`: what its process shall read.
std::string_view process_runner::prepare(claim& tasks, std::uint32_t i,
                                         std::optional<std::string_view>& input) {
  const auto payload = tasks.payload(i);
  if (tasks.commands()) {
    auto command = proto::decode_command(payload);
    if (!command) return "the command that came with the task cannot be read";
    if (command->has_input) input = command->input;
    brought_.set_command(std::move(command->argv));
    current_ = &brought_;
    return brought_.fill({}, tasks.id(i), tasks.attempt());
  }
  current_ = &invocation_;
  if (command_->argv.empty()) {
    return "this worker has no command of its own, and the task brings none";
  } else if (command_->options.mode == command_mode::stdin_) {
    input = payload;
  }
  return invocation_.fill(payload, tasks.id(i), tasks.attempt());
}

bool process_runner::open_streams(std::optional<std::string_view> input, streams& ours,
                                  streams& its) {
  pipe_ends out = open_pipe();
  pipe_ends err = open_pipe();
  if (!out.read || !err.read) return false;
  set_nonblocking(out.read);
  set_nonblocking(err.read);
  ours.out = std::move(out.read);
  ours.err = std::move(err.read);
  its.out = std::move(out.write);
  its.err = std::move(err.write);
  if (!input) return true;

  pipe_ends in = open_pipe();
  if (!in.read) return false;
  set_nonblocking(in.write);
  ours.in = std::move(in.write);
  its.in = std::move(in.read);
  // Most payloads fit into the pipe, and need no attention later.
  const auto n = input->empty() ? 0 : ::write(ours.in.get(), input->data(), input->size());
  ours.unwritten = input->substr(n > 0 ? static_cast<std::size_t>(n) : 0);
  if (ours.unwritten.empty()) ours.in.reset();
  return true;
}

/// Returns when the process has exited.
process_runner::cut_short process_runner::attend(claim& tasks, std::uint32_t i, streams& ours,
                                                 time_point started) {
  const auto limit = tasks.time_limit();
  const auto expires = limit > duration::zero() ? started + limit : time_point::max();
  auto cut = cut_short::no;
  // The first look is at its end only, unless it waits for more input from us.
  bool listen = ours.in || wrote_much_;
  auto now = started;
  for (;;) {
    pollfd watched[] = {{child_.pidfd(), POLLIN, 0},
                        {tasks.wake_fd(), POLLIN, 0},
                        {ours.out.get(), POLLIN, 0},
                        {ours.err.get(), POLLIN, 0},
                        {ours.in.get(), POLLOUT, 0}};
    auto until =
        std::min(cut == cut_short::no ? expires : time_point::max(), child_.kill_due());
    if (!listen) until = std::min(until, started + quiet);
    if (::poll(watched, listen ? 5 : 2, poll_timeout(until, now)) < 0 && errno != EINTR) {
      child_.kill();  // out of memory, by the manual: there is no way to attend to it
      return cut;
    }
    if (watched[0].revents != 0) return cut;
    if (watched[1].revents != 0) {
      std::uint64_t count = 0;
      [[maybe_unused]] const auto n = ::read(tasks.wake_fd(), &count, sizeof count);
    }
    now = clock::now();
    if (cut == cut_short::no && now >= expires) {
      cut = cut_short::expired;
      child_.ask_to_end(now, command_->options.grace);
    }
    look_for_stop(tasks, i, now, cut);
    child_.kill_if_due(now);
    if (listen && !exchange(ours)) {
      if (cut == cut_short::no) cut = cut_short::too_much_output;
      child_.kill();
    }
    listen = true;
  }
}

void process_runner::look_for_stop(claim& tasks, std::uint32_t i, time_point now,
                                   cut_short& cut) {
  const auto reason = cut == cut_short::no ? tasks.why_stop(i) : stop_reason::none;
  if (reason == stop_reason::none) return;
  cut = reason == stop_reason::expired ? cut_short::expired : cut_short::cancelled;
  child_.ask_to_end(now, command_->options.grace);
}

/// Moves bytes both ways. False: there is more output than there may be.
bool process_runner::exchange(streams& ours) {
  if (ours.in) {
    const auto n = ::write(ours.in.get(), ours.unwritten.data(), ours.unwritten.size());
    if (n > 0) ours.unwritten.remove_prefix(static_cast<std::size_t>(n));
    // EPIPE: it does not want to read the rest, and may do so.
    if (ours.unwritten.empty() || (n < 0 && errno != EAGAIN && errno != EINTR)) ours.in.reset();
  }
  if (ours.err && read_some(ours.err.get(), errors_.buffer()) == read_result::end)
    ours.err.reset();
  errors_.trim();
  if (!ours.out) return true;
  const bool ended = read_some(ours.out.get(), output_) == read_result::end;
  const bool too_much = output_.size() > command_->options.max_output;
  if (ended || too_much) ours.out.reset();
  return !too_much;
}

/// Takes what is in the pipes. Does not wait for their end: descendants may hold them open.
void process_runner::drain(streams& ours) {
  const auto take_all = [](const unique_fd& from, std::string& to) {
    for (int reads = 0; from && reads < most_left_reads; ++reads)
      if (read_some(from.get(), to) != read_result::some) return;
  };
  take_all(ours.out, output_);
  take_all(ours.err, errors_.buffer());
}

verdict process_runner::judge(int exit_status, cut_short cut, duration limit) {
  verdict end = judge_exit(exit_status);
  if (cut == cut_short::expired) {
    end.code = status::deadline_exceeded;
    end.details.message = "ended after its time limit of " + seconds(limit);
  } else if (cut == cut_short::cancelled) {
    end.code = status::cancelled;
    end.details.message = "cancelled";
  } else if (output_.size() > command_->options.max_output) {
    end.code = status::resource_exhausted;
    end.details.message =
        "more output than " + std::to_string(command_->options.max_output) + " bytes";
    end.details.retryable = false;
  }
  return end;
}

}  // namespace weir::exec
