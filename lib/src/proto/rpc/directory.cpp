#include "proto/rpc/directory.hpp"

#include <algorithm>
#include <utility>

namespace weir::proto {
worker_record& directory::joined(session_id who, const introduction& info) {
  worker_record& w = workers_[who];
  w.id = who;
  w.info = info;
  return w;
}

worker_record* directory::worker(session_id who) {
  const auto it = workers_.find(who);
  return it == workers_.end() ? nullptr : &it->second;
}

method_record* directory::find(const std::string& name) {
  if (last_ && last_->name == name) return last_;
  const auto it = methods_.find(name);
  if (it == methods_.end()) return nullptr;
  last_ = &it->second;
  return last_;
}

method_record& directory::method(const std::string& name, time_point now) {
  if (method_record* known = find(name)) return *known;
  if (methods_.size() >= look_at_) forget_strangers();
  last_ = &methods_.try_emplace(name, name, limits_, now).first->second;
  return *last_;
}

void directory::forget_strangers() {
  last_ = nullptr;
  for (const bool known : {false, true}) {
    std::erase_if(methods_, [known](const auto& entry) {
      const method_record& m = entry.second;
      return m.known == known && m.offers == 0 && !m.waiting && m.running == 0;
    });
    if (methods_.size() < most_methods / 2) break;
  }
  // Those that have to stay are not looked through again for each one that comes.
  look_at_ = std::max(most_methods, methods_.size() + most_methods / 2);
}

void directory::offered(worker_record& who, const offer& what, time_point now) {
  withdraw(who, now);
  forget_offers(who);
  who.direct = what.direct;
  for (const method_info& info : what.methods) {
    method_record& m = method(info.name, now);
    const bool twice = std::any_of(who.methods.begin(), who.methods.end(),
                                   [&m](const auto& other) { return other.method == &m; });
    if (twice) continue;
    m.known = true;
    m.info = info;
    ++m.offers;
    if (!info.idempotent) ++m.once_only;
    who.methods.push_back({&m, info.idempotent});
    if (!who.draining) serves(who, m);
  }
}

void directory::forget_offers(worker_record& who) {
  for (const auto& [m, idempotent] : who.methods) {
    --m->offers;
    if (!idempotent) --m->once_only;
  }
  who.methods.clear();
}

void directory::enlist(worker_record& who) {
  for (const auto& [m, idempotent] : who.methods)
    if (std::find(m->workers.begin(), m->workers.end(), &who) == m->workers.end())
      serves(who, *m);
}

void directory::serves(worker_record& who, method_record& m) {
  if (m.workers.empty()) served_.push_back(&m);
  m.workers.push_back(&who);
}

void directory::withdraw(worker_record& who, time_point now) {
  for (const auto& [m, idempotent] : who.methods)
    if (std::erase(m->workers, &who) > 0 && m->workers.empty()) {
      m->without_since = now;
      std::erase(served_, m);
    }
}

void directory::drains(worker_record& who, bool draining, time_point now) {
  if (std::exchange(who.draining, draining) == draining) return;
  if (draining)
    withdraw(who, now);
  else
    enlist(who);
}

void directory::called_directly(worker_record& who, const direct_calls& how_often) {
  for (const auto& [name, calls] : how_often.entries) {
    const auto offered =
        std::find_if(who.methods.begin(), who.methods.end(),
                     [&name = name](const auto& o) { return o.method->name == name; });
    if (offered == who.methods.end()) continue;
    // Names that are offered no more are forgotten, so that they cannot pile up.
    if (who.direct_calls.size() > who.methods.size())
      std::erase_if(who.direct_calls, [&who](const auto& old) {
        return std::none_of(who.methods.begin(), who.methods.end(),
                            [&](const auto& o) { return o.method->name == old.first; });
      });
    std::uint64_t& known = who.direct_calls[name];
    if (calls <= known) continue;
    offered->method->stats.direct += calls - known;
    known = calls;
  }
}

void directory::left(session_id who, time_point now) {
  const auto it = workers_.find(who);
  if (it == workers_.end()) return;
  withdraw(it->second, now);
  forget_offers(it->second);
  workers_.erase(it);
}

}  // namespace weir::proto
