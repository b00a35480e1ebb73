// A client of RPC, as a state machine.
#pragma once

#include "proto/backoff.hpp"
#include "proto/links.hpp"
#include "proto/outbox.hpp"
#include "proto/rpc/caller.hpp"
#include "proto/rpc/placement.hpp"
#include "proto/rpc/routes.hpp"
#include "proto/rpc/timetable.hpp"
#include "proto/run_map.hpp"
#include "proto/time.hpp"

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace weir::proto {

/// Consecutive calls of one method, as a user makes them.
struct new_calls {
  std::uint64_t first = 0;  ///< numbers of the client's own choice: ascending, below 2^60
  std::string method;
  pack arguments;  ///< each a MessagePack array
  time_point deadline;
  /// When they were made, if the caller has stated no deadline: then what the method declares
  /// counts from here, but not beyond `latest`; and `deadline` if it declares none.
  std::optional<time_point> unstated_since{};
  time_point latest = time_point::max();
  std::shared_ptr<const call_options> options;  ///< null: the defaults
  std::uint32_t retries =
      0;                    ///< more attempts, where safe: idempotent, keyed, or never started
  bool idempotent = false;  ///< the caller says so, whatever the method's declaration
  duration hedge_after{};   ///< 0: never; a second attempt elsewhere, the first answer counts
};

/// Outcomes of consecutive calls.
struct call_outcomes {
  std::uint64_t first = 0;
  reply_run reply;      ///< its `first` is the same
  session_id from{};    ///< who answered; session_id{}: this client itself
  bool direct = false;  ///< by a worker, with no gateway in between
};

struct client_outbox : outbox {
  std::vector<caller::stream_part> parts;  ///< elements come before the outcome
  std::vector<call_outcomes> outcomes;     ///< each call exactly once
  std::vector<caller::progressed> reports;
  std::vector<std::string> opens;  ///< introduction: connect to this, tell worker_opened()
};

/// Calls methods of workers, through gateways or directly.
///
/// Delivery   Every call ends exactly once: with its reply, or with an error at its deadline at
///            the latest, whatever dies. A call that may have run is sent again only if its
///            method is declared idempotent, or the caller said so or gave an idempotency key.
///            A call with `no_reply` ends when it has been handed to somebody, and is never
///            repeated.
///
/// Chooses among direct workers by load, in pieces of about a millisecond's work, and goes to
/// the least loaded gateway when no worker has room; a hash key chooses by consistent hashing
/// among direct workers if those are all that there are, and is left to a gateway otherwise.
/// Asks a gateway (`weir.route`) about each method that is called, and calls the workers that
/// it is introduced to directly, while they are reachable and have room. Calls without a
/// deadline of their own wait for the first answer: the method may declare one.
///
/// Pure: see links. Drive it like worker_state: tick() after each round of messages and calls;
/// only there anything is sent.
class client_state {
 public:
  struct options {
    bool introduce = true;
    backoff retry{std::chrono::milliseconds(20), std::chrono::seconds(1)};
    std::uint64_t seed = 0;
    std::uint64_t max_in_flight = 65'536;  ///< further calls wait in here
    std::size_t max_direct = 64;           ///< workers that it is introduced to at a time
  };
  client_state(links::options l, options o, time_point now);

  void link_opened(peer_id peer, time_point now, client_outbox& out);
  /// The answer to `opens`.
  void worker_opened(const std::string& endpoint, peer_id peer, time_point now,
                     client_outbox& out);
  void link_up(peer_id peer, time_point now, client_outbox& out) { links_.up(peer, now, out); }
  void link_down(peer_id peer, time_point now) { links_.down(peer, now); }
  void on_message(peer_id from, message m, time_point now, client_outbox& out);

  void call(new_calls calls, time_point now, client_outbox& out);
  /// The outcome comes all the same: `cancelled`, unless the reply was faster.
  void cancel(seq_range numbers, time_point now, client_outbox& out);
  /// A stream's reader has taken `got` elements in all, of so many bytes; the windows slide.
  void consumed(std::uint64_t number, std::uint64_t got, std::uint64_t bytes);

  void tick(time_point now, client_outbox& out);
  [[nodiscard]] time_point next_deadline() const;
  void say_bye(time_point now, client_outbox& out);

  /// To a gateway or worker at least.
  [[nodiscard]] bool connected() const { return !peers_.empty(); }
  /// Nobody that it was told to connect to will ever have it: calls fail at once, for this.
  [[nodiscard]] const std::string& fatal() const { return fatal_; }
  /// Calls without an outcome.
  [[nodiscard]] std::uint64_t open() const { return calls_.size(); }
  /// How a peer is called, for messages to people: "worker-7@host".
  [[nodiscard]] std::string name_of(session_id who) const;

 private:
  /// Consecutive calls without an outcome.
  struct record {
    std::uint64_t count = 0;
    time_point deadline;
    duration hedge_after{};
    std::uint32_t retries = 0;   // that are left
    std::uint32_t attempts = 1;  // begun, hedges included
    std::uint32_t moves = 0;     // sent elsewhere, which costs no retry
    bool idempotent = false;     // or keyed
    bool cancelled = false;
    bool hedged = false;
    session_id avoid{};  // who had it last, to no avail
    [[nodiscard]] std::uint64_t size() const { return count; }
    [[nodiscard]] record slice(std::uint64_t, std::uint64_t n) const {
      record part = *this;
      part.count = n;
      return part;
    }
    void settle() {}
  };
  struct offering {
    session_id who{};
    std::uint64_t in_hand = 0;  // calls of this method, from here
  };
  using waiting_calls = std::map<std::uint8_t, std::deque<caller::flight>, std::greater<>>;
  /// Calls whose deadline is not known yet.
  struct unstated_calls {
    caller::flight calls;
    time_point since;
    time_point latest;
  };
  struct method_state {
    std::string name;
    waiting_calls waiting;  // by priority
    std::vector<unstated_calls> unstated;
    std::optional<std::uint32_t> declared_ms;  // deadline; 0: it has none
    bool cacheable = false;                    // a gateway may know the answer
    std::vector<offering> workers;             // that offer it, and can be called directly
    std::size_t first = 0;                     // whose turn it is, among equals
    bool builtin = false;                      // `weir.*`: anybody answers
    bool idempotent = false;                   // somebody has said so
    bool partly = false;         // some workers can be reached through a gateway only
    std::size_t introduced = 0;  // and so many directly, as a gateway has said
    bool measured = false;       // service_us means something
    double service_us = 0;       // of one call, smoothed; 0: not known
    bool busy = false;           // in busy_
    time_point used;
    std::optional<time_point> nobody_since;  // calls wait and nobody offers it
    std::optional<time_point> asked;         // a gateway, about routes
    bool asking = false;
    bool stale = false;  // a worker that it was introduced to has gone
  };
  struct peer_state {
    introduction info;
    bool gateway = false;
    bool offered = false;  // OFFER has come
    std::map<std::string, method_info, std::less<>> methods;
    double load = 0;  // as a gateway said
    time_point used;
  };
  struct stream {
    std::uint64_t window = 0;
    std::uint64_t until = 0;
    // Bytes, if they are limited: half of what may wait here and be on its way is for each.
    std::uint64_t window_bytes = 0;
    std::uint64_t arrived_bytes = 0;
    std::uint64_t credited_bytes = 0;  // taken by the reader, as of the last CREDIT
  };
  /// What is to be done about calls that failed.
  enum class verdict : std::uint8_t { over, elsewhere, later };

  // client_state.cpp: peers and calls come and go
  void on_events(std::vector<links::event>& events, peer_id from, time_point now,
                 client_outbox& out);
  void on_joined(const links::event& e, peer_id from, time_point now, client_outbox& out);
  void on_refused(const links::event& e, peer_id from, time_point now, client_outbox& out);
  void lose(session_id who, const std::string& how, time_point now, client_outbox& out,
            std::optional<std::uint64_t> seen = {});
  void on_offer(session_id from, offer o);
  void on_arrivals(time_point now, client_outbox& out);
  void on_parts(client_outbox& out);
  [[nodiscard]] method_state& method(std::string_view name, time_point now);
  [[nodiscard]] const char* objection(const new_calls& calls) const;
  void sweep(time_point now, client_outbox& out);

  // client_dispatch.cpp: who gets what
  void enqueue(method_state& m, caller::flight calls);
  void begin(method_state& m);
  void settle_deadlines(method_state& m, time_point now);
  void dispatch(time_point now, client_outbox& out);
  void dispatch(method_state& m, time_point now, client_outbox& out);
  [[nodiscard]] caller::flight place(method_state& m, caller::flight calls, session_id avoid,
                                     bool never_there, time_point now, client_outbox& out);
  void hand(method_state& m, session_id to, caller::flight calls, time_point now,
            client_outbox& out);
  [[nodiscard]] std::vector<candidate> direct_candidates(method_state& m,
                                                         const caller::flight& calls,
                                                         session_id avoid) const;
  [[nodiscard]] std::optional<session_id> pick_gateway(const pack& arguments, session_id avoid);
  [[nodiscard]] std::vector<session_id> workers_of(const method_state& m) const;
  [[nodiscard]] std::optional<session_id> rememberer(const std::vector<session_id>& all,
                                                     const std::string& key,
                                                     const pack& arguments,
                                                     session_id avoid) const;
  [[nodiscard]] bool kept_by_gateway(const method_state& m, const caller::flight& calls) const;
  [[nodiscard]] std::uint64_t depth(const method_state& m, const peer_state& p) const;
  [[nodiscard]] static std::uint64_t piece(const method_state& m);
  [[nodiscard]] bool usable(session_id who) const;
  [[nodiscard]] bool elsewhere(const method_state& m, session_id than) const;
  [[nodiscard]] bool everybody_here() const;
  void fail_unoffered(method_state& m, time_point now, client_outbox& out);
  void fail_waiting(method_state& m, status code, const std::string& why, client_outbox& out);
  bool drop_settled(std::deque<caller::flight>& queue) const;
  void hedge(seq_range range, time_point now, client_outbox& out);

  // client_outcomes.cpp: how calls end
  void on_answered(caller::answered a, time_point now, client_outbox& out);
  void on_failed(caller::answered a, time_point now, client_outbox& out);
  void on_lost(caller::flight calls, session_id who, const std::string& name,
               const std::string& how, time_point now, client_outbox& out);
  [[nodiscard]] verdict judge(const record& r, const method_state& m, status code,
                              const reply_details& why, std::uint64_t number, session_id from,
                              time_point now, time_point& when);
  void again(std::uint64_t first, record r, caller::flight calls, time_point when,
             time_point now);
  void finish(std::uint64_t first, const record& r, call_outcomes outcome, client_outbox& out);
  void fail(std::uint64_t first, const record& r, status code, const std::string& text,
            bool never_started, client_outbox& out, const std::string& via = {});
  void expire(seq_range range, time_point now, client_outbox& out);
  void stop_copies(seq_range range, bool hedged, const std::string& reason);
  static void measure(method_state& m, const caller::answered& a);
  [[nodiscard]] std::string excuse(const std::vector<caller::held>& held) const;
  [[nodiscard]] bool settled(seq_range range) const;
  [[nodiscard]] bool repeatable(const record& r, const method_state& m,
                                std::uint64_t number) const;

  // client_routes.cpp: introduction
  void ask_for_routes(method_state& m, time_point now);
  void on_routes(const caller::answered& a, time_point now, client_outbox& out);
  void give_up_on_routes(const caller::flight& question);
  void introduced(std::vector<route_entry> workers, time_point now, client_outbox& out);
  [[nodiscard]] bool somebody_else(peer_id from, const welcome& w, time_point now,
                                   client_outbox& out);
  void leave_endpoint(peer_id peer, session_id expected, time_point now, client_outbox& out);
  void leave_idle_workers(time_point now, client_outbox& out);

  options options_;
  std::string self_;  // for traces
  links links_;
  caller caller_;
  caller::arrivals in_;  // kept for its memory
  random_bits random_;
  std::map<session_id, peer_state> peers_;
  std::vector<session_id> gateways_;
  std::optional<time_point> complete_by_;  // others may still join until then
  std::map<std::string, method_state, std::less<>> methods_;
  std::vector<std::string> busy_;  // methods with calls that wait
  run_map<record> calls_;
  timetable deadlines_;
  timetable hedges_;
  std::multimap<time_point, caller::flight> delayed_;  // to be tried again
  std::map<std::uint64_t, stream> streams_;            // those that have brought elements
  std::set<peer_id> wanted_;                           // connections that it was told to make
  std::set<peer_id> refused_;                          // those of them that have no use for it
  introductions direct_;
  std::uint64_t questions_ = 0;                       // weir.route calls so far
  std::map<std::uint64_t, std::string> asked_about_;  // those under way, and the method
  std::size_t turn_ = 0;
  time_point next_sweep_;
  std::string fatal_;
};

}  // namespace weir::proto
