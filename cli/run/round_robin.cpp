#include "round_robin.hpp"

#include "exec/command.hpp"

#include <weir/error.hpp>

#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <iterator>
#include <utility>

namespace weir::cli::run {
namespace {

/// A bigger pipe is fewer wake-ups; what the system grants without privileges.
constexpr int pipe_bytes = 1 << 20;
constexpr int look_again_ms = 100;

char* mutable_c_str(const std::string& text) { return const_cast<char*>(text.c_str()); }

}  // namespace

first_round::first_round(unsigned slots)
    : slots_(slots), over_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  if (!over_) throw error(exit_code::io, std::string("eventfd: ") + std::strerror(errno));
}

void first_round::block_taken() {
  ++taken_;
  look();
}

void first_round::end_of_input(std::uint64_t blocks) {
  blocks_ = blocks;
  look();
}

void first_round::look() {
  if (taken_ < std::min<std::uint64_t>(slots_, blocks_)) return;
  const std::uint64_t one = 1;
  [[maybe_unused]] const auto n = ::write(over_.get(), &one, sizeof one);
}

round_robin_runner::listed::listed(run_context& context, place where) : rules_(context.rules) {
  task_.number = where.seq;
  task_.since = proto::clock::now();
  task_.describe = [&context, where] { return context.command.text({}, where); };
  rules_.enter(task_);
}

round_robin_runner::round_robin_runner(run_context& context, first_round& round)
    : context_(context),
      round_(round),
      slot_(context.slots),
      said_(context.room),
      complained_(context.room) {}

round_robin_runner::~round_robin_runner() {
  (void)or_end_the_run([this] { finish(); });
}

/// False: `step` has thrown.
bool round_robin_runner::or_end_the_run(const std::function<void()>& step) {
  try {
    step();
    return true;
  } catch (...) {
    context_.late.keep(std::current_exception());
    context_.rules.press(governor::pressure::end_all);
    return false;
  }
}

void round_robin_runner::run(exec::claim& tasks) {
  for (std::uint32_t i = 0; tasks.begin(i); ++i) {
    const bool first = number_ == 0;
    if (context_.rules.level() == governor::pressure::none &&
        or_end_the_run([&] { serve(tasks, i); })) {
      tasks.succeed(i, {});
      // It may be what the reader of the next block waits for, and outcomes of a slot that has
      // not returned are not looked at.
      context_.tasks.drop_input(tasks.id(i).seq);
      if (first) (void)or_end_the_run([this] { wait_for_others(); });
      continue;
    }
    context_.tasks.skip(tasks.id(i).seq);
    outcome_details details;
    details.retryable = false;
    tasks.fail(i, status::cancelled, std::move(details));
  }
}

void round_robin_runner::serve(exec::claim& tasks, std::uint32_t i) {
  if (number_ == 0) {
    start(tasks, i);
    round_.block_taken();
  }
  if (in_) feed(tasks, i);
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
  listed_.emplace(context_, where);
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

void round_robin_runner::wait_for_others() {
  pollfd watched[] = {{round_.over_fd(), POLLIN, 0},
                      {context_.rules.closed_fd(), POLLIN, 0},
                      {out_.get(), POLLIN, 0},
                      {err_.get(), POLLIN, 0}};
  for (;;) {
    (void)::poll(watched, std::size(watched), -1);
    if (watched[0].revents != 0 || watched[1].revents != 0) return;
    take_output();
    watched[2].fd = out_.get();
    watched[3].fd = err_.get();
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
    listed_.reset();
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
