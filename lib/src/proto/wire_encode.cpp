#include "proto/wire.hpp"
#include "proto/wire_writer.hpp"

#include <cmath>

namespace weir::proto {
namespace {

namespace key = wire::key;

std::string_view tail(std::string_view bytes, std::size_t max) {
  return bytes.size() <= max ? bytes : bytes.substr(bytes.size() - max);
}

bool known(double seconds) { return std::isfinite(seconds) && seconds > 0; }

class message_writer : public wire_writer {
 public:
  using wire_writer::wire_writer;

  void write(const hello& m) {
    begin(wire::kind::hello, 5);
    uint(m.version);
    names(m.self);
    more(m.self);
  }

  void write(const welcome& m) {
    begin(wire::kind::welcome, 6);
    uint(m.version);
    names(m.self);
    uint(m.heartbeat_ms);
    more(m.self);
  }

  void write(const task_batch& m) {
    begin(wire::kind::task, 2);
    source(m.source);
    array(m.runs.size());
    for (const auto& run : m.runs) {
      const bool limited = run.time_limit_ms != 0;
      const bool plain = !limited && !run.commands;
      out_.pack_array(plain ? 4 : 5);
      run_head(run);
      if (plain) continue;
      out_.pack_map(std::uint32_t{limited} + std::uint32_t{run.commands});
      if (limited) entry(key::time_limit, std::uint64_t{run.time_limit_ms});
      if (run.commands) flag(key::commands);
    }
  }

  void write(const result_batch& m) {
    begin(wire::kind::result, 2);
    source(m.source);
    array(m.runs.size());
    std::size_t room = limits::details_bytes;
    for (const auto& run : m.runs) {
      const bool detailed = !run.details.empty() && run.details.size() == run.payloads.size();
      out_.pack_array(detailed ? 6 : 5);
      run_head(run);
      uint(static_cast<std::uint64_t>(run.code));
      if (!detailed) continue;
      out_.pack_array(run.payloads.size());
      for (const auto& d : run.details) details(d, room);
    }
  }

  void write(const window& m) {
    begin(wire::kind::window, m.resync ? 3 : 2);
    figure(m.items);
    figure(m.bytes);
    if (!m.resync) return;
    // A resync cannot be continued in another message. What is left out is sent again.
    const auto sources = std::min(m.holding.size(), limits::sources);
    std::size_t room = limits::ranges;
    array(sources);
    for (std::size_t i = 0; i < sources; ++i) {
      const auto& held = m.holding[i];
      const auto fitting = std::min(held.ranges.size(), room);
      room -= fitting;
      out_.pack_array(2);
      source(held.source);
      ranges({held.ranges.data(), fitting});
    }
  }

  void write(const cancel& m) {
    begin(wire::kind::cancel, 3);
    source(m.source);
    ranges(m.ranges);
    uint(static_cast<std::uint64_t>(m.mode));
  }

  void write(const release& m) { set(wire::kind::release, m); }
  void write(const committed& m) { set(wire::kind::committed, m); }
  void write(const register_source& m) { state(wire::kind::register_source, m); }
  void write(const registered& m) { state(wire::kind::registered, m); }
  void write(const ack& m) { state(wire::kind::ack, m); }

  void write(const resend& m) {
    begin(wire::kind::resend, 1);
    source(m.source);
  }

  void write(const finish& m) {
    begin(wire::kind::finish, 3);
    source(m.source);
    uint(m.epoch);
    uint(m.total);
  }

  void write(const progress& m) {
    begin(wire::kind::progress, 6);
    source(m.source);
    uint(m.seq);
    uint(m.attempt);
    figure(m.done);
    figure(m.total);
    text(m.text);
  }

  void write(const alive&) { begin(wire::kind::alive, 0); }

  void write(const bye& m) {
    begin(wire::kind::bye, m.seen ? 2 : 1);
    uint(static_cast<std::uint64_t>(m.reason));
    if (m.seen) uint(*m.seen);
  }

  void write(const error_message& m) {
    begin(wire::kind::error, 2);
    uint(static_cast<std::uint64_t>(m.code));
    text(m.text);
  }

 private:
  void names(const introduction& self) {
    str(wire::roles[static_cast<std::size_t>(self.role)]);
    text(self.name);
    std::array<char, 8> id{};
    store_big_endian(static_cast<std::uint64_t>(self.session), id.data());
    bin({id.data(), id.size()});
  }

  void more(const introduction& self) {
    out_.pack_map(std::uint32_t{!self.host.empty()} + std::uint32_t{self.slots != 0} +
                  std::uint32_t{!self.results_to.empty()} +
                  std::uint32_t{self.max_payload != 0} + std::uint32_t{self.takes_commands});
    if (!self.host.empty()) entry(key::host, self.host);
    if (self.slots != 0) entry(key::slots, std::uint64_t{self.slots});
    if (!self.results_to.empty()) entry(key::results_to, self.results_to);
    if (self.max_payload != 0) entry(key::max_payload, std::min(self.max_payload, limits::seq));
    if (self.takes_commands) flag(key::takes_commands);
  }

  template <class Run>
  void run_head(const Run& run) {
    const auto count = run.payloads.size();
    uint(run.first);
    uint(run.attempt);
    uint(count);
    lengths(run.payloads);
  }

  /// `room`: what this message's details may still come to.
  void details(const outcome_details& d, std::size_t& room) {
    const auto size = encoded_size(d);
    const bool whole = size <= room;
    if (whole) room -= size;
    const bool with_message = whole && !d.message.empty();
    const bool with_host = whole && !d.host.empty();
    const bool with_stderr = whole && !d.stderr_tail.empty();
    const bool with_exit = whole && d.exit_code >= 0;
    const bool with_signal = whole && d.signal > 0;
    const bool with_start = whole && known(d.started);
    const bool with_runtime = whole && known(d.runtime);
    out_.pack_map(std::uint32_t{with_message} + with_host + with_stderr + with_exit +
                  with_signal + with_start + with_runtime + !d.retryable);
    if (with_message) entry(key::message, d.message);
    if (with_host) entry(key::host, d.host);
    if (with_stderr) binary(key::stderr_tail, tail(d.stderr_tail, limits::stderr_bytes));
    if (with_exit) entry(key::exit_code, static_cast<std::uint64_t>(d.exit_code));
    if (with_signal) entry(key::signal, static_cast<std::uint64_t>(d.signal));
    if (with_start) entry(key::started, d.started);
    if (with_runtime) entry(key::runtime, d.runtime);
    if (!d.retryable) flag(key::final_attempt);
  }

  template <class Message>
  void set(wire::kind kind, const Message& m) {
    begin(kind, 2);
    source(m.source);
    ranges(m.ranges);
  }

  template <class Message>
  void state(wire::kind kind, const Message& m) {
    begin(kind, 4);
    source(m.source);
    uint(m.epoch);
    uint(m.low);
    ranges(m.done);
  }
};

template <class Message>
frames encoded(const Message& m) {
  message_writer writer;
  writer.write(m);
  return {writer.take(), {}};
}

template <class Batch>
frames encoded_batch(const Batch& m) {
  message_writer writer(expected_size(m.runs));
  writer.write(m);
  return {writer.take(), joined_payloads(m.runs)};
}

frames encoded(const task_batch& m) { return encoded_batch(m); }
frames encoded(const result_batch& m) { return encoded_batch(m); }

}  // namespace

std::size_t encoded_size(const outcome_details& details) noexcept {
  // A key, its value's type and length: nine bytes or fewer for each of the texts. The rest,
  // all present, takes 1 for the map, 10 + 9 for exit and signal, 12 + 13 for the times, and 7.
  constexpr std::size_t figures = 1 + 10 + 9 + 12 + 13 + 7;
  const auto text = [](const std::string& value, std::size_t max) {
    return value.empty() ? 0 : 9 + std::min(value.size(), max);
  };
  return figures + text(details.message, limits::text_bytes) +
         text(details.host, limits::text_bytes) +
         text(details.stderr_tail, limits::stderr_bytes);
}

std::uint32_t fitting_results(const result_run& run) noexcept {
  auto count = std::min(run.payloads.count_within(limits::batch_bytes), limits::items);
  std::size_t room = limits::details_bytes;
  for (std::uint32_t i = 0; i < count && i < run.details.size(); ++i) {
    const auto size = encoded_size(run.details[i]);
    if (size > room) count = i;
    room -= size;
  }
  return std::max(count, std::uint32_t{1});
}

frames encode(const message& m) {
  return std::visit([](const auto& one) { return encoded(one); }, m);
}

}  // namespace weir::proto
