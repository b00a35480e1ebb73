#include "exec/command.hpp"
#include "net/committer.hpp"
#include "net/function_runner.hpp"
#include "net/node_loop.hpp"
#include "net/plain_socket.hpp"
#include "net/results_impl.hpp"
#include "proto/limits.hpp"

#include <weir/error.hpp>
#include <weir/plain.hpp>

#include <atomic>
#include <cstring>
#include <deque>

namespace weir {
namespace {
using namespace std::chrono_literals;

/// Messages taken in one round: enough that a burst is dealt with as one.
constexpr std::uint32_t round_messages = 4096;
/// A worker has about so much work in hand. Less would idle between two rounds of its loop;
/// more would only be lost with it.
constexpr auto work_in_hand = 20ms;
constexpr std::uint64_t most_in_hand = 8192;
/// How often to look whether a peer over ipc has read everything.
constexpr auto look_interval = 2ms;
/// libzmq's clock counts whole milliseconds, and its linger may end a little early.
constexpr auto timer_slack = 10ms;
/// What was abandoned has this long to leave all the same.
constexpr std::chrono::milliseconds abandoned_linger{2000};

/// Reads what is there, at most `most` messages.
proto::pack read_some(net::plain_socket& from, std::uint64_t most) {
  proto::pack_builder some;
  zmq::message_t message;
  while (some.size() < std::min<std::uint64_t>(most, round_messages) &&
         some.bytes() < proto::limits::batch_bytes && from.try_receive(message))
    some.add({message.data<char>(), message.size()});
  return some.take();
}

/// Whether all that was pushed has been taken over, by the network or, over ipc, by the peer.
/// `linger` says how long to wait for that, and is asked again and again; 0: for ever.
template <class Linger>
bool hand_over(zmq::context_t& context, net::plain_socket& from, net::plain_wait& wait,
               Linger&& linger) {
  const auto start = proto::clock::now();
  const auto left = [&] {
    const std::chrono::milliseconds all = proto::limited(linger());
    if (all == 0ms) return -1ms;
    const auto gone = proto::clock::now() - start;
    return std::max(0ms, std::chrono::ceil<std::chrono::milliseconds>(all - gone));
  };
  // Seen empty once may mean that libzmq's thread has not come round to refilling it.
  for (int empty = 0; empty < 3 && left() != 0ms;) {
    from.watch();
    empty = from.unread_over_ipc() ? 0 : empty + 1;
    wait.add(from, false);
    wait.sleep(proto::clock::now() + look_interval);
  }
  const auto rest = left();
  from.close(rest);
  context.close();  // returns when everything is sent, or the linger is over
  return rest < 0ms || left() > timer_slack;
}

source_id random_source() {
  source_id id;
  const std::uint64_t halves[2] = {net::entropy(), net::entropy()};
  static_assert(sizeof halves == sizeof id.bytes);
  std::memcpy(id.bytes.data(), halves, sizeof halves);
  return id;
}

struct counters {
  std::atomic<std::uint64_t> done = 0, failed = 0, in_hand = 0, refused = 0, peers = 0;
  [[nodiscard]] plain_stats values() const { return {done, failed, in_hand, refused, peers}; }
};

}  // namespace

struct plain_ventilator::impl {
  node_options options;
  zmq::context_t context{1};
  net::plain_wait wait;
  net::plain_socket tasks;
  net::patience for_worker;
  counters count;
  std::atomic<bool> stopping = false;

  explicit impl(node_options o)
      : options((net::check(o, "ventilator"), std::move(o))),
        tasks(context, net::plain_socket::kind::push, options),
        for_worker(options.connect_timeout) {}
};

plain_ventilator::plain_ventilator(node_options options)
    : impl_(std::make_unique<impl>(std::move(options))) {}

plain_ventilator::~plain_ventilator() = default;

bool plain_ventilator::submit(std::string_view payload) {
  impl& self = *impl_;
  if (payload.size() > proto::limits::payload_bytes) {
    ++self.count.failed;
    return false;
  }
  while (!self.stopping) {
    if (self.tasks.try_send(payload)) {
      self.for_worker.check(false, {}, {});
      if (++self.count.done % round_messages == 0) self.tasks.watch();
      self.count.peers = self.tasks.peers();
      return true;
    }
    self.tasks.watch();
    self.for_worker.check(self.tasks.peers() == 0, proto::clock::now(),
                          "no worker at " + self.tasks.where());
    self.wait.add(self.tasks, true);
    self.wait.sleep(self.for_worker.deadline());
  }
  return false;
}

bool plain_ventilator::finish() {
  return hand_over(impl_->context, impl_->tasks, impl_->wait, [&] {
    return impl_->stopping ? abandoned_linger : impl_->options.connect_timeout;
  });
}

void plain_ventilator::stop() noexcept {
  impl_->stopping = true;
  impl_->wait.wake();
}

const std::vector<std::string>& plain_ventilator::endpoints() const noexcept {
  return impl_->tasks.endpoints();
}

plain_stats plain_ventilator::stats() const { return impl_->count.values(); }

struct plain_worker::impl {
  plain_worker_options options;
  zmq::context_t context{1};
  net::plain_wait wait;
  net::plain_socket tasks;
  net::plain_socket results;
  const source_id source = random_source();
  std::uint64_t received = 0;
  std::uint64_t in_hand = 0;
  std::deque<proto::pack> outgoing;
  std::uint32_t sent_of_first = 0;
  std::vector<exec::finished> finished;
  counters count;
  std::atomic<int> stops = 0;
  exec::pool pool;  // last: its threads use what is above

  impl(plain_worker_options o, exec::runner_factory factory)
      : options((net::check(o, "worker"), std::move(o))),
        tasks(context, net::plain_socket::kind::pull, options),
        results(context, net::plain_socket::kind::push, where_results_go()),
        pool(net::slots_of(options.slots), std::move(factory), [this] { wait.wake(); }) {}

  [[nodiscard]] node_options where_results_go() const {
    node_options there;
    there.connect = {options.results_to};
    there.insecure = options.insecure;
    return there;
  }
  [[nodiscard]] std::uint64_t wanted() const;
  void take_tasks();
  void collect();
  void deliver();
  void run();
};

std::uint64_t plain_worker::impl::wanted() const {
  const auto now = pool.stats();
  const std::uint64_t least = 2 * std::uint64_t{now.slots};
  if (now.per_task.count() <= 0) return least;
  const auto about = static_cast<std::uint64_t>(now.slots * (work_in_hand / now.per_task));
  return std::clamp(about, least, std::max(least, most_in_hand));
}

void plain_worker::impl::take_tasks() {
  const auto most = wanted();
  if (in_hand >= most) return;
  proto::pack some = read_some(tasks, most - in_hand);
  if (some.empty()) return;
  const std::uint64_t first = received + 1;
  received += some.size();
  in_hand += some.size();
  std::vector<exec::work> more;
  more.push_back({source, first, 1, std::move(some), {}});
  pool.give(std::move(more));
}

void plain_worker::impl::collect() {
  finished.clear();
  pool.take(finished);
  for (auto& part : finished) {
    for (auto& run : part.runs) {
      if (run.code == status::ok) {
        outgoing.push_back(std::move(run.payloads));
        continue;
      }
      const std::uint32_t size = run.payloads.size();
      in_hand -= size;
      count.failed += size;
      if (!options.on_failed) continue;
      const auto failures = make_results(source, std::move(run));
      for (std::uint32_t i = 0; i < size; ++i) options.on_failed(failures[i]);
    }
  }
}

void plain_worker::impl::deliver() {
  while (!outgoing.empty()) {
    const proto::pack& some = outgoing.front();
    for (; sent_of_first < some.size(); ++sent_of_first) {
      if (!results.try_send(some[sent_of_first])) return;
      --in_hand;
      ++count.done;
    }
    outgoing.pop_front();
    sent_of_first = 0;
  }
}

void plain_worker::impl::run() {
  net::patience for_ventilator(options.connect_timeout);
  net::patience for_sink(options.connect_timeout);
  auto busy_at = proto::clock::now();
  while (stops < 2 && !pool.failed()) {
    const bool draining = stops > 0;
    if (!draining) take_tasks();
    collect();
    deliver();
    const auto now = proto::clock::now();
    count.in_hand = in_hand;
    count.refused = tasks.refused();
    count.peers = tasks.peers();
    if (in_hand > 0 || !tasks.ever_met()) busy_at = now;
    if (in_hand == 0 && draining) break;
    auto idle_until = proto::time_point::max();
    if (in_hand == 0 && options.idle_timeout.count() > 0)
      idle_until = busy_at + proto::limited(options.idle_timeout);
    if (now >= idle_until) break;
    for_ventilator.check(!draining && !tasks.ever_met(), now,
                         "no ventilator at " + tasks.where());
    for_sink.check(!outgoing.empty() && results.peers() == 0, now,
                   "no sink at " + results.where());
    wait.add(tasks, !draining && in_hand < wanted());
    wait.add(results, !outgoing.empty());
    wait.sleep(std::min({idle_until, for_ventilator.deadline(), for_sink.deadline()}));
  }
  pool.stop();
  collect();
  deliver();
  count.in_hand = in_hand;
  tasks.close(0ms);
  const bool handed_over = hand_over(context, results, wait, [&] {
    return stops > 1 ? abandoned_linger : options.connect_timeout;
  });
  if (!handed_over && stops < 2)
    throw error(exit_code::unavailable, "no sink at " + results.where() +
                                            " has taken the last results (--connect-timeout)");
  pool.check();
}

plain_worker::plain_worker(plain_worker_options options, worker::runner each)
    : impl_(std::make_unique<impl>(std::move(options), [each](unsigned) {
        return std::make_unique<net::function_runner>(each);
      })) {}

plain_worker::plain_worker(plain_worker_options options, command_options command)
    : impl_(std::make_unique<impl>(std::move(options),
                                   exec::command_runner_factory(std::move(command)))) {}

plain_worker::~plain_worker() = default;

void plain_worker::run() { impl_->run(); }

void plain_worker::stop() noexcept {
  ++impl_->stops;
  impl_->wait.wake();
}

const std::vector<std::string>& plain_worker::endpoints() const noexcept {
  return impl_->tasks.endpoints();
}

plain_stats plain_worker::stats() const { return impl_->count.values(); }

struct plain_sink::impl {
  plain_sink_options options;
  std::unique_ptr<result_store> store;
  zmq::context_t context{1};
  net::plain_wait wait;
  net::plain_socket results;
  counters count;
  std::atomic<bool> stopping = false;

  impl(plain_sink_options o, std::unique_ptr<result_store> s)
      : options((net::check(o, "sink"), std::move(o))),
        store(std::move(s)),
        results(context, net::plain_socket::kind::pull, options) {}

  void run();
};

void plain_sink::impl::run() {
  const source_id source = random_source();
  net::patience for_worker(options.connect_timeout);
  auto heard_at = proto::clock::now();
  std::uint64_t written = 0;
  while (!stopping) {
    const auto most = options.expect > 0 ? options.expect - written : round_messages;
    proto::pack some = read_some(results, most);
    count.refused = results.refused();
    if (const std::uint32_t size = some.size(); size > 0) {
      store->write(make_results(source, {written + 1, 1, status::ok, std::move(some), {}}));
      store->flush();
      written += size;
      count.done = written;
      heard_at = proto::clock::now();
      if (options.expect > 0 && written >= options.expect) return;
      if (size > 1) continue;  // likely there is more
    }
    const auto now = proto::clock::now();
    count.peers = results.peers();
    if (!results.ever_met()) heard_at = now;
    auto idle_until = proto::time_point::max();
    if (options.idle_timeout.count() > 0)
      idle_until = heard_at + proto::limited(options.idle_timeout);
    if (now >= idle_until) return;
    for_worker.check(!results.ever_met(), now, "nobody has come to " + results.where());
    wait.add(results, true);
    wait.sleep(std::min(idle_until, for_worker.deadline()));
  }
}

plain_sink::plain_sink(plain_sink_options options, std::unique_ptr<result_store> store)
    : impl_(std::make_unique<impl>(std::move(options), std::move(store))) {}

plain_sink::plain_sink(plain_sink_options options, std::function<void(const result&)> on_result)
    : plain_sink(std::move(options), net::make_store(std::move(on_result))) {}

plain_sink::~plain_sink() = default;

void plain_sink::run() { impl_->run(); }

void plain_sink::stop() noexcept {
  impl_->stopping = true;
  impl_->wait.wake();
}

const std::vector<std::string>& plain_sink::endpoints() const noexcept {
  return impl_->results.endpoints();
}

plain_stats plain_sink::stats() const { return impl_->count.values(); }

}  // namespace weir
