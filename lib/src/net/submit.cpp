#include "net/node_loop.hpp"
#include "proto/rpc/call_id.hpp"

#include <weir/error.hpp>
#include <weir/submit.hpp>

#include <algorithm>
#include <map>

namespace weir::detail {
namespace {

using namespace std::chrono;

/// One wait for an answer. A gateway that is away is noticed by then at the latest.
constexpr seconds longest_wait{20};
/// What may be asked again is asked again until its time is up.
constexpr unsigned retries = 1'000'000;

system_clock::time_point time_from(double seconds_since_1970) {
  return system_clock::time_point(
      duration_cast<system_clock::duration>(duration<double>(seconds_since_1970)));
}

packed bytes(const std::string& of) {
  return {codec::encode(std::vector<char>(of.begin(), of.end()))};
}

}  // namespace

std::string new_call_id() {
  const auto now = duration_cast<milliseconds>(system_clock::now().time_since_epoch());
  return proto::make_call_id(static_cast<std::uint64_t>(now.count()), net::entropy(),
                             net::entropy());
}

packed submit_options(const submit_settings& settings, const std::string& id) {
  std::map<std::string, packed> options;
  const auto set = [&](const char* name, const auto& value) {
    options[name] = {codec::encode(value)};
  };
  set("id", id);
  set("priority", settings.priority);
  if (settings.retries) set("retries", *settings.retries);
  if (settings.delay.count() > 0) set("delay_ms", settings.delay.count());
  if (settings.at) set("at", duration<double>(settings.at->time_since_epoch()).count());
  if (settings.deadline.count() > 0) set("deadline_ms", settings.deadline.count());
  if (settings.keep.count() > 0) set("keep_s", settings.keep.count());
  if (!settings.idempotency_key.empty()) options["idem_key"] = bytes(settings.idempotency_key);
  std::string map;
  codec::detail::appender sink{map};
  msgpack::packer<codec::detail::appender> packer(sink);
  packer.pack_map(static_cast<std::uint32_t>(options.size()));
  for (const auto& [name, value] : options) {
    packer.pack(name);
    map += value.bytes;
  }
  return {map};
}

submitted_report read_report(std::string_view from) {
  const auto fields = codec::decode<std::map<std::string, packed>>(from);
  const auto get = [&]<class T>(const char* name, T& to) {
    const auto it = fields.find(name);
    if (it != fields.end()) to = codec::decode<T>(it->second.bytes);
  };
  submitted_report report;
  std::uint64_t code = 0;
  double begun = 0, finished = 0;
  get("id", report.id);
  get("method", report.method);
  get("state", report.state);
  get("code", code);
  get("msg", report.message);
  get("type", report.type);
  get("result", report.result);
  get("attempts", report.attempts);
  get("submitted", begun);
  get("finished", finished);
  report.code = status_from(code).value_or(status::unknown);
  report.submitted = time_from(begun);
  report.finished = time_from(finished);
  return report;
}

void check_report(const submitted_report& report) {
  if (report.state == "done") return;
  rpc_error::more more;
  more.type = report.type;
  throw rpc_error(report.code == status::ok ? status::unknown : report.code,
                  "call " + report.id + " is " + report.state + ": " + report.message,
                  std::move(more));
}

prepared_settings asking(milliseconds limit) {
  return prepared_settings(
      call_settings{.deadline = limit, .retries = retries, .idempotent = true});
}

milliseconds next_wait(steady_clock::time_point end) {
  const auto left = ceil<milliseconds>(end - steady_clock::now());
  return std::clamp(left, milliseconds(1), duration_cast<milliseconds>(longest_wait));
}

std::optional<submitted_report> answered(const raw_client& by, const outcome<packed>& answer,
                                         steady_clock::time_point end) {
  if (answer) return read_report(answer->bytes);
  // The question came to nothing, as its time was up or its gateway went away.
  const bool again =
      answer.code() == status::deadline_exceeded || answer.code() == status::unavailable;
  if (!again || by.stats().refused || steady_clock::now() >= end)
    throw rpc_error(answer.error());
  return std::nullopt;
}

void check_one_gateway(const raw_client& client) {
  if (client.peer_count() > 1)
    throw error(exit_code::usage,
                "a submitted call is kept by one gateway, and this client has several (" +
                    client.peers() + "): use one that has just that endpoint");
}

}  // namespace weir::detail
