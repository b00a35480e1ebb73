#include "net/committer.hpp"

#include "net/results_impl.hpp"

#include <pthread.h>

#include <csignal>

namespace weir::net {
namespace {

/// A batch of at most this size may be written on the loop thread: PIPE_BUF, what a pipe takes
/// whole when it says that it is writable.
constexpr std::size_t inline_bytes = 4096;

/// Takes the place of tasks that an earlier sink has written, so that those behind them come
/// out.
constexpr std::uint32_t done_before = 0xffff'ffff;
proto::result_run placeholder(proto::seq_range range) {
  proto::result_run run{range.first, done_before, status::ok, {}, {}};
  run.payloads = proto::pack({}, static_cast<std::uint32_t>(range.size()), 0);
  return run;
}

class function_store final : public result_store {
 public:
  explicit function_store(std::function<void(const result&)> f) : each_(std::move(f)) {}
  void write(const results& some) override {
    for (std::uint32_t i = 0; i < some.size(); ++i) each_(some[i]);
  }

 private:
  std::function<void(const result&)> each_;
};

}  // namespace

std::unique_ptr<result_store> make_store(std::function<void(const result&)> on_result) {
  return std::make_unique<function_store>(std::move(on_result));
}

committer::committer(std::unique_ptr<result_store> store, bool keep_order,
                     std::function<void()> wake)
    : store_(std::move(store)), wake_(std::move(wake)) {
  if (keep_order) order_.emplace();
  writer_ = std::thread([this] { work(); });
}

committer::~committer() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  more_.notify_one();
  writer_.join();
}

void committer::open(const proto::opened_source& source) {
  if (!order_) return;
  const std::lock_guard lock(mutex_);
  waiting_.opened.push_back(source);
}

void committer::close(const source_id& source) {
  if (!order_) return;
  const std::lock_guard lock(mutex_);
  waiting_.closed.push_back(source);
}

void committer::give(std::vector<proto::commit_run> runs) {
  if (runs.empty()) return;
  std::unique_lock lock(mutex_);
  std::size_t bytes = 0;
  for (const auto& r : runs) bytes += r.run.payloads.bytes();
  const bool quiet = !writing_ && waiting_.empty() && !failure_;
  if (quiet && !order_ && bytes <= inline_bytes && store_->ready(bytes)) {
    batch small;
    small.runs = std::move(runs);
    try {
      write(small, done_);  // nobody else writes now; the lock is ours alone to wait for
    } catch (...) {
      failure_ = std::current_exception();
    }
    return;
  }
  for (auto& r : runs) waiting_.runs.push_back(std::move(r));
  waiting_.bytes += bytes;
  const bool notify = !writing_;
  lock.unlock();
  if (notify) more_.notify_one();
}

void committer::take(std::vector<done_range>& done) {
  const std::lock_guard lock(mutex_);
  if (failure_) std::rethrow_exception(failure_);
  if (done.empty()) {
    done.swap(done_);
    return;
  }
  done.insert(done.end(), done_.begin(), done_.end());
  done_.clear();
}

bool committer::idle() {
  const std::lock_guard lock(mutex_);
  return !failure_ && !writing_ && waiting_.runs.empty() && done_.empty();
}

std::size_t committer::backlog() {
  const std::lock_guard lock(mutex_);
  return waiting_.bytes + being_written_;
}

void committer::work() {
  sigset_t all;
  sigfillset(&all);
  pthread_sigmask(SIG_BLOCK, &all, nullptr);
  std::unique_lock lock(mutex_);
  for (;;) {
    more_.wait(lock, [&] { return stopping_ || !waiting_.empty(); });
    if (stopping_ || failure_) return;
    batch mine = std::exchange(waiting_, {});
    writing_ = true;
    being_written_ = mine.bytes;
    lock.unlock();
    std::vector<done_range> done;
    std::exception_ptr failure;
    try {
      write(mine, done);
    } catch (...) {
      failure = std::current_exception();
      done.clear();
    }
    mine = {};
    lock.lock();
    writing_ = false;
    being_written_ = 0;
    failure_ = failure;
    done_.insert(done_.end(), done.begin(), done.end());
    lock.unlock();
    wake_();
    lock.lock();
  }
}

void committer::write(batch& some, std::vector<done_range>& done) {
  for (const auto& source : some.opened) {
    order_->start(source.source, source.low + 1);
    for (const auto& range : source.done) order_->add(source.source, placeholder(range));
  }
  if (!order_) {
    for (auto& r : some.runs) write_run(r.source, std::move(r.run), done);
  } else {
    for (auto& r : some.runs) {
      order_->add(r.source, std::move(r.run));
      while (auto due = order_->next()) write_run(due->source, std::move(due->run), done);
    }
  }
  for (const auto& source : some.closed) order_->forget(source);
  store_->flush();
}

void committer::write_run(const source_id& source, proto::result_run run,
                          std::vector<done_range>& done) {
  if (run.attempt == done_before) return;
  done.emplace_back(source, proto::seq_range{run.first, run.last()});
  store_->write(make_results(source, std::move(run)));
}

}  // namespace weir::net
