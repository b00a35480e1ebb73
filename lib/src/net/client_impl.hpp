// A client from the inside: machine, sockets, and who drives them.
#pragma once

#include "net/call_intake.hpp"
#include "net/nested_calls.hpp"
#include "net/node_loop.hpp"
#include "net/receivers.hpp"
#include "net/transport.hpp"
#include "proto/rpc/client_state.hpp"
#include "proto/time.hpp"

#include <weir/raw_client.hpp>

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <unordered_map>
#include <vector>

namespace weir {

/// One thread at a time leads: it does rounds of the loop, and hands out what comes. A thread
/// that waits for a call leads until that call is over, so that no other thread has to be woken
/// for its reply; the loop thread leads while nobody else does and something is wanted, or has
/// not been looked for in a while. Whoever makes a call sends it himself if nothing else is
/// under way, or little is and the leader sleeps; else the leader takes it along in its next
/// round. Of calls that are made in a row without a leader the first is sent at once, and the
/// others together: by whoever made them if he then waits, which is expected if he did so the
/// last time, by the loop thread if not.
///
/// Threads    Locks nest in this order: loop, baton, input. Receivers are called by the leader
///            without any lock; user code by the loop thread, which does not lead meanwhile.
struct raw_client::impl {
  /// While no more than this is under way, it pays to have each call sent and awaited by
  /// whoever makes it; beyond, to let one thread do it for all, in fewer messages.
  static constexpr std::uint64_t few_calls = 8;
  static constexpr unsigned crowd = 3;

  explicit impl(client_options o);
  ~impl();
  void close() noexcept;
  void stop() noexcept;
  /// Of a client that its own callback has destroyed: the loop thread returns to that callback
  /// and then goes, and this with it.
  void end_within_callback();

  // client_calls.cpp: calls come in
  using request = net::call_intake::request;
  [[nodiscard]] request request_for(std::string_view method, const prepared_settings& settings,
                                    net::call_kind kind) const;
  /// Has `add()` called under the input lock, and what it adds taken along. False: it is
  /// closed, nothing was added.
  template <class Add>
  bool make(Add&& add);
  void see_to_it(bool leader_slept);
  bool send_directly(bool leader_slept);
  void cancel(proto::seq_range calls) noexcept;
  /// If a handler has made these, they end with the call that it answers.
  void tie(call_handle calls);

  // client_round.cpp: under the loop's lock, by the leader or whoever sends directly
  void round(std::unique_lock<std::mutex>& held, proto::time_point until);
  void settle(proto::time_point now);
  void take_calls(proto::time_point now);
  void hand_over(net::intake_run& run, proto::time_point now);
  void take_news();
  void take_outcome(proto::call_outcomes&& some);
  void open_direct_links(proto::time_point now);
  void publish();
  /// Calls receivers, without the lock.
  void deliver(std::unique_lock<std::mutex>& held);
  /// Ends everything that is open.
  void fail_all(std::unique_lock<std::mutex>& held, status code, const std::string& why);
  void close_down();

  // client_lead.cpp: who leads
  enum class leader : std::uint8_t { nobody, loop, caller };
  struct waiter {
    completion& what;
    std::condition_variable wake;
    bool asked = false;  // to lead
  };
  bool wait(completion& what, proto::time_point until);
  /// Returns whether this thread is to lead now, if nobody does.
  bool wait_in_line(std::unique_lock<std::mutex>& baton_held, completion& what,
                    proto::time_point until);
  /// So many wait that handing the lead around among them costs more than one thread that
  /// serves all.
  [[nodiscard]] bool crowded() const { return visitors >= crowd; }
  void complete(completion& what) noexcept;
  void attend() noexcept;
  void post(loop_work& what) noexcept;
  void run_later(std::function<void()> what);
  void run_loop();
  void lead_for(completion& what, proto::time_point until);
  void lead_as_loop();
  void pass_on();
  void want_loop() noexcept;
  void want_loop_locked() noexcept;
  [[nodiscard]] bool wanted() const;
  void run_work(std::unique_lock<std::mutex>& baton_held);
  void run_taken();
  void end(std::unique_lock<std::mutex>& baton_held);
  [[nodiscard]] bool on_loop_thread() const {
    return std::this_thread::get_id() == loop_id.load(std::memory_order_relaxed);
  }

  const client_options options;
  std::string peers;
  std::vector<std::string> endpoints;
  const std::shared_ptr<net::client_gate> gate = std::make_shared<net::client_gate>(*this);

  // Over machine, sockets, outbox and the rest down to the next lock. The leader lets go of it
  // while it sleeps.
  std::mutex loop_mutex;
  net::transport net;
  proto::client_state machine;
  proto::client_outbox out;
  std::vector<net::transport::event> events;
  net::call_intake::contents arrived;  // from the intake; keeps its memory
  net::receivers open;
  std::unordered_map<std::uint64_t, std::shared_ptr<raw_reader::impl>> streams;
  std::unordered_map<std::uint64_t, std::shared_ptr<const prepared_settings::impl>> reporting;
  struct news {
    struct elements {
      std::shared_ptr<raw_reader::impl> to;
      proto::pack some;
    };
    struct ended {
      reply_receiver* to;
      std::uint32_t index;    // the receiver's
      std::uint32_t outcome;  // of `outcomes`
      std::uint32_t item;     // in that
    };
    std::vector<elements> parts;
    std::vector<proto::call_outcomes> outcomes;
    std::vector<std::string> paths;  // of each outcome
    std::vector<ended> calls;
    std::vector<std::shared_ptr<raw_reader::impl>> readers;  // that are among these
    std::vector<completion*> connected;
    [[nodiscard]] bool empty() const {
      return parts.empty() && calls.empty() && connected.empty();
    }
    void clear();
  };
  news ready;       // for the leader to hand out
  news delivering;  // by the leader, without the lock
  std::vector<completion*> want_connection;
  proto::session_id last_from{};  // and how it is called
  std::string last_path;
  std::atomic<bool> broken{false};  // no round is possible any more

  // Between callers and leader.
  mutable std::mutex input_mutex;
  net::call_intake intake;
  bool leader_sleeps = false;  // and has to be woken for what comes in
  bool closed = false;
  std::string why_closed = "the client was closed";
  client_stats stats;

  std::atomic<std::uint64_t> in_flight{0};    // as of the last round
  std::atomic<std::uint64_t> attended{0};     // calls up to here are to be noticed at once
  std::atomic<std::uint64_t> quiet_up_to{0};  // and up to here all have ended
  std::atomic<bool> step_aside{false};        // the loop thread should let a caller lead
  // Calls were left for the next leader at this time, the first of them; time_point{}: none.
  std::atomic<proto::time_point> left_at{};
  std::atomic<bool> waits_follow{false};  // lately whoever left some waited for them at once
  std::atomic<bool> stopping{false};      // written under the baton, like the next two
  std::atomic<bool> has_work{false};
  std::atomic<leader> leading{leader::nobody};
  std::atomic<std::thread::id> loop_id{};

  // The baton: who leads, who waits for it, and what the loop thread has to do.
  std::mutex baton;
  std::vector<waiter*> waiters;  // in order
  std::condition_variable loop_wakes;
  std::condition_variable visitors_leave;
  bool loop_wanted = false;
  std::uint64_t turns = 0;  // how often callers have led
  unsigned visitors = 0;    // threads in wait()
  bool gone = false;        // the loop thread does no work any more: whoever has some does it
  loop_work* first_work = nullptr;
  loop_work* last_work = nullptr;
  loop_work* taken_work = nullptr;  // the loop thread's own: what it runs next
  bool ended = false;               // likewise: by a callback
  std::mutex end_mutex;             // over joining
  std::thread loop;                 // last: uses all of this
};

/// A stream that is being read.
struct raw_reader::impl final : reply_receiver {
  impl(raw_client::impl& c, const call_settings& s)
      : client(c), window(s.stream_window), window_bytes(s.stream_bytes) {}
  void on_elements(proto::pack some);
  void on_reply(std::uint32_t index, const reply_view& reply) noexcept override;
  [[nodiscard]] std::optional<std::string_view> next();
  void cancel() noexcept;

  raw_client::impl& client;
  const std::uint64_t window;
  const std::uint64_t window_bytes;
  std::uint64_t number = 0;

  // The reader's own.
  proto::pack current;
  std::uint32_t at = 0;
  std::uint64_t got = 0;             // elements
  std::uint64_t got_bytes = 0;       // and what they come to
  std::uint64_t reported = 0;        // of them
  std::uint64_t reported_bytes = 0;  // of those

  std::mutex mutex;  // over the rest
  std::deque<proto::pack> elements;
  completion* waiting = nullptr;
  bool ended = false;
  raw_outcome outcome;
};

template <class Add>
bool raw_client::impl::make(Add&& add) {
  bool slept = false;
  {
    const std::lock_guard lock(input_mutex);
    if (closed) return false;
    add();
    slept = std::exchange(leader_sleeps, false);
  }
  see_to_it(slept);
  return true;
}

}  // namespace weir
