// Calls: see docs/protocol.md, section 12.
#include "proto/wire.hpp"
#include "proto/wire_reader.hpp"

#include <memory>
#include <utility>

namespace weir::proto {
namespace {

namespace key = wire::key;

std::string read_method_name(msgpack_reader& in) {
  auto name = read_text(in, limits::method_bytes);
  if (name.empty()) in.fail(reject::out_of_range);
  return name;
}

std::vector<method_info::argument> read_arguments(msgpack_reader& in) {
  std::vector<method_info::argument> all;
  const auto count = in.array();
  if (count > limits::arguments) in.fail(reject::out_of_range);
  for (std::uint32_t i = 0; i < count && in.ok(); ++i) {
    fields f(in);
    f.need(2);
    method_info::argument a;
    a.name = read_text(f.next());
    a.type = read_text(f.next());
    if (f.more()) a.optional = f.next().boolean();
    f.skip_rest();
    all.push_back(std::move(a));
  }
  return all;
}

method_info read_method(msgpack_reader& in) {
  method_info m;
  fields f(in);
  f.need(2);
  m.name = read_method_name(f.next());
  read_map(f.next(), [&](std::string_view name) {
    if (name == key::doc)
      m.doc = read_text(in);
    else if (name == key::signature)
      m.signature = read_text(in);
    else if (name == key::arguments)
      m.arguments = read_arguments(in), m.arguments_known = true;
    else if (name == key::returns)
      m.result = read_text(in);
    else if (name == key::streams)
      m.streams = in.boolean();
    else if (name == key::idempotent)
      m.idempotent = in.boolean();
    else if (name == key::concurrency)
      m.concurrency = read_u32(in);
    else if (name == key::deadline)
      m.deadline_ms = read_u32(in);
    else if (name == key::cache)
      m.cache_ms = read_u32(in);
    else
      return false;
    return true;
  });
  f.skip_rest();
  return m;
}

offer read_offer(fields& f, msgpack_reader& in) {
  offer m;
  f.need(1);
  const auto methods = f.next().array();
  if (methods > limits::methods) in.fail(reject::out_of_range);
  for (std::uint32_t i = 0; i < methods && in.ok(); ++i) m.methods.push_back(read_method(in));
  if (!f.more()) return m;
  f.next();
  if (in.nil()) return m;
  read_map(in, [&](std::string_view name) {
    if (name != key::direct) return false;
    m.direct.clear();
    const auto endpoints = in.array();
    if (endpoints > limits::direct_endpoints) in.fail(reject::out_of_range);
    for (std::uint32_t i = 0; i < endpoints && in.ok(); ++i) m.direct.push_back(read_text(in));
    return true;
  });
  return m;
}

std::vector<std::pair<std::string, std::string>> read_metadata(msgpack_reader& in) {
  std::vector<std::pair<std::string, std::string>> all;
  const auto entries = in.map();
  if (entries > limits::map_entries) in.fail(reject::out_of_range);
  std::size_t room = limits::metadata_bytes;
  for (std::uint32_t i = 0; i < entries && in.ok(); ++i) {
    auto name = read_text(in, room);
    room -= name.size();
    auto value = read_text(in, room);
    room -= value.size();
    all.emplace_back(std::move(name), std::move(value));
  }
  return all;
}

call_options read_options(msgpack_reader& in) {
  call_options o;
  read_map(in, [&](std::string_view name) {
    if (name == key::priority)
      o.priority = static_cast<std::uint8_t>(in.uint(limits::priority));
    else if (name == key::no_reply)
      o.no_reply = in.boolean();
    else if (name == key::attempt)
      o.attempt = read_u32(in);
    else if (name == key::stream_window)
      o.stream_window = read_u32(in);
    else if (name == key::stream_bytes)
      o.stream_bytes = read_u32(in);
    else if (name == key::hash_key)
      o.hash_key = in.bin(limits::key_bytes);
    else if (name == key::idempotency_key)
      o.idempotency_key = in.bin(limits::key_bytes);
    else if (name == key::metadata)
      o.metadata = read_metadata(in);
    else
      return false;
    return true;
  });
  if (o.attempt == 0) in.fail(reject::out_of_range);
  return o;
}

reply_details read_reply_details(msgpack_reader& in) {
  reply_details d;
  if (in.nil()) return d;
  read_map(in, [&](std::string_view name) {
    if (name == key::message)
      d.message = read_text(in);
    else if (name == key::type)
      d.type = read_text(in);
    else if (name == key::data)
      d.data = in.bin(limits::error_data_bytes);
    else if (name == key::trace)
      d.trace = read_text(in);
    else if (name == key::retry)
      d.retry_ms = read_u32(in);
    else if (name == key::never_started)
      d.never_started = in.boolean();
    else if (name == key::parts)
      d.parts = in.uint(limits::seq);
    else
      return false;
    return true;
  });
  return d;
}

/// The runs of a CALL, REPLY or PART.
class batch_reader {
 public:
  batch_reader(msgpack_reader& in, payload_reader& body) : in_(in), body_(body) {
    if (body_.too_long()) in_.fail(reject::out_of_range);
  }

  template <class Run>
  std::vector<Run> read(fields& f) {
    std::vector<Run> all;
    const auto runs = f.next().array();
    if (runs > limits::items) in_.fail(reject::out_of_range);
    if (in_.ok()) all.reserve(runs);
    for (std::uint32_t i = 0; i < runs && in_.ok(); ++i) {
      fields run(in_);
      read(run, all.emplace_back());
      run.skip_rest();
    }
    return all;
  }

 private:
  void read(fields& f, call_run& run) {
    f.need(5);
    run.first = read_seq(f.next());
    const auto count = read_count(f, run.first);
    run.method = read_method_name(f.next());
    run.ttl_ms = read_u32(f.next());
    if (run.ttl_ms == 0) in_.fail(reject::out_of_range);
    f.next();
    run.arguments = body_.read(in_, count);
    if (f.more()) run.options = read_shared_options(f);
  }

  void read(fields& f, reply_run& run) {
    f.need(4);
    run.first = read_seq(f.next());
    const auto count = read_count(f, run.first);
    f.next();
    run.results = body_.read(in_, count);
    const auto code = status_from(f.next().uint(UINT64_MAX));
    if (!code) in_.fail(reject::out_of_range);
    run.code = code.value_or(status::unknown);
    if (f.more()) read_all_details(f, run);
    if (f.more()) read_times(f, run);
  }

  void read(fields& f, part_run& run) {
    f.need(4);
    run.call = read_seq(f.next());
    run.first = read_seq(f.next());
    const auto count = read_count(f, run.first);
    f.next();
    run.elements = body_.read(in_, count);
  }

  std::uint32_t read_count(fields& f, std::uint64_t first) {
    const auto count = static_cast<std::uint32_t>(f.next().uint(room_));
    if (count == 0 || first + count - 1 > limits::seq) in_.fail(reject::out_of_range);
    room_ -= count;
    return in_.ok() ? count : 0;
  }

  /// Runs that differ only in deadline or method mostly have the options of the run before.
  std::shared_ptr<const call_options> read_shared_options(fields& f) {
    f.next();
    if (in_.nil()) return nullptr;
    const auto before = in_.ahead();
    // No MessagePack value is the beginning of another.
    if (!packed_options_.empty() && before.starts_with(packed_options_)) {
      in_.skip(1);
      return options_;
    }
    auto options = read_options(in_);
    if (!in_.ok()) return nullptr;
    packed_options_ = before.substr(0, before.size() - in_.ahead().size());
    options_ =
        options.plain() ? nullptr : std::make_shared<const call_options>(std::move(options));
    return options_;
  }

  void read_all_details(fields& f, reply_run& run) {
    f.next();
    if (in_.nil()) return;
    const auto count = in_.array();
    if (count != run.results.size()) in_.fail(reject::out_of_range);
    if (!in_.ok()) return;
    run.details.reserve(count);
    for (std::uint32_t i = 0; i < count && in_.ok(); ++i)
      run.details.push_back(read_reply_details(in_));
  }

  void read_times(fields& f, reply_run& run) {
    f.next();
    if (in_.nil()) return;
    read_map(in_, [&](std::string_view name) {
      if (name == key::queued)
        run.queued_us = read_u32(in_);
      else if (name == key::service)
        run.service_us = read_u32(in_);
      else if (name == key::received)
        run.received_us = in_.uint(limits::seq);
      else
        return false;
      return true;
    });
  }

  msgpack_reader& in_;
  payload_reader& body_;
  std::uint64_t room_ = limits::items;  ///< how many more items this message may hold
  std::string_view packed_options_;     ///< of the last run that had some
  std::shared_ptr<const call_options> options_;
};

call_batch read_calls(fields& f, msgpack_reader& in, payload_reader& body) {
  call_batch m;
  f.need(2);
  m.low = f.next().uint(limits::seq);
  m.runs = batch_reader(in, body).read<call_run>(f);
  return m;
}

credit read_credit(fields& f, msgpack_reader& in) {
  credit m;
  f.need(1);
  const auto figures = f.next().array();
  if (figures % 3 != 0 || figures / 3 > limits::items) in.fail(reject::out_of_range);
  if (!in.ok()) return m;
  m.entries.reserve(figures / 3);
  std::uint64_t before = 0;
  for (std::uint32_t i = 0; i < figures / 3 && in.ok(); ++i) {
    const auto call = in.uint(limits::seq);
    const auto got = in.uint(limits::seq);
    const auto until = in.uint(limits::seq);
    if (call <= before || until < got) in.fail(reject::out_of_range);
    m.entries.push_back({call, got, until});
    before = call;
  }
  return m;
}

direct_calls read_direct_calls(fields& f, msgpack_reader& in) {
  direct_calls m;
  f.need(1);
  const auto elements = f.next().array();
  if (elements % 2 != 0 || elements / 2 > limits::methods) in.fail(reject::out_of_range);
  for (std::uint32_t i = 0; i < elements / 2 && in.ok(); ++i) {
    auto name = read_method_name(in);
    m.entries.push_back({std::move(name), in.uint(limits::seq)});
  }
  return m;
}

}  // namespace

message read_rpc(wire::kind kind, fields& f, msgpack_reader& in, payload_reader& body) {
  switch (kind) {
    case wire::kind::offer:
      return read_offer(f, in);
    case wire::kind::call:
      return read_calls(f, in, body);
    case wire::kind::reply:
      f.need(1);
      return reply_batch{batch_reader(in, body).read<reply_run>(f)};
    case wire::kind::part:
      f.need(1);
      return part_batch{batch_reader(in, body).read<part_run>(f)};
    case wire::kind::credit:
      return read_credit(f, in);
    case wire::kind::cancel_calls: {
      f.need(2);
      cancel_calls m;
      m.calls = read_ranges(f.next());
      m.reason = read_text(f.next());
      return m;
    }
    case wire::kind::call_progress: {
      f.need(4);
      call_progress m;
      m.call = read_seq(f.next());
      m.done = f.next().uint(limits::seq);
      m.total = f.next().uint(limits::seq);
      m.text = read_text(f.next());
      return m;
    }
    case wire::kind::direct_calls:
      return read_direct_calls(f, in);
    default:
      in.fail(reject::unknown_kind);
      return alive{};
  }
}

}  // namespace weir::proto
