#include "exec/call.hpp"

#include "proto/limits.hpp"
#include "proto/utf8.hpp"

#include <weir/method.hpp>
#include <weir/rpc_error.hpp>

#include <cxxabi.h>

#include <algorithm>
#include <cstdlib>
#include <exception>
#include <memory>
#include <typeinfo>

namespace weir::exec {
namespace {

/// As it is written in source code; "an unknown type" if nobody knows.
std::string current_exception_type() {
  const std::type_info* type = abi::__cxa_current_exception_type();
  if (!type) return "an unknown type";
  int failed = 0;
  const std::unique_ptr<char, void (*)(void*)> name(
      abi::__cxa_demangle(type->name(), nullptr, nullptr, &failed), std::free);
  return failed == 0 ? name.get() : type->name();
}

}  // namespace

void call_group::stop(std::uint32_t index) {
  const std::lock_guard held(mutex_);
  if (stopped_locked(index)) return;
  stopped_.resize(size());
  stopped_[index] = true;
  any_stopped_.store(true, std::memory_order_release);
  for (const auto& [who, then] : listeners_)
    if (who == index) then();
}

void call_group::stop_all() {
  const std::lock_guard held(mutex_);
  all_stopped_ = true;
  any_stopped_.store(true, std::memory_order_release);
  for (const auto& [who, then] : listeners_) then();
}

bool call_group::look_up(std::uint32_t index) const {
  const std::lock_guard held(mutex_);
  return stopped_locked(index);
}

bool call_group::stopped_locked(std::uint32_t index) const {
  return all_stopped_ || (!stopped_.empty() && stopped_[index]);
}

const proto::call_options& call::options() const {
  static const proto::call_options none;
  return group_.calls.options ? *group_.calls.options : none;
}

void call::when_cancelled(std::function<void()> then) {
  const std::lock_guard held(group_.mutex_);
  if (group_.stopped_locked(index_)) then();
  group_.listeners_.emplace_back(index_, std::move(then));
}

void call::deaf() {
  const std::lock_guard held(group_.mutex_);
  std::erase_if(group_.listeners_, [this](const auto& l) { return l.first == index_; });
}

status describe_exception(proto::reply_details& details) {
  status code = status::unknown;
  try {
    throw;
  } catch (const rpc_error& e) {
    if (e.code() != status::ok) code = e.code();
    details.message = e.what();
    details.type = e.type().empty() ? current_exception_type() : e.type();
    details.data = e.details();
    details.retry_ms = static_cast<std::uint32_t>(
        std::clamp<std::int64_t>(e.retry_after().count(), 0, UINT32_MAX));
  } catch (const std::exception& e) {
    details.message = e.what();
    details.type = current_exception_type();
  } catch (...) {
    details.message = "the handler threw something that is no std::exception";
    details.type = current_exception_type();
  }
  return code;
}

}  // namespace weir::exec

namespace weir {

const std::string& call_context::method() const { return call_->method(); }
std::chrono::steady_clock::time_point call_context::deadline() const {
  return call_->deadline();
}
std::chrono::milliseconds call_context::time_left() const {
  const auto left = call_->deadline() - proto::clock::now();
  return std::max(std::chrono::duration_cast<std::chrono::milliseconds>(left),
                  std::chrono::milliseconds(0));
}
bool call_context::cancelled() const { return call_->why_stop() != exec::stop_reason::none; }
const std::vector<std::pair<std::string, std::string>>& call_context::metadata() const {
  return call_->options().metadata;
}
std::optional<std::string_view> call_context::metadata(std::string_view key) const {
  for (const auto& [name, value] : metadata())
    if (name == key) return value;
  return std::nullopt;
}
std::uint32_t call_context::attempt() const { return call_->options().attempt; }
const std::string& call_context::idempotency_key() const {
  return call_->options().idempotency_key;
}
void call_context::progress(std::uint64_t done, std::uint64_t total, std::string_view text) {
  call_->report(done, total, text);
}

}  // namespace weir
