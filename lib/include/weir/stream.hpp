// The elements of a streaming method's answer, by type.
#pragma once

#include <weir/codec.hpp>
#include <weir/raw_client.hpp>

#include <cstddef>
#include <iterator>
#include <optional>
#include <utility>

namespace weir {

/// Elements, as they come. The method runs on while they are read, some way ahead: as far as
/// call_settings::stream_window and stream_bytes say.
///
/// Threads    One at a time. cancel() from any.
/// Ownership  Must go before its client. Destroying it cancels the call.
/// Errors     Reading throws rpc_error if the stream ended with an error, behind the elements
///            that came before it; INTERNAL if an element is no T.
template <class T>
class [[nodiscard]] stream {
 public:
  explicit stream(raw_reader reader) : reader_(std::move(reader)) {}

  /// Waits for the next one; nothing behind the last.
  [[nodiscard]] std::optional<T> next() {
    const auto bytes = reader_.next();
    if (!bytes) return std::nullopt;
    try {
      return codec::decode<T>(*bytes);
    } catch (const decode_error& e) {
      reader_.cancel();
      throw rpc_error(status::internal,
                      "the element is not " + type_name<T>() + ": " + e.what());
    }
  }
  /// Ends it: what has arrived can still be read, then reading throws `cancelled`.
  void cancel() noexcept { reader_.cancel(); }

  class iterator {
   public:
    using iterator_category = std::input_iterator_tag;
    using value_type = T;
    using difference_type = std::ptrdiff_t;
    using pointer = T*;
    using reference = T&;

    iterator() = default;
    reference operator*() const noexcept { return *of_->current_; }
    pointer operator->() const noexcept { return &*of_->current_; }
    iterator& operator++() {
      of_->current_ = of_->next();
      return *this;
    }
    void operator++(int) { ++*this; }
    [[nodiscard]] friend bool operator==(const iterator& i, std::default_sentinel_t) noexcept {
      return i.at_end();
    }

   private:
    friend class stream;
    explicit iterator(stream* of) : of_(of) {}
    [[nodiscard]] bool at_end() const noexcept { return !of_ || !of_->current_; }
    stream* of_ = nullptr;
  };

  /// Waits for the first. Once.
  [[nodiscard]] iterator begin() {
    current_ = next();
    return iterator(this);
  }
  [[nodiscard]] std::default_sentinel_t end() const noexcept { return {}; }

 private:
  raw_reader reader_;
  std::optional<T> current_;
};

}  // namespace weir
