#include "spool.hpp"

#include <algorithm>

namespace weir::cli::run {
namespace {

/// A running command's output beyond this goes to the file: a few pipes' worth, so that most
/// never do.
constexpr std::size_t running_bytes = 256 * 1024;
constexpr std::size_t piece_bytes = 256 * 1024;
/// Below this, giving the space back costs more than it is worth.
constexpr std::uint64_t discard_from = 64 * 1024;

}  // namespace

bool spool::reserve(std::size_t bytes) {
  const std::lock_guard lock(mutex_);
  if (bytes > memory_ - std::min(memory_, reserved_)) return false;
  reserved_ += bytes;
  return true;
}

void spool::unreserve(std::size_t bytes) {
  const std::lock_guard lock(mutex_);
  reserved_ -= bytes;
}

spool::extent spool::put(std::string_view bytes) {
  const std::lock_guard lock(mutex_);
  const extent where{file_.append(bytes), bytes.size()};
  in_file_ += bytes.size();
  return where;
}

void spool::read(std::uint64_t offset, char* to, std::size_t bytes) {
  const std::lock_guard lock(mutex_);
  file_.read(offset, to, bytes);
}

void spool::release(const extent& which) {
  const std::lock_guard lock(mutex_);
  in_file_ -= which.length;
  if (in_file_ == 0)
    file_.clear();
  else if (which.length >= discard_from)
    file_.discard(which.offset, which.length);
}

kept_output::kept_output(kept_output&& other) noexcept
    : spool_(other.spool_),
      extents_(std::exchange(other.extents_, {})),
      in_file_(std::exchange(other.in_file_, 0)),
      tail_(std::exchange(other.tail_, {})),
      reserved_(std::exchange(other.reserved_, 0)) {}

kept_output& kept_output::operator=(kept_output&& other) noexcept {
  std::swap(spool_, other.spool_);
  std::swap(extents_, other.extents_);
  std::swap(in_file_, other.in_file_);
  std::swap(tail_, other.tail_);
  std::swap(reserved_, other.reserved_);
  return *this;
}

void kept_output::settle() {
  if (tail_.size() >= running_bytes) to_file();
}

void kept_output::to_file() {
  extents_.push_back(spool_->put(tail_));
  in_file_ += tail_.size();
  tail_.clear();
}

void kept_output::finish() {
  if (tail_.empty()) return;
  if (spool_->reserve(tail_.size())) {
    reserved_ = tail_.size();
    return;
  }
  to_file();
  tail_.shrink_to_fit();
}

void kept_output::clear() {
  for (const auto& e : extents_) spool_->release(e);
  extents_.clear();
  in_file_ = 0;
  tail_.clear();
  if (reserved_ > 0) spool_->unreserve(std::exchange(reserved_, 0));
}

void kept_output::for_each_piece(const std::function<void(std::string_view)>& take) const {
  std::string piece;
  for (const auto& e : extents_)
    for (std::uint64_t done = 0; done < e.length; done += piece.size()) {
      piece.resize(std::min<std::uint64_t>(piece_bytes, e.length - done));
      spool_->read(e.offset + done, piece.data(), piece.size());
      take(piece);
    }
  if (!tail_.empty()) take(tail_);
}

}  // namespace weir::cli::run
