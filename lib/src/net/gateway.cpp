#include "net/node_loop.hpp"
#include "net/spool_desk.hpp"
#include "proto/rpc/gateway_state.hpp"

#include <weir/error.hpp>
#include <weir/gateway.hpp>

#include <atomic>
#include <mutex>
#include <optional>

namespace weir {
namespace {

proto::gateway_state::options machine_options(const gateway_options& o) {
  proto::gateway_state::options m;
  m.queue_calls = o.queue_calls;
  m.queue_bytes = o.queue_bytes;
  m.wait = proto::limited(o.wait);
  m.max_attempts = o.max_attempts;
  m.reply_cache_bytes = o.reply_cache;
  m.reply_cache_ttl = proto::limited(o.reply_cache_ttl);
  m.result_cache_bytes = o.result_cache;
  m.spool = !o.spool.empty();
  return m;
}

}  // namespace

struct gateway::impl {
  gateway_options options;
  net::transport net;
  proto::gateway_state machine;
  std::optional<net::spool_desk> spool;
  proto::gateway_outbox out;
  std::vector<std::string> endpoints;
  std::vector<net::transport::event> events;
  std::atomic<bool> draining = false;
  std::atomic<bool> stopping = false;
  bool drained = false;
  std::string trouble;
  mutable std::mutex stats_mutex;
  gateway_stats stats;

  explicit impl(gateway_options o)
      : options((net::check(o, "gateway"), std::move(o))),
        machine(net::introduce(proto::role::gateway, options,
                               {proto::role::worker, proto::role::client}),
                machine_options(options), proto::clock::now()) {
    if (!options.spool.empty()) open_spool();
    for (const auto& e : options.bind)
      endpoints.push_back(net.bind(endpoint::parse(e), options.insecure));
    for (const auto& e : options.connect)
      machine.link_opened(net.connect(endpoint::parse(e), options.insecure),
                          proto::clock::now(), out);
  }

  void open_spool();
  void run();
  void settle(proto::time_point now);
  void report_trouble();
  void publish();
};

void gateway::impl::open_spool() {
  spool.emplace(net::spool_desk::options{options.spool, options.spool_size,
                                         proto::limited(options.spool_keep), net::entropy()},
                machine, [this] { net.wake(); });
  const auto& opening = spool->at_opening();
  if (opening.queued > 0) out.info(std::to_string(opening.queued) + " calls are in the spool");
  if (opening.recovered.queued_again > 0)
    out.info(std::to_string(opening.recovered.queued_again) +
             " of them were running when the last gateway ended, and run again");
  if (opening.recovered.given_up > 0)
    out.warn(std::to_string(opening.recovered.given_up) +
             " calls were running when the last gateway ended, and may not run twice: they are "
             "dead now (`weir dead` lists them)");
}

void gateway::impl::settle(proto::time_point now) {
  if (spool) {
    for (const auto& call : out.admin) spool->on_call(call);
    for (const auto& key : out.abandoned) spool->on_abandoned(key);
    spool->tick(now);
  }
  out.admin.clear();
  out.abandoned.clear();
  machine.tick(now, out);
  if (spool)
    for (const auto& outcome : out.placed) spool->on_outcome(outcome);
  out.placed.clear();
  // What came up while this was settled: the next round's, which is at once then.
  if (!out.admin.empty() || !out.abandoned.empty()) net.wake();
  net::carry_out(out, net, options);
}

void gateway::impl::report_trouble() {
  if (!spool || !options.on_notice) return;
  auto found = spool->trouble();
  if (found == trouble) return;
  options.on_notice(!found.empty(), found.empty() ? "the spool can be written again"
                                                  : found + "; submissions are refused");
  trouble = std::move(found);
}

void gateway::impl::run() {
  bool told = false;
  for (;;) {
    auto deadline = machine.next_deadline();
    if (spool) deadline = std::min(deadline, spool->next_deadline());
    net::round(net, machine, out, events, deadline, true,
               [&](proto::peer_id peer, proto::message m, proto::time_point now) {
                 machine.on_message(peer, std::move(m), now, out);
               });
    const auto now = proto::clock::now();
    if (draining && !told) {
      told = true;
      machine.drain(now, out);
      if (spool) spool->drain();
    }
    settle(now);
    report_trouble();
    publish();
    if (!machine.fatal().empty()) throw error(exit_code::protocol, machine.fatal());
    drained = told && machine.done() && (!spool || spool->idle());
    if (drained || stopping) break;
  }
  machine.say_bye(proto::clock::now(), out);
  net::carry_out(out, net, options);
  net.close(net::last_words);
  publish();
}

void gateway::impl::publish() {
  const auto c = machine.stats();
  const std::lock_guard lock(stats_mutex);
  stats = {c.received, c.answered, c.failed,  c.rejected, c.expired, c.retried,
           c.cached,   c.queued,   c.running, c.workers,  c.clients, net.stats().rejected,
           0,          0};
  if (!spool) return;
  stats.spooled = spool->stats().queued;
  stats.spool_running = spool->stats().running;
}

gateway::gateway(gateway_options options) : impl_(std::make_unique<impl>(std::move(options))) {}

gateway::~gateway() = default;

void gateway::run() { impl_->run(); }

void gateway::drain() noexcept {
  impl_->draining = true;
  impl_->net.wake();
}

void gateway::stop() noexcept {
  impl_->stopping = true;
  impl_->net.wake();
}

bool gateway::drained() const noexcept { return impl_->drained; }

const std::vector<std::string>& gateway::endpoints() const noexcept { return impl_->endpoints; }

gateway_stats gateway::stats() const {
  const std::lock_guard lock(impl_->stats_mutex);
  return impl_->stats;
}

}  // namespace weir
