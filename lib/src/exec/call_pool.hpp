// Slots for calls: threads that answer what callers wait for.
#pragma once

#include "exec/answer_box.hpp"
#include "exec/call.hpp"
#include "proto/rpc/service_state.hpp"
#include "proto/time.hpp"

#include <weir/method.hpp>
#include <weir/rpc_error.hpp>

#include <array>
#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace weir::exec {

/// Runs calls on a fixed number of threads, one at a time each, so that none waits behind a
/// slow one while a thread is idle; and hands each answer over when it is there.
///
/// A thread switch costs more than a short handler. So the loop may help: it runs calls itself,
/// on its own thread, as long as they are of methods that have been short lately and come to
/// little altogether. Whoever lets it must have another thread ready to become the loop, as
/// a handler that has been short may turn out long.
///
/// Streams that have no credit wait without a thread.
///
/// Delivery   Every call given is answered exactly once, in any order; the elements of its
///            stream come before. What was expired or cancelled before it began is answered
///            without running it, and says so.
/// Threads    give(), help(), take(), cancel(), grant(), tick(), stop(): one at a time; while
///            one is in help(), others may call the rest. `wake` is called on any thread, with
///            no lock held, at most once between two take()s: there is something to take.
class call_pool final : private report_taker {
 public:
  struct method {
    raw_method run;          ///< one of the two
    raw_stream_method open;  ///< the other
    bool may_be_short = true;
  };
  /// Who may be in help() at a time, each under a number of its own.
  static constexpr unsigned helpers = 2;

  call_pool(unsigned slots, std::vector<method> methods, std::function<void()> wake);
  ~call_pool();
  call_pool(const call_pool&) = delete;
  call_pool& operator=(const call_pool&) = delete;

  /// Returns whether it would be best to help() now; no slot is woken then, so it has to be
  /// done.
  [[nodiscard]] bool give(std::vector<proto::start_calls> more, bool may_help);
  /// Runs calls on this thread for some 100 us. Returns whether there is more to help with; the
  /// `last` time, slots are woken for that instead.
  [[nodiscard]] bool help(unsigned helper, bool last);
  /// For whoever sees a helper not come back: wakes slots for what waits behind it.
  void relieve();
  void take(call_news& out);

  /// Tells the handler, if it runs; else it will not be run.
  void cancel(const proto::call_key& key);
  /// A stream may produce elements up to `until`, while they come to less than `until_bytes`.
  void grant(const proto::call_key& key, std::uint64_t until,
             std::uint64_t until_bytes = UINT64_MAX);
  /// Ends streams that nobody waits for any more.
  void tick(proto::time_point now);
  [[nodiscard]] proto::time_point next_deadline() const;
  /// When the oldest thing came that take() would take; time_point::max(): there is none.
  [[nodiscard]] proto::time_point waiting_since() const { return box_.waiting_since(); }

  /// Tells everything to stop, without waiting.
  void stop_all();
  /// The same; waits for handlers and ends the threads. Afterwards only take() makes sense.
  void stop();

  [[nodiscard]] unsigned slots() const { return static_cast<unsigned>(threads_.size()); }

 private:
  /// A method, and how long it has taken lately.
  struct entry : method {
    explicit entry(method m) : method(std::move(m)) {}
    std::atomic<std::uint32_t> mean_ns = 0;
    std::atomic<int> doubts;  // 0: it is short
    [[nodiscard]] bool is_short() const { return doubts.load(std::memory_order_relaxed) == 0; }
    void took(proto::duration time);
  };
  struct open_stream {
    open_stream(std::shared_ptr<call_group> g, std::uint32_t index, report_taker& reports,
                unsigned slot)
        : group(std::move(g)), handle(*group, index, reports, slot), context(handle) {}
    std::shared_ptr<call_group> group;
    call handle;
    call_context context;
    std::unique_ptr<raw_stream> elements;  // before what it refers to goes
    proto::time_point began;
    std::uint64_t sent = 0;
    std::uint64_t sent_bytes = 0;
    std::atomic<std::uint64_t> until = 0;
    std::atomic<std::uint64_t> until_bytes = 0;
    [[nodiscard]] bool may_go_on() const { return sent < until && sent_bytes < until_bytes; }
    bool parked = false;  // under mutex_
  };
  /// What a thread needs to run calls.
  struct bench {
    unsigned number = 0;
    std::string scratch;
    void begin(proto::time_point now);
    /// Whether a call since begin() took long only because the processor was taken away: it has
    /// neither waited for anything nor computed for long.
    [[nodiscard]] bool was_interrupted(proto::time_point call_began) const;

   private:
    proto::time_point began_;
    proto::duration busy_{};
    long waits_ = 0;   // it has waited, and
    long forced_ = 0;  // has been made to
  };
  using group_ptr = std::shared_ptr<call_group>;

  void run_slot(unsigned number);
  void work_on(const group_ptr& group, bench& at, proto::time_point& now);
  proto::time_point run_one(const group_ptr& group, std::uint32_t index, bench& at,
                            proto::time_point now);
  void start_stream(const group_ptr& group, std::uint32_t index, bench& at,
                    proto::time_point now);
  void run_stream(const std::shared_ptr<open_stream>& s, bench& at);
  void end_stream(const std::shared_ptr<open_stream>& s, status code,
                  std::unique_ptr<proto::reply_details> details, std::string& result);
  void refuse(call_group& group, std::uint32_t index, status code, std::string why,
              proto::time_point now);
  void report(const proto::call_key& key, std::uint64_t done, std::uint64_t total,
              std::string_view text) override;

  [[nodiscard]] static group_ptr front_of(std::deque<group_ptr>& queue);
  [[nodiscard]] group_ptr front();
  void resume(const std::shared_ptr<open_stream>& s);
  void wake_slots(std::uint64_t calls);
  void wake_loop();
  void wake_if_due(proto::time_point now, bool more_to_do);

  std::deque<entry> methods_;
  const std::function<void()> wake_;
  answer_box box_;
  std::atomic<bool> woken_ = false;  // the loop has been woken and has not taken since
  std::atomic<proto::duration::rep> last_report_wake_ = 0;
  std::array<bench, helpers> helpers_;
  std::atomic<std::size_t> ready_count_ = 0;
  std::atomic<bool> leaving_ = false;

  mutable std::mutex mutex_;  // over everything below
  std::condition_variable work_;
  std::deque<group_ptr>
      short_queue_;                // of methods that were short: the loop may help with these
  std::deque<group_ptr> queue_;    // in order; those without unclaimed calls go when met
  std::vector<group_ptr> live_;    // with unanswered calls, and some that have none any more
  std::size_t look_through_ = 64;  // when live_ is this long
  std::map<proto::call_key, std::shared_ptr<open_stream>> streams_;
  std::deque<std::shared_ptr<open_stream>> ready_;
  proto::time_point stream_deadline_ = proto::time_point::max();
  unsigned idle_ = 0;
  bool stopping_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace weir::exec
