#include "net/service.hpp"

#include "exec/command_method.hpp"
#include "net/function_runner.hpp"
#include "proto/limits.hpp"
#include "proto/utf8.hpp"

#include <weir/error.hpp>

#include <pthread.h>
#include <signal.h>

#include <algorithm>
#include <utility>

namespace weir {
namespace {

using namespace std::chrono_literals;

/// How often the deputy looks whether the loop's thread is stuck in a handler.
constexpr auto deputy_tick = 2ms;
/// After so many ticks without a call it stops looking, until there is one.
constexpr int quiet_ticks = 50;
/// The loop runs calls itself so many times before it looks at its sockets again.
constexpr int helps_in_a_round = 8;
/// Unless told otherwise there are more slots than processors: handlers wait for files, for
/// other services, for methods of this very worker.
constexpr unsigned least_slots = 16;
/// Told to leave at once, how long to wait for readers of streams and handlers' last answers.
constexpr auto leave_patience = 2s;

proto::method_info info_of(const method_description& what) {
  const auto ms = [](std::chrono::milliseconds t) {
    return static_cast<std::uint32_t>(std::clamp<std::int64_t>(t.count(), 0, UINT32_MAX));
  };
  proto::method_info info;
  info.name = what.name;
  info.doc = what.options.help;
  info.signature = what.signature;
  info.arguments_known = what.arguments.has_value();
  if (what.arguments)
    for (const auto& a : *what.arguments)
      info.arguments.push_back({a.name, a.type, a.optional});
  info.result = what.result;
  info.streams = what.streams;
  info.idempotent = what.options.idempotent;
  info.concurrency = what.options.concurrency;
  info.deadline_ms = ms(what.options.deadline);
  info.cache_ms = ms(what.options.cacheable);
  return info;
}

[[noreturn]] void refuse(const std::string& name, const std::string& why) {
  throw error(exit_code::usage, "method '" + name + "': " + why);
}

worker_options checked(worker_options o) {
  if (o.bind.empty()) o.bind = o.direct;
  net::check(o, "worker");
  return o;
}

}  // namespace

worker::service::service(worker_options o) : options(checked(std::move(o))) {
  for (const auto& e : options.bind)
    bound.push_back(net.bind(endpoint::parse(e), options.insecure));
  for (const auto& e : options.direct) {
    const auto same = std::find(options.bind.begin(), options.bind.end(), e);
    direct.push_back(same == options.bind.end() ? endpoint::parse(e).str()
                                                : bound[same - options.bind.begin()]);
    if (direct.back().find('*') != std::string::npos)
      throw error(exit_code::usage,
                  "clients cannot connect to " + direct.back() + ": name this host's address");
  }
}

void worker::service::add(method_description what, exec::call_pool::method handler) {
  if (machine) refuse(what.name, "the worker runs already");
  if (what.name.empty()) refuse(what.name, "it needs a name");
  if (what.name.starts_with("weir.")) refuse(what.name, "names with 'weir.' are weir's own");
  if (what.name.size() > proto::limits::method_bytes)
    refuse(what.name.substr(0, 32) + "...",
           "a name has at most " + std::to_string(proto::limits::method_bytes) + " bytes");
  if (proto::valid_utf8_prefix(what.name) != what.name.size())
    refuse(proto::to_utf8(what.name, 64), "the name is not UTF-8");
  for (const auto& other : infos)
    if (other.name == what.name) refuse(what.name, "there is one of that name already");
  if (infos.size() == proto::limits::methods)
    refuse(what.name,
           "a worker offers at most " + std::to_string(proto::limits::methods) + " methods");
  handler.may_be_short = what.may_be_short;
  infos.push_back(info_of(what));
  methods.push_back(std::move(handler));
}

// ---- Two threads, of which one is the loop

void worker::service::run() {
  if (infos.empty())
    throw error(exit_code::usage, "the worker offers no method and runs no tasks");
  const auto now = proto::clock::now();
  proto::service_state::options o;
  o.methods = std::move(infos);
  o.direct = direct;
  o.slots = options.slots > 0 ? options.slots : std::max(least_slots, 4 * net::slots_of(0));
  o.max_window = std::max<std::uint64_t>(options.max_window, o.slots);
  o.reply_cache_bytes = options.reply_cache;
  o.reply_cache_ttl = proto::limited(options.reply_cache_ttl);
  machine.emplace(
      net::introduce(proto::role::worker, options, {proto::role::gateway, proto::role::client}),
      o, now);
  for_caller.emplace(options.connect.empty() || options.serve ? 0ms : options.connect_timeout);
  pool.emplace(o.slots, std::move(methods), [this] { on_slot_done(); });
  for (const auto& e : options.connect)
    machine->link_opened(net.connect(endpoint::parse(e), options.insecure), now, out);

  std::thread deputy([this] {
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, nullptr);
    pthread_setname_np(pthread_self(), "weir-deputy");
    serve(1);
  });
  serve(0);
  deputy.join();
  pool->stop();
  if (failure) std::rethrow_exception(failure);
  const auto end = proto::clock::now();
  collect(end);
  settle(end, false);
  machine->say_bye(end, out);
  net::carry_out(out, net, options);
  net.close(net::last_words);
}

void worker::service::serve(unsigned me) {
  std::unique_lock held(loop_mutex);
  try {
    while (!over) {
      if (leader == me)
        round(held, me);
      else
        stand_by(held, me);
    }
  } catch (...) {
    if (!failure) failure = std::current_exception();
    over = true;
  }
  deputy_wake.notify_all();
  net.wake();
}

/// Waits until the other thread, the loop, does not come back from a handler, and becomes it.
void worker::service::stand_by(std::unique_lock<std::mutex>& held, unsigned me) {
  standing_by = true;
  if (!ticking) {
    deputy_wake.wait(held, [this] { return over || ticking; });
    return;
  }
  const auto helps_seen = helps;
  const auto gives_seen = gives;
  deputy_wake.wait_for(held, deputy_tick);
  if (over) return;
  if (helping && helps == helps_seen) {
    leader = me;
    standing_by = helping = false;
    pool->relieve();
    net.wake();  // ourselves, for what has been done
    return;
  }
  quiet = helps == helps_seen && gives == gives_seen ? quiet + 1 : 0;
  if (quiet >= quiet_ticks) {
    quiet = 0;
    ticking = false;
  }
  // A slot leaves what it has done for a moment, and then something turned out long.
  if (pool->waiting_since() < proto::clock::now() - deputy_tick) net.wake();
}

/// Returns whether this thread is still the loop.
bool worker::service::help(std::unique_lock<std::mutex>& held, unsigned me, bool last) {
  ++helps;
  helping = true;
  held.unlock();
  const bool more = pool->help(me, last);
  held.lock();
  if (leader == me) {
    helping = false;
    help_wanted |= more;
    return true;
  }
  net.wake();  // the other one, for what has been done here
  return false;
}

void worker::service::round(std::unique_lock<std::mutex>& held, unsigned me) {
  const auto deadline = std::min(
      {machine->next_deadline(), for_caller->deadline(), pool->next_deadline(), leave_by});
  net::round(
      net, *machine, out, events, deadline, true,
      [&](proto::peer_id peer, proto::message m, proto::time_point now) {
        machine->on_message(peer, std::move(m), now, out);
      },
      &held);
  if (slot_failure) std::rethrow_exception(slot_failure);
  auto now = proto::clock::now();
  collect(now);
  settle(now, standing_by);
  for (int i = 1; help_wanted; ++i) {
    const bool last = i >= helps_in_a_round;
    help_wanted = false;
    if (!help(held, me, last)) return;
    now = proto::clock::now();
    collect(now);
    settle(now, standing_by && !last);
  }
  if (!machine->fatal().empty()) throw error(exit_code::protocol, machine->fatal());
  over = machine->done() || now >= leave_by;
  if (options.connect.empty() || machine->draining()) return;
  for_caller->check(!machine->has_caller(), now, "no gateway at " + options.connect.front());
}

// ---- What the loop does, or a slot while the loop sleeps

void worker::service::on_slot_done() {
  const std::unique_lock held(loop_mutex, std::try_to_lock);
  if (!held || slot_failure || over) return net.wake();
  try {
    const auto now = proto::clock::now();
    collect(now);
    settle(now, false);
    if (machine->done())
      net.wake();
    else
      net.nudge(std::min(machine->next_deadline(), pool->next_deadline()));
  } catch (...) {  // for the loop to throw
    slot_failure = std::current_exception();
    net.wake();
  }
}

void worker::service::collect(proto::time_point now) {
  pool->take(news);
  for (auto& r : news.reports) machine->on_progress(r.key, r.done, r.total, std::move(r.text));
  for (auto& e : news.elements)
    if (machine->on_part(e.key, std::move(e.elements), now, out) == proto::callee::not_wanted)
      pool->cancel(e.key);
  for (auto& a : news.answers) machine->on_replied(a.to, std::move(a.outcomes), now, out);
}

void worker::service::settle(proto::time_point now, bool may_help) {
  while (stops_seen < stops) {
    if (++stops_seen == 1) {
      machine->drain(now, out);
    } else {
      pool->stop_all();
      leave_by = std::min(leave_by, now + leave_patience);
    }
  }
  machine->tick(now, out);
  pool->tick(now);
  if (!out.calls.empty()) {
    ++gives;
    if (!std::exchange(ticking, true)) deputy_wake.notify_one();
    help_wanted |= pool->give(std::exchange(out.calls, {}), may_help);
  }
  for (const auto& key : out.cancels) pool->cancel(key);
  out.cancels.clear();
  for (const auto& g : out.grants) {
    if (g.stop)
      pool->cancel(g.key);
    else
      pool->grant(g.key, g.until, g.until_bytes);
  }
  out.grants.clear();
  publish();  // before anybody can have the answers that it counts
  net::carry_out(out, net, options);
}

void worker::service::publish() {
  const auto c = machine->stats();
  const std::lock_guard lock(stats_mutex);
  figures.received = c.received;
  figures.done = c.done;
  figures.failed = c.failed;
  figures.queued = c.queued;
  figures.running = c.running;
  figures.window = c.window;
  figures.rejected = net.stats().rejected;
  figures.gateways = c.gateways;
  figures.clients = c.clients;
}

void worker::service::stop() noexcept {
  ++stops;
  net.wake();
}

worker_stats worker::service::stats() const {
  const std::lock_guard lock(stats_mutex);
  return figures;
}

// ---- The worker that has it inside

worker::worker(worker_options options) : impl_(std::make_unique<service>(std::move(options))) {}

worker::service& worker::methods() {
  auto* s = dynamic_cast<service*>(impl_.get());
  if (!s) throw error(exit_code::usage, "a worker with a task handler cannot offer methods");
  return *s;
}

worker& worker::offer(method_description what, raw_method handler) {
  what.streams = false;
  methods().add(std::move(what), {std::move(handler), {}});
  return *this;
}

worker& worker::offer(method_description what, raw_stream_method handler) {
  what.streams = true;
  methods().add(std::move(what), {{}, std::move(handler)});
  return *this;
}

worker& worker::expose(std::string name, command_method command, method_options options) {
  auto [what, handler] =
      exec::method_of(std::move(name), std::move(command), std::move(options));
  return offer(std::move(what), std::move(handler));
}

}  // namespace weir
