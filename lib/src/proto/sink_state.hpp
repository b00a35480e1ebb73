// The sink's protocol: who may deliver, what is acknowledged, and when it is complete.
#pragma once

#include "proto/links.hpp"
#include "proto/outbox.hpp"
#include "proto/sink_core.hpp"
#include "proto/time.hpp"

#include <algorithm>
#include <cstdint>
#include <deque>
#include <map>
#include <string>
#include <utility>
#include <vector>

namespace weir::proto {

/// Collects the results of any number of ventilators' workers, commits each task once, and
/// alone acknowledges. Complete when every ventilator that registered has finished, and all its
/// tasks are committed.
///
/// Pure: see links. Call tick() after each round of messages.
class sink_state {
 public:
  struct counts : sink_core::counts {
    std::uint64_t sources = 0;   ///< registered and not finished
    std::uint64_t finished = 0;  ///< sources that completed
    std::uint64_t workers = 0;
    std::uint64_t total = 0;  ///< tasks of all sources whose total is known
    bool all_totals_known = false;
  };

  /// When it may end.
  struct ending {
    std::uint64_t ventilators = 1;  ///< that must have come, at least
    time_point not_before;          ///< for those that come a little later than the first
  };
  sink_state(links::options who, time_point now, ending when);
  sink_state(links::options who, time_point now) : sink_state(std::move(who), now, ending()) {}

  void link_opened(peer_id peer, time_point now, outbox& out) { links_.open(peer, now, out); }
  void link_up(peer_id peer, time_point now, outbox& out) { links_.up(peer, now, out); }
  void link_down(peer_id peer, time_point now) { links_.down(peer, now); }
  void on_message(peer_id peer, message m, time_point now, outbox& out);
  void on_committed(const source_id& id, seq_range range) { core_.on_committed(id, range); }
  void tick(time_point now, outbox& out);
  [[nodiscard]] time_point next_deadline() const;
  /// The pump leaves messages where they are, because too much is staged: call this instead, so
  /// that nobody is taken for dead.
  void not_listening(time_point now) { links_.not_listening(now); }

  /// As many sources have come as must, and all that came have said BYE; or are complete, and
  /// their ventilator has been gone for so long that its BYE must have been lost.
  [[nodiscard]] bool complete() const;
  /// It is complete, and it is not too early to leave. next_deadline() says when to ask again.
  [[nodiscard]] bool may_end(time_point now) const {
    return now >= ending_.not_before && complete();
  }
  /// All that the sources which came have is committed, if any came. Unlike complete(), it may
  /// be asked of a sink that stays whoever comes.
  [[nodiscard]] bool nothing_missing() const;
  /// No source is registered or lost: nothing is under way.
  [[nodiscard]] bool idle() const { return sources_.empty(); }
  /// Sources whose ventilator is gone and has not said BYE. It may come back.
  struct lost_source {
    std::string ventilator;
    std::uint64_t committed = 0;
    std::uint64_t total = 0;
    bool total_known = false;
  };
  [[nodiscard]] std::vector<lost_source> lost() const;
  /// Sources whose ventilator said BYE before all was committed: it gave up. Or they were given
  /// up here, when there were too many, and they had been lost for longest.
  [[nodiscard]] std::uint64_t abandoned() const { return abandoned_; }
  void say_bye(time_point now, outbox& out);
  [[nodiscard]] counts stats() const;
  [[nodiscard]] const std::string& fatal() const { return fatal_; }

 private:
  struct source {
    std::string ventilator;  // its name
    session_id owner{};
    bool lost = false;  // its ventilator is gone
    time_point lost_since;
    bool settled =
        false;  // lost, complete, and no longer waited for; kept, as it may come back
  };

  void on_events(std::vector<links::event>& events, time_point now, outbox& out);
  void on_register(session_id from, const register_source& r, time_point now, outbox& out);
  void on_bye(session_id from, time_point now, outbox& out);
  void make_room(time_point now, outbox& out);
  enum class end : std::uint8_t { left, given_up };
  void end_source(const source_id& id, end how, outbox& out);
  [[nodiscard]] duration bye_patience() const { return 20 * links_.heartbeat(); }

  links links_;
  ending ending_;
  time_point last_tick_;
  sink_core core_;
  std::map<source_id, source> sources_;  // registered, and not said BYE to
  std::deque<source_id> given_up_;       // to make room, the last ones
  std::uint64_t finished_ = 0;
  std::uint64_t finished_tasks_ = 0;
  std::uint64_t abandoned_ = 0;
  std::string fatal_;
};

}  // namespace weir::proto
