// How a call that did not succeed is reported.
#pragma once

#include <weir/status.hpp>

#include <chrono>
#include <stdexcept>
#include <string>
#include <utility>

namespace weir {

/// A call's failure, as callers see it and as handlers may throw it.
///
///     throw weir::rpc_error(weir::status::not_found, "no such user: " + name);
///
/// A handler's other exceptions arrive as `status::unknown` with the exception's type and text.
class rpc_error : public std::runtime_error {
 public:
  struct more {
    std::string type{};     ///< the exception's type at the other end, "exit 3", ...
    std::string details{};  ///< MessagePack; whatever the handler attached
    std::string path{};     ///< nodes that the answer came through, the last first
    /// Set by an overloaded gateway: do not try again before that.
    std::chrono::milliseconds retry_after{0};
    /// No handler has seen the call: it is safe to make it again.
    bool never_started = false;
  };

  rpc_error(status code, const std::string& message)
      : std::runtime_error(message), code_(code) {}
  rpc_error(status code, const std::string& message, more m)
      : std::runtime_error(message), code_(code), more_(std::move(m)) {}

  [[nodiscard]] status code() const noexcept { return code_; }
  [[nodiscard]] const std::string& type() const noexcept { return more_.type; }
  [[nodiscard]] const std::string& details() const noexcept { return more_.details; }
  [[nodiscard]] const std::string& path() const noexcept { return more_.path; }
  [[nodiscard]] std::chrono::milliseconds retry_after() const noexcept {
    return more_.retry_after;
  }
  [[nodiscard]] bool never_started() const noexcept { return more_.never_started; }

 private:
  status code_;
  more more_;
};

}  // namespace weir
