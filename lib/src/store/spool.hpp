// The spool's writer: whatever piled up while it wrote is the next transaction.
#pragma once

#include "store/call_table.hpp"

#include <condition_variable>
#include <cstddef>
#include <exception>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace weir::store {

/// One thread in front of one call_table: group commit without a timer.
///
///     spool calls("calls.spool", {}, now, [&] { loop.wake(); });
///     calls.give([call](call_table& t) {
///       auto stored = t.submit(call, now);
///       return [stored] { answer(stored.id); };   // on the loop's thread, when it is durable
///     });
///     ...
///     calls.deliver();                            // each round of the loop
///
/// Delivery   Work is done in the order given, and completions come in that order. What was
///            completed is on the disk. Work may be done twice, if the first time was undone:
///            it changes nothing but the table.
/// Bounds     Results that were read and not delivered: some `most_bytes_read`. More is not
///            read before deliver().
/// Threads    All members are the loop's; work is called on the writer's thread.
/// Errors     The constructor throws what call_table's does. deliver() throws if the file
///            cannot be used any more. Without space, work that can be refused is refused,
///            what only reads is done, and the rest is tried again every second.
class spool {
 public:
  using completion = std::function<void()>;
  using work = std::function<completion(call_table&)>;
  using refusal = std::function<void(const std::string& why)>;
  static constexpr std::size_t most_bytes_read = 16 * 1024 * 1024;

  /// `wake` is called on the writer's thread when there is something to deliver.
  spool(const std::string& path, call_table::options o, unix_ms now,
        std::function<void()> wake);
  /// Finishes what was given, but for what there is no space for.
  ~spool();

  void give(work what, refusal refused = nullptr);
  /// Work that only reads. Without space it does not wait for what was given before.
  void ask(work what);
  /// Runs the completions of what has been committed. False: there were none.
  bool deliver();
  /// Nothing is given and not delivered, a failure neither: deliver() throws that.
  [[nodiscard]] bool idle();
  /// Why nothing could be written when that was last tried; empty if it could.
  [[nodiscard]] std::string trouble();

  /// As it was when it was opened.
  struct opening {
    call_table::recovered recovered;
    std::vector<call_table::waiting_method> waiting;
    std::uint64_t queued = 0;
    std::uint64_t dead = 0;
  };
  [[nodiscard]] const opening& at_opening() const { return opening_; }

 private:
  struct job {
    work what;
    refusal refused;
    bool reads = false;
  };

  using job_iterator = std::vector<job>::const_iterator;
  /// What of these, from the front, has been done.
  struct committed {
    std::vector<completion> completions;
    std::size_t bytes_read = 0;
    bool wrote = false;
  };

  void add(job what);
  void write();
  void deliver_later(std::unique_lock<std::mutex>& lock, committed news);
  void wait_for_space(std::unique_lock<std::mutex>& lock);
  [[nodiscard]] bool may_read() const { return reads_ > 0 && undelivered_ < most_bytes_read; }
  [[nodiscard]] static std::size_t count_reads(job_iterator first, job_iterator last);
  [[nodiscard]] static std::vector<job> take_reads(std::vector<job>& jobs);
  void put_back(std::vector<job> jobs);
  void read(std::unique_lock<std::mutex>& lock);
  [[nodiscard]] committed commit(const std::vector<job>& jobs);
  void refuse(std::vector<job>& jobs, const std::string& why,
              std::vector<completion>& completions);

  call_table table_;
  opening opening_;
  const std::function<void()> wake_;

  std::mutex mutex_;  // over everything below
  std::condition_variable more_;
  std::vector<job> waiting_;
  std::size_t reads_ = 0;  // of those
  bool writing_ = false;
  bool stopping_ = false;
  std::vector<completion> done_;
  std::size_t undelivered_ = 0;  // bytes of results in done_
  std::string trouble_;
  std::exception_ptr failure_;
  std::thread writer_;
};

}  // namespace weir::store
