#include "net/spool_desk.hpp"

#include "net/node_loop.hpp"
#include "proto/limits.hpp"
#include "proto/rpc/call_id.hpp"

#include <algorithm>
#include <array>
#include <utility>

namespace weir::net {
namespace {

using store::call_table;
using store::spool;
using store::unix_ms;

/// In hand at a time: far more than workers have windows for, and a bound on memory.
constexpr std::size_t most_running = 16'384;
constexpr std::size_t most_running_bytes = 32 * 1024 * 1024;
/// In one answer of weir.dead(); the caller asks again with the last id.
constexpr std::size_t most_dead = 1000;
constexpr std::size_t most_waiters = 1'000'000;
/// A queued call of which nobody says how long it may take.
constexpr std::chrono::milliseconds default_deadline = std::chrono::hours(1);
constexpr std::chrono::seconds expiry_interval{5};
constexpr std::size_t expired_at_a_time = 1000;
/// What weir.wait() and weir.result() put around a result.
constexpr std::size_t largest_result = proto::limits::payload_bytes - 8 * 1024;

unix_ms unix_now() {
  using namespace std::chrono;
  return duration_cast<milliseconds>(system_clock::now().time_since_epoch()).count();
}

std::uint64_t number(store::call_number n) { return static_cast<std::uint64_t>(n); }
store::call_number number(std::uint64_t tag) {
  return store::call_number{static_cast<std::int64_t>(tag)};
}

std::string_view argument_of(const proto::admin_call& call) {
  return call.arguments.empty() ? std::string_view() : call.arguments[0];
}

const char* const no_such_call =
    "no call has this id here: it is another gateway's, or was forgotten, or its time was up";

}  // namespace

spool_desk::spool_desk(options o, proto::gateway_state& machine, std::function<void()> wake)
    : options_(std::move(o)),
      machine_(machine),
      spool_(options_.file, {.max_bytes = options_.max_bytes, .seed = options_.seed},
             unix_now(), std::move(wake)) {
  const auto& opening = spool_.at_opening();
  for (const auto& m : opening.waiting) methods_[m.method].next = m.next;
  counts_.queued = opening.queued;
}

void spool_desk::on_call(const proto::admin_call& call) {
  using handler = void (spool_desk::*)(const proto::admin_call&);
  static constexpr std::array<std::pair<std::string_view, handler>, 7> handlers{{
      {"weir.submit", &spool_desk::submit},
      {"weir.wait", &spool_desk::wait},
      {"weir.result", &spool_desk::result},
      {"weir.cancel", &spool_desk::cancel},
      {"weir.dead", &spool_desk::dead},
      {"weir.requeue", &spool_desk::requeue},
      {"weir.forget", &spool_desk::forget},
  }};
  const auto* const found = std::find_if(handlers.begin(), handlers.end(),
                                         [&](const auto& h) { return h.first == call.method; });
  if (found == handlers.end())
    return refuse(call.key, status::unimplemented, call.method + " is no method of a gateway");
  try {
    (this->*found->second)(call);
  } catch (const store::wrong_arguments& e) {
    refuse(call.key, status::invalid_argument, e.what());
  }
}

void spool_desk::answer(const proto::call_key& key, std::string result) {
  machine_.on_answered(key, status::ok, proto::pack::of(std::move(result)), {});
}

void spool_desk::refuse(const proto::call_key& key, status code, const std::string& why) {
  machine_.on_answered(key, code, {}, why);
}

spool::refusal spool_desk::refusing(const proto::call_key& key) {
  return [this, key](const std::string& why) { refuse(key, status::resource_exhausted, why); };
}

void spool_desk::submit(const proto::admin_call& call) {
  const auto now = unix_now();
  const store::submission_defaults defaults{
      proto::make_call_id(static_cast<std::uint64_t>(now), entropy(), entropy()),
      options_.keep.count()};
  auto work = [this, key = call.key, now,
               what = store::read_submission(argument_of(call), defaults, now)](call_table& t) {
    auto stored = t.submit(what, now);
    return [this, key, stored = std::move(stored), method = what.method,
            due = std::max(what.due, now)] {
      switch (stored.what) {
        case call_table::submitted::stored:
          ++counts_.queued;
          queued(method, due);
          [[fallthrough]];
        case call_table::submitted::known:
          return answer(key, store::written(std::string_view(stored.id)));
        case call_table::submitted::other_method:
          return refuse(key, status::already_exists,
                        "call " + stored.id + " has this id or key, and is of another method");
        case call_table::submitted::other_arguments:
          return refuse(key, status::already_exists,
                        "call " + stored.id + " has this id or key, and other arguments");
        case call_table::submitted::full:
          return refuse(key, status::resource_exhausted,
                        options_.file + " is as large as it may be (--spool-size)");
      }
    };
  };
  spool_.give(std::move(work), refusing(call.key));
}

void spool_desk::wait(const proto::admin_call& call) {
  auto work = [this, key = call.key, deadline = call.deadline,
               id = store::read_id(argument_of(call), "weir.wait")](call_table& t) {
    // Whoever ends it comes after this work, so nobody waits for what has been said.
    return [this, key, deadline, found = t.find(id, unix_now())] {
      if (!machine_.is_asked(key)) return;  // nobody waits any more
      if (!found) return refuse(key, status::not_found, no_such_call);
      if (has_ended(found->state)) return answer(key, store::written(*found));
      if (waits_.size() >= most_waiters)
        return refuse(key, status::resource_exhausted, "too many wait already");
      const auto which = number(found->number);
      waiters_[which].push_back(key);
      waits_[key] = wait_ends_.emplace(deadline, std::pair(key, which));
    };
  };
  spool_.ask(std::move(work));
}

void spool_desk::result(const proto::admin_call& call) {
  spool_.ask([this, key = call.key,
              id = store::read_id(argument_of(call), "weir.result")](call_table& t) {
    return [this, key, found = t.find(id, unix_now())] {
      if (!found) return refuse(key, status::not_found, no_such_call);
      answer(key, store::written(*found));
    };
  });
}

void spool_desk::cancel(const proto::admin_call& call) {
  spool_.give(
      [this, key = call.key,
       id = store::read_id(argument_of(call), "weir.cancel")](call_table& t) {
        return [this, key, what = t.cancel(id, unix_now())] {
          switch (what.what) {
            case call_table::cancelled::unknown:
              return refuse(key, status::not_found, no_such_call);
            case call_table::cancelled::ended:
              return answer(key, store::written(false));
            case call_table::cancelled::now:
              --counts_.queued;
              ended(*what.report);
              break;
            case call_table::cancelled::asked:
              if (running_.contains(number(what.number)))
                machine_.unplace(number(what.number), proto::clock::now());
              break;
          }
          answer(key, store::written(true));
        };
      },
      refusing(call.key));
}

void spool_desk::dead(const proto::admin_call& call) {
  spool_.ask(
      [this, key = call.key, after = store::read_after(argument_of(call))](call_table& t) {
        return [this, key, found = t.dead(after, most_dead, unix_now())] {
          answer(key, store::written(std::span<const store::call_report>(found)));
        };
      });
}

void spool_desk::requeue(const proto::admin_call& call) {
  auto work = [this, key = call.key,
               ids = store::read_ids(argument_of(call), "weir.requeue")](call_table& t) {
    std::map<std::string, std::uint64_t> methods;
    const auto now = unix_now();
    const auto one = [&](const std::string& id) {
      if (const auto method = t.requeue(id, now)) ++methods[*method];
    };
    if (ids) {
      for (const auto& id : *ids) one(id);
    } else {
      for (auto some = t.dead({}, most_dead, now); !some.empty();
           some = t.dead({}, most_dead, now))
        for (const auto& report : some) one(report.id);
    }
    return [this, key, methods, now] {
      std::uint64_t count = 0;
      for (const auto& [method, calls] : methods) {
        count += calls;
        queued(method, now);
      }
      counts_.queued += count;
      answer(key, store::written(count));
    };
  };
  spool_.give(std::move(work), refusing(call.key));
}

void spool_desk::forget(const proto::admin_call& call) {
  auto ids = store::read_ids(argument_of(call), "weir.forget");
  if (!ids) throw store::wrong_arguments("weir.forget(ids)");
  spool_.give(
      [this, key = call.key, ids = std::move(*ids)](call_table& t) {
        std::uint64_t count = 0;
        for (const auto& id : ids) count += t.forget(id) ? 1 : 0;
        return [this, key, count] { answer(key, store::written(count)); };
      },
      refusing(call.key));
}

void spool_desk::queued(const std::string& method, unix_ms due) {
  auto& m = methods_[method];
  m.next = std::min(m.next, due);
}

void spool_desk::ended(const store::call_report& report) {
  if (report.state == store::call_state::done) ++counts_.done;
  if (report.state == store::call_state::dead) ++counts_.dead;
  const auto it = waiters_.find(number(report.number));
  if (it == waiters_.end()) return;
  const auto result = proto::pack::of(store::written(report));  // one for all
  for (const auto& key : it->second) {
    machine_.on_answered(key, status::ok, result, {});
    const auto wait = waits_.find(key);
    wait_ends_.erase(wait->second);
    waits_.erase(wait);
  }
  waiters_.erase(it);
}

void spool_desk::on_abandoned(const proto::call_key& key) {
  const auto wait = waits_.find(key);
  if (wait != waits_.end()) stop_waiting(wait->second);
}

void spool_desk::stop_waiting(wait_ends::iterator end) {
  const auto [key, which] = end->second;
  const auto it = waiters_.find(which);
  std::erase(it->second, key);
  if (it->second.empty()) waiters_.erase(it);
  waits_.erase(key);
  wait_ends_.erase(end);
}

void spool_desk::tick(proto::time_point now) {
  next_ = proto::time_point::max();
  // Before anything new is placed: what was placed in earlier rounds has been given to workers,
  // and their room is what it seems.
  if (!draining_) start_some(now);
  if (spool_.deliver()) next_ = now;  // there may be more to start
  expire_waits(now);
  expire_outcomes(now);
}

void spool_desk::start_some(proto::time_point now) {
  const auto wall = unix_now();
  const auto over = [](const waiting_method& m) {
    return !m.starting && m.next == store::never;
  };
  const auto look = [&](method_table::iterator it) {
    if (over(it->second)) return methods_.erase(it);
    start_some_of(*it, now, wall);
    return std::next(it);
  };
  // Names that nobody serves, made up maybe, cost nothing while they wait.
  if (const auto& served = machine_.served(); served.size() < methods_.size()) {
    for (const proto::method_record* m : served)
      if (const auto it = methods_.find(m->name); it != methods_.end()) look(it);
  } else {
    for (auto it = methods_.begin(); it != methods_.end();) it = look(it);
  }
}

void spool_desk::start_some_of(method_table::value_type& one, proto::time_point now,
                               unix_ms wall) {
  auto& [name, m] = one;
  if (m.starting) return;
  if (m.next > wall) {
    next_ = std::min(next_, now + std::chrono::milliseconds(m.next - wall));
    return;
  }
  if (running_bytes_ >= most_running_bytes) return;
  const auto openings = machine_.openings_of(name);
  // Methods share workers, and so their room.
  const std::size_t taken = running_.size() + asked_;
  const auto most = std::min<std::size_t>(openings.calls - std::min(openings.calls, asked_),
                                          most_running - std::min(most_running, taken));
  if (most == 0) return;  // the next round comes when a worker says something
  asked_ += most;
  m.starting = true;
  m.next = store::never;
  spool_.give(
      [this, method = name, most, openings, bytes = most_running_bytes - running_bytes_,
       wall](call_table& t) {
        return [this, method, most, deadline = openings.deadline_ms,
                some = t.start(method, most, bytes, openings.idempotent, wall)] {
          asked_ -= most;
          started(method, some, deadline);
        };
      },
      [this, method = name, most, wall](const std::string&) {
        asked_ -= most;
        methods_[method].starting = false;
        queued(method, wall + 1000);
      });
}

void spool_desk::started(const std::string& method, const call_table::due_calls& some,
                         std::uint32_t declared_deadline_ms) {
  const auto now = proto::clock::now();
  auto& m = methods_[method];
  m.starting = false;
  m.next = std::min(m.next, some.next);
  for (const auto& call : some.calls) {
    auto how = std::make_shared<proto::call_options>();
    how->priority = call.priority;
    how->attempt = call.attempt;
    how->idempotency_key = call.key;
    how->metadata = {{"weir-call-id", call.id}};
    std::chrono::milliseconds time = default_deadline;
    if (declared_deadline_ms != 0) time = std::chrono::milliseconds(declared_deadline_ms);
    if (call.deadline_ms != 0) time = std::chrono::milliseconds(call.deadline_ms);
    running_[number(call.number)] = call.arguments.size();
    running_bytes_ += call.arguments.size();
    --counts_.queued;
    ++counts_.running;
    machine_.place(number(call.number), method, proto::pack::of(call.arguments), now + time,
                   std::move(how), now);
  }
}

void spool_desk::on_outcome(const proto::placed_outcome& outcome) {
  const auto it = running_.find(outcome.tag);
  if (it == running_.end()) return;
  running_bytes_ -= it->second;
  running_.erase(it);
  store::attempt_result how;
  how.code = outcome.reply.code;
  if (!outcome.reply.results.empty()) how.result = std::string(outcome.reply.results[0]);
  if (!outcome.reply.details.empty()) {
    const auto& d = outcome.reply.details.front();
    how.message = d.message;
    how.type = d.type;
    how.never_started = d.never_started;
    how.retry_after_ms = d.retry_ms;
  }
  if (how.result.size() > largest_result) {
    how = {
        status::out_of_range,
        "its result is too large to be kept: " + std::to_string(how.result.size()) + " bytes",
        {},
        {}};
  }
  spool_.give([this, which = number(outcome.tag), how = std::move(how)](call_table& t) {
    return [this, settled = t.finish(which, how, unix_now())] {
      --counts_.running;
      if (!settled) return;
      if (settled->ended) return ended(settled->report);
      ++counts_.queued;
      queued(settled->report.method, settled->report.due);
    };
  });
}

void spool_desk::expire_waits(proto::time_point now) {
  while (!wait_ends_.empty() && wait_ends_.begin()->first <= now) {
    refuse(wait_ends_.begin()->second.first, status::deadline_exceeded,
           "the call has not ended yet");
    stop_waiting(wait_ends_.begin());
  }
  if (!wait_ends_.empty()) next_ = std::min(next_, wait_ends_.begin()->first);
}

void spool_desk::expire_outcomes(proto::time_point now) {
  if (now >= expiry_at_) {
    expiry_at_ = now + expiry_interval;
    spool_.give(
        [this](call_table& t) {
          return [this, gone = t.expire(unix_now(), expired_at_a_time)] {
            if (gone == expired_at_a_time) expiry_at_ = {};  // there may be more
          };
        },
        [](const std::string&) {});
  }
  next_ = std::min(next_, expiry_at_);
}

bool spool_desk::idle() { return running_.empty() && spool_.idle(); }

}  // namespace weir::net
