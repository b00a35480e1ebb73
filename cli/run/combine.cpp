#include "combine.hpp"

#include "input.hpp"

#include <algorithm>
#include <exception>
#include <limits>
#include <random>
#include <utility>

namespace weir::cli::run {

namespace {

/// Rows side by side.
void join(arguments& out, const std::vector<const arguments*>& rows) {
  std::size_t count = 0;
  for (const auto* row : rows) count += row->values.size();
  out.values.resize(count);
  auto to = out.values.begin();
  for (const auto* row : rows) to = std::copy(row->values.begin(), row->values.end(), to);
}

std::vector<std::string> all_names(const sources& from) {
  std::vector<std::string> names;
  for (const auto& source : from)
    for (auto& name : source->names()) names.push_back(std::move(name));
  return names;
}

class linked_source final : public task_source {
 public:
  explicit linked_source(sources from) : from_(std::move(from)), rows_(from_.size()) {
    for (const auto& row : rows_) at_.push_back(&row);
  }
  bool next(arguments& out) override {
    for (std::size_t i = 0; i < from_.size(); ++i)
      if (!from_[i]->next(rows_[i])) return false;
    join(out, at_);
    return true;
  }
  [[nodiscard]] std::optional<std::uint64_t> total() const override {
    std::uint64_t least = std::numeric_limits<std::uint64_t>::max();
    for (const auto& source : from_) {
      const auto one = source->total();
      if (!one) return std::nullopt;
      least = std::min(least, *one);
    }
    return least;
  }
  [[nodiscard]] std::vector<std::string> names() override { return all_names(from_); }

 private:
  sources from_;
  std::vector<arguments> rows_;
  std::vector<const arguments*> at_;
};

/// A source, and what has been kept of it.
struct kept_source {
  std::unique_ptr<task_source> source;
  std::vector<arguments> rows{};
  std::size_t at = 0;
  bool ended = false;
};

std::vector<kept_source> keep(sources from) {
  std::vector<kept_source> kept;
  for (auto& source : from) kept.push_back({std::move(source)});
  return kept;
}

template <class Kept>
std::vector<std::string> kept_names(const Kept& from) {
  std::vector<std::string> names;
  for (const auto& one : from)
    for (auto& name : one.source->names()) names.push_back(std::move(name));
  return names;
}

class recycled_source final : public task_source {
 public:
  recycled_source(sources from, warning warn)
      : from_(keep(std::move(from))), warn_(std::move(warn)), at_(from_.size()) {}

  bool next(arguments& out) override {
    std::size_t fresh = 0;
    for (auto& one : from_) fresh += read(one) ? 1 : 0;
    if (fresh == 0) return false;
    at_.clear();
    for (auto& one : from_) {
      if (!one.ended) {
        at_.push_back(&one.rows.back());
      } else if (!one.rows.empty()) {
        at_.push_back(&one.rows[one.at]);
        one.at = (one.at + 1) % one.rows.size();
      }
    }
    join(out, at_);
    return true;
  }
  [[nodiscard]] std::optional<std::uint64_t> total() const override {
    std::uint64_t most = 0;
    for (const auto& one : from_) {
      const auto count = one.source->total();
      if (!count) return std::nullopt;
      most = std::max(most, *count);
    }
    return most;
  }
  [[nodiscard]] std::vector<std::string> names() override { return kept_names(from_); }

 private:
  bool read(kept_source& one) {
    if (one.ended) return false;
    // The last that goes on is never begun again.
    const bool last = std::all_of(from_.begin(), from_.end(), [&](const auto& other) {
      return &other == &one || other.ended;
    });
    if (!last || one.rows.empty()) one.rows.emplace_back();
    if (one.source->next(one.rows.back())) return true;
    one.rows.pop_back();
    one.ended = true;
    if (one.rows.empty() && !last && warn_)
      warn_("one of the sources is empty, so there are no values of it");
    return false;
  }

  std::vector<kept_source> from_;
  warning warn_;
  std::vector<const arguments*> at_;
};

class product_source final : public task_source {
 public:
  product_source(sources from, warning warn)
      : from_(keep(std::move(from))), warn_(std::move(warn)) {}

  bool next(arguments& out) override {
    if (!std::exchange(started_, true)) {
      for (std::size_t i = 0; i < from_.size(); ++i)
        if (!first(i)) return over_ = true, false;
    } else if (over_ || !advance(from_.size() - 1)) {
      over_ = true;
      return false;
    }
    at_.clear();
    for (const auto& one : from_) at_.push_back(&one.rows[one.at]);
    join(out, at_);
    return true;
  }
  [[nodiscard]] std::optional<std::uint64_t> total() const override {
    return total_of(from_.size());
  }
  [[nodiscard]] std::vector<std::string> names() override { return kept_names(from_); }

 private:
  /// Of the first `count` sources.
  [[nodiscard]] std::optional<std::uint64_t> total_of(std::size_t count) const {
    std::uint64_t all = 1;
    for (std::size_t i = 0; i < count; ++i) {
      const auto one = from_[i].source->total();
      if (!one) return std::nullopt;
      if (*one != 0 && all > std::numeric_limits<std::uint64_t>::max() / *one)
        return std::nullopt;
      all *= *one;
    }
    return all;
  }

  bool first(std::size_t i) {
    if (read(i)) return true;
    if (warn_)
      warn_("source " + std::to_string(i + 1) + " of " + std::to_string(from_.size()) +
            " is empty, so there is no combination and nothing to run");
    return false;
  }

  /// The next row of source i. False: it has no more.
  bool read(std::size_t i) {
    auto& one = from_[i];
    if (one.ended) return false;
    const bool once = total_of(i) == 1;
    if (!once || one.rows.empty()) one.rows.emplace_back();
    if (one.source->next(one.rows.back())) {
      one.at = one.rows.size() - 1;
      return true;
    }
    one.rows.pop_back();
    one.ended = true;
    return false;
  }

  /// Moves source i on by one, and the one before it when it has been gone through.
  bool advance(std::size_t i) {
    auto& one = from_[i];
    if (one.ended ? one.at + 1 < one.rows.size() && (++one.at, true) : read(i)) return true;
    if (i == 0 || !advance(i - 1)) return false;
    one.at = 0;
    return true;
  }

  std::vector<kept_source> from_;
  warning warn_;
  std::vector<const arguments*> at_;
  bool started_ = false;
  bool over_ = false;
};

/// Everything, once it has been asked for anything.
class held_source : public task_source {
 public:
  explicit held_source(std::unique_ptr<task_source> from) : from_(std::move(from)) {}

  bool next(arguments& out) override {
    read();
    if (next_ == rows_.size()) {
      if (failure_) std::rethrow_exception(std::exchange(failure_, nullptr));
      return false;
    }
    std::swap(out, rows_[next_++]);
    return true;
  }
  [[nodiscard]] std::optional<std::uint64_t> total() const override {
    read();
    return rows_.size();
  }
  [[nodiscard]] std::vector<std::string> names() override { return from_->names(); }

 protected:
  virtual void arrange(std::vector<arguments>&) const {}

 private:
  void read() const {
    if (std::exchange(read_, true)) return;
    arguments row;
    try {
      while (from_->next(row)) rows_.push_back(row);
    } catch (...) {  // told when what came before has been handed out
      failure_ = std::current_exception();
    }
    arrange(rows_);
  }

  std::unique_ptr<task_source> from_;
  mutable std::vector<arguments> rows_;
  mutable std::exception_ptr failure_;
  mutable bool read_ = false;
  std::size_t next_ = 0;
};

class shuffled_source final : public held_source {
 public:
  shuffled_source(std::unique_ptr<task_source> from, std::uint64_t seed)
      : held_source(std::move(from)), seed_(seed) {}

 private:
  void arrange(std::vector<arguments>& rows) const override {
    std::mt19937_64 random(seed_);
    std::shuffle(rows.begin(), rows.end(), random);
  }
  std::uint64_t seed_;
};

}  // namespace

std::unique_ptr<task_source> linked(sources from) {
  if (from.size() == 1) return std::move(from[0]);
  return std::make_unique<linked_source>(std::move(from));
}

std::unique_ptr<task_source> recycled(sources from, warning warn) {
  if (from.size() == 1) return std::move(from[0]);
  return std::make_unique<recycled_source>(std::move(from), std::move(warn));
}

std::unique_ptr<task_source> product(sources from, warning warn) {
  if (from.size() == 1) return std::move(from[0]);
  return std::make_unique<product_source>(std::move(from), std::move(warn));
}

std::unique_ptr<task_source> shuffled(std::unique_ptr<task_source> from,
                                      std::optional<std::uint64_t> seed) {
  return std::make_unique<shuffled_source>(std::move(from),
                                           seed ? *seed : std::random_device()());
}

std::unique_ptr<task_source> hold(std::unique_ptr<task_source> source) {
  return std::make_unique<held_source>(std::move(source));
}

}  // namespace weir::cli::run
