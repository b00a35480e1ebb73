// The numbers and names on the wire, for encoder and decoder alike.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

namespace weir::proto::wire {

/// A header's first element.
enum class kind : std::uint8_t {
  hello = 1,
  welcome = 2,
  task = 3,
  result = 4,
  part = 5,
  window = 6,
  cancel = 7,
  release = 8,
  register_source = 9,
  registered = 10,
  ack = 11,
  committed = 12,
  resend = 13,
  finish = 14,
  progress = 15,
  alive = 16,
  bye = 17,
  error = 18,
  offer = 19,
  call = 20,
  reply = 21,
  credit = 22,
  cancel_calls = 23,
  call_progress = 24,
  direct_calls = 25,
};

/// In the order of enum role. A role that is not known reads as the first.
inline constexpr std::array<std::string_view, 6> roles{"unknown", "ventilator", "worker",
                                                       "sink",    "gateway",    "client"};

namespace key {
// In HELLO and WELCOME.
inline constexpr std::string_view host = "host";  // and in details
inline constexpr std::string_view slots = "slots";
inline constexpr std::string_view results_to = "to";
inline constexpr std::string_view max_payload = "max";
inline constexpr std::string_view takes_commands = "cmd";
// In a run of TASK.
inline constexpr std::string_view time_limit = "ttl";
inline constexpr std::string_view commands = "!cmd";
// In the details of a RESULT.
inline constexpr std::string_view message = "msg";
inline constexpr std::string_view stderr_tail = "err";
inline constexpr std::string_view exit_code = "exit";
inline constexpr std::string_view signal = "sig";
inline constexpr std::string_view started = "at";
inline constexpr std::string_view runtime = "dur";
inline constexpr std::string_view final_attempt = "final";
// In a method of OFFER, and in OFFER itself.
inline constexpr std::string_view doc = "doc";
inline constexpr std::string_view signature = "sig";
inline constexpr std::string_view arguments = "args";
inline constexpr std::string_view returns = "ret";
inline constexpr std::string_view streams = "stream";
inline constexpr std::string_view idempotent = "idem";
inline constexpr std::string_view concurrency = "par";
inline constexpr std::string_view deadline = "ttl";
inline constexpr std::string_view cache = "cache";
inline constexpr std::string_view direct = "direct";
// In the options of a run of CALL.
inline constexpr std::string_view priority = "pr";
inline constexpr std::string_view no_reply = "nr";
inline constexpr std::string_view attempt = "at";
inline constexpr std::string_view stream_window = "sw";
inline constexpr std::string_view stream_bytes = "sb";
inline constexpr std::string_view hash_key = "hk";
inline constexpr std::string_view idempotency_key = "ik";
inline constexpr std::string_view metadata = "md";
// In the details of a REPLY; "msg" too.
inline constexpr std::string_view type = "type";
inline constexpr std::string_view data = "data";
inline constexpr std::string_view trace = "trace";
inline constexpr std::string_view retry = "retry";
inline constexpr std::string_view never_started = "ns";
inline constexpr std::string_view parts = "parts";
// In the figures of a run of REPLY.
inline constexpr std::string_view queued = "q";
inline constexpr std::string_view service = "s";
inline constexpr std::string_view received = "rx";
}  // namespace key

}  // namespace weir::proto::wire
