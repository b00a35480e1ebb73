#include "round_robin.hpp"

#include "exec/command.hpp"

#include <fcntl.h>
#include <poll.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <utility>

namespace weir::cli::run {
namespace {

/// A bigger pipe is fewer wake-ups; what the system grants without privileges.
constexpr int pipe_bytes = 1 << 20;
constexpr int look_again_ms = 100;

char* mutable_c_str(const std::string& text) { return const_cast<char*>(text.c_str()); }

}  // namespace

round_robin_runner::round_robin_runner(run_context& context)
    : context_(context), slot_(context.slots), said_(context.room), complained_(context.room) {}

round_robin_runner::~round_robin_runner() {
  try {
    finish();
  } catch (...) {
    context_.late.keep(std::current_exception());
    context_.rules.press(governor::pressure::end_all);
  }
}

void round_robin_runner::run(exec::claim& tasks) {
  for (std::uint32_t i = 0; tasks.begin(i); ++i) {
    if (context_.rules.level() == governor::pressure::none) try {
        serve(tasks, i);
        continue;
      } catch (...) {
        context_.late.keep(std::current_exception());
        context_.rules.press(governor::pressure::end_all);
      }
    context_.tasks.skip(tasks.id(i).seq);
    outcome_details details;
    details.retryable = false;
    tasks.fail(i, status::cancelled, std::move(details));
  }
}

void round_robin_runner::serve(exec::claim& tasks, std::uint32_t i) {
  if (number_ == 0) start(tasks, i);
  if (in_) feed(tasks, i);
  tasks.succeed(i, {});
}

void round_robin_runner::start(exec::claim& tasks, std::uint32_t i) {
  number_ = slot_.number();
  const place where{number_, slot_.number()};
  const auto words = context_.command.argv({}, where);
  const char* path_list = std::getenv("PATH");
  const auto path = exec::find_in_path(words[0], path_list ? path_list : "");
  auto in = exec::open_pipe();
  auto out = exec::open_pipe();
  auto err = exec::open_pipe();
  exec::spawned process;
  process.error = path.empty() ? ENOENT : EMFILE;
  if (!path.empty() && in.read && out.read && err.read) {
    (void)::fcntl(in.write.get(), F_SETPIPE_SZ, pipe_bytes);
    std::vector<char*> argv;
    for (const auto& word : words) argv.push_back(mutable_c_str(word));
    argv.push_back(nullptr);
    exec::spawn_request what;
    what.path = path.c_str();
    what.argv = argv.data();
    what.envp = environment_.fill(tasks.id(i), number_, slot_.number(), 1);
    what.in = in.read.get();
    what.out = out.write.get();
    what.err = err.write.get();
    what.pid_place = child_.pid_place();
    process = spawner_.start(what);
  }
  if (process.error != 0) {
    failed_to_start_ = true;
    complained_.append(
        "weir run: " + words[0] + ": " +
        (process.error == ENOENT ? "command not found" : std::strerror(process.error)) + "\n");
    return;
  }
  child_.started(std::move(process));
  exec::set_nonblocking(in.write);
  exec::set_nonblocking(out.read);
  exec::set_nonblocking(err.read);
  in_ = std::move(in.write);
  out_ = std::move(out.read);
  err_ = std::move(err.read);
}

void round_robin_runner::feed(exec::claim& tasks, std::uint32_t i) {
  const auto block = context_.tasks.find(tasks.id(i).seq);
  if (!block) return;
  std::string_view left = block->input;
  while (!left.empty() && in_ && context_.rules.level() < governor::pressure::end_all) {
    const auto n = ::write(in_.get(), left.data(), left.size());
    if (n > 0) left.remove_prefix(static_cast<std::size_t>(n));
    if (n >= 0 || errno == EINTR) continue;
    if (errno != EAGAIN) return in_.reset();  // EPIPE: it wants no more
    pollfd watched[] = {
        {in_.get(), POLLOUT, 0}, {out_.get(), POLLIN, 0}, {err_.get(), POLLIN, 0}};
    (void)::poll(watched, 3, look_again_ms);
    take_output();
  }
}

void round_robin_runner::take_output() {
  const auto take = [](exec::unique_fd& from, kept_output& to) {
    if (!from) return;
    const auto got = exec::read_some(from.get(), to.buffer());
    to.settle();
    if (got == exec::read_result::end) from.reset();
  };
  take(out_, said_);
  take(err_, complained_);
}

void round_robin_runner::finish() {
  if (number_ == 0) return;
  task_end end;
  end.ok = !failed_to_start_;
  if (failed_to_start_) end.exit_code = 127;
  if (child_.running()) {
    in_.reset();
    ending how;
    for (;;) {
      pollfd watched[] = {
          {child_.pidfd(), POLLIN, 0}, {out_.get(), POLLIN, 0}, {err_.get(), POLLIN, 0}};
      const bool over = ::poll(watched, 3, look_again_ms) > 0 && watched[0].revents != 0;
      take_output();
      if (over) break;
      const auto now = proto::clock::now();
      if (context_.rules.level() >= governor::pressure::end_all)
        how.begin(context_.to_end, now);
      if (context_.rules.level() == governor::pressure::kill_all) how.hurry(now);
      while (const int signal = how.due(now)) child_.send(signal);
    }
    const auto verdict = exec::judge_exit(child_.end());
    constexpr int most_left_reads = 16;
    for (int reads = 0; reads < most_left_reads && (out_ || err_); ++reads) take_output();
    end = {verdict.code == status::ok, std::max(verdict.details.exit_code, 0),
           verdict.details.signal};
  }
  context_.rules.count(end, {});
  context_.print.task(said_, complained_, {});
  context_.print.flush();
}

}  // namespace weir::cli::run
