// A ventilator's loop: tasks go out, results and acknowledgements come back.
#include "net/ventilator_impl.hpp"

#include <weir/error.hpp>

#include <pthread.h>

#include <algorithm>
#include <csignal>
#include <limits>
#include <utility>

namespace weir {

void ventilator::impl::take_input() {
  std::unique_lock lock(mutex);
  if (!open.empty() || !open_refused.empty()) {
    proto::pack all = open.take();
    proto::pack commands = open_commands.take();
    auto none = std::exchange(open_refused, {});
    taken += all.size() + none.size();
    lock.unlock();
    std::uint32_t from = 0;
    const auto feed = [&](std::uint32_t end) {
      machine.feed(all.slice(from, end - from),
                   commands.empty() ? proto::pack() : commands.slice(from, end - from));
    };
    for (auto& r : none) {
      feed(static_cast<std::uint32_t>(r.before));
      from = static_cast<std::uint32_t>(r.before);
      machine.feed_refused(r.code, std::move(r.why), out);
    }
    if (from < all.size()) feed(all.size());
    lock.lock();
  }
  tell_room();
  if (input_ended && open.empty() && open_refused.empty()) machine.end_input();
}

void ventilator::impl::tell_room() {
  const auto room = machine.free();
  room_tasks = room.tasks;
  room_bytes = room.bytes;
  if (submitters_waiting > 0 && room_tasks > 0 && room_bytes > 0) changed.notify_all();
}

void ventilator::impl::on_message(proto::peer_id peer, proto::message m,
                                  proto::time_point now) {
  for (auto& some : machine.on_message(peer, std::move(m), now, out))
    core.on_results(some.from, std::move(some.results), out);
}

void ventilator::impl::collect(proto::time_point now) {
  for (auto& some : machine.take_given_up()) core.on_results({}, std::move(some), out);
  store->give(std::move(out.commits));
  out.commits.clear();
  committed.clear();
  store->take(committed);
  for (const auto& [id, range] : committed) core.on_committed(id, range);
  for (auto& reply : core.take_replies(now)) {
    if (const auto* a = std::get_if<proto::ack>(&reply.what))
      machine.on_ack(*a, now, out);
    else
      machine.send(reply.to, std::move(reply.what), now, out);
  }
}

void ventilator::impl::withdraw(proto::time_point now) {
  const std::lock_guard lock(mutex);
  if (withdrawing && machine.withdraw(net::local_crew::peer, *withdrawing, now, out))
    withdrawing.reset();
}

void ventilator::impl::settle(proto::time_point now) {
  take_input();
  if (crew) {
    crew->collect(now);
    crew->check();
  }
  withdraw(now);
  if (collects) collect(now);
  machine.tick(now, out);
  while (crew && crew->exchange(out, now, [&](proto::message m) {
    on_message(net::local_crew::peer, std::move(m), now);
  })) {
    collect(now);
    machine.tick(now, out);
  }
  for (const auto& g : out.failures)
    if (options.on_given_up)
      for (std::uint32_t i = 0; i < g.payloads.size(); ++i) {
        outcome_details details;
        details.message = g.why;
        options.on_given_up({{source, g.first + i}, g.attempts, g.code, {}, &details},
                            g.payloads[i]);
      }
  out.failures.clear();
  for (const auto& p : out.progressed)
    if (options.on_progress) options.on_progress({p.source, p.seq}, p.done, p.total, p.text);
  out.progressed.clear();
  net::carry_out(out, net, options);
}

proto::time_point ventilator::impl::next_deadline() const {
  auto next = std::min(machine.next_deadline(), core.next_deadline());
  if (crew) next = std::min(next, crew->next_deadline());
  return next;
}

void ventilator::impl::run() {
  sigset_t all;
  sigfillset(&all);
  pthread_sigmask(SIG_BLOCK, &all, nullptr);
  try {
    net::patience for_worker(options.connect_timeout);
    net::patience for_sink(options.connect_timeout);
    std::unique_lock held(loop_mutex);
    loop_thread = std::this_thread::get_id();
    std::uint64_t told = 0;
    for (;;) {
      auto deadline = std::min({next_deadline(), for_worker.deadline(), for_sink.deadline()});
      {
        const std::lock_guard lock(mutex);
        loop_waits = open.empty() && open_refused.empty() && !stopping;
        if (!loop_waits && room_tasks > 0) deadline = proto::clock::now();
      }
      net::round(
          net, machine, out, events, deadline, true,
          [&](proto::peer_id peer, proto::message m, proto::time_point now) {
            on_message(peer, std::move(m), now);
          },
          &held);
      {
        const std::lock_guard lock(mutex);
        loop_waits = false;
      }
      if (submit_failure) std::rethrow_exception(submit_failure);
      const auto now = proto::clock::now();
      settle(now);
      if (!machine.fatal().empty()) throw error(exit_code::protocol, machine.fatal());
      if (publish()) {
        machine.say_bye(proto::bye_reason::leaving, now, out);
        break;
      }
      if (machine.complete()) {
        // A worker that leaves waits for its last COMMITTED.
        for (auto& reply : core.take_replies())
          machine.send(reply.to, std::move(reply.what), now, out);
        machine.say_bye(proto::bye_reason::finished, now, out);
        break;
      }
      const std::string at = !endpoints.empty()        ? endpoints.front()
                             : options.connect.empty() ? "here"
                                                       : options.connect.front();
      for_worker.check(machine.stats().workers == 0, now, "no worker at " + at);
      for_sink.check(!machine.has_sink(), now,
                     "no sink at " + (options.sink.empty() ? at : options.sink));
      if (options.on_done && machine.stats().done > told) {
        told = machine.stats().done;
        held.unlock();
        options.on_done(told);
        held.lock();
      }
    }
  } catch (...) {
    machine.say_bye(proto::bye_reason::leaving, proto::clock::now(), out);
    const std::lock_guard lock(mutex);
    failure = std::current_exception();
  }
  const bool done = machine.complete();
  {
    const std::lock_guard held(loop_mutex);
    over = true;
  }
  if (crew) {
    crew->stop();
    try {
      crew->check();
    } catch (...) {
      const std::lock_guard lock(mutex);
      if (!failure) failure = std::current_exception();
    }
  }
  try {
    net::carry_out(out, net, options);
  } catch (...) {  // the last words are a courtesy
  }
  (void)publish();
  if (!done) net.close(net::last_words);
  {
    const std::lock_guard lock(mutex);
    ended = true;
    complete = done && !failure;
  }
  changed.notify_all();
  if (!done) return;
  tell_late_comers();
  net.close(net::last_words);
}

void ventilator::impl::tell_late_comers() {
  const auto until = born + net::shortest_life;
  const auto expects_somebody = [&] { return !endpoints.empty() || !machine.met_all(); };
  try {
    while (proto::clock::now() < until && expects_somebody() && !told_to_stop()) {
      bool somebody_came = false;
      net::round(net, machine, out, events, until, true,
                 [&](proto::peer_id peer, proto::message m, proto::time_point now) {
                   somebody_came |= std::holds_alternative<proto::hello>(m) ||
                                    std::holds_alternative<proto::welcome>(m);
                   (void)machine.on_message(peer, std::move(m), now, out);
                 });
      if (somebody_came) machine.say_bye(proto::bye_reason::finished, proto::clock::now(), out);
      net::carry_out(out, net, options);
    }
  } catch (...) {  // it is a courtesy
  }
}

bool ventilator::impl::publish() {
  const auto c = machine.stats();
  const std::lock_guard lock(mutex);
  stats = {c.read,
           c.done,
           c.failed,
           c.dispatched,
           c.redelivered,
           core.stats().duplicates,
           c.leased,
           c.queued,
           c.workers,
           c.lost_workers,
           net.stats().rejected};
  quiet = machine.outstanding() == 0;
  tell_room();  // nothing may come that would start another round
  if (stats.done >= awaited) {
    awaited = std::numeric_limits<std::uint64_t>::max();
    changed.notify_all();
  }
  return stopping;
}

}  // namespace weir
