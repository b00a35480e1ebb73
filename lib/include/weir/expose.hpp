// Functions as methods: what weir::worker::expose() does with their types.
//
//     #include <weir/expose.hpp>
//
//     weir::worker w{{{.connect = {"tcp://gateway:5555"}}}};
//     w.expose("add", [](int a, int b) { return a + b; },
//              {.arguments = {"a", "b"}, .help = "Adds two numbers.", .idempotent = true});
//     w.expose("primes", [](int to) -> weir::generator<int> {
//       for (int i = 2; i <= to; ++i)
//         if (is_prime(i)) co_yield i;
//     });
//     w.run();
//
// Parameters and results are what weir/codec.hpp carries: numbers, strings, bytes
// (std::vector<char>), containers, optionals, tuples, structs with MSGPACK_DEFINE,
// weir::packed. Parameters at the end that are std::optional may be left out by the caller. The
// first parameter may be weir::call_context&. Result void is nil; weir::generator<T> is a
// stream of T.
#pragma once

#include <weir/codec.hpp>
#include <weir/error.hpp>
#include <weir/generator.hpp>
#include <weir/method.hpp>
#include <weir/rpc_error.hpp>
#include <weir/worker.hpp>

#include <memory>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

namespace weir {
namespace expose_detail {

template <class... Args>
struct parameters {
  using tuple = std::tuple<std::decay_t<Args>...>;
  static constexpr bool with_context = false;
};
template <class... Args>
struct parameters<call_context&, Args...> : parameters<Args...> {
  static constexpr bool with_context = true;
};

/// Parameters and result of anything that can be called and is not overloaded or a template.
template <class F>
struct signature_of : signature_of<decltype(&F::operator())> {};
template <class R, class... Args>
struct signature_of<R (*)(Args...)> : parameters<Args...> {
  using result = std::remove_cvref_t<R>;
};
template <class R, class... Args>
struct signature_of<R (*)(Args...) noexcept> : signature_of<R (*)(Args...)> {};
template <class C, class R, class... Args>
struct signature_of<R (C::*)(Args...)> : signature_of<R (*)(Args...)> {};
template <class C, class R, class... Args>
struct signature_of<R (C::*)(Args...) const> : signature_of<R (*)(Args...)> {};
template <class C, class R, class... Args>
struct signature_of<R (C::*)(Args...) noexcept> : signature_of<R (*)(Args...)> {};
template <class C, class R, class... Args>
struct signature_of<R (C::*)(Args...) const noexcept> : signature_of<R (*)(Args...)> {};

template <class F>
concept one_call_operator = std::is_function_v<std::remove_pointer_t<F>> || requires {
  &F::operator();
};

template <class T>
struct stream_of {
  static constexpr bool yes = false;
  using element = T;
};
template <class T>
struct stream_of<generator<T>> {
  static constexpr bool yes = true;
  using element = T;
};

/// The end of a tuple that consists of optionals may be missing in a call.
template <class Tuple, std::size_t I>
constexpr bool optional_from() {
  if constexpr (I == std::tuple_size_v<Tuple>)
    return true;
  else
    return codec::is_a<std::tuple_element_t<I, Tuple>, std::optional> &&
           optional_from<Tuple, I + 1>();
}

template <class Tuple>
std::vector<method_description::argument> describe(const std::vector<std::string>& names) {
  std::vector<method_description::argument> all;
  [&]<std::size_t... I>(std::index_sequence<I...>) {
    (all.push_back({I < names.size() ? names[I] : "arg" + std::to_string(I + 1),
                    type_name<std::tuple_element_t<I, Tuple>>(), optional_from<Tuple, I>()}),
     ...);
  }
  (std::make_index_sequence<std::tuple_size_v<Tuple>>{});
  return all;
}

/// What a caller whose arguments do not fit is told.
template <class Tuple>
Tuple take_arguments(const std::string& usage, std::string_view packed) {
  try {
    return codec::decode_arguments<Tuple>(packed);
  } catch (const decode_error& e) {
    throw rpc_error(status::invalid_argument, usage + ": " + e.what());
  }
}

template <class S, class F, class Tuple>
decltype(auto) apply(F& handler, call_context& call, Tuple& arguments) {
  return std::apply(
      [&](auto&... each) -> decltype(auto) {
        // By value or rvalue if the handler wants it so: it is used once.
        if constexpr (S::with_context)
          return handler(call, std::move(each)...);
        else
          return handler(std::move(each)...);
      },
      arguments);
}

/// A generator with all that it may refer to.
template <class S, class F>
class typed_stream final : public raw_stream {
 public:
  typed_stream(std::shared_ptr<F> handler, call_context& call, typename S::tuple arguments)
      : handler_(std::move(handler)),
        arguments_(std::move(arguments)),
        elements_(apply<S>(*handler_, call, arguments_)) {}
  bool next(std::string& element) override {
    const auto* value = elements_.next();
    if (value) codec::put(element, *value);
    return value != nullptr;
  }

 private:
  std::shared_ptr<F> handler_;
  typename S::tuple arguments_;
  typename S::result elements_;
};

}  // namespace expose_detail

template <class F>
worker& worker::expose(std::string name, F handler, method_options options) {
  static_assert(expose_detail::one_call_operator<F>,
                "expose() takes a function or a function object with one operator(): say the "
                "parameters' types instead of auto");
  using S = expose_detail::signature_of<F>;
  using stream = expose_detail::stream_of<typename S::result>;
  using tuple = typename S::tuple;
  if (options.arguments.size() > std::tuple_size_v<tuple>)
    throw error(exit_code::usage, "method '" + name + "': there are more names than arguments");

  method_description what;
  what.name = std::move(name);
  what.arguments = expose_detail::describe<tuple>(options.arguments);
  what.result = type_name<typename stream::element>();
  what.options = std::move(options);
  what.streams = stream::yes;
  what.signature = signature_text(what);
  const auto usage = std::make_shared<const std::string>(what.name + what.signature);
  auto kept = std::make_shared<F>(std::move(handler));

  if constexpr (stream::yes) {
    offer(std::move(what),
          raw_stream_method([kept, usage](call_context& call, std::string_view arguments)
                                -> std::unique_ptr<raw_stream> {
            return std::make_unique<expose_detail::typed_stream<S, F>>(
                kept, call, expose_detail::take_arguments<tuple>(*usage, arguments));
          }));
  } else {
    offer(std::move(what),
          raw_method([kept, usage](call_context& call, std::string_view arguments,
                                   std::string& result) {
            auto taken = expose_detail::take_arguments<tuple>(*usage, arguments);
            if constexpr (std::is_void_v<typename S::result>) {
              expose_detail::apply<S>(*kept, call, taken);
              codec::put(result, nullptr);
            } else {
              codec::put(result, expose_detail::apply<S>(*kept, call, taken));
            }
          }));
  }
  return *this;
}

}  // namespace weir
