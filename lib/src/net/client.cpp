#include "net/client_impl.hpp"
#include "proto/limits.hpp"

#include <weir/error.hpp>

#include <utility>

namespace weir {
namespace {

client_options checked(client_options o) {
  net::check(o, "client");
  if (o.deadline.count() <= 0)
    throw error(exit_code::usage, "a client's default deadline must be more than zero");
  o.deadline = proto::limited(o.deadline);
  if (o.max_in_flight == 0) throw error(exit_code::usage, "max_in_flight must be at least 1");
  return o;
}

proto::client_state::options machine_options(const client_options& o) {
  proto::client_state::options m;
  m.introduce = o.introduce;
  m.max_in_flight = o.max_in_flight;
  m.seed = net::entropy();
  return m;
}

std::string text_of(std::string_view view) { return std::string(view); }

}  // namespace

rpc_error reply_view::error() const {
  rpc_error::more more;
  more.type = type;
  more.details = details;
  more.path = path;
  more.retry_after = retry_after;
  more.never_started = never_started;
  return {code, message.empty() ? text_of(to_string(code)) : text_of(message), std::move(more)};
}

raw_outcome::raw_outcome(const reply_view& reply)
    : code(reply.code),
      result(reply.result),
      message(reply.message),
      more{text_of(reply.type), text_of(reply.details), text_of(reply.path), reply.retry_after,
           reply.never_started},
      queued(reply.queued),
      service(reply.service) {}

raw_client::impl::impl(client_options o)
    : options(checked(std::move(o))),
      machine(net::introduce(proto::role::client, options,
                             {proto::role::gateway, proto::role::worker}),
              machine_options(options), proto::clock::now()) {
  for (const auto& e : options.bind)
    endpoints.push_back(net.bind(endpoint::parse(e), options.insecure));
  const auto now = proto::clock::now();
  for (const auto& e : options.connect)
    machine.link_opened(net.connect(endpoint::parse(e), options.insecure), now, out);
  for (const auto* list : {&options.connect, &std::as_const(endpoints)})
    for (const auto& e : *list) peers += (peers.empty() ? "" : ", ") + e;
  loop = std::thread([this] {
    run_loop();
    if (ended) delete this;
  });
}

raw_client::impl::~impl() {
  if (!ended) stop();
}

void raw_client::impl::close() noexcept {
  cancel({1, proto::limits::seq});  // those with a key would run on otherwise
  stop();
}

void raw_client::impl::stop() noexcept {
  gate->close();
  {
    const std::lock_guard lock(baton);
    stopping = true;
  }
  loop_wakes.notify_all();
  net.wake();
  const std::lock_guard once(end_mutex);
  if (loop.joinable()) loop.join();
}

raw_client::raw_client(client_options options)
    : impl_(std::make_unique<impl>(std::move(options))) {}
raw_client::~raw_client() {
  if (!impl_->on_loop_thread()) return;
  impl_->end_within_callback();
  (void)impl_.release();  // the thread's now
}
void raw_client::close() noexcept { impl_->close(); }

bool raw_client::wait(completion& what, std::chrono::steady_clock::time_point until) {
  return impl_->wait(what, until);
}
void raw_client::complete(completion& what) noexcept { impl_->complete(what); }
void raw_client::attend() noexcept { impl_->attend(); }
void raw_client::post(loop_work& what) noexcept { impl_->post(what); }

bool raw_client::wait_connected(std::chrono::milliseconds limit) {
  completion connected;
  {
    const std::lock_guard held(impl_->loop_mutex);
    if (impl_->machine.connected()) return true;
    impl_->want_connection.push_back(&connected);
  }
  if (impl_->wait(connected, detail::from_now(limit))) return stats().connected;
  std::unique_lock held(impl_->loop_mutex);
  const bool taken = std::erase(impl_->want_connection, &connected) == 0;
  const bool there = impl_->machine.connected();
  held.unlock();
  // A leader has taken it along, and completes it any moment now.
  while (taken && !connected.done()) std::this_thread::yield();
  return there;
}

const std::string& raw_client::peers() const noexcept { return impl_->peers; }
std::size_t raw_client::peer_count() const noexcept {
  return impl_->options.connect.size() + impl_->endpoints.size();
}
const std::vector<std::string>& raw_client::endpoints() const noexcept {
  return impl_->endpoints;
}
client_stats raw_client::stats() const {
  const std::lock_guard lock(impl_->input_mutex);
  return impl_->stats;
}

}  // namespace weir
