// A sequence that is computed as it is read: what a streaming method returns.
#pragma once

#include <coroutine>
#include <cstddef>
#include <exception>
#include <iterator>
#include <memory>
#include <type_traits>
#include <utility>

namespace weir {

/// A coroutine that yields values one after the other, each when it is asked for.
///
///     weir::generator<int> count(int to) {
///       for (int i = 1; i <= to; ++i) co_yield i;
///     }
///     for (int i : count(3)) std::cout << i;  // 123
///
/// Nothing runs before begin(), and nothing between one element and the question for the next.
///
/// Threads    One at a time; not necessarily always the same.
/// Ownership  Destroying it destroys the coroutine where it stands, with all its variables.
///            Take parameters by value: they live in the coroutine, references may not.
/// Errors     What the coroutine throws comes out of begin() or ++.
template <class T>
class [[nodiscard]] generator {
  static_assert(std::is_object_v<T> && !std::is_const_v<T>, "generator<T>: a plain value type");

 public:
  struct promise_type {
    const T* current = nullptr;  // lives in the coroutine until it is resumed
    std::exception_ptr thrown;

    generator get_return_object() {
      return generator(std::coroutine_handle<promise_type>::from_promise(*this));
    }
    std::suspend_always initial_suspend() noexcept { return {}; }
    std::suspend_always final_suspend() noexcept { return {}; }
    std::suspend_always yield_value(const T& value) noexcept {
      current = std::addressof(value);
      return {};
    }
    void await_transform() = delete;  // nobody would resume it
    void return_void() noexcept {}
    void unhandled_exception() noexcept { thrown = std::current_exception(); }
  };

  class iterator {
   public:
    using iterator_category = std::input_iterator_tag;
    using value_type = T;
    using difference_type = std::ptrdiff_t;
    using pointer = const T*;
    using reference = const T&;

    iterator() = default;
    reference operator*() const noexcept { return *coroutine_.promise().current; }
    pointer operator->() const noexcept { return coroutine_.promise().current; }
    iterator& operator++() {
      resume(coroutine_);
      return *this;
    }
    void operator++(int) { ++*this; }
    [[nodiscard]] friend bool operator==(const iterator& i, std::default_sentinel_t) noexcept {
      return !i.coroutine_ || i.coroutine_.done();
    }

   private:
    friend class generator;
    explicit iterator(std::coroutine_handle<promise_type> c) : coroutine_(c) {}
    std::coroutine_handle<promise_type> coroutine_;
  };

  generator(generator&& other) noexcept : coroutine_(std::exchange(other.coroutine_, {})) {}
  generator& operator=(generator&& other) noexcept {
    std::swap(coroutine_, other.coroutine_);
    return *this;
  }
  ~generator() {
    if (coroutine_) coroutine_.destroy();
  }

  /// Runs to the first element. Once.
  [[nodiscard]] iterator begin() {
    resume(coroutine_);
    return iterator(coroutine_);
  }
  [[nodiscard]] std::default_sentinel_t end() const noexcept { return {}; }

  /// The next element, or null behind the last one. Instead of begin().
  [[nodiscard]] const T* next() {
    if (!coroutine_ || coroutine_.done()) return nullptr;
    resume(coroutine_);
    return coroutine_.done() ? nullptr : coroutine_.promise().current;
  }

 private:
  explicit generator(std::coroutine_handle<promise_type> c) : coroutine_(c) {}
  static void resume(std::coroutine_handle<promise_type> c) {
    c.resume();
    if (c.promise().thrown) std::rethrow_exception(std::exchange(c.promise().thrown, {}));
  }

  std::coroutine_handle<promise_type> coroutine_;
};

}  // namespace weir
