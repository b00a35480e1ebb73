#include "proto/pack.hpp"

#include <algorithm>
#include <cassert>
#include <utility>

namespace weir::proto {

pack::pack(blob body, std::uint32_t count, std::uint32_t length)
    : body_(std::move(body)), retained_(body_.size()), count_(count), length_(length) {
  assert(body_.size() == std::size_t{count} * length);
}

pack::pack(blob body, std::vector<std::uint32_t> offsets)
    : body_(std::move(body)),
      retained_(body_.size()),
      count_(static_cast<std::uint32_t>(offsets.size() - 1)),
      offsets_(std::make_shared<const std::vector<std::uint32_t>>(std::move(offsets))) {
  assert(body_.size() == offsets_->back());
}

pack pack::of(std::string payload) {
  const auto length = static_cast<std::uint32_t>(payload.size());
  return {blob::from(std::move(payload)), 1, length};
}

std::uint32_t pack::length(std::uint32_t i) const {
  if (!offsets_) return length_;
  return (*offsets_)[first_ + i + 1] - (*offsets_)[first_ + i];
}

pack pack::slice(std::uint32_t first, std::uint32_t count) const {
  assert(std::size_t{first} + count <= count_);
  pack cut = *this;
  cut.count_ = count;
  if (!offsets_) {
    cut.body_ = body_.part(std::size_t{first} * length_, std::size_t{count} * length_);
    return cut;
  }
  const std::uint32_t* o = offsets_->data() + first_;
  cut.first_ = first_ + first;
  cut.body_ = body_.part(o[first] - o[0], o[first + count] - o[first]);
  return cut;
}

std::uint32_t pack::count_within(std::size_t most) const {
  if (bytes() <= most) return count_;
  if (!offsets_) return static_cast<std::uint32_t>(most / length_);
  const auto begin = offsets_->begin() + first_;
  const auto past = std::upper_bound(begin + 1, begin + 1 + count_, *begin + most);
  return static_cast<std::uint32_t>(past - begin - 1);
}

pack pack::compacted() const {
  blob own = blob::from(std::string(body_.bytes));
  if (!offsets_) return {std::move(own), count_, length_};
  std::vector<std::uint32_t> offsets(count_ + 1);
  const std::uint32_t* o = offsets_->data() + first_;
  for (std::uint32_t i = 0; i <= count_; ++i) offsets[i] = o[i] - o[0];
  return {std::move(own), std::move(offsets)};
}

pack pack_builder::take() {
  const auto count = size();
  last_count_ = count;
  last_bytes_ = body_.size();
  if (body_.size() < body_.capacity() / 4) body_.shrink_to_fit();
  std::vector<std::uint32_t> offsets{0};
  offsets.swap(offsets_);
  blob body = blob::from(std::exchange(body_, {}));
  const bool uniform = std::exchange(uniform_, true);
  if (count == 0) return {};
  if (uniform) return {std::move(body), count, offsets[1]};
  return {std::move(body), std::move(offsets)};
}

}  // namespace weir::proto
