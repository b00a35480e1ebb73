#include "net/committer.hpp"
#include "net/local_crew.hpp"
#include "net/node_loop.hpp"
#include "net/results_impl.hpp"
#include "proto/limits.hpp"
#include "proto/sink_core.hpp"
#include "proto/task_command.hpp"
#include "proto/ventilator_state.hpp"

#include <weir/error.hpp>
#include <weir/local_slots.hpp>
#include <weir/ventilator.hpp>
#include <weir/version.hpp>

#include <pthread.h>

#include <atomic>
#include <condition_variable>
#include <csignal>
#include <cstring>
#include <limits>
#include <mutex>
#include <optional>
#include <thread>

namespace weir {

std::string encode_command(const std::vector<std::string>& argv,
                           std::optional<std::string_view> input) {
  return proto::encode(
      proto::task_command{argv, input.value_or(std::string_view()), input.has_value()});
}

namespace {

/// What submitters may pile up between two rounds of the loop: enough to fill several messages,
/// little enough that a task's bytes are still in the cache when they are sent.
constexpr std::uint64_t open_tasks = 8192;
constexpr std::size_t open_bytes = 512 * 1024;

std::string too_long(std::size_t bytes) {
  return "the payload has " + std::to_string(bytes) + " bytes; the limit is " +
         std::to_string(proto::limits::payload_bytes);
}

source_id new_source() {
  source_id id;
  const std::uint64_t bits[2] = {net::entropy(), net::entropy()};
  std::memcpy(id.bytes.data(), bits, sizeof bits);
  return id;
}

proto::ventilator_state::options machine_options(const ventilator_options& o,
                                                 const source_id& source, bool collects) {
  if (o.max_attempts < 1) throw error(exit_code::usage, "max_attempts must be at least 1");
  if (o.window < 1) throw error(exit_code::usage, "the window must hold at least 1 task");
  proto::ventilator_state::options m;
  m.source = source;
  m.max_attempts = o.max_attempts;
  m.max_failures = o.max_failures;
  m.retry.base = o.retry_delay;
  m.task_timeout = o.task_timeout;
  m.max_tasks = o.window;
  m.max_bytes = std::max<std::uint64_t>(o.window_bytes, 1);
  m.collects = collects;
  m.seed = net::entropy();
  return m;
}

}  // namespace

struct ventilator::impl {
  ventilator_options options;
  source_id source = new_source();
  bool collects;
  net::transport net;
  proto::ventilator_state machine;
  proto::sink_core core;  // when it collects
  std::optional<net::committer> store;
  proto::outbox out;
  std::vector<std::string> endpoints;
  const proto::time_point born = proto::clock::now();
  std::vector<net::transport::event> events;
  std::vector<net::committer::done_range> committed;

  // Over the machine, the sockets and the outbox. The loop lets go of it while it sleeps: then
  // whoever submits a task to an idle ventilator sends it himself, without a thread switch.
  std::mutex loop_mutex;
  std::exception_ptr submit_failure;
  bool over = false;            // the loop has ended
  std::thread::id loop_thread;  // set before the crew is given anything

  // Between submitters and the loop.
  struct refused {
    std::uint64_t before = 0;  // how many of `open` come before it
    status code;
    std::string why;
  };
  mutable std::mutex mutex;
  std::condition_variable changed;  // room for more, or ended
  proto::pack_builder open;
  proto::pack_builder open_commands;  // as many as `open`, or none
  std::optional<bool> with_commands;  // how tasks are submitted
  std::vector<refused> open_refused;
  std::uint64_t room_tasks = 0;
  std::uint64_t room_bytes = 0;
  bool input_ended = false;
  bool stopping = false;
  std::optional<proto::cancel_mode> withdrawing;  // asked for and not done yet
  bool ended = false;
  bool complete = false;
  bool loop_waits = false;
  bool quiet = true;  // nothing is outstanding
  unsigned submitters_waiting = 0;
  std::uint64_t taken = 0;                                            // tasks that the loop has
  std::uint64_t awaited = std::numeric_limits<std::uint64_t>::max();  // see wait_idle()
  std::exception_ptr failure;
  ventilator_stats stats;
  std::optional<net::local_crew> crew;  // its threads use what is above
  std::thread loop;

  impl(ventilator_options o, std::unique_ptr<result_store> s, const local_slots* here);
  ~impl();
  bool add(std::unique_lock<std::mutex>& lock, std::size_t bytes);
  void commands_come(bool with);
  void wake_if_waiting(std::unique_lock<std::mutex>& lock);
  bool send_directly();
  bool settle_here();
  void on_slot_done();
  [[nodiscard]] proto::time_point next_deadline() const;
  void run();
  void take_input();
  void on_message(proto::peer_id peer, proto::message m, proto::time_point now);
  void withdraw(proto::time_point now);
  void settle(proto::time_point now);
  void collect(proto::time_point now);
  bool publish();
  void tell_late_comers();
  bool told_to_stop() {
    const std::lock_guard lock(mutex);
    return stopping;
  }
};

ventilator::impl::impl(ventilator_options o, std::unique_ptr<result_store> s,
                       const local_slots* here)
    : options((net::check(o, "ventilator", here != nullptr), std::move(o))),
      collects(s != nullptr),
      machine(
          [&] {
            auto links = net::introduce(proto::role::ventilator, options,
                                        {proto::role::worker, proto::role::sink});
            // A stranger must not be able to say what is committed.
            if (!options.sink_connects) links.admits = {proto::role::worker};
            if (options.sink_connects)
              links.self.results_to = proto::any_sink;
            else
              links.self.results_to = options.sink;
            return links;
          }(),
          machine_options(options, source, collects), proto::clock::now()) {
  if (collects) {
    if (!options.sink.empty() || options.sink_connects)
      throw error(exit_code::usage, "a ventilator with a sink does not take results itself");
    store.emplace(std::move(s), options.keep_order, [this] { net.wake(); });
    core.add(machine.registration(), {});
  }
  for (const auto& e : options.bind)
    endpoints.push_back(net.bind(endpoint::parse(e), options.insecure));
  const auto now = proto::clock::now();
  for (const auto& e : options.connect)
    machine.link_opened(net.connect(endpoint::parse(e), options.insecure), now, out);
  if (!options.sink.empty())
    machine.link_opened(net.connect(endpoint::parse(options.sink), options.insecure), now, out);
  const auto room = machine.free();
  room_tasks = room.tasks;
  room_bytes = room.bytes;
  if (here) crew.emplace(*here, [this] { on_slot_done(); });
  loop = std::thread([this] { run(); });
}

ventilator::impl::~impl() {
  {
    const std::lock_guard lock(mutex);
    if (!ended) stopping = true;  // else it may still be telling late comers
  }
  changed.notify_all();
  net.wake();
  loop.join();
}

bool ventilator::impl::add(std::unique_lock<std::mutex>& lock, std::size_t bytes) {
  const auto full = [&] {
    if (open.empty()) return room_tasks == 0 || room_bytes == 0;
    return open.size() >= std::min(room_tasks, open_tasks) ||
           open.bytes() + open_commands.bytes() + bytes >
               std::min<std::uint64_t>(room_bytes, open_bytes);
  };
  if (!ended && !stopping && full()) {
    ++submitters_waiting;
    changed.wait(lock, [&] { return ended || stopping || !full(); });
    --submitters_waiting;
  }
  if (failure) std::rethrow_exception(failure);
  return !ended && !stopping;
}

void ventilator::impl::commands_come(bool with) {
  if (with_commands.value_or(with) != with)
    throw error(exit_code::usage, "submit: either each task has a command, or none has");
  with_commands = with;
}

void ventilator::impl::wake_if_waiting(std::unique_lock<std::mutex>& lock) {
  if (!std::exchange(loop_waits, false)) return;
  const bool alone = std::exchange(quiet, false);
  lock.unlock();
  if (!alone || !send_directly()) net.wake();
}

bool ventilator::impl::send_directly() {
  if (!settle_here()) return false;
  const std::lock_guard lock(mutex);
  // What others have added since has woken nobody, for the loop was said not to wait.
  if (!open.empty() || !open_refused.empty() || stopping) return false;
  loop_waits = true;
  return true;
}

/// The loop's round on another thread, if the loop sleeps. False: wake it.
bool ventilator::impl::settle_here() {
  const std::unique_lock held(loop_mutex, std::try_to_lock);
  if (!held || submit_failure || over) return false;
  try {
    settle(proto::clock::now());
    (void)publish();
  } catch (...) {  // for the loop to throw
    submit_failure = std::current_exception();
    return false;
  }
  if (machine.complete()) return false;
  net.nudge(next_deadline());
  return true;
}

/// On a slot's thread, and on the loop's when it cancels what waits.
void ventilator::impl::on_slot_done() {
  thread_local bool inside = false;
  if (inside || std::this_thread::get_id() == loop_thread) return net.wake();
  inside = true;
  if (!settle_here()) net.wake();
  inside = false;
}

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
  const auto room = machine.free();
  room_tasks = room.tasks;
  room_bytes = room.bytes;
  if (input_ended && open.empty() && open_refused.empty()) machine.end_input();
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
  if (crew) crew->collect(now);
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
        options.on_given_up({{source, g.first + i}, 0, g.code, {}, &details}, g.payloads[i]);
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
  if (crew) crew->stop();
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
  if (endpoints.empty()) return;
  const auto until = born + net::shortest_life;
  try {
    while (proto::clock::now() < until && !told_to_stop()) {
      bool somebody_came = false;
      net::round(net, machine, out, events, until, true,
                 [&](proto::peer_id peer, proto::message m, proto::time_point now) {
                   somebody_came |= std::holds_alternative<proto::hello>(m);
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
  if (stats.done >= awaited) {
    awaited = std::numeric_limits<std::uint64_t>::max();
    changed.notify_all();
  }
  return stopping;
}

ventilator::ventilator(ventilator_options options, std::unique_ptr<result_store> store)
    : impl_(std::make_unique<impl>(std::move(options), std::move(store), nullptr)) {}

ventilator::ventilator(ventilator_options options, std::unique_ptr<result_store> store,
                       const local_slots& here) {
  if (!store)
    throw error(exit_code::usage, "a ventilator with slots of its own needs a result store");
  impl_ = std::make_unique<impl>(std::move(options), std::move(store), &here);
}

ventilator::ventilator(ventilator_options options) {
  if (options.sink.empty() && !options.sink_connects)
    throw error(exit_code::usage,
                "a ventilator without a sink needs somewhere to put results itself");
  impl_ = std::make_unique<impl>(std::move(options), nullptr, nullptr);
}

ventilator::ventilator(ventilator_options options, std::function<void(const result&)> on_result)
    : ventilator(std::move(options), net::make_store(std::move(on_result))) {}

ventilator::~ventilator() = default;

bool ventilator::submit(std::string_view payload) {
  if (payload.size() > proto::limits::payload_bytes)
    return submit_refused(status::resource_exhausted, too_long(payload.size()));
  impl& i = *impl_;
  std::unique_lock lock(i.mutex);
  if (!i.add(lock, payload.size())) return false;
  i.commands_come(false);
  i.open.add(payload);
  i.wake_if_waiting(lock);
  return true;
}

bool ventilator::submit(std::string_view payload, std::string_view command) {
  const auto longest = std::max(payload.size(), command.size());
  if (longest > proto::limits::payload_bytes)
    return submit_refused(status::resource_exhausted, too_long(longest));
  impl& i = *impl_;
  std::unique_lock lock(i.mutex);
  if (!i.add(lock, payload.size() + command.size())) return false;
  i.commands_come(true);
  i.open.add(payload);
  i.open_commands.add(command);
  i.wake_if_waiting(lock);
  return true;
}

bool ventilator::submit_refused(status code, std::string why) {
  impl& i = *impl_;
  std::unique_lock lock(i.mutex);
  if (!i.add(lock, 0)) return false;
  i.open_refused.push_back({i.open.size(), code, std::move(why)});
  i.wake_if_waiting(lock);
  return true;
}

void ventilator::finish() {
  {
    const std::lock_guard lock(impl_->mutex);
    impl_->input_ended = true;
  }
  impl_->net.wake();
}

bool ventilator::wait() {
  finish();
  return wait_for_end();
}

bool ventilator::wait_for_end() {
  std::unique_lock lock(impl_->mutex);
  impl_->changed.wait(lock, [&] { return impl_->ended; });
  if (impl_->failure) std::rethrow_exception(impl_->failure);
  return impl_->complete;
}

bool ventilator::wait_idle() {
  impl& i = *impl_;
  std::unique_lock lock(i.mutex);
  const auto target = i.taken + i.open.size() + i.open_refused.size();
  i.awaited = std::min(i.awaited, target);
  i.changed.wait(lock, [&] { return i.ended || i.stopping || i.stats.done >= target; });
  if (i.failure) std::rethrow_exception(i.failure);
  return i.stats.done >= target;
}

void ventilator::stop() noexcept {
  {
    const std::lock_guard lock(impl_->mutex);
    impl_->stopping = true;
  }
  impl_->changed.notify_all();
  impl_->net.wake();
}

void ventilator::withdraw(withdrawal what) noexcept {
  {
    const std::lock_guard lock(impl_->mutex);
    impl_->withdrawing =
        what == withdrawal::all ? proto::cancel_mode::stop : proto::cancel_mode::give_back;
  }
  impl_->net.wake();
}

const std::vector<std::string>& ventilator::endpoints() const noexcept {
  return impl_->endpoints;
}

source_id ventilator::source() const noexcept { return impl_->source; }

ventilator_stats ventilator::stats() const {
  const std::lock_guard lock(impl_->mutex);
  return impl_->stats;
}

}  // namespace weir
