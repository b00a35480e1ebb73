#include "store/spool_wire.hpp"

#include "proto/limits.hpp"
#include "proto/msgpack_reader.hpp"
#include "proto/rpc/call_id.hpp"
#include "proto/wire_writer.hpp"

#include <algorithm>
#include <cmath>

namespace weir::store {
namespace {

constexpr std::size_t key_bytes = 256;
constexpr std::size_t method_bytes = 256;
constexpr std::size_t most_ids = 16'384;
/// A hundred years: no sum with a time overflows.
constexpr std::uint64_t most_ms = std::uint64_t{100} * 366 * 24 * 3600 * 1000;

[[noreturn]] void submit_takes(const std::string& what) {
  throw wrong_arguments("weir.submit(method, arguments, options): " + what);
}

std::string text_or_bytes(proto::msgpack_reader& from, std::size_t most) {
  auto as_text = from;
  const auto text = as_text.str(most);
  if (as_text.ok()) {
    from = as_text;
    return std::string(text);
  }
  return std::string(from.bin(most));
}

void read_option(std::string_view name, proto::msgpack_reader& in, submission& call,
                 unix_ms now) {
  if (in.nil()) return;
  if (name == "delay_ms") {
    call.due = std::max(call.due, now + static_cast<unix_ms>(in.uint(most_ms)));
  } else if (name == "at") {
    const double seconds = in.number();
    if (!in.ok() || seconds < 0 || seconds * 1000 > static_cast<double>(most_ms))
      submit_takes("`at` is a time in seconds since 1970");
    call.due = std::max(call.due, static_cast<unix_ms>(std::ceil(seconds * 1000)));
  } else if (name == "priority") {
    call.priority = static_cast<std::uint8_t>(in.uint(9));
    if (!in.ok()) submit_takes("`priority` is from 0 to 9");
  } else if (name == "retries") {
    call.retries = static_cast<std::uint32_t>(in.uint(1'000'000));
  } else if (name == "deadline_ms") {
    call.deadline_ms = static_cast<std::uint32_t>(in.uint(UINT32_MAX));
  } else if (name == "keep_s") {
    call.keep_ms = static_cast<std::int64_t>(in.uint(most_ms / 1000)) * 1000;
  } else if (name == "idem_key") {
    call.key = text_or_bytes(in, key_bytes);
    if (!in.ok()) submit_takes("`idem_key` has at most 256 bytes");
  } else if (name == "id") {
    call.id = std::string(in.str(proto::call_id_length));
    if (!in.ok() || !proto::is_call_id(call.id))
      submit_takes("`id` has 26 characters, digits and lower-case letters but for i, l, o, u");
  } else {
    in.skip(1);
  }
  if (!in.ok()) submit_takes("option `" + std::string(name) + "` is out of range");
}

class writer : public proto::wire_writer {
 public:
  using wire_writer::array;
  using wire_writer::str;
  using wire_writer::uint;
  void boolean(bool value) {
    if (value)
      out_.pack_true();
    else
      out_.pack_false();
  }
  void report(const call_report& r) {
    out_.pack_map(10);
    entry("id", std::string_view(r.id));
    entry("method", std::string_view(r.method));
    entry("state", to_string(r.state));
    entry("code", static_cast<std::uint64_t>(r.code));
    entry("msg", std::string_view(r.message));
    entry("type", std::string_view(r.type));
    binary("result", r.result);
    entry("attempts", std::uint64_t{r.attempts});
    entry("submitted", static_cast<double>(r.submitted) / 1000);
    entry("finished", static_cast<double>(r.finished) / 1000);
  }
};

}  // namespace

submission read_submission(std::string_view arguments, const submission_defaults& defaults,
                           unix_ms now) {
  proto::msgpack_reader in(arguments);
  const auto count = in.array();
  if (!in.ok() || count < 2) submit_takes("a name and packed arguments are needed");
  submission call;
  call.id = defaults.id;
  call.keep_ms = defaults.keep_ms;
  call.method = std::string(in.str(method_bytes));
  if (!in.ok() || call.method.empty())
    submit_takes("the method's name is text of at most 256 bytes");
  if (call.method.starts_with("weir.")) submit_takes("methods of weir's own cannot be queued");
  call.arguments = std::string(in.bin(proto::limits::payload_bytes));
  if (!in.ok() || !proto::msgpack_reader(call.arguments).next_is_array())
    submit_takes("the arguments are bin that holds one packed array");
  if (count > 2 && !in.nil()) {
    const auto options = in.map();
    if (!in.ok()) submit_takes("the options are a map");
    for (std::uint32_t i = 0; i < options; ++i) {
      const auto name = in.str(proto::limits::text_bytes);
      if (!in.ok()) submit_takes("the options' names are text");
      read_option(name, in, call, now);
    }
  }
  return call;
}

std::string read_id(std::string_view arguments, const char* method) {
  proto::msgpack_reader in(arguments);
  const auto count = in.array();
  const auto id = count >= 1 ? in.str(proto::limits::text_bytes) : std::string_view();
  if (count < 1 || !in.ok()) throw wrong_arguments(std::string(method) + "(id)");
  return std::string(id);
}

std::optional<std::vector<std::string>> read_ids(std::string_view arguments,
                                                 const char* method) {
  proto::msgpack_reader in(arguments);
  const auto count = in.array();
  if (in.ok() && (count == 0 || in.nil())) return std::nullopt;
  const auto ids = in.array();
  std::vector<std::string> found;
  for (std::uint32_t i = 0; i < std::min<std::size_t>(ids, most_ids + 1) && in.ok(); ++i)
    found.emplace_back(in.str(proto::limits::text_bytes));
  if (!in.ok() || ids > most_ids)
    throw wrong_arguments(std::string(method) + "(ids): an array of at most 16384 ids");
  return found;
}

std::string read_after(std::string_view arguments) {
  proto::msgpack_reader in(arguments);
  const auto count = in.array();
  std::string after;
  if (in.ok() && count > 0 && !in.nil()) after = std::string(in.str(proto::limits::text_bytes));
  if (!in.ok())
    throw wrong_arguments("weir.dead(after): the last id that is known, or nothing");
  return after;
}

std::string written(const call_report& report) {
  writer out;
  out.report(report);
  return out.take();
}

std::string written(std::span<const call_report> reports) {
  writer out;
  out.array(reports.size());
  for (const auto& r : reports) out.report(r);
  return out.take();
}

std::string written(std::string_view text) {
  writer out;
  out.str(text);
  return out.take();
}

std::string written(bool value) {
  writer out;
  out.boolean(value);
  return out.take();
}

std::string written(std::uint64_t count) {
  writer out;
  out.uint(count);
  return out.take();
}

}  // namespace weir::store
