#include "store/spool.hpp"

#include <pthread.h>

#include <algorithm>
#include <csignal>
#include <iterator>
#include <optional>
#include <utility>

namespace weir::store {
namespace {
/// In one transaction: so many that its fsync hardly counts, so few that nobody waits long.
constexpr std::size_t most_jobs = 4096;
/// Between two looks at a full disk.
constexpr std::chrono::seconds not_writable_pause{1};
}  // namespace

spool::spool(const std::string& path, call_table::options o, unix_ms now,
             std::function<void()> wake)
    : table_(path, o, now), wake_(std::move(wake)) {
  opening_.recovered = table_.at_opening();
  opening_.waiting = table_.waiting();
  opening_.queued = table_.count(call_state::queued);
  opening_.dead = table_.count(call_state::dead);
  writer_ = std::thread([this] { write(); });
}

spool::~spool() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  more_.notify_one();
  writer_.join();
}

void spool::give(work what, refusal refused) { add({std::move(what), std::move(refused)}); }

void spool::ask(work what) { add({std::move(what), nullptr, true}); }

std::size_t spool::count_reads(job_iterator first, job_iterator last) {
  return static_cast<std::size_t>(
      std::count_if(first, last, [](const job& j) { return j.reads; }));
}

void spool::add(job what) {
  bool notify = false;
  {
    const std::lock_guard lock(mutex_);
    notify = !writing_ || (what.reads && !trouble_.empty());
    reads_ += what.reads ? 1 : 0;
    waiting_.push_back(std::move(what));
  }
  if (notify) more_.notify_one();
}

bool spool::deliver() {
  std::vector<completion> done;
  std::exception_ptr failure;
  bool full = false;
  {
    const std::lock_guard lock(mutex_);
    done.swap(done_);
    full = std::exchange(undelivered_, 0) >= most_bytes_read;
    failure = failure_;
  }
  if (full) more_.notify_one();
  for (const auto& tell : done)
    if (tell) tell();
  if (failure) std::rethrow_exception(failure);
  return !done.empty();
}

bool spool::idle() {
  const std::lock_guard lock(mutex_);
  return !failure_ && !writing_ && waiting_.empty() && done_.empty();
}

std::string spool::trouble() {
  const std::lock_guard lock(mutex_);
  return trouble_;
}

void spool::write() {
  sigset_t all;
  sigfillset(&all);
  pthread_sigmask(SIG_BLOCK, &all, nullptr);
  std::vector<job> undone;  // for lack of space, or because much was read already
  std::unique_lock lock(mutex_);
  for (;;) {
    more_.wait(lock, [&] {
      return stopping_ ||
             (undelivered_ < most_bytes_read && (!waiting_.empty() || !undone.empty()));
    });
    if (waiting_.empty() && undone.empty()) return;
    std::vector<job> mine = std::exchange(undone, {});
    // Without space new ones are looked at all the same: most can be refused.
    const auto room =
        trouble_.empty() ? most_jobs - std::min(most_jobs, mine.size()) : most_jobs;
    const auto taken = std::min(waiting_.size(), room);
    const auto end = waiting_.begin() + static_cast<std::ptrdiff_t>(taken);
    reads_ -= count_reads(waiting_.begin(), end);
    std::move(waiting_.begin(), end, std::back_inserter(mine));
    waiting_.erase(waiting_.begin(), end);
    writing_ = true;
    lock.unlock();
    committed news;
    std::optional<std::string> trouble;
    std::exception_ptr failure;
    try {
      news = commit(mine);
      if (news.wrote) trouble.emplace();
      mine.erase(mine.begin(),
                 mine.begin() + static_cast<std::ptrdiff_t>(news.completions.size()));
    } catch (const not_writable& e) {
      trouble = e.what();
      refuse(mine, *trouble, news.completions);
    } catch (...) {
      failure = std::current_exception();
    }
    lock.lock();
    const bool no_space = trouble && !trouble->empty();
    if (trouble) trouble_ = std::move(*trouble);
    failure_ = failure;
    if (no_space) put_back(take_reads(mine));
    writing_ = !failure && !mine.empty();  // what is tried again keeps this from being idle
    undone = std::move(mine);
    deliver_later(lock, std::move(news));
    if (no_space) wait_for_space(lock);
    if (failure_ || (stopping_ && no_space)) return;
  }
}

void spool::deliver_later(std::unique_lock<std::mutex>& lock, committed news) {
  std::move(news.completions.begin(), news.completions.end(), std::back_inserter(done_));
  undelivered_ += news.bytes_read;
  lock.unlock();
  wake_();
  lock.lock();
}

void spool::wait_for_space(std::unique_lock<std::mutex>& lock) {
  const auto end = std::chrono::steady_clock::now() + not_writable_pause;
  while (!failure_ && more_.wait_until(lock, end, [&] { return stopping_ || may_read(); })) {
    if (stopping_) return;
    read(lock);
  }
}

/// Takes those that only read away from the others.
std::vector<spool::job> spool::take_reads(std::vector<job>& jobs) {
  const auto first =
      std::stable_partition(jobs.begin(), jobs.end(), [](const job& j) { return !j.reads; });
  std::vector<job> taken(std::make_move_iterator(first), std::make_move_iterator(jobs.end()));
  jobs.erase(first, jobs.end());
  return taken;
}

void spool::put_back(std::vector<job> jobs) {
  reads_ += count_reads(jobs.begin(), jobs.end());
  waiting_.insert(waiting_.begin(), std::make_move_iterator(jobs.begin()),
                  std::make_move_iterator(jobs.end()));
}

/// What waits and only reads, on its own.
void spool::read(std::unique_lock<std::mutex>& lock) {
  std::vector<job> mine = take_reads(waiting_);
  reads_ = 0;
  const bool others = std::exchange(writing_, true);
  lock.unlock();
  committed news;
  std::exception_ptr failure;
  try {
    news = commit(mine);
    mine.erase(mine.begin(),
               mine.begin() + static_cast<std::ptrdiff_t>(news.completions.size()));
  } catch (const not_writable&) {
    for (job& j : mine) j.reads = false;  // no better than the others
  } catch (...) {
    failure = std::current_exception();
  }
  lock.lock();
  failure_ = failure;
  put_back(std::move(mine));
  writing_ = others;
  deliver_later(lock, std::move(news));
}

spool::committed spool::commit(const std::vector<job>& jobs) {
  committed done;
  done.completions.reserve(jobs.size());
  const auto changes = table_.file().all_changes();
  transaction all(table_.file());
  for (const auto& j : jobs) {
    done.completions.push_back(j.what(table_));
    done.bytes_read += table_.take_bytes_read();
    if (done.bytes_read >= most_bytes_read) break;
  }
  all.commit();
  done.wrote = table_.file().all_changes() != changes;
  return done;
}

void spool::refuse(std::vector<job>& jobs, const std::string& why,
                   std::vector<completion>& completions) {
  std::vector<job> kept;
  for (auto& j : jobs) {
    if (j.refused) {
      completions.push_back([refused = std::move(j.refused), why] { refused(why); });
    } else {
      kept.push_back(std::move(j));
    }
  }
  jobs = std::move(kept);
}

}  // namespace weir::store
