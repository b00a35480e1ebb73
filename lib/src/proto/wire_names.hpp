// The numbers and names on the wire, for encoder and decoder alike.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

namespace weir::proto::wire {

/// A header's first element. 5 is kept for PART, an element of a stream.
enum class kind : std::uint8_t {
  hello = 1,
  welcome = 2,
  task = 3,
  result = 4,
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
// In a run of TASK.
inline constexpr std::string_view time_limit = "ttl";
// In the details of a RESULT.
inline constexpr std::string_view message = "msg";
inline constexpr std::string_view stderr_tail = "err";
inline constexpr std::string_view exit_code = "exit";
inline constexpr std::string_view signal = "sig";
inline constexpr std::string_view started = "at";
inline constexpr std::string_view runtime = "dur";
inline constexpr std::string_view final_attempt = "final";
}  // namespace key

}  // namespace weir::proto::wire
