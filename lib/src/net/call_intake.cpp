#include "net/call_intake.hpp"

#include "exec/call_scope.hpp"
#include "proto/limits.hpp"

#include <weir/error.hpp>

#include <algorithm>
#include <utility>

namespace weir {
namespace {

void check(const call_settings& s) {
  using namespace proto;
  const auto refuse = [](const std::string& what, std::size_t most) {
    throw error(exit_code::usage, what + std::to_string(most));
  };
  if (s.priority > limits::priority) refuse("a call's priority is at most ", limits::priority);
  if (s.hash_key.size() > limits::key_bytes)
    refuse("a hash key may have bytes at most: ", limits::key_bytes);
  if (s.idempotency_key.size() > limits::key_bytes)
    refuse("an idempotency key may have bytes at most: ", limits::key_bytes);
  if (s.metadata.size() > limits::map_entries)
    refuse("a call's metadata may have entries at most: ", limits::map_entries);
  std::size_t bytes = 0;
  for (const auto& [key, value] : s.metadata) bytes += key.size() + value.size();
  if (bytes > limits::metadata_bytes)
    refuse("a call's metadata may have bytes at most: ", limits::metadata_bytes);
  if (s.deadline.count() < 0 || s.hedge_after.count() < 0)
    throw error(exit_code::usage, "a call's deadline and hedge_after cannot be negative");
  if (s.stream_window == 0 || s.stream_bytes == 0)
    throw error(exit_code::usage, "a stream's window is 1 at least, in elements and in bytes");
}

std::shared_ptr<const proto::call_options> shareable(proto::call_options o) {
  if (o.plain()) return nullptr;
  return std::make_shared<const proto::call_options>(std::move(o));
}

/// Metadata of the call that is being answered goes on to the calls that it makes, as far as
/// there is room for it.
void inherit(proto::call_options& o, const proto::call_options& from) {
  std::size_t bytes = 0;
  for (const auto& [key, value] : o.metadata) bytes += key.size() + value.size();
  for (const auto& entry : from.metadata) {
    const auto same = [&](const auto& own) { return own.first == entry.first; };
    const std::size_t more = entry.first.size() + entry.second.size();
    if (std::ranges::any_of(o.metadata, same)) continue;
    if (o.metadata.size() == proto::limits::map_entries ||
        bytes + more > proto::limits::metadata_bytes)
      continue;
    bytes += more;
    o.metadata.push_back(entry);
  }
}

}  // namespace

prepared_settings::prepared_settings(call_settings settings) {
  check(settings);
  settings.deadline = proto::limited(settings.deadline);
  settings.hedge_after = proto::limited(settings.hedge_after);
  proto::call_options o;
  o.priority = static_cast<std::uint8_t>(settings.priority);
  o.hash_key = settings.hash_key;
  o.idempotency_key = settings.idempotency_key;
  o.metadata = settings.metadata;
  auto i = std::make_shared<impl>();
  i->options = shareable(o);
  o.no_reply = true;
  i->unheard = shareable(o);
  o.no_reply = false;
  o.stream_window = settings.stream_window;
  // As much again may wait for the reader.
  o.stream_bytes = std::max(settings.stream_bytes / 2, 1U);
  i->streamed = shareable(std::move(o));
  i->given = std::move(settings);
  impl_ = std::move(i);
}

namespace net {
namespace {

/// What a run may come to: enough to make its costs vanish, and two of them fill a message.
constexpr std::uint32_t run_calls = 8192;
constexpr std::size_t run_bytes = 256 * 1024;

const prepared_settings& of_none() {
  static const prepared_settings none{call_settings{}};
  return none;
}

std::shared_ptr<const proto::call_options> options_of(const call_intake::request& r) {
  const auto& settings = r.settings->inner() ? *r.settings->inner() : *of_none().inner();
  const auto& own = r.kind == call_kind::stream   ? settings.streamed
                    : r.kind == call_kind::notify ? settings.unheard
                                                  : settings.options;
  const auto* scope = exec::call_scope::current();
  if (!scope || scope->options().metadata.empty()) return own;
  auto mixed = own ? *own : proto::call_options{};
  inherit(mixed, scope->options());
  return shareable(std::move(mixed));
}

}  // namespace

void call_intake::contents::clear() {
  runs.clear();
  entries.clear();
  cancels.clear();
  reads.clear();
}

bool call_intake::continues(const request& r, std::size_t bytes) const {
  if (contents_.runs.empty()) return false;
  const intake_run& last = contents_.runs.back();
  return last.kind == r.kind && r.kind != call_kind::stream &&
         last.settings.get() == r.settings->inner() && last.method == r.method &&
         (r.together ||
          (!exec::call_scope::current() && last.limit == proto::time_point::max())) &&
         r.now - last.started <= r.tolerance && last.arguments.size() < run_calls &&
         last.arguments.bytes() + bytes <= run_bytes;
}

void call_intake::begin(const request& r) {
  const auto* scope = exec::call_scope::current();
  intake_run run;
  run.first = next_;
  run.method = r.method;
  run.settings = r.settings->shared();
  run.options = options_of(r);
  run.started = r.now;
  run.limit = scope ? scope->deadline() : proto::time_point::max();
  run.kind = r.kind;
  run.reader = r.reader;
  contents_.runs.push_back(std::move(run));
}

std::uint64_t call_intake::add(const request& r, std::string_view arguments,
                               receivers::entry to) {
  if (!continues(r, arguments.size())) begin(r);
  contents_.runs.back().arguments.add(arguments);
  contents_.entries.push_back(to);
  return next_++;
}

}  // namespace net
}  // namespace weir
