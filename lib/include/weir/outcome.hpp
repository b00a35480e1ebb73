// What became of one call, by type: a value or an error.
#pragma once

#include <weir/codec.hpp>
#include <weir/raw_client.hpp>

#include <memory>
#include <optional>
#include <type_traits>
#include <utility>
#include <variant>

namespace weir {

/// A result, or why there is none.
///
///     for (auto& each : client.batch<int>("square", {std::tuple(3), std::tuple(4)}))
///       if (each) use(*each); else std::cerr << each.error().what() << '\n';
template <class R>
class outcome {
 public:
  /// What stands for a method that returns nothing.
  using value_type = std::conditional_t<std::is_void_v<R>, std::monostate, R>;

  /// CANCELLED, until something else is known.
  outcome() = default;
  outcome(value_type value) : value_(std::move(value)) {}
  outcome(rpc_error error) : error_(std::make_shared<const rpc_error>(std::move(error))) {}

  [[nodiscard]] bool ok() const noexcept { return value_.has_value(); }
  [[nodiscard]] explicit operator bool() const noexcept { return ok(); }
  [[nodiscard]] status code() const noexcept { return ok() ? status::ok : error().code(); }
  /// Errors     rpc_error if there is none.
  [[nodiscard]] value_type& value() & { return check(), *value_; }
  [[nodiscard]] const value_type& value() const& { return check(), *value_; }
  [[nodiscard]] value_type value() && { return check(), std::move(*value_); }
  /// Requires ok().
  [[nodiscard]] value_type& operator*() noexcept { return *value_; }
  [[nodiscard]] const value_type& operator*() const noexcept { return *value_; }
  [[nodiscard]] value_type* operator->() noexcept { return &*value_; }
  [[nodiscard]] const value_type* operator->() const noexcept { return &*value_; }
  /// Requires that it is not ok().
  [[nodiscard]] const rpc_error& error() const {
    static const rpc_error none(status::cancelled, "the call was never made");
    return error_ ? *error_ : none;
  }

  /// A reply that is not an R is an error as well: INTERNAL.
  [[nodiscard]] static outcome from(const reply_view& reply) noexcept try {
    if (reply.code != status::ok) return reply.error();
    try {
      if constexpr (std::is_void_v<R>) {
        codec::decode<void>(reply.result);
        return value_type{};
      } else {
        return codec::decode<R>(reply.result);
      }
    } catch (const std::exception& e) {
      rpc_error::more more;
      more.path = reply.path;
      return rpc_error(status::internal,
                       "the result is not " + type_name<R>() + ": " + e.what(),
                       std::move(more));
    }
  } catch (...) {  // no memory for the error
    return {};
  }

 private:
  void check() const {
    if (!ok()) throw rpc_error(error());
  }

  std::optional<value_type> value_;
  std::shared_ptr<const rpc_error> error_;
};

}  // namespace weir
