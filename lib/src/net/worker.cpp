#include "exec/command.hpp"
#include "exec/pool.hpp"
#include "net/function_runner.hpp"
#include "net/node_loop.hpp"
#include "net/worker_impl.hpp"
#include "proto/worker_state.hpp"

#include <weir/error.hpp>
#include <weir/worker.hpp>

#include <atomic>
#include <mutex>
#include <thread>

namespace weir {

std::string_view task::payload() const { return claim_.payload(index_); }
task_id task::id() const { return claim_.id(index_); }
std::uint32_t task::attempt() const { return claim_.attempt(); }
bool task::cancelled() const { return claim_.cancelled(index_); }
void task::progress(std::uint64_t done, std::uint64_t total, std::string_view text) {
  claim_.report(index_, done, total, text);
}

bool worker::begin(exec::claim& c, std::uint32_t i) { return c.begin(i); }
void worker::succeed(exec::claim& c, std::uint32_t i, std::string_view result) {
  c.succeed(i, result);
}

void worker::fail(exec::claim& c, std::uint32_t i) {
  outcome_details details;
  status code = status::unknown;
  try {
    throw;
  } catch (const task_error& e) {
    code = e.code() == status::ok ? status::unknown : e.code();
    details.message = e.what();
    details.retryable = e.retryable();
  } catch (const std::exception& e) {
    details.message = e.what();
  } catch (...) {
    details.message = "the handler threw something that is not a std::exception";
  }
  c.fail(i, code, std::move(details));
}

namespace {
/// How often handlers' reports of progress are passed on.
constexpr std::chrono::milliseconds report_interval{250};
/// A worker that leaves waits this long for its last results to be committed.
constexpr std::chrono::seconds commit_patience{10};

proto::worker_state::options machine_options(const worker_options& options) {
  proto::worker_state::options o;
  o.slots = net::slots_of(options.slots);
  o.max_window = std::max<std::uint64_t>(options.max_window, o.slots);
  o.results_to = options.results_to;
  o.serve = options.serve;
  return o;
}

proto::links::options introduce(const worker_options& options, bool takes_commands) {
  auto links = net::introduce(proto::role::worker, options,
                              {proto::role::ventilator, proto::role::sink});
  links.self.takes_commands = takes_commands;
  return links;
}
}  // namespace

struct worker::task_worker final : worker::impl {
  worker_options options;
  net::transport net;
  proto::worker_state machine;
  proto::outbox out;
  std::vector<std::string> bound;
  std::vector<net::transport::event> events;
  std::vector<exec::finished> finished;
  std::vector<proto::progress> reports;
  std::atomic<int> stops = 0;
  int stops_seen = 0;
  proto::time_point next_report{};
  // Over the machine, the sockets and the outbox. The loop lets go of it while it sleeps: then
  // a slot that has something to deliver does it itself, without a thread switch.
  std::mutex loop_mutex;
  std::exception_ptr slot_failure;
  std::thread::id loop_thread;  // set before the pool is given anything
  mutable std::mutex stats_mutex;
  worker_stats figures;
  exec::pool pool;  // last: its threads use what is above

  task_worker(worker_options o, exec::runner_factory factory, bool takes_commands)
      : options((net::check(o, "worker"), std::move(o))),
        machine(introduce(options, takes_commands), machine_options(options),
                proto::clock::now()),
        pool(net::slots_of(options.slots), std::move(factory), [this] { on_slot_done(); }) {
    for (const auto& e : options.bind)
      bound.push_back(net.bind(endpoint::parse(e), options.insecure));
    for (const auto& e : options.connect)
      machine.link_opened(net.connect(endpoint::parse(e), options.insecure),
                          proto::clock::now(), out);
  }

  void run() override;
  void stop() noexcept override {
    ++stops;
    net.wake();
  }
  [[nodiscard]] const std::vector<std::string>& endpoints() const noexcept override {
    return bound;
  }
  [[nodiscard]] worker_stats stats() const override {
    const std::lock_guard lock(stats_mutex);
    return figures;
  }
  void on_slot_done();
  void settle(proto::time_point now);
  void collect(proto::time_point now);
  void publish();
};

void worker::task_worker::on_slot_done() {
  // Cancelling what waits in the pool calls this from within settle(): one round at a time.
  thread_local bool inside = false;
  if (inside || std::this_thread::get_id() == loop_thread) return net.wake();
  const std::unique_lock held(loop_mutex, std::try_to_lock);
  if (!held || slot_failure) return net.wake();
  inside = true;
  try {
    const auto now = proto::clock::now();
    collect(now);
    settle(now);
    publish();
    if (machine.done())
      net.wake();
    else
      net.nudge(machine.next_deadline());
  } catch (...) {  // for the loop to throw
    slot_failure = std::current_exception();
    net.wake();
  }
  inside = false;
}

void worker::task_worker::collect(proto::time_point now) {
  finished.clear();
  pool.take(finished);
  for (auto& f : finished)
    machine.on_finished(
        {f.source, f.first, f.last, std::move(f.runs), std::move(f.released), f.busy}, now,
        out);
  if (pool.failed() && stops < 2) {  // others can do better
    stops = 2;
    net.wake();
  }
  if (now < next_report) return;
  next_report = now + report_interval;
  reports.clear();
  pool.take_reports(reports);
  for (auto& report : reports) machine.on_progress(std::move(report), now, out);
}

void worker::task_worker::settle(proto::time_point now) {
  while (stops_seen < stops) {
    if (++stops_seen == 1)
      machine.drain();
    else
      machine.drain_at_once(out);
  }
  machine.tick(now, out);
  for (const auto& where : out.connects) {
    const auto peer = net.connect(endpoint::parse(where), options.insecure);
    machine.sink_opened(where, peer, now, out);
  }
  out.connects.clear();
  std::vector<exec::work> starts;
  starts.reserve(out.starts.size());
  for (auto& s : out.starts)
    starts.push_back({s.source, s.first, s.attempt, std::move(s.payloads),
                      std::chrono::milliseconds(s.time_limit_ms), s.commands});
  out.starts.clear();
  if (!starts.empty()) pool.give(std::move(starts));
  for (const auto& s : out.stops) pool.cancel(s.source, s.range, s.mode);
  out.stops.clear();
  net::carry_out(out, net, options);
}

void worker::task_worker::run() {
  net::patience for_ventilator(options.connect_timeout);
  bool met_ventilator = false;
  net::patience for_sink(options.connect_timeout);
  proto::time_point leave_by{};
  std::unique_lock held(loop_mutex);
  loop_thread = std::this_thread::get_id();
  for (;;) {
    auto deadline =
        std::min({machine.next_deadline(), for_ventilator.deadline(), for_sink.deadline()});
    if (figures.running > 0)
      deadline = std::min(deadline, proto::clock::now() + report_interval);
    net::round(
        net, machine, out, events, deadline, true,
        [&](proto::peer_id peer, proto::message m, proto::time_point now) {
          machine.on_message(peer, std::move(m), now, out);
        },
        &held);
    if (slot_failure) std::rethrow_exception(slot_failure);
    const auto now = proto::clock::now();
    collect(now);
    settle(now);
    publish();
    if (!machine.fatal().empty()) throw error(exit_code::protocol, machine.fatal());
    if (machine.done()) break;
    if (stops_seen > 0) {
      const auto c = machine.stats();
      if (c.running > 0)
        leave_by = {};
      else if (leave_by == proto::time_point{})
        leave_by = now + commit_patience;
      if (leave_by != proto::time_point{} && now >= leave_by) break;
      continue;
    }
    if (options.serve) continue;
    met_ventilator |= machine.has_ventilator();
    for_ventilator.check(
        !machine.has_ventilator(), now,
        "no ventilator at " +
            (options.connect.empty() ? bound.front() : options.connect.front()),
        met_ventilator ? "" : "it has not been started, or has finished already");
    const std::string sink = machine.missing_sink();
    for_sink.check(!sink.empty(), now, "no sink at " + sink + ", where results should go,");
  }
  pool.stop();
  collect(proto::clock::now());
  machine.say_bye(proto::clock::now(), out);
  net::carry_out(out, net, options);
  net.close(net::last_words);
  publish();
  pool.check();
}

void worker::task_worker::publish() {
  const auto c = machine.stats();
  const std::lock_guard lock(stats_mutex);
  figures = {c.received, c.done,   c.failed,      c.released,           c.queued, c.running,
             c.held,     c.window, c.ventilators, net.stats().rejected, 0,        0};
}

worker::worker(worker_options options, runner each)
    : impl_(std::make_unique<task_worker>(
          std::move(options),
          [each](unsigned) { return std::make_unique<net::function_runner>(each); }, false)) {}

worker::worker(worker_options options, command_options command)
    : impl_(std::make_unique<task_worker>(
          std::move(options), exec::command_runner_factory(command), command.accept_commands)) {
}

worker::~worker() = default;

void worker::run() { impl_->run(); }

void worker::stop() noexcept { impl_->stop(); }

const std::vector<std::string>& worker::endpoints() const noexcept {
  return impl_->endpoints();
}

worker_stats worker::stats() const { return impl_->stats(); }

}  // namespace weir
