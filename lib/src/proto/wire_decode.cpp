#include "proto/wire.hpp"
#include "proto/wire_reader.hpp"

#include <weir/version.hpp>

#include <algorithm>
#include <limits>
#include <utility>

namespace weir::proto {
namespace {

namespace key = wire::key;
constexpr auto max_i32 = std::numeric_limits<std::int32_t>::max();

source_id read_source(msgpack_reader& in) {
  source_id source;
  const auto id = in.bin(source.bytes.size());
  if (id.size() != source.bytes.size()) in.fail(reject::out_of_range);
  std::copy(id.begin(), id.end(), source.bytes.begin());
  return source;
}

session_id read_session(msgpack_reader& in) {
  const auto id = in.bin(8);
  if (id.size() != 8) in.fail(reject::out_of_range);
  std::uint64_t value = 0;
  for (const char byte : id) value = value << 8 | static_cast<std::uint8_t>(byte);
  return session_id{value};
}

outcome_details read_outcome_details(msgpack_reader& in) {
  outcome_details d;
  if (in.nil()) return d;
  const auto seconds = [&in] {
    const double value = in.number();
    if (value < 0) in.fail(reject::out_of_range);
    return value;
  };
  const auto figure = [&in] { return static_cast<std::int32_t>(in.uint(max_i32)); };
  read_map(in, [&](std::string_view name) {
    if (name == key::message)
      d.message = read_text(in);
    else if (name == key::host)
      d.host = read_text(in);
    else if (name == key::stderr_tail)
      d.stderr_tail = in.bin(limits::stderr_bytes);
    else if (name == key::exit_code)
      d.exit_code = figure();
    else if (name == key::signal)
      d.signal = figure();
    else if (name == key::started)
      d.started = seconds();
    else if (name == key::runtime)
      d.runtime = seconds();
    else if (name == key::final_attempt)
      d.retryable = !in.boolean();
    else
      return false;
    return true;
  });
  return d;
}

class message_reader {
 public:
  message_reader(std::string_view header, blob body) : in_(header), body_(std::move(body)) {}

  std::variant<message, reject> read() {
    if (!in_.at_end() && !in_.next_is_array()) return reject::not_a_message;
    fields header(in_);
    if (in_.ok() && !(header.more() && in_.next_is_integer())) return reject::not_a_message;
    const auto kind = header.next().uint(UINT64_MAX);
    message m = read_kind(kind, header);
    // Of another version only the beginning can be read; its node is told ERROR version.
    if (other_version_ && in_.ok()) return m;
    header.skip_rest();
    if (!in_.at_end()) in_.fail(reject::not_msgpack);
    if (!body_.all_taken()) in_.fail(reject::body_mismatch);
    if (!in_.ok()) return in_.why();
    return m;
  }

 private:
  message read_kind(std::uint64_t kind, fields& f) {
    if (kind > 255) kind = 255;  // all unknown, and a kind is an octet
    switch (static_cast<wire::kind>(kind)) {
      case wire::kind::hello:
        return read_hello(f);
      case wire::kind::welcome:
        return read_welcome(f);
      case wire::kind::task:
        return read_batch<task_batch>(f);
      case wire::kind::result:
        return read_batch<result_batch>(f);
      case wire::kind::window:
        return read_window(f);
      case wire::kind::cancel:
        return read_cancel(f);
      case wire::kind::release:
        return read_set<release>(f);
      case wire::kind::register_source:
        return read_state<register_source>(f);
      case wire::kind::registered:
        return read_state<registered>(f);
      case wire::kind::ack:
        return read_state<ack>(f);
      case wire::kind::committed:
        return read_set<committed>(f);
      case wire::kind::resend:
        f.need(1);
        return resend{read_source(f.next())};
      case wire::kind::finish:
        return read_finish(f);
      case wire::kind::progress:
        return read_progress(f);
      case wire::kind::alive:
        return alive{};
      case wire::kind::bye:
        return read_bye(f);
      case wire::kind::error:
        return read_error(f);
      default:
        return read_rpc(static_cast<wire::kind>(kind), f, in_, body_);
    }
  }

  std::uint64_t read_version(fields& f) {
    f.need(1);
    const auto version = f.next().uint(UINT64_MAX);
    other_version_ = version != wire_version;
    return version;
  }

  introduction read_names(fields& f) {
    introduction self;
    const auto name = f.next().str(limits::text_bytes);
    const auto found = std::find(wire::roles.begin() + 1, wire::roles.end(), name);
    if (found != wire::roles.end()) self.role = static_cast<role>(found - wire::roles.begin());
    self.name = read_text(f.next());
    self.session = read_session(f.next());
    return self;
  }

  void read_more(fields& f, introduction& self) {
    read_map(f.next(), [&](std::string_view name) {
      if (name == key::host)
        self.host = read_text(in_);
      else if (name == key::slots)
        self.slots = read_u32(in_);
      else if (name == key::results_to)
        self.results_to = read_text(in_);
      else if (name == key::max_payload)
        self.max_payload = in_.uint(limits::seq);
      else if (name == key::takes_commands)
        self.takes_commands = in_.boolean();
      else
        return false;
      return true;
    });
  }

  hello read_hello(fields& f) {
    hello m;
    m.version = read_version(f);
    if (other_version_) return m;
    f.need(4);
    m.self = read_names(f);
    read_more(f, m.self);
    return m;
  }

  welcome read_welcome(fields& f) {
    welcome m;
    m.version = read_version(f);
    if (other_version_) return m;
    f.need(5);
    m.self = read_names(f);
    m.heartbeat_ms = static_cast<std::uint32_t>(f.next().uint(limits::heartbeat_ms));
    if (m.heartbeat_ms == 0) in_.fail(reject::out_of_range);
    read_more(f, m.self);
    return m;
  }

  static void read_rest(fields& f, task_run& run) {
    if (!f.more()) return;
    auto& in = f.next();
    if (in.nil()) return;
    read_map(in, [&](std::string_view name) {
      if (name == key::time_limit)
        run.time_limit_ms = read_u32(in);
      else if (name == key::commands)
        run.commands = in.boolean();
      else
        return false;
      return true;
    });
  }

  static void read_rest(fields& f, result_run& run) {
    if (!f.more()) return;
    auto& in = f.next();
    if (in.nil()) return;
    const auto count = in.array();
    if (count != run.payloads.size()) in.fail(reject::out_of_range);
    if (!in.ok()) return;
    run.details.reserve(count);
    for (std::uint32_t i = 0; i < count && in.ok(); ++i)
      run.details.push_back(read_outcome_details(in));
  }

  /// `room`: how many more items this message may hold.
  template <class Run>
  Run read_run(std::uint64_t& room) {
    constexpr bool of_tasks = std::is_same_v<Run, task_run>;
    fields f(in_);
    f.need(of_tasks ? 4 : 5);
    Run run;
    run.first = read_seq(f.next());
    run.attempt = read_u32(f.next());
    // A ventilator may give up a task that it never could send.
    if (of_tasks && run.attempt == 0) in_.fail(reject::out_of_range);
    const auto count = static_cast<std::uint32_t>(f.next().uint(room));
    if (count == 0 || run.first + count - 1 > limits::seq) in_.fail(reject::out_of_range);
    if (!in_.ok()) return run;
    room -= count;
    f.next();
    run.payloads = body_.read(in_, count);
    if constexpr (!of_tasks) {
      const auto code = status_from(f.next().uint(UINT64_MAX));
      if (!code) in_.fail(reject::out_of_range);
      run.code = code.value_or(status::unknown);
    }
    read_rest(f, run);
    f.skip_rest();
    return run;
  }

  template <class Batch>
  Batch read_batch(fields& f) {
    Batch m;
    f.need(2);
    if (body_.too_long()) in_.fail(reject::out_of_range);
    m.source = read_source(f.next());
    const auto runs = f.next().array();
    if (runs > limits::items) in_.fail(reject::out_of_range);
    if (in_.ok()) m.runs.reserve(runs);
    std::uint64_t room = limits::items;
    for (std::uint32_t i = 0; i < runs && in_.ok(); ++i)
      m.runs.push_back(read_run<typename decltype(m.runs)::value_type>(room));
    return m;
  }

  window read_window(fields& f) {
    window m;
    f.need(2);
    m.items = f.next().uint(limits::seq);
    m.bytes = f.next().uint(limits::seq);
    if (!f.more()) return m;
    f.next();
    if (in_.nil()) return m;
    m.resync = true;
    const auto sources = in_.array();
    if (sources > limits::sources) in_.fail(reject::out_of_range);
    std::size_t room = limits::ranges;
    for (std::uint32_t i = 0; i < sources && in_.ok(); ++i) {
      fields held(in_);
      held.need(2);
      in_hand h;
      h.source = read_source(held.next());
      h.ranges = read_ranges(held.next(), room);
      held.skip_rest();
      m.holding.push_back(std::move(h));
    }
    return m;
  }

  cancel read_cancel(fields& f) {
    cancel m;
    f.need(3);
    m.source = read_source(f.next());
    m.ranges = read_ranges(f.next());
    m.mode = static_cast<cancel_mode>(f.next().uint(1));
    return m;
  }

  template <class Message>
  Message read_set(fields& f) {
    Message m;
    f.need(2);
    m.source = read_source(f.next());
    m.ranges = read_ranges(f.next());
    return m;
  }

  template <class Message>
  Message read_state(fields& f) {
    Message m;
    f.need(4);
    m.source = read_source(f.next());
    m.epoch = f.next().uint(limits::seq);
    m.low = f.next().uint(limits::seq);
    m.done = read_ranges(f.next());
    return m;
  }

  finish read_finish(fields& f) {
    finish m;
    f.need(3);
    m.source = read_source(f.next());
    m.epoch = f.next().uint(limits::seq);
    m.total = f.next().uint(limits::seq);
    return m;
  }

  progress read_progress(fields& f) {
    progress m;
    f.need(6);
    m.source = read_source(f.next());
    m.seq = read_seq(f.next());
    m.attempt = read_u32(f.next());
    m.done = f.next().uint(limits::seq);
    m.total = f.next().uint(limits::seq);
    m.text = read_text(f.next());
    return m;
  }

  bye read_bye(fields& f) {
    f.need(1);
    // Whatever other reasons there may be one day: it has left.
    const auto reason = f.next().uint(UINT64_MAX);
    bye m{reason == 1 ? bye_reason::finished : bye_reason::leaving};
    if (!f.more()) return m;
    f.next();
    if (!in_.nil()) m.seen = in_.uint(limits::seq);
    return m;
  }

  error_message read_error(fields& f) {
    error_message m;
    f.need(2);
    // Not only those we know: the text says it, and what to do is the same for all of them.
    m.code = static_cast<wire_error>(f.next().uint(255));
    m.text = read_text(f.next());
    return m;
  }

  msgpack_reader in_;
  payload_reader body_;
  bool other_version_ = false;
};

}  // namespace

std::variant<message, reject> decode(std::string_view header, blob body) {
  if (header.size() > limits::header_bytes) return reject::header_too_long;
  return message_reader(header, std::move(body)).read();
}

}  // namespace weir::proto
