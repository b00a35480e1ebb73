// Calls with an idempotency key: see service_state.hpp.
#include "proto/rpc/reply_batches.hpp"
#include "proto/rpc/service_state.hpp"

#include <utility>

namespace weir::proto {

void service_state::accept_with_key(call_queue::taken call, time_point now) {
  using state = reply_cache<call_key>::state;
  method_state& m = methods_[call.method];
  const call_run& run = call.calls.calls;
  const call_key who{call.calls.from, run.first};
  const std::string& key = call_options::shared_key(run.options.get());
  const auto found =
      replies_.look(m.info.name, key, run.arguments[0], who, run.options->attempt, now);
  switch (found.what) {
    case state::fresh: {
      const auto caller = callers_.find(who.from);
      leaders_[who] = {call.method, key, caller->second.info.role};
      wait_for_slot(std::move(call));
      break;
    }
    case state::joined:
      joined_.emplace(who, std::move(call));
      // It waits for one that must not wait for its own caller, and does not if others have
      // joined it before.
      if (replies_.followers(m.info.name, key) > 1) break;
      for (auto& leader :
           aside_.remove(found.leader.from, {found.leader.call, found.leader.call}))
        wait_for_slot(std::move(leader));
      break;
    case state::answered:
      answer_known(who, call.method, *found.reply);
      break;
    case state::misused:
      ++m.stats.errors;
      ++counts_.failed;
      refuse(who.from, who.call, 1, status::failed_precondition,
             "the idempotency key was used with other arguments", now);
      break;
  }
}

void service_state::wait_for_slot(call_queue::taken call) {
  const auto caller = callers_.find(call.calls.from);
  const bool aside =
      caller != callers_.end() && caller->second.stalled && !awaited_by_others(call);
  (aside ? aside_ : queue_).push(call.method, std::move(call.calls));
}

bool service_state::awaited(const keyed_call& k) const {
  return replies_.followers(methods_[k.method].info.name, k.key) > 0;
}

bool service_state::awaited_by_others(const call_queue::taken& call) const {
  if (leaders_.empty()) return false;
  const auto it = leaders_.find({call.calls.from, call.calls.calls.first});
  return it != leaders_.end() && awaited(it->second);
}

bool service_state::goes_on(const call_key& call, cause why, const std::string& reason) {
  const auto it = leaders_.find(call);
  if (it == leaders_.end()) return false;
  if (why == cause::caller_gone && it->second.caller == role::client) return true;
  if (!awaited(it->second)) return false;
  callee_.reply(call.from, failed(call.call, 1, status::cancelled, reason, false));
  return true;
}

std::vector<std::pair<call_key, std::uint32_t>> service_state::leave_joined(session_id who,
                                                                            seq_range calls) {
  std::vector<std::pair<call_key, std::uint32_t>> left;
  for (auto it = joined_.lower_bound({who, calls.first});
       it != joined_.end() && it->first <= call_key{who, calls.last}; it = joined_.erase(it)) {
    const auto& [method, waiting] = it->second;
    replies_.leave(methods_[method].info.name,
                   call_options::shared_key(waiting.calls.options.get()), it->first);
    left.emplace_back(it->first, method);
  }
  return left;
}

/// Those that waited for one of these calls get its reply, or are made anew.
void service_state::share_replies(session_id to, const reply_run& outcomes, time_point now) {
  for (auto it = leaders_.lower_bound({to, outcomes.first});
       it != leaders_.end() && it->first <= call_key{to, outcomes.last()};) {
    const auto [call, k] = *it;
    it = leaders_.erase(it);
    const reply_run reply = part_of_run(outcomes, call.call - outcomes.first, 1);
    const auto others = replies_.settle(methods_[k.method].info.name, k.key, call, reply, now);
    for (const call_key& other : others.calls) {
      auto node = joined_.extract(other);
      if (node.empty()) continue;
      if (others.run_next)
        accept_with_key(std::move(node.mapped()), now);
      else
        answer_known(other, k.method, reply);
    }
  }
}

/// With the reply that another call of the same key has got.
void service_state::answer_known(const call_key& call, std::uint32_t method,
                                 const reply_run& reply) {
  method_stats& m = methods_[method].stats;
  ++m.cached;
  (reply.code == status::ok ? counts_.done : counts_.failed) += 1;
  if (reply.code != status::ok) ++m.errors;
  reply_run again = reply;
  again.first = call.call;
  again.queued_us = again.service_us = 0;  // as those of the call that was run
  again.received_us = 0;
  callee_.reply(call.from, std::move(again));
}

}  // namespace weir::proto
