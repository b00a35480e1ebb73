// Tasks come in: see ventilator_loop.cpp for what becomes of them.
#include "net/results_impl.hpp"
#include "net/ventilator_impl.hpp"
#include "proto/limits.hpp"
#include "proto/task_command.hpp"

#include <weir/error.hpp>
#include <weir/version.hpp>

#include <algorithm>
#include <cstring>
#include <limits>
#include <utility>

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
  m.retry.base = proto::limited(o.retry_delay);
  m.task_timeout = proto::limited(o.task_timeout);
  m.max_tasks = o.window;
  m.max_bytes = std::max<std::uint64_t>(o.window_bytes, 1);
  m.collects = collects;
  m.commands_only = o.commands_only;
  m.seed = net::entropy();
  return m;
}

}  // namespace

ventilator::impl::impl(ventilator_options o, std::unique_ptr<result_store> s,
                       const local_slots* here)
    : options((net::check(o, "ventilator", here != nullptr), std::move(o))),
      source(new_source()),
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
  if (here) crew.emplace(*here, options.commands_only, [this] { on_slot_done(); });
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
