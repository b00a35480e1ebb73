#include "net/client_impl.hpp"

#include <weir/error.hpp>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <utility>

namespace weir {
namespace {

/// What is said of one call in a run of outcomes.
reply_view view_of(const proto::call_outcomes& o, std::uint32_t item, std::string_view path) {
  reply_view v;
  v.code = o.reply.code;
  v.path = path;
  v.queued = std::chrono::microseconds(o.reply.queued_us);
  v.service = std::chrono::microseconds(o.reply.service_us);
  if (v.code == status::ok) v.result = o.reply.results[item];
  if (o.reply.details.empty()) return v;
  const proto::reply_details& d = o.reply.details[item];
  v.message = d.message;
  v.type = d.type;
  v.details = d.data;
  if (!d.trace.empty()) v.path = d.trace;
  v.retry_after = std::chrono::milliseconds(d.retry_ms);
  v.never_started = d.never_started;
  return v;
}

/// As much as there is in all clocks, and on the wire.
std::chrono::milliseconds bounded(std::chrono::milliseconds time) {
  return std::min(time, std::chrono::milliseconds(UINT32_MAX));
}

}  // namespace

void raw_client::impl::news::clear() {
  parts.clear();
  outcomes.clear();
  paths.clear();
  calls.clear();
  readers.clear();
  connected.clear();
}

void raw_client::impl::round(std::unique_lock<std::mutex>& held, proto::time_point until) {
  auto deadline = std::min(machine.next_deadline(), until);
  {
    const std::lock_guard lock(input_mutex);
    leader_sleeps = intake.empty();
    if (!leader_sleeps) deadline = proto::clock::now();
  }
  net::round(
      net, machine, out, events, deadline, true,
      [&](proto::peer_id peer, proto::message m, proto::time_point now) {
        machine.on_message(peer, std::move(m), now, out);
      },
      &held);
  {
    const std::lock_guard lock(input_mutex);
    leader_sleeps = false;
  }
  settle(proto::clock::now());
}

void raw_client::impl::settle(proto::time_point now) {
  take_calls(now);
  machine.tick(now, out);
  open_direct_links(now);
  for (auto& n : std::exchange(out.notices, {}))
    if (options.on_notice)
      run_later([this, warning = n.level == proto::severity::warning,
                 text = std::move(n.text)] { options.on_notice(warning, text); });
  net::carry_out(out, net, options);
  take_news();
  publish();
}

void raw_client::impl::take_calls(proto::time_point now) {
  {
    const std::lock_guard lock(input_mutex);
    if (intake.empty()) return;
    intake.take(arrived);
    left_at.store({}, std::memory_order_relaxed);
  }
  for (const auto& e : arrived.entries) open.append(e);
  for (auto& run : arrived.runs) hand_over(run, now);
  for (const auto& range : arrived.cancels) machine.cancel(range, now, out);
  for (const auto& read : arrived.reads) machine.consumed(read.stream, read.got, read.bytes);
  arrived.clear();
}

void raw_client::impl::hand_over(net::intake_run& run, proto::time_point now) {
  static const call_settings defaults;
  const call_settings& given = run.settings ? run.settings->given : defaults;
  proto::new_calls calls;
  calls.first = run.first;
  calls.arguments = run.arguments.take();
  const bool stated = given.deadline.count() > 0;
  if (!stated) calls.unstated_since = run.started;
  calls.latest = run.limit;
  calls.deadline =
      std::min(run.started + bounded(stated ? given.deadline : options.deadline), run.limit);
  calls.method = std::move(run.method);
  calls.options = std::move(run.options);
  calls.retries = given.retries;
  calls.idempotent = given.idempotent;
  calls.hedge_after = bounded(given.hedge_after);
  if (run.reader) streams.emplace(run.first, std::move(run.reader));
  if (given.on_progress)
    for (std::uint32_t i = 0; i < calls.arguments.size(); ++i)
      reporting.emplace(run.first + i, run.settings);
  machine.call(std::move(calls), now, out);
}

void raw_client::impl::open_direct_links(proto::time_point now) {
  for (const auto& where : std::exchange(out.opens, {})) {
    try {
      const auto peer = net.connect(endpoint::parse(where), options.insecure);
      machine.worker_opened(where, peer, now, out);
    } catch (const error& e) {  // the gateway remains
      out.info("introduced to a worker that cannot be called directly: " +
               std::string(e.what()));
    }
  }
}

void raw_client::impl::take_news() {
  for (auto& p : out.parts) {
    const auto it = streams.find(p.number);
    if (it != streams.end()) ready.parts.push_back({it->second, std::move(p.part.elements)});
  }
  out.parts.clear();
  for (auto& r : out.reports) {
    const auto it = reporting.find(r.number);
    if (it == reporting.end()) continue;
    run_later([settings = it->second, report = std::move(r.report)] {
      settings->given.on_progress(report.done, report.total, report.text);
    });
  }
  out.reports.clear();
  for (auto& o : out.outcomes) take_outcome(std::move(o));
  out.outcomes.clear();
  if (machine.connected() && !want_connection.empty())
    ready.connected = std::exchange(want_connection, {});
}

void raw_client::impl::take_outcome(proto::call_outcomes&& some) {
  const auto outcome = static_cast<std::uint32_t>(ready.outcomes.size());
  const std::uint64_t count = some.reply.results.size();
  open.take(some.first, count, [&](std::uint64_t number, net::receivers::entry e) {
    if (!streams.empty())
      if (auto stream = streams.extract(number); !stream.empty())
        ready.readers.push_back(std::move(stream.mapped()));
    if (!reporting.empty()) reporting.erase(number);
    if (e.to)
      ready.calls.push_back(
          {e.to, e.index, outcome, static_cast<std::uint32_t>(number - some.first)});
  });
  if (some.from != last_from) {
    last_from = some.from;
    last_path = machine.name_of(some.from);
  }
  const std::lock_guard lock(input_mutex);
  (some.reply.code == status::ok ? stats.succeeded : stats.failed) += count;
  ready.paths.push_back(last_path);
  ready.outcomes.push_back(std::move(some));
}

void raw_client::impl::publish() {
  const auto flying = machine.open();
  in_flight.store(flying, std::memory_order_relaxed);
  if (flying == 0) quiet_up_to = open.next() - 1;
  const std::lock_guard lock(input_mutex);
  stats.started = intake.made();
  stats.in_flight = flying;
  stats.rejected = net.stats().rejected;
  stats.connected = machine.connected();
  stats.refused = !machine.fatal().empty();
}

void raw_client::impl::deliver(std::unique_lock<std::mutex>& held) {
  while (!ready.empty()) {
    std::swap(ready, delivering);
    held.unlock();
    for (auto& p : delivering.parts) p.to->on_elements(std::move(p.some));
    for (const auto& c : delivering.calls)
      c.to->on_reply(c.index, view_of(delivering.outcomes[c.outcome], c.item,
                                      delivering.paths[c.outcome]));
    for (auto* c : delivering.connected) complete(*c);
    delivering.clear();
    held.lock();
  }
}

void raw_client::impl::fail_all(std::unique_lock<std::mutex>& held, status code,
                                const std::string& why) {
  deliver(held);
  {
    const std::lock_guard lock(input_mutex);
    closed = true;
    why_closed = why;
    intake.take(arrived);
  }
  for (const auto& e : arrived.entries) open.append(e);
  for (auto& run : arrived.runs)
    if (run.reader) streams.emplace(run.first, std::move(run.reader));
  std::vector<net::receivers::entry> all;
  open.take_all([&](std::uint64_t, net::receivers::entry e) {
    if (e.to) all.push_back(e);
  });
  const auto readers = std::exchange(streams, {});
  const auto lookers = std::exchange(want_connection, {});
  in_flight = 0;
  quiet_up_to = open.next() - 1;
  held.unlock();
  reply_view end;
  end.code = code;
  end.message = why;
  for (const auto& e : all) e.to->on_reply(e.index, end);
  for (auto* c : lookers) complete(*c);
  held.lock();
}

void raw_client::impl::close_down() {
  std::unique_lock held(loop_mutex);
  try {
    if (!broken) {
      settle(proto::clock::now());
      machine.say_bye(proto::clock::now(), out);
      net::carry_out(out, net, options);
    }
  } catch (...) {  // the last words are a courtesy
  }
  fail_all(held, status::cancelled, "the client was closed");
  net.close(net::last_words);
}

}  // namespace weir
