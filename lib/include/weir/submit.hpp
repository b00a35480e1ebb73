// Calls that are handed over to a gateway's spool, and made when there is a worker.
#pragma once

#include <weir/client.hpp>

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace weir {

/// How a call is to be kept and made.
struct submit_settings {
  std::chrono::milliseconds delay{0};                         ///< not before so long from now
  std::optional<std::chrono::system_clock::time_point> at{};  ///< not before this time
  unsigned priority = 5;                                      ///< 0 to 9, 9 first
  /// Further attempts when it fails, after waits that grow. A number is a permission to run it
  /// twice as well, if a worker or the gateway dies while it runs. Nothing: 3 where another
  /// attempt does no harm (the method is idempotent, there is an idempotency key, no handler
  /// has seen it), and else none.
  std::optional<unsigned> retries{};
  /// The longest that one attempt may take. Zero: what the method declares, or an hour.
  std::chrono::milliseconds deadline{0};
  /// Submissions with the same one are one call, and running it twice does no harm. Another
  /// method's, or one with other arguments, is refused: `already_exists`. At most 256 bytes.
  std::string idempotency_key{};
  /// How long the outcome is kept. Zero: as long as the gateway likes.
  std::chrono::seconds keep{0};
  /// How long the gateway may take to say that the call is on its disk.
  std::chrono::milliseconds patience{10'000};
};

/// Where a submitted call stands.
struct submitted_report {
  std::string id{};
  std::string method{};
  std::string state{};  ///< queued, running, done, failed, cancelled or dead
  status code = status::ok;
  std::string message{};  ///< of its last attempt, if that failed
  std::string type{};
  std::string result{};  ///< MessagePack, if it is done
  std::uint32_t attempts = 0;
  std::chrono::system_clock::time_point submitted{};
  std::chrono::system_clock::time_point finished{};  ///< of one that has ended

  [[nodiscard]] bool ended() const { return state != "queued" && state != "running"; }
};

namespace detail {

/// An id that nobody has used.
[[nodiscard]] std::string new_call_id();
/// The options of weir.submit.
[[nodiscard]] packed submit_options(const submit_settings& settings, const std::string& id);
[[nodiscard]] submitted_report read_report(std::string_view bytes);
/// Errors     rpc_error if the call has not ended well.
void check_report(const submitted_report& report);

/// Of a question that may be asked again.
[[nodiscard]] prepared_settings asking(std::chrono::milliseconds limit);
/// How long to wait for one answer: not for ever, so that a gateway that died is noticed.
[[nodiscard]] std::chrono::milliseconds next_wait(std::chrono::steady_clock::time_point end);
/// What weir.wait was answered. Nothing: ask again.
/// Errors     rpc_error: it is of no use to ask again, or `end` has come.
[[nodiscard]] std::optional<submitted_report> answered(
    const raw_client& by, const outcome<packed>& answer,
    std::chrono::steady_clock::time_point end);
/// Errors     weir::error `usage`: the client has several endpoints.
void check_one_gateway(const raw_client& client);

}  // namespace detail

/// A call in a spool. It lives there, not here: the id is enough to find it again, from any
/// process that can reach the gateway.
///
///     auto later = client.submit<std::string>("resize", photo);
///     save(later.id());
///     ...
///     std::string small = weir::submitted<std::string>(client, id).get();
///
/// Threads    Any.
/// Ownership  Must not be used beyond the client's end.
/// Errors     rpc_error: the call's own; `not_found` if the gateway does not know it (any
///            more). weir::error `usage` if the client has several endpoints: the call is in
///            one gateway's spool, and others know nothing of it.
template <class R = void>
class submitted {
 public:
  submitted(const client_view& by, std::string id) : raw_(&by.raw()), id_(std::move(id)) {
    detail::check_one_gateway(*raw_);
  }

  [[nodiscard]] const std::string& id() const noexcept { return id_; }

  /// Waits for the result, over restarts of the gateway too.
  R get() const {
    constexpr auto end = std::chrono::steady_clock::time_point::max();
    for (;;)
      if (const auto report =
              detail::answered(*raw_, ask_once(*raw_, id_, end).get_outcome(), end))
        return result_of(*report);
  }
  /// The same as something that can be awaited, given a callback, or made a std::future. After
  /// `limit` it fails as `deadline_exceeded`; the call goes on.
  [[nodiscard]] pending<R> wait(
      std::chrono::milliseconds limit = std::chrono::hours(24 * 365)) const {
    return wait_until(raw_, id_, detail::from_now(limit));
  }
  /// Where it stands now.
  [[nodiscard]] submitted_report report() const {
    return detail::read_report(ask<packed>("weir.result", id_).bytes);
  }
  /// Whether it has not ended yet: then it ends as cancelled, unless its result is faster.
  bool cancel() const { return ask<bool>("weir.cancel", id_); }
  /// Its outcome is not needed any more. False: it has none, or is not known.
  bool forget() const { return ask<std::uint64_t>("weir.forget", std::vector{id_}) == 1; }
  /// It has failed, is dead or was cancelled, and gets another chance. False: it is not so.
  bool requeue() const { return ask<std::uint64_t>("weir.requeue", std::vector{id_}) == 1; }

 private:
  template <class T, class Argument>
  T ask(std::string_view method, const Argument& argument) const {
    return client_view(*raw_, detail::asking(std::chrono::seconds(10)))
        .template call<T>(method, argument);
  }

  static pending<packed> ask_once(raw_client& raw, const std::string& id,
                                  std::chrono::steady_clock::time_point end) {
    const client_view view(raw, detail::asking(detail::next_wait(end)));
    return view.start<packed>("weir.wait", id);
  }
  static R result_of(const submitted_report& report) {
    detail::check_report(report);
    if constexpr (!std::is_void_v<R>) return codec::decode<R>(report.result);
  }
  static pending<R> wait_until(raw_client* raw, std::string id,
                               std::chrono::steady_clock::time_point end) {
    for (;;) {
      outcome<packed> answer;
      try {
        answer = co_await ask_once(*raw, id, end);
      } catch (const rpc_error& e) {
        answer = e;
      }
      const auto report = detail::answered(*raw, answer, end);
      if (!report) continue;
      if constexpr (std::is_void_v<R>) {
        result_of(*report);
        co_return;
      } else {
        co_return result_of(*report);
      }
    }
  }

  raw_client* raw_;
  std::string id_;
};

template <class R, class... Args>
submitted<R> client_view::submit(const submit_settings& how, std::string_view method,
                                 const Args&... args) const {
  detail::check_one_gateway(*raw_);
  const auto id = detail::new_call_id();
  const auto arguments = pack(args...);
  const std::vector<char> bytes(arguments.begin(), arguments.end());
  // The id makes it safe to repeat.
  const client_view view(*raw_, detail::asking(how.patience));
  return {*this, view.call<std::string>("weir.submit", method, bytes,
                                        detail::submit_options(how, id))};
}

template <class R, class... Args>
submitted<R> client_view::submit(std::string_view method, const Args&... args) const {
  return submit<R>(submit_settings{}, method, args...);
}

}  // namespace weir
