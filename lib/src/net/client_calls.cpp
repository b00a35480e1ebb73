#include "exec/call_scope.hpp"
#include "net/client_impl.hpp"
#include "proto/limits.hpp"

#include <algorithm>
#include <utility>

namespace weir {

raw_client::impl::request raw_client::impl::request_for(std::string_view method,
                                                        const prepared_settings& settings,
                                                        net::call_kind kind) const {
  request r;
  r.method = method;
  r.settings = &settings;
  r.kind = kind;
  r.now = proto::clock::now();
  const auto given = settings.inner() ? settings.inner()->given.deadline : options.deadline;
  r.tolerance = (given.count() > 0 ? given : options.deadline) / 1024;
  return r;
}

void raw_client::impl::see_to_it(bool leader_slept) {
  const auto flying = in_flight.load(std::memory_order_relaxed);
  if ((leader_slept ? flying < few_calls : flying == 0) && send_directly(leader_slept)) return;
  if (leader_slept) return net.wake();
  if (leading != leader::nobody || on_loop_thread()) return;
  if (left_at.load(std::memory_order_relaxed) == proto::time_point{})
    left_at.store(proto::clock::now(), std::memory_order_relaxed);
  if (!waits_follow.load(std::memory_order_relaxed)) want_loop();
}

bool raw_client::impl::send_directly(bool leader_slept) {
  const std::unique_lock held(loop_mutex, std::try_to_lock);
  if (!held || broken) return false;
  try {
    settle(proto::clock::now());
  } catch (const std::exception&) {  // the leader's next round meets it as well
    return false;
  }
  if (!ready.empty()) return false;  // the leader has something to hand out
  if (leader_slept) {
    const std::lock_guard lock(input_mutex);
    leader_sleeps = true;
    net.nudge(machine.next_deadline());
  }
  return true;
}

void raw_client::impl::cancel(proto::seq_range calls) noexcept {
  make([&] { intake.cancel(calls); });
}

void raw_client::impl::tie(call_handle calls) {
  const auto* scope = exec::call_scope::current();
  if (!scope || calls.count == 0) return;
  auto& nested = scope->answered().dependent_of(
      gate.get(), [this] { return std::make_unique<net::nested_calls>(gate); });
  static_cast<net::nested_calls&>(nested).add(calls, *this);
}

namespace {

/// A call that cannot be made.
void refuse(reply_receiver& to, std::uint32_t index, status code, std::string_view why) {
  reply_view never;
  never.code = code;
  never.message = why;
  never.never_started = true;
  to.on_reply(index, never);
}

struct blocking_receiver final : reply_receiver {
  explicit blocking_receiver(raw_client& c) : client(c) {}
  void on_reply(std::uint32_t, const reply_view& reply) noexcept override {
    outcome = raw_outcome(reply);
    client.complete(done);
  }
  raw_client& client;
  raw_outcome outcome;
  completion done;
};

/// Owns itself.
struct callback_receiver final : reply_receiver, loop_work {
  callback_receiver(raw_client& c, std::function<void(const raw_outcome&)> f)
      : client(c), then(std::move(f)) {}
  void on_reply(std::uint32_t, const reply_view& reply) noexcept override {
    outcome = raw_outcome(reply);
    client.post(*this);
  }
  void run() noexcept override {
    const std::unique_ptr<callback_receiver> self(this);
    then(outcome);
  }
  raw_client& client;
  std::function<void(const raw_outcome&)> then;
  raw_outcome outcome;
};

}  // namespace

call_handle raw_client::start(std::string_view method, std::string_view arguments,
                              const prepared_settings& settings, reply_receiver& to) {
  call_handle handle{0, 1};
  const auto request = impl_->request_for(method, settings, net::call_kind::call);
  if (impl_->make([&] { handle.first = impl_->intake.add(request, arguments, {&to, 0}); }))
    impl_->tie(handle);
  else
    refuse(to, 0, status::cancelled, impl_->why_closed);
  return handle;
}

call_handle raw_client::start(std::string_view method, std::string_view packed,
                              std::span<const std::uint32_t> ends,
                              const prepared_settings& settings, reply_receiver& to) {
  call_handle handle{0, static_cast<std::uint32_t>(ends.size())};
  auto request = impl_->request_for(method, settings, net::call_kind::call);
  const bool made = impl_->make([&] {
    std::uint32_t begin = 0;
    for (std::uint32_t i = 0; i < handle.count; ++i) {
      const auto number =
          impl_->intake.add(request, packed.substr(begin, ends[i] - begin), {&to, i});
      if (i == 0) handle.first = number;
      begin = ends[i];
      request.together = true;
    }
  });
  if (made)
    impl_->tie(handle);
  else
    for (std::uint32_t i = 0; i < handle.count; ++i)
      refuse(to, i, status::cancelled, impl_->why_closed);
  return handle;
}

void raw_client::start(std::span<const raw_call> calls, const prepared_settings& settings) {
  auto request = impl_->request_for({}, settings, net::call_kind::call);
  call_handle all{0, static_cast<std::uint32_t>(calls.size())};
  const bool made = impl_->make([&] {
    for (const auto& c : calls) {
      request.method = c.method;
      const auto number = impl_->intake.add(request, c.arguments, {c.to, 0});
      if (all.first == 0) all.first = number;
      if (c.handle) *c.handle = {number, 1};
      request.together = true;
    }
  });
  if (made) return impl_->tie(all);
  for (const auto& c : calls) refuse(*c.to, 0, status::cancelled, impl_->why_closed);
}

raw_outcome raw_client::call(std::string_view method, std::string_view arguments,
                             const prepared_settings& settings) {
  blocking_receiver answer(*this);
  start(method, arguments, settings, answer);
  wait(answer.done);
  return std::move(answer.outcome);
}

call_handle raw_client::call(std::string_view method, std::string_view arguments,
                             const prepared_settings& settings,
                             std::function<void(const raw_outcome&)> then) {
  auto* answer = new callback_receiver(*this, std::move(then));
  const auto handle = start(method, arguments, settings, *answer);
  attend();
  return handle;
}

void raw_client::notify(std::string_view method, std::string_view arguments,
                        const prepared_settings& settings) {
  const auto request = impl_->request_for(method, settings, net::call_kind::notify);
  impl_->make([&] { impl_->intake.add(request, arguments, {}); });
}

raw_reader raw_client::stream(std::string_view method, std::string_view arguments,
                              const prepared_settings& settings) {
  static const prepared_settings defaults{call_settings{}};
  const auto& prepared = settings.inner() ? settings : defaults;
  auto reader = std::make_shared<raw_reader::impl>(*impl_, prepared.inner()->given);
  auto request = impl_->request_for(method, prepared, net::call_kind::stream);
  request.reader = reader;
  const bool made = impl_->make([&] {
    reader->number = impl_->intake.add(request, arguments, {reader.get(), 0});
  });
  if (made)
    impl_->tie({reader->number, 1});
  else
    refuse(*reader, 0, status::cancelled, impl_->why_closed);
  return raw_reader(std::move(reader));
}

void raw_client::cancel(call_handle calls) noexcept {
  if (calls.first == 0 || calls.count == 0) return;
  impl_->cancel({calls.first, calls.first + calls.count - 1});
}

}  // namespace weir
