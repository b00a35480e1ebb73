// Introduction: gateways tell which workers can be called directly.
#include "proto/rpc/client_numbers.hpp"
#include "proto/rpc/client_state.hpp"

#include <algorithm>
#include <utility>

namespace weir::proto {
namespace {
/// How old an answer may become while the method is in use.
constexpr duration refresh = std::chrono::seconds(10);
/// Not before this after the last, even if a worker was lost: its gateways have to notice it
/// too.
constexpr duration shortest_refresh = std::chrono::milliseconds(250);
constexpr duration question_deadline = std::chrono::seconds(5);
/// A worker that was not called for so long is left, so that it need not keep up a link to each
/// client that ever called it.
constexpr duration idle = std::chrono::minutes(1);
}  // namespace

void client_state::ask_for_routes(method_state& m, time_point now) {
  if (m.builtin || gateways_.empty()) return;
  if (m.asked) {
    if (!options_.introduce && !m.stale) return;  // whether it is idempotent is known
    if (now - *m.asked < (m.stale && !m.asking ? shortest_refresh : refresh)) return;
  }
  caller::flight question;
  question.method = "weir.route";
  question.arguments = pack::of(route_arguments(m.name));
  question.deadline = now + question_deadline;
  const auto gateway = pick_gateway(question.arguments, {});
  if (!gateway) return;
  question.number = question_bit | ++questions_;
  asked_about_[questions_] = m.name;
  m.asked = now;
  m.asking = true;
  m.stale = false;
  caller_.send(*gateway, std::move(question));
}

void client_state::on_routes(const caller::answered& a, time_point now, client_outbox& out) {
  const auto about = asked_about_.find(a.calls.number & ~question_bit);
  if (about == asked_about_.end()) return;
  const auto it = methods_.find(about->second);
  asked_about_.erase(about);
  if (it == methods_.end()) return;
  method_state& m = it->second;
  m.asking = false;
  m.declared_ms = m.declared_ms.value_or(0);  // what waits for it need not wait any longer
  if (a.reply.code != status::ok) return;
  const auto answer = read_routes(a.reply.results[0]);
  if (!answer) return out.warn(name_of(a.from) + " gave an answer about routes that is none");
  if (answer->idempotent) m.idempotent = *answer->idempotent;
  if (answer->deadline_ms) m.declared_ms = *answer->deadline_ms;
  if (answer->workers.empty() && !answer->others) m.stale = true;  // nobody offers it yet
  m.partly = answer->others;
  m.introduced = answer->workers.size();
  if (options_.introduce) introduced(answer->workers, now, out);
}

void client_state::give_up_on_routes(const caller::flight& question) {
  const auto about = asked_about_.find(question.number & ~question_bit);
  if (about == asked_about_.end()) return;
  if (const auto it = methods_.find(about->second); it != methods_.end()) {
    it->second.asking = false;
    it->second.asked.reset();
  }
  asked_about_.erase(about);
}

void client_state::introduced(std::vector<route_entry> workers, time_point now,
                              client_outbox& out) {
  // Those with the least to do, should there be more than can be kept.
  std::stable_sort(workers.begin(), workers.end(),
                   [](const route_entry& a, const route_entry& b) { return a.load < b.load; });
  for (const auto& w : workers) {
    const auto known = peers_.find(w.session);
    if (known != peers_.end()) {
      known->second.load = w.load;
      continue;
    }
    if (direct_.size() >= options_.max_direct) return;
    if (const auto endpoint = direct_.introduce(w, now)) out.opens.push_back(*endpoint);
  }
}

void client_state::worker_opened(const std::string& endpoint, peer_id peer, time_point now,
                                 client_outbox& out) {
  if (direct_.opened(endpoint, peer))
    links_.open(peer, now, out);
  else
    out.forgets.push_back(peer);
}

/// Whether a connection to a worker that was introduced leads to somebody else, as that one's
/// address is wrong, or another's by now. Then it must not be joined: who is there may be a
/// gateway or worker that is reached on a connection of its own, which the later one would
/// replace.
bool client_state::somebody_else(peer_id from, const welcome& w, time_point now,
                                 client_outbox& out) {
  const auto expected = direct_.expected_at(from);
  if (!expected || *expected == w.self.session) return false;
  if (peers_.contains(*expected)) {
    lose(*expected, "has restarted", now, out);
    return true;
  }
  leave_endpoint(from, *expected, now, out);
  return true;
}

/// The worker is not there: its next endpoint is tried.
void client_state::leave_endpoint(peer_id peer, session_id expected, time_point now,
                                  client_outbox& out) {
  const auto dropped = direct_.failed(expected, now);
  links_.close(peer, out);
  if (dropped.instead) out.opens.push_back(*dropped.instead);
}

void client_state::leave_idle_workers(time_point now, client_outbox& out) {
  std::vector<session_id> unused;
  for (const auto& [id, p] : peers_)
    if (direct_.knows(id) && caller_.in_hand(id) == 0 && now - p.used >= idle)
      unused.push_back(id);
  for (const auto id : unused) {
    links_.send(id, bye{}, now, out);
    const auto connection = direct_.forget(id);
    lose(id, "is not needed now", now, out);
    if (connection) links_.close(*connection, out);
  }
}

}  // namespace weir::proto
