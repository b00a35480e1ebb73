// Calls: see docs/protocol.md, section 12.
#include "proto/wire.hpp"
#include "proto/wire_writer.hpp"

namespace weir::proto {
namespace {

namespace key = wire::key;

// The most that a part of a header takes as MessagePack.
constexpr std::size_t figure_bytes = 9;
constexpr std::size_t length_bytes = 5;
constexpr std::size_t text_head = 3;  // for those below 64 KiB
/// Of a run of replies: 1 for the map, (2 + 5) twice, 3 + 9.
constexpr std::size_t times_size = 27;

/// `value` with its head and a key of at most eight letters; nothing if it is empty.
std::size_t entry_size(std::string_view value, std::size_t max) {
  return value.empty() ? 0 : 9 + text_head + std::min(value.size(), max);
}

std::size_t lengths_size(const pack& payloads) {
  return length_bytes + (payloads.uniform() ? 0 : length_bytes * payloads.size());
}

std::size_t encoded_size(const method_info& m) {
  std::size_t bytes = 80 + entry_size(m.doc, limits::text_bytes) +
                      entry_size(m.signature, limits::text_bytes) +
                      entry_size(m.result, limits::text_bytes);
  for (const auto& a : m.arguments)
    bytes += 2 + 2 * text_head + std::min(a.name.size(), limits::text_bytes) +
             std::min(a.type.size(), limits::text_bytes);
  return bytes;
}

std::size_t encoded_size(const call_options& o) {
  std::size_t bytes = 56 + entry_size(o.hash_key, limits::key_bytes) +
                      entry_size(o.idempotency_key, limits::key_bytes);
  for (const auto& [name, value] : o.metadata)
    bytes += 2 * text_head + name.size() + value.size();
  return bytes;
}

/// How many entries of the metadata are sent: those that its receiver would take.
std::uint32_t fitting_entries(const call_options& o) {
  std::uint32_t count = 0;
  std::size_t room = limits::metadata_bytes;
  for (const auto& [name, value] : o.metadata) {
    if (count == limits::map_entries || name.size() + value.size() > room) break;
    room -= name.size() + value.size();
    ++count;
  }
  return count;
}

class rpc_writer : public wire_writer {
 public:
  using wire_writer::wire_writer;

  void write(const offer& m) {
    begin(wire::kind::offer, m.direct.empty() ? 1 : 2);
    const auto methods = std::min(m.methods.size(), limits::methods);
    std::size_t room = limits::offer_bytes;
    array(methods);
    for (std::size_t i = 0; i < methods; ++i) method(m.methods[i], room);
    if (m.direct.empty()) return;
    out_.pack_map(1);
    str(key::direct);
    const auto endpoints = std::min(m.direct.size(), limits::direct_endpoints);
    array(endpoints);
    for (std::size_t i = 0; i < endpoints; ++i) text(m.direct[i]);
  }

  void write(const call_batch& m) {
    begin(wire::kind::call, 2);
    uint(m.low);
    array(m.runs.size());
    for (const auto& run : m.runs) {
      const bool plain = !run.options || run.options->plain();
      out_.pack_array(plain ? 5 : 6);
      uint(run.first);
      uint(run.arguments.size());
      text(run.method, limits::method_bytes);
      uint(std::max(run.ttl_ms, 1u));
      lengths(run.arguments);
      if (!plain) options(*run.options);
    }
  }

  void write(const reply_batch& m) {
    begin(wire::kind::reply, 1);
    array(m.runs.size());
    std::size_t room = limits::details_bytes;
    // For statistics: whoever answers so many runs at a time may leave some out.
    std::size_t times_room = limits::details_bytes / 4;
    for (const auto& run : m.runs) {
      const bool detailed = run.details.size() == run.results.size() &&
                            !std::ranges::all_of(run.details, &reply_details::plain);
      const bool figures = times_room >= times_size &&
                           (run.queued_us != 0 || run.service_us != 0 || run.received_us != 0);
      if (figures) times_room -= times_size;
      out_.pack_array(figures ? 6 : detailed ? 5 : 4);
      uint(run.first);
      uint(run.results.size());
      lengths(run.results);
      uint(static_cast<std::uint64_t>(run.code));
      if (detailed) {
        array(run.details.size());
        for (const auto& d : run.details) details(d, room);
      } else if (figures) {
        out_.pack_nil();
      }
      if (figures) times(run);
    }
  }

  void write(const part_batch& m) {
    begin(wire::kind::part, 1);
    array(m.runs.size());
    for (const auto& run : m.runs) {
      out_.pack_array(4);
      uint(run.call);
      uint(run.first);
      uint(run.elements.size());
      lengths(run.elements);
    }
  }

  void write(const credit& m) {
    begin(wire::kind::credit, 1);
    array(3 * m.entries.size());
    for (const auto& entry : m.entries) {
      uint(entry.call);
      figure(entry.got);
      figure(entry.until);
    }
  }

  void write(const cancel_calls& m) {
    begin(wire::kind::cancel_calls, 2);
    ranges(m.calls);
    text(m.reason);
  }

  void write(const call_progress& m) {
    begin(wire::kind::call_progress, 4);
    uint(m.call);
    figure(m.done);
    figure(m.total);
    text(m.text);
  }

  void write(const direct_calls& m) {
    begin(wire::kind::direct_calls, 1);
    array(2 * m.entries.size());
    for (const auto& entry : m.entries) {
      text(entry.method, limits::method_bytes);
      figure(entry.calls);
    }
  }

 private:
  /// `room`: what this message's descriptions may still come to.
  void method(const method_info& m, std::size_t& room) {
    const auto size = encoded_size(m);
    const bool whole = size <= room;
    if (whole) room -= size;
    const bool with_doc = whole && !m.doc.empty();
    const bool with_signature = whole && !m.signature.empty();
    const bool with_arguments =
        whole && m.arguments_known && m.arguments.size() <= limits::arguments;
    const bool with_result = whole && !m.result.empty();
    out_.pack_array(2);
    text(m.name, limits::method_bytes);
    out_.pack_map(std::uint32_t{with_doc} + with_signature + with_arguments + with_result +
                  m.streams + m.idempotent + (m.concurrency != 0) + (m.deadline_ms != 0) +
                  (m.cache_ms != 0));
    if (with_doc) entry(key::doc, m.doc);
    if (with_signature) entry(key::signature, m.signature);
    if (with_arguments) {
      str(key::arguments);
      array(m.arguments.size());
      for (const auto& a : m.arguments) {
        out_.pack_array(a.optional ? 3 : 2);
        text(a.name);
        text(a.type);
        if (a.optional) out_.pack_true();
      }
    }
    if (with_result) entry(key::returns, m.result);
    if (m.streams) flag(key::streams);
    if (m.idempotent) flag(key::idempotent);
    if (m.concurrency != 0) entry(key::concurrency, std::uint64_t{m.concurrency});
    if (m.deadline_ms != 0) entry(key::deadline, std::uint64_t{m.deadline_ms});
    if (m.cache_ms != 0) entry(key::cache, std::uint64_t{m.cache_ms});
  }

  void options(const call_options& o) {
    const bool with_priority = o.priority != call_options::default_priority;
    const bool with_attempt = o.attempt > 1;
    // A part of a key would be another key.
    const auto usable = [](const std::string& k) {
      return !k.empty() && k.size() <= limits::key_bytes;
    };
    const bool with_hash = usable(o.hash_key);
    const bool with_idempotency = usable(o.idempotency_key);
    const auto entries = fitting_entries(o);
    out_.pack_map(std::uint32_t{with_priority} + o.no_reply + with_attempt +
                  (o.stream_window != 0) + (o.stream_bytes != 0) + with_hash +
                  with_idempotency + (entries != 0));
    if (with_priority)
      entry(key::priority, std::uint64_t{std::min(o.priority, limits::priority)});
    if (o.no_reply) flag(key::no_reply);
    if (with_attempt) entry(key::attempt, std::uint64_t{o.attempt});
    if (o.stream_window != 0) entry(key::stream_window, std::uint64_t{o.stream_window});
    if (o.stream_bytes != 0) entry(key::stream_bytes, std::uint64_t{o.stream_bytes});
    if (with_hash) binary(key::hash_key, o.hash_key);
    if (with_idempotency) binary(key::idempotency_key, o.idempotency_key);
    if (entries == 0) return;
    str(key::metadata);
    out_.pack_map(entries);
    for (std::uint32_t i = 0; i < entries; ++i) {
      text(o.metadata[i].first, limits::metadata_bytes);
      text(o.metadata[i].second, limits::metadata_bytes);
    }
  }

  /// `room`: what this message's details may still come to.
  void details(const reply_details& d, std::size_t& room) {
    const auto size = proto::encoded_size(d);
    const bool whole = size <= room;
    if (whole) room -= size;
    const bool with_message = whole && !d.message.empty();
    const bool with_type = whole && !d.type.empty();
    // Cut, it could not be unpacked.
    const bool with_data =
        whole && !d.data.empty() && d.data.size() <= limits::error_data_bytes;
    const bool with_trace = whole && !d.trace.empty();
    // What a caller decides by is always sent.
    out_.pack_map(std::uint32_t{with_message} + with_type + with_data + with_trace +
                  (d.retry_ms != 0) + d.never_started + (d.parts != 0));
    if (with_message) entry(key::message, d.message);
    if (with_type) entry(key::type, d.type);
    if (with_data) binary(key::data, d.data);
    if (with_trace) entry(key::trace, d.trace);
    if (d.retry_ms != 0) entry(key::retry, std::uint64_t{d.retry_ms});
    if (d.never_started) flag(key::never_started);
    if (d.parts != 0) entry(key::parts, d.parts);
  }

  void times(const reply_run& run) {
    out_.pack_map(std::uint32_t{run.queued_us != 0} + (run.service_us != 0) +
                  (run.received_us != 0));
    if (run.queued_us != 0) entry(key::queued, std::uint64_t{run.queued_us});
    if (run.service_us != 0) entry(key::service, std::uint64_t{run.service_us});
    if (run.received_us != 0) entry(key::received, std::min(run.received_us, limits::seq));
  }
};

template <class Message>
frames alone(const Message& m) {
  rpc_writer writer;
  writer.write(m);
  return {writer.take(), {}};
}

template <class Batch>
frames with_payloads(const Batch& m) {
  rpc_writer writer(expected_size(m.runs));
  writer.write(m);
  return {writer.take(), joined_payloads(m.runs)};
}

}  // namespace

std::size_t encoded_size(const reply_details& d) noexcept {
  // 1 for the map; keys and figures of "retry", "ns" and "parts", all present.
  constexpr std::size_t figures = 1 + (6 + 5) + (3 + 1) + (6 + figure_bytes);
  return d.plain() ? 1
                   : figures + entry_size(d.message, limits::text_bytes) +
                         entry_size(d.type, limits::text_bytes) +
                         entry_size(d.data, limits::error_data_bytes) +
                         entry_size(d.trace, limits::text_bytes);
}

std::size_t encoded_size(const call_run& run) noexcept {
  return 1 + figure_bytes + 3 + text_head + std::min(run.method.size(), limits::method_bytes) +
         length_bytes + lengths_size(run.arguments) +
         (run.options ? encoded_size(*run.options) : 0);
}

std::size_t encoded_size(const reply_run& run) noexcept {
  std::size_t bytes =
      1 + figure_bytes + 3 + lengths_size(run.results) + 1 + times_size + length_bytes;
  for (const auto& d : run.details) bytes += encoded_size(d);
  return bytes;
}

std::uint32_t fitting_calls(const call_run& run) noexcept {
  return std::max(std::min(run.arguments.count_within(limits::batch_bytes), limits::items), 1u);
}

std::uint32_t fitting_replies(const reply_run& run) noexcept {
  auto count = std::min(run.results.count_within(limits::batch_bytes), limits::items);
  std::size_t room = limits::details_bytes;
  for (std::uint32_t i = 0; i < count && i < run.details.size(); ++i) {
    const auto size = encoded_size(run.details[i]);
    if (size > room) count = i;
    room -= size;
  }
  return std::max(count, 1u);
}

frames encoded(const offer& m) { return alone(m); }
frames encoded(const call_batch& m) { return with_payloads(m); }
frames encoded(const reply_batch& m) { return with_payloads(m); }
frames encoded(const part_batch& m) { return with_payloads(m); }
frames encoded(const credit& m) { return alone(m); }
frames encoded(const cancel_calls& m) { return alone(m); }
frames encoded(const call_progress& m) { return alone(m); }
frames encoded(const direct_calls& m) { return alone(m); }

}  // namespace weir::proto
