#include "io/reorder.hpp"

#include <algorithm>
#include <cassert>
#include <cstring>
#include <memory>
#include <utility>
#include <vector>

namespace weir::io {

namespace {

/// What a waiting run costs besides its bytes: a node of the map, the run, its blob.
constexpr std::size_t run_overhead = 256;
/// How much of an extent is read back at a time, and written at a time.
constexpr std::size_t chunk_bytes = 256 * 1024;

// In the file a run is its length (8 bytes) and then its fields in this machine's own
// representation: nobody else ever reads it.

template <typename T>
void put(std::string& to, const T& value) {
  to.append(reinterpret_cast<const char*>(&value), sizeof value);
}

void put_text(std::string& to, std::string_view text) {
  put(to, static_cast<std::uint32_t>(text.size()));
  to += text;
}

struct cursor {
  std::string_view rest;

  template <typename T>
  T get() {
    T value;
    std::memcpy(&value, rest.data(), sizeof value);
    rest.remove_prefix(sizeof value);
    return value;
  }
  std::string text() {
    const auto length = get<std::uint32_t>();
    std::string out(rest.substr(0, length));
    rest.remove_prefix(length);
    return out;
  }
};

void append_run(std::string& to, const proto::result_run& run) {
  const std::size_t start = to.size();
  put(to, std::uint64_t{0});
  put(to, run.first);
  put(to, run.attempt);
  put(to, run.code);
  put(to, run.payloads.size());
  put(to, !run.details.empty());
  for (std::uint32_t i = 0; i < run.payloads.size(); ++i) put(to, run.payloads.length(i));
  for (const outcome_details& d : run.details) {
    put(to, d.exit_code);
    put(to, d.signal);
    put(to, d.started);
    put(to, d.runtime);
    put(to, d.retryable);
    put_text(to, d.message);
    put_text(to, d.host);
    put_text(to, d.stderr_tail);
  }
  to += run.payloads.body().bytes;
  const std::uint64_t length = to.size() - start;
  std::memcpy(to.data() + start, &length, sizeof length);
}

proto::result_run read_run(const proto::blob& record) {
  cursor from{record.bytes.substr(sizeof(std::uint64_t))};
  proto::result_run run;
  run.first = from.get<std::uint64_t>();
  run.attempt = from.get<std::uint32_t>();
  run.code = from.get<status>();
  const auto count = from.get<std::uint32_t>();
  const auto detailed = from.get<bool>();
  std::vector<std::uint32_t> offsets{0};
  offsets.reserve(count + 1);
  for (std::uint32_t i = 0; i < count; ++i)
    offsets.push_back(offsets.back() + from.get<std::uint32_t>());
  for (std::uint32_t i = 0; detailed && i < count; ++i) {
    outcome_details& d = run.details.emplace_back();
    d.exit_code = from.get<std::int32_t>();
    d.signal = from.get<std::int32_t>();
    d.started = from.get<double>();
    d.runtime = from.get<double>();
    d.retryable = from.get<bool>();
    d.message = from.text();
    d.host = from.text();
    d.stderr_tail = from.text();
  }
  run.payloads = proto::pack({record.owner, from.rest}, std::move(offsets));
  return run;
}

}  // namespace

reorder::reorder(options limits) : limits_(std::move(limits)), file_(limits_.directory) {}

void reorder::start(const source_id& source, std::uint64_t first) {
  streams_[source].due = first;
}

std::size_t reorder::cost(const proto::result_run& run) {
  std::size_t bytes = run_overhead + run.payloads.bytes();
  if (!run.payloads.uniform()) bytes += run.payloads.size() * sizeof(std::uint32_t);
  for (const outcome_details& d : run.details)
    bytes += sizeof d + d.message.size() + d.host.size() + d.stderr_tail.size();
  return bytes;
}

void reorder::add(const source_id& source, proto::result_run run) {
  if (run.payloads.empty()) return;
  stream& to = streams_[source];
  assert(run.first >= to.due);
  waiting_ += run.payloads.size();
  if (run.first == to.due) {
    to.due = run.last() + 1;
    to.ready.push_back(std::move(run));
    make_ready(source, to);
    return;
  }
  // A run is often a small part of a large message, which it would keep alive as a whole.
  run.payloads = run.payloads.compacted();
  in_memory_ += cost(run);
  const std::uint64_t first = run.first;
  to.memory.emplace_hint(to.memory.end(), first, std::move(run));
  if (in_memory_ > limits_.memory_limit) spill();
}

// What has become due in memory joins what is ready. What is due in the file stays there until
// next() gets to it, so that a large backlog is not read in at once.
void reorder::make_ready(const source_id& source, stream& of) {
  for (auto head = of.memory.begin(); head != of.memory.end() && head->first == of.due;
       head = of.memory.erase(head)) {
    in_memory_ -= cost(head->second);
    of.due = head->second.last() + 1;
    of.ready.push_back(std::move(head->second));
  }
  const bool due_in_file = !of.file.empty() && of.file.begin()->first == of.due;
  if (of.queued || (of.ready.empty() && !due_in_file)) return;
  of.queued = true;
  queue_.push_back(source);
}

std::optional<reorder::ordered> reorder::next() {
  if (queue_.empty()) return std::nullopt;
  const source_id source = queue_.front();
  stream& from = streams_.at(source);
  if (from.ready.empty()) load(from);
  ordered out{source, std::move(from.ready.front())};
  from.ready.pop_front();
  waiting_ -= out.run.payloads.size();
  if (from.ready.empty()) {
    queue_.pop_front();
    from.queued = false;
    make_ready(source, from);
  }
  return out;
}

// Reads the start of the extent that is due: whole runs, at least one.
void reorder::load(stream& of) {
  const auto head = of.file.begin();
  extent& from = head->second;
  const auto read = [&](std::size_t bytes) {
    std::shared_ptr<char[]> chunk(new char[bytes]);
    file_.read(from.offset, chunk.get(), bytes);
    return proto::blob(chunk, {chunk.get(), bytes});
  };
  const auto length_at = [](const proto::blob& chunk, std::size_t at) {
    std::uint64_t length = 0;
    std::memcpy(&length, chunk.bytes.data() + at, sizeof length);
    return static_cast<std::size_t>(length);
  };
  proto::blob chunk = read(std::min<std::uint64_t>(from.bytes, chunk_bytes));
  if (const std::size_t first = length_at(chunk, 0); first > chunk.size()) chunk = read(first);

  std::size_t used = 0;
  while (chunk.size() - used >= sizeof(std::uint64_t)) {
    const std::size_t length = length_at(chunk, used);
    if (length > chunk.size() - used) break;
    of.ready.push_back(read_run(chunk.part(used, length)));
    used += length;
  }
  of.due = of.ready.back().last() + 1;
  in_file_ -= used;
  extent rest = from;
  rest.offset += used;
  rest.bytes -= used;
  of.file.erase(head);
  if (rest.bytes > 0) of.file.emplace_hint(of.file.begin(), of.due, rest);
  if (in_file_ == 0) file_.clear();
}

// Everything that waits in memory goes to the file, in order: few large writes, and runs that
// follow one another are one extent.
void reorder::spill() {
  std::string pending;
  std::uint64_t at = file_.size();
  const auto write = [&] {
    file_.append(pending);
    pending.clear();
  };
  for (auto& [source, from] : streams_) {
    extent* open = nullptr;
    for (const auto& [first, run] : from.memory) {
      const std::size_t before = pending.size();
      append_run(pending, run);
      const std::uint64_t bytes = pending.size() - before;
      if (open == nullptr || open->last + 1 != first)
        open = &from.file.emplace(first, extent{0, at, 0}).first->second;
      open->last = run.last();
      open->bytes += bytes;
      at += bytes;
      in_file_ += bytes;
      spilled_ += bytes;
      if (pending.size() >= chunk_bytes) write();
    }
    from.memory.clear();
  }
  write();
  in_memory_ = 0;
}

void reorder::forget(const source_id& source) {
  const auto found = streams_.find(source);
  if (found == streams_.end()) return;
  stream& gone = found->second;
  for (const auto& run : gone.ready) waiting_ -= run.payloads.size();
  for (const auto& [first, run] : gone.memory) {
    waiting_ -= run.payloads.size();
    in_memory_ -= cost(run);
  }
  for (const auto& [first, in_file] : gone.file) {
    waiting_ -= in_file.last - first + 1;
    in_file_ -= in_file.bytes;
  }
  if (gone.queued) std::erase(queue_, source);
  streams_.erase(found);
  if (in_file_ == 0 && file_.size() > 0) file_.clear();
}

}  // namespace weir::io
