// Who gets which calls.
#include "proto/rpc/client_numbers.hpp"
#include "proto/rpc/client_state.hpp"

#include <algorithm>
#include <limits>
#include <utility>

namespace weir::proto {
namespace {
/// Less work than this is not worth dividing among workers.
constexpr double piece_us = 1000;
/// What a worker is given in advance. Little if a gateway can keep the rest, for whichever
/// worker has time first; without one, enough to outlast a slow network.
constexpr double ahead_us = 5'000;
constexpr double ahead_alone_us = 50'000;
/// Calls in hand of a method whose duration is not known.
constexpr std::uint64_t unmeasured_depth = 64;
}  // namespace

void client_state::enqueue(method_state& m, caller::flight calls) {
  const auto priority =
      calls.options ? calls.options->priority : call_options::default_priority;
  m.waiting[priority].push_back(std::move(calls));
  begin(m);
}

/// From now on the method is looked at in each tick.
void client_state::begin(method_state& m) {
  if (std::exchange(m.busy, true)) return;
  busy_.push_back(m.name);
}

/// Calls that have stated no deadline get the method's, once it is known whether it has one.
void client_state::settle_deadlines(method_state& m, time_point now) {
  if (m.unstated.empty()) return;
  // Without a gateway nobody can be asked: OFFERs are all that there is.
  const bool only_workers = gateways_.empty() && !peers_.empty();
  if (!m.declared_ms && !only_workers) return ask_for_routes(m, now);
  for (auto& u : std::exchange(m.unstated, {})) {
    if (m.declared_ms.value_or(0) > 0) {
      const auto deadline =
          std::min(u.since + std::chrono::milliseconds(*m.declared_ms), u.latest);
      std::vector<std::pair<std::uint64_t, record>> open;
      calls_.extract({u.calls.number, u.calls.last()},
                     [&](std::uint64_t first, record&& r) { open.emplace_back(first, r); });
      for (auto& [first, r] : open) {
        r.deadline = deadline;
        deadlines_.add(deadline, {first, first + r.count - 1});
        calls_.insert(first, r);
      }
      u.calls.deadline = deadline;
      if (deadline <= now) continue;  // the next tick ends them
    }
    enqueue(m, std::move(u.calls));
  }
}

void client_state::dispatch(time_point now, client_outbox& out) {
  const std::vector<std::string> busy = std::exchange(busy_, {});
  for (const auto& name : busy) {
    method_state& m = methods_.find(name)->second;
    settle_deadlines(m, now);
    m.busy = false;
    dispatch(m, now, out);
    fail_unoffered(m, now, out);
    std::erase_if(m.waiting, [](const auto& queue) { return queue.second.empty(); });
    if (m.waiting.empty() && m.unstated.empty()) continue;
    m.busy = true;
    busy_.push_back(name);
  }
}

void client_state::dispatch(method_state& m, time_point now, client_outbox& out) {
  for (auto& [priority, queue] : m.waiting) {
    while (drop_settled(queue)) {
      const std::uint64_t room =
          options_.max_in_flight - std::min(options_.max_in_flight, caller_.size());
      if (room == 0) return;
      caller::flight calls = std::move(queue.front());
      queue.pop_front();
      if (calls.size() > room) {
        queue.push_front(calls.slice(room, calls.size() - room));
        calls = calls.slice(0, room);
      }
      session_id avoid{};
      calls_.for_overlap({calls.number, calls.number},
                         [&](seq_range, const record& r) { avoid = r.avoid; });
      caller::flight left = place(m, std::move(calls), avoid, false, now, out);
      if (left.size() == 0) continue;
      queue.push_front(std::move(left));
      return;
    }
  }
}

/// Removes from the front what has an outcome by now. Returns whether anything is left.
bool client_state::drop_settled(std::deque<caller::flight>& queue) const {
  while (!queue.empty()) {
    const caller::flight& front = queue.front();
    seq_ranges open;
    std::uint64_t count = 0;
    calls_.for_overlap({front.number, front.last()}, [&](seq_range range, const record&) {
      append_range(open, range);
      count += range.size();
    });
    if (count == front.size()) return true;
    const caller::flight whole = std::move(queue.front());
    queue.pop_front();
    for (auto it = open.rbegin(); it != open.rend(); ++it)
      queue.push_front(whole.slice(it->first - whole.number, it->size()));
  }
  return false;
}

/// Hands out as many as there is room for, and returns the rest. Whoever is to be avoided gets
/// some only if nobody else can, and not even then if that is forbidden.
caller::flight client_state::place(method_state& m, caller::flight calls, session_id avoid,
                                   bool never_there, time_point now, client_outbox& out) {
  const auto hand_front = [&](session_id to, std::uint64_t n) {
    const std::uint64_t fit = caller_.fits(
        to, calls.arguments.slice(0, static_cast<std::uint32_t>(std::min(n, calls.size()))));
    if (fit == 0) return false;
    if (fit == calls.size()) {
      hand(m, to, std::exchange(calls, {}), now, out);
      return true;
    }
    hand(m, to, calls.slice(0, fit), now, out);
    calls = calls.slice(fit, calls.size() - fit);
    return true;
  };
  const bool through_gateway = kept_by_gateway(m, calls);
  const auto to_workers = [&](session_id not_to) {
    if (through_gateway) return;
    const bool keyed = calls.options && !calls.options->hash_key.empty();
    // Only somebody who knows all workers can tell whose key it is.
    if (keyed && !gateways_.empty() && (m.partly || m.workers.size() < m.introduced)) return;
    if (!calls.shared_key().empty() && !m.builtin) {
      const std::string& key = keyed ? calls.options->hash_key : calls.shared_key();
      const auto worker = rememberer(workers_of(m), key, calls.arguments, not_to);
      if (worker) hand_front(*worker, calls.size());
      return;
    }
    const std::vector<candidate> workers = direct_candidates(m, calls, not_to);
    if (workers.empty()) return;
    const std::vector<share> shares =
        keyed ? share_by_key(workers, calls.size(), calls.options->hash_key)
              : share_out(workers, calls.size(), piece(m), m.first);
    for (const auto& s : shares) {
      if (calls.size() == 0) return;
      hand_front(workers[s.to].id, s.calls);
      m.first = s.to;
    }
  };
  const auto to_gateways = [&](session_id not_to) {
    while (calls.size() > 0) {
      const std::string& key = calls.shared_key();
      const auto gateway = key.empty() ? pick_gateway(calls.arguments, not_to)
                                       : rememberer(gateways_, key, calls.arguments, not_to);
      if (!gateway || !hand_front(*gateway, calls.size())) return;
    }
  };
  to_workers(avoid);
  to_gateways(avoid);
  if (avoid != session_id{} && calls.size() > 0) {
    const auto it = peers_.find(avoid);
    // A gateway may have another worker for it.
    if (it != peers_.end() && (!never_there || it->second.gateway)) {
      if (!never_there) to_workers({});
      to_gateways({});
    }
  }
  ask_for_routes(m, now);  // last, for it must not take the call's place
  return calls;
}

void client_state::hand(method_state& m, session_id to, caller::flight calls, time_point now,
                        client_outbox& out) {
  const seq_range range{call_of(calls.number), call_of(calls.last())};
  peers_.at(to).used = now;
  if (calls.no_reply()) {
    calls_.extract(range, [&](std::uint64_t first, record&& r) {
      reply_run done;
      done.first = first;
      done.results = pack(blob(), static_cast<std::uint32_t>(r.count), 0);
      finish(first, r, {first, std::move(done), to, !peers_.at(to).gateway}, out);
    });
    caller_.send(to, std::move(calls));
    return;
  }
  for (auto& w : m.workers)
    if (w.who == to) w.in_hand += calls.size();
  calls_.for_overlap(range, [&](seq_range part, const record& r) {
    if (r.hedge_after > duration{} && !r.hedged) hedges_.add(now + r.hedge_after, part);
  });
  caller_.send(to, std::move(calls));
}

bool client_state::usable(session_id who) const {
  return links_.reachable(who) && caller_.has_window(who) && !caller_.draining(who);
}

std::vector<candidate> client_state::direct_candidates(method_state& m,
                                                       const caller::flight& calls,
                                                       session_id avoid) const {
  std::vector<candidate> able;
  const auto consider = [&](session_id who, const peer_state& p, std::uint64_t most) {
    if (who == avoid || !usable(who)) return;
    const std::uint64_t room =
        std::min<std::uint64_t>(caller_.fits(who, calls.arguments), most);
    if (room == 0) return;
    candidate c;
    c.id = who;
    c.in_hand = caller_.in_hand(who);
    c.window = std::max<std::uint64_t>(1, c.in_hand + caller_.room_of(who).calls);
    // What others have given it counts half: the figure is some seconds old.
    c.in_hand +=
        static_cast<std::uint64_t>(static_cast<double>(c.window) * std::min(p.load, 1.0) / 2);
    c.room = room;
    c.slots = std::max<std::uint32_t>(1, p.info.slots);
    able.push_back(c);
  };
  if (m.builtin) {
    // Every node answers these for itself: a worker does if there is no gateway.
    if (gateways_.empty())
      for (const auto& [id, p] : peers_) consider(id, p, calls.size());
    return able;
  }
  for (auto& w : m.workers) {
    if (caller_.in_hand(w.who) == 0) w.in_hand = 0;
    const peer_state& p = peers_.at(w.who);
    const std::uint64_t most = depth(m, p);
    consider(w.who, p, most - std::min(most, w.in_hand));
  }
  return able;
}

std::optional<session_id> client_state::pick_gateway(const pack& arguments, session_id avoid) {
  std::optional<session_id> best;
  double least = std::numeric_limits<double>::max();
  // Equals take turns.
  const std::size_t n = gateways_.size();
  if (n > 1) ++turn_;
  for (std::size_t i = 0; i < n; ++i) {
    const session_id who = gateways_[(turn_ + i) % n];
    if (who == avoid || !usable(who) || caller_.fits(who, arguments) == 0) continue;
    const double load = caller_.load(who);
    if (load >= least) continue;
    least = load;
    best = who;
  }
  return best;
}

/// All that can be called directly; none as long as somebody may still offer it, too.
std::vector<session_id> client_state::workers_of(const method_state& m) const {
  std::vector<session_id> all;
  const bool unheard = std::any_of(peers_.begin(), peers_.end(), [](const auto& p) {
    return !p.second.gateway && !p.second.offered;
  });
  if (complete_by_ && unheard) return all;
  for (const auto& w : m.workers) all.push_back(w.who);
  return all;
}

/// Of these, gateways or workers, the one that remembers what calls with this key were
/// answered: the same for all clients that know the same ones. Nobody while it has no room, or
/// may still be about to join.
std::optional<session_id> client_state::rememberer(const std::vector<session_id>& all,
                                                   const std::string& key,
                                                   const pack& arguments,
                                                   session_id avoid) const {
  if (complete_by_ && !everybody_here()) return std::nullopt;
  std::vector<candidate> able;
  for (const session_id who : all)
    if (who != avoid && !caller_.draining(who)) able.push_back({who});
  if (able.empty()) return std::nullopt;
  const session_id best = able[preference(able, key).front()].id;
  if (!usable(best) || caller_.fits(best, arguments) == 0) return std::nullopt;
  return best;
}

/// Whether a gateway keeps replies to such calls, so that they must not go past it.
bool client_state::kept_by_gateway(const method_state& m, const caller::flight& calls) const {
  const bool cached = m.cacheable && !calls.no_reply() && !calls.streams();
  return (cached || !calls.shared_key().empty()) &&
         std::any_of(gateways_.begin(), gateways_.end(),
                     [this](session_id who) { return !caller_.draining(who); });
}

/// How many calls of a method one worker may have in hand.
std::uint64_t client_state::depth(const method_state& m, const peer_state& p) const {
  const std::uint64_t slots = std::max<std::uint32_t>(1, p.info.slots);
  if (!m.measured) return std::max(unmeasured_depth, 2 * slots);
  const double ahead = gateways_.empty() ? ahead_alone_us : ahead_us;
  return std::max(2 * slots, slots * static_cast<std::uint64_t>(ahead / m.service_us));
}

/// The fewest calls that are sent to a worker of their own.
std::uint64_t client_state::piece(const method_state& m) {
  return m.measured ? static_cast<std::uint64_t>(1 + piece_us / m.service_us) : 1;
}

bool client_state::elsewhere(const method_state& m, session_id than) const {
  const auto other = [&](session_id who) { return who != than && usable(who); };
  return std::any_of(gateways_.begin(), gateways_.end(), other) ||
         std::any_of(m.workers.begin(), m.workers.end(),
                     [&](const offering& w) { return other(w.who); });
}

// Nobody has it

/// Without a gateway, what no worker offers cannot be done: not before somebody else joins.
void client_state::fail_unoffered(method_state& m, time_point now, client_outbox& out) {
  const bool nobody =
      !m.waiting.empty() && !m.builtin && gateways_.empty() && m.workers.empty() &&
      !peers_.empty() &&
      std::all_of(peers_.begin(), peers_.end(), [](const auto& p) { return p.second.offered; });
  if (!nobody) {
    m.nobody_since.reset();
    return;
  }
  if (!m.nobody_since) m.nobody_since = now;
  if (!everybody_here() && now - *m.nobody_since < links_.heartbeat()) return;
  fail_waiting(m, status::not_found, "no worker here offers \"" + m.name + "\"", out);
}

bool client_state::everybody_here() const {
  return std::all_of(wanted_.begin(), wanted_.end(), [this](peer_id peer) {
    return refused_.contains(peer) || links_.behind(peer);
  });
}

void client_state::fail_waiting(method_state& m, status code, const std::string& why,
                                client_outbox& out) {
  for (auto& [priority, queue] : m.waiting) {
    for (const auto& calls : queue)
      calls_.extract({calls.number, calls.last()}, [&](std::uint64_t first, record&& r) {
        fail(first, r, code, why, r.attempts == 1, out);
      });
    queue.clear();
  }
  for (const auto& u : std::exchange(m.unstated, {}))
    calls_.extract({u.calls.number, u.calls.last()}, [&](std::uint64_t first, record&& r) {
      fail(first, r, code, why, true, out);
    });
}

// A second attempt, before the first has failed

void client_state::hedge(seq_range range, time_point now, client_outbox& out) {
  std::vector<std::pair<std::uint64_t, record>> open;
  calls_.extract(range, [&](std::uint64_t first, record&& r) { open.emplace_back(first, r); });
  for (auto& [first, r] : open) {
    const seq_range calls{first, first + r.count - 1};
    std::vector<caller::held> held;
    if (!r.hedged && !r.cancelled) held = caller_.in_flight(calls);
    if (!held.empty()) {
      const bool safe = repeatable(r, method(held[0].calls.method, now), first);
      if (!safe) held.clear();
      r.hedged = safe;
      if (safe) ++r.attempts;
    }
    const std::uint32_t attempt = r.attempts;
    calls_.insert(first, r);
    for (auto& h : held) {
      h.calls.number |= hedge_bit;
      h.calls.sent = {};
      auto asked = h.calls.options ? *h.calls.options : call_options{};
      asked.attempt = attempt;
      h.calls.options = std::make_shared<const call_options>(std::move(asked));
      method_state& m = method(h.calls.method, now);
      // If there is no room for it, it is not worth waiting for.
      (void)place(m, std::move(h.calls), h.at, true, now, out);
    }
  }
}

}  // namespace weir::proto
