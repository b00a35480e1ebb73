#include "net/committer.hpp"
#include "net/node_loop.hpp"
#include "proto/sink_state.hpp"

#include <weir/error.hpp>
#include <weir/sink.hpp>

#include <atomic>
#include <mutex>

namespace weir {
namespace {
/// Results received and not yet dealt with by the store, in bytes. Beyond it they wait in the
/// sockets, and with the workers.
constexpr std::size_t most_backlog = 16 * 1024 * 1024;
/// How long a stopped sink waits for the disk or the pipe to take what has arrived.
constexpr std::chrono::seconds stop_patience{5};
}  // namespace

struct sink::impl {
  sink_options options;
  net::transport net;
  proto::sink_state machine;
  net::committer store;
  proto::outbox out;
  std::vector<std::string> endpoints;
  std::vector<net::transport::event> events;
  std::vector<net::committer::done_range> done;
  std::atomic<bool> stopping = false;
  bool completed = false;
  mutable std::mutex stats_mutex;
  sink_stats stats;

  impl(sink_options o, std::unique_ptr<result_store> s)
      : options((net::check(o, "sink"), std::move(o))),
        machine(net::introduce(proto::role::sink, options,
                               {proto::role::worker, proto::role::ventilator}),
                proto::clock::now(), ending(options)),
        store(std::move(s), options.keep_order, [this] { net.wake(); }) {
    for (const auto& e : options.bind)
      endpoints.push_back(net.bind(endpoint::parse(e), options.insecure));
    for (const auto& e : options.connect)
      machine.link_opened(net.connect(endpoint::parse(e), options.insecure),
                          proto::clock::now(), out);
  }

  static proto::sink_state::ending ending(const sink_options& o) {
    if (o.ventilators < 1) throw error(exit_code::usage, "ventilators must be at least 1");
    proto::sink_state::ending when;
    when.ventilators = o.ventilators;
    if (!o.bind.empty()) when.not_before = proto::clock::now() + net::shortest_life;
    return when;
  }
  void run();
  [[nodiscard]] std::string lacking() const;
  void settle(proto::time_point now);
  void publish();
};

void sink::impl::settle(proto::time_point now) {
  for (const auto& source : out.opened) store.open(source);
  out.opened.clear();
  store.give(std::move(out.commits));
  out.commits.clear();
  done.clear();
  store.take(done);
  for (const auto& [source, range] : done) machine.on_committed(source, range);
  machine.tick(now, out);
  for (const auto& source : out.closed) store.close(source);
  out.closed.clear();
  net::carry_out(out, net, options);
}

void sink::impl::run() {
  net::patience waiting(options.connect_timeout);
  proto::time_point leave_by{};
  for (;;) {
    const auto deadline = std::min(machine.next_deadline(), waiting.deadline());
    const bool reading = store.backlog() < most_backlog && !stopping;
    net::round(net, machine, out, events, deadline, reading,
               [&](proto::peer_id peer, proto::message m, proto::time_point now) {
                 machine.on_message(peer, std::move(m), now, out);
               });
    const auto now = proto::clock::now();
    if (!reading) machine.not_listening(now);
    settle(now);
    publish();
    if (!machine.fatal().empty()) throw error(exit_code::protocol, machine.fatal());
    if (stopping) {
      if (leave_by == proto::time_point{}) leave_by = now + stop_patience;
      if (!store.idle() && now < leave_by) continue;
      completed = options.serve && machine.nothing_missing();
      break;
    }
    if (!options.serve) {
      if (machine.may_end(now)) {
        completed = machine.abandoned() == 0;
        break;
      }
      const std::string what = lacking();
      waiting.check(!what.empty(), now, what);
    }
  }
  machine.say_bye(proto::clock::now(), out);
  net::carry_out(out, net, options);
  net.close(net::last_words);
  publish();
}

/// What there is to wait for that may never come; empty: nothing.
std::string sink::impl::lacking() const {
  if (machine.complete()) return {};
  if (const auto lost = machine.lost(); !lost.empty()) {
    const auto& first = lost.front();
    return "ventilator " + first.ventilator + " is gone with " +
           std::to_string(first.committed) + " of " +
           (first.total_known ? std::to_string(first.total) : "an unknown number of") +
           " tasks committed, and has not come back";
  }
  if (machine.stats().sources > 0) return {};
  const auto ended = machine.stats().finished + machine.abandoned();
  const std::string where = endpoints.empty() ? options.connect.front() : endpoints.front();
  if (ended == 0) return "no ventilator has come to " + where;
  return "only " + std::to_string(ended) + " of " + std::to_string(options.ventilators) +
         " ventilators have come to " + where;
}

void sink::impl::publish() {
  const auto c = machine.stats();
  const std::lock_guard lock(stats_mutex);
  stats = {c.committed, c.failed,  c.duplicates,        c.total, c.all_totals_known, c.staged,
           c.sources,   c.workers, net.stats().rejected};
}

sink::sink(sink_options options, std::unique_ptr<result_store> store)
    : impl_(std::make_unique<impl>(std::move(options), std::move(store))) {}

sink::sink(sink_options options, std::function<void(const result&)> on_result)
    : sink(std::move(options), net::make_store(std::move(on_result))) {}

sink::~sink() = default;

void sink::run() { impl_->run(); }

void sink::stop() noexcept {
  impl_->stopping = true;
  impl_->net.wake();
}

bool sink::complete() const noexcept { return impl_->completed; }

const std::vector<std::string>& sink::endpoints() const noexcept { return impl_->endpoints; }

sink_stats sink::stats() const {
  const std::lock_guard lock(impl_->stats_mutex);
  return impl_->stats;
}

}  // namespace weir
