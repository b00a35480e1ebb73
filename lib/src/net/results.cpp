#include "net/results_impl.hpp"

namespace weir {

std::uint32_t results::size() const noexcept { return impl_->run.payloads.size(); }

result results::operator[](std::uint32_t i) const {
  const auto& run = impl_->run;
  return {{impl_->source, run.first + i},
          run.attempt,
          run.code,
          run.payloads[i],
          i < run.details.size() ? &run.details[i] : nullptr};
}

std::string_view results::joined() const noexcept { return impl_->run.payloads.body().bytes; }

const source_id& results::source() const noexcept { return impl_->source; }

}  // namespace weir
