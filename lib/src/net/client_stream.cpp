#include "net/client_impl.hpp"

#include <utility>

namespace weir {

void raw_reader::impl::on_elements(proto::pack some) {
  completion* waits = nullptr;
  {
    const std::lock_guard lock(mutex);
    elements.push_back(std::move(some));
    waits = std::exchange(waiting, nullptr);
  }
  if (waits) client.complete(*waits);
}

void raw_reader::impl::on_reply(std::uint32_t, const reply_view& reply) noexcept {
  completion* waits = nullptr;
  {
    const std::lock_guard lock(mutex);
    ended = true;
    outcome = raw_outcome(reply);
    waits = std::exchange(waiting, nullptr);
  }
  if (waits) client.complete(*waits);
}

std::optional<std::string_view> raw_reader::impl::next() {
  while (at == current.size()) {
    completion more;
    {
      const std::lock_guard lock(mutex);
      if (!elements.empty()) {
        current = std::move(elements.front());
        elements.pop_front();
        at = 0;
        continue;
      }
      current = {};
      at = 0;
      if (ended) {
        if (outcome.ok()) return std::nullopt;
        throw outcome.error();
      }
      waiting = &more;
    }
    client.wait(more, proto::time_point::max());
  }
  const std::string_view element = current[at++];
  ++got;
  got_bytes += element.size();
  // Half a window is enough for the other end to go on with while it hears of this. Of the
  // bytes, half wait here.
  if ((got - reported) * 2 >= window || (got_bytes - reported_bytes) * 4 >= window_bytes) {
    reported = got;
    reported_bytes = got_bytes;
    client.make([&] { client.intake.read(number, got, got_bytes); });
  }
  return element;
}

void raw_reader::impl::cancel() noexcept {
  {
    const std::lock_guard lock(mutex);
    if (ended || number == 0) return;
  }
  client.cancel({number, number});
}

raw_reader::raw_reader(std::shared_ptr<impl> i) noexcept : impl_(std::move(i)) {}
raw_reader::raw_reader(raw_reader&&) noexcept = default;
raw_reader& raw_reader::operator=(raw_reader&& other) noexcept {
  std::swap(impl_, other.impl_);
  return *this;
}
raw_reader::~raw_reader() {
  if (impl_) impl_->cancel();
}

std::optional<std::string_view> raw_reader::next() { return impl_->next(); }
void raw_reader::cancel() noexcept { impl_->cancel(); }
const raw_outcome& raw_reader::outcome() const { return impl_->outcome; }

}  // namespace weir
