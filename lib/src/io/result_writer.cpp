#include "io/result_writer.hpp"

#include "io/text.hpp"
#include "proto/utf8.hpp"

#include <msgpack.hpp>

#include <utility>

namespace weir::io {

namespace {

/// A body shorter than this is copied behind its neighbours: cheaper than a piece of its own.
constexpr std::size_t copy_below = 4096;
/// Memory that an unusual batch has taken and that is given back after it.
constexpr std::size_t kept_scratch = 4 * 1024 * 1024;

const outcome_details& details_of(const proto::result_run& run, std::uint32_t i) {
  static const outcome_details none;
  return run.details.empty() ? none : run.details[i];
}

bool ends_line(std::string_view text) { return !text.empty() && text.back() == '\n'; }

// What msgpack::packer writes to.
struct appender {
  std::string& to;
  void write(const char* bytes, std::size_t length) { to.append(bytes, length); }
};

template <typename Packer>
void pack_text(Packer& packer, std::string_view text) {
  packer.pack_str(static_cast<std::uint32_t>(text.size()));
  packer.pack_str_body(text.data(), static_cast<std::uint32_t>(text.size()));
}

template <typename Packer>
void pack_details(Packer& packer, const outcome_details& d) {
  const bool timed = d.started != 0 || d.runtime != 0;
  packer.pack_map((d.exit_code >= 0) + (d.signal != 0) + !d.host.empty() + (timed ? 2 : 0) +
                  !d.stderr_tail.empty() + !d.message.empty());
  const auto text = [&packer](std::string_view key, const std::string& value) {
    if (value.empty()) return;
    pack_text(packer, key);
    pack_text(packer, value);
  };
  if (d.exit_code >= 0) {
    pack_text(packer, "exit");
    packer.pack(d.exit_code);
  }
  if (d.signal != 0) {
    pack_text(packer, "signal");
    packer.pack(d.signal);
  }
  text("host", d.host);
  if (timed) {
    pack_text(packer, "start");
    packer.pack(d.started);
    pack_text(packer, "runtime");
    packer.pack(d.runtime);
  }
  if (!d.stderr_tail.empty()) {
    // As bin: a str that is not UTF-8 cannot be read in Python.
    pack_text(packer, "stderr");
    packer.pack_bin(static_cast<std::uint32_t>(d.stderr_tail.size()));
    packer.pack_bin_body(d.stderr_tail.data(),
                         static_cast<std::uint32_t>(d.stderr_tail.size()));
  }
  text("message", d.message);
}

}  // namespace

result_writer::result_writer(output out, result_format format, tagging tags,
                             complaint on_failure)
    : out_(std::move(out)), format_(format), tags_(tags), on_failure_(std::move(on_failure)) {
  if (tags_ != tagging::off && format_ != result_format::raw && format_ != result_format::lines)
    throw error(exit_code::usage, "--tag goes with --format raw and --format lines only");
}

void result_writer::write(const proto::result_run& run, const source_id& source) {
  if (run.payloads.empty()) return;
  if (!first_source_) first_source_ = source;
  several_sources_ = several_sources_ || *first_source_ != source;

  const std::size_t before = scratch_.size();
  switch (format_) {
    case result_format::raw:
      tags_ == tagging::off ? add_body(run.payloads.body()) : write_tagged(run);
      break;
    case result_format::lines:
      tags_ == tagging::off ? write_lines(run) : write_tagged(run);
      break;
    case result_format::jsonl:
      write_json(run, source);
      break;
    case result_format::msgpack:
      write_msgpack(run, source);
      break;
    case result_format::null:
      break;
  }
  pending_ += scratch_.size() - before;

  if (run.code == status::ok) {
    succeeded_ += run.payloads.size();
  } else {
    failed_ += run.payloads.size();
    if (on_failure_) complain(run, source);
  }
}

void result_writer::complain(const proto::result_run& run, const source_id& source) {
  for (std::uint32_t i = 0; i < run.payloads.size(); ++i) {
    const outcome_details& details = details_of(run, i);
    std::string summary = "task " + std::to_string(run.first + i);
    if (several_sources_) summary += " of source " + to_string(source).substr(0, 8);
    summary += " failed: " + describe_failure(run.code, details) + " after " +
               std::to_string(run.attempt) + (run.attempt == 1 ? " attempt" : " attempts");
    if (!details.host.empty()) summary += " on " + details.host;
    on_failure_(summary, details.stderr_tail);
  }
}

std::string describe_failure(status code, const outcome_details& details) {
  std::string why;
  if (details.signal != 0)
    why = "signal " + std::to_string(details.signal);
  else if (details.exit_code > 0)
    why = "exit " + std::to_string(details.exit_code);
  else
    why = to_string(code);
  if (!details.message.empty() && details.message != why) why += " (" + details.message + ")";
  return why;
}

// A body goes to writev() as it is, kept alive until flush(); a short one is copied.
void result_writer::add_body(const proto::blob& body) {
  if (body.size() < copy_below || !body.owner) {
    scratch_ += body.bytes;
    return;
  }
  close_scratch();
  pieces_.push_back({body.owner, body.bytes.data(), 0, body.size()});
  pending_ += body.size();
}

void result_writer::close_scratch() {
  if (scratch_.size() == scratch_used_) return;
  pieces_.push_back({nullptr, nullptr, scratch_used_, scratch_.size() - scratch_used_});
  scratch_used_ = scratch_.size();
}

void result_writer::write_lines(const proto::result_run& run) {
  bool all_end = true;
  for (std::uint32_t i = 0; i < run.payloads.size() && all_end; ++i)
    all_end = ends_line(run.payloads[i]);
  if (all_end) return add_body(run.payloads.body());
  for (std::uint32_t i = 0; i < run.payloads.size(); ++i) {
    const std::string_view output = run.payloads[i];
    if (output.size() < copy_below)
      scratch_ += output;
    else
      add_body({run.payloads.body().owner, output});
    if (!ends_line(output)) scratch_ += '\n';
  }
}

void result_writer::write_tagged(const proto::result_run& run) {
  std::string tag;
  for (std::uint32_t i = 0; i < run.payloads.size(); ++i) {
    tag.clear();
    append_number(tag, run.first + i);
    tag += '\t';
    std::string_view rest = run.payloads[i];
    if (rest.empty() && format_ == result_format::lines) scratch_.append(tag) += '\n';
    while (!rest.empty()) {
      const std::string_view line = rest.substr(0, rest.find('\n'));
      scratch_.append(tag).append(line) += '\n';
      rest.remove_prefix(std::min(line.size() + 1, rest.size()));
    }
  }
}

void result_writer::write_json(const proto::result_run& run, const source_id& source) {
  const std::string head = "{\"source\":\"" + to_string(source) + "\",\"seq\":";
  const std::string code = ",\"attempt\":" + std::to_string(run.attempt) + ",\"code\":\"" +
                           std::string(to_string(run.code)) + "\",\"exit\":";
  for (std::uint32_t i = 0; i < run.payloads.size(); ++i) {
    const outcome_details& d = details_of(run, i);
    const std::string_view output = run.payloads[i];
    scratch_ += head;
    append_number(scratch_, run.first + i);
    scratch_ += code;
    scratch_ += d.exit_code < 0 ? "null" : std::to_string(d.exit_code);
    scratch_ += ",\"signal\":";
    scratch_ += std::to_string(d.signal);
    scratch_ += ",\"host\":";
    append_json_string(scratch_, d.host);
    scratch_ += ",\"start\":";
    append_number(scratch_, d.started, 6);
    scratch_ += ",\"runtime\":";
    append_number(scratch_, d.runtime, 6);
    if (proto::valid_utf8_prefix(output) == output.size()) {
      scratch_ += ",\"stdout\":";
      append_json_string(scratch_, output);
    } else {
      scratch_ += ",\"stdout_base64\":\"";
      append_base64(scratch_, output);
      scratch_ += '"';
    }
    scratch_ += ",\"stderr\":";
    append_json_string(scratch_, d.stderr_tail);
    scratch_ += ",\"message\":";
    append_json_string(scratch_, d.message);
    scratch_ += "}\n";
  }
}

void result_writer::write_msgpack(const proto::result_run& run, const source_id& source) {
  appender to{scratch_};
  msgpack::packer<appender> packer(to);
  for (std::uint32_t i = 0; i < run.payloads.size(); ++i) {
    const std::string_view output = run.payloads[i];
    packer.pack_array(6);
    packer.pack_bin(static_cast<std::uint32_t>(source.bytes.size()));
    packer.pack_bin_body(reinterpret_cast<const char*>(source.bytes.data()),
                         static_cast<std::uint32_t>(source.bytes.size()));
    packer.pack(run.first + i);
    packer.pack(run.attempt);
    packer.pack(static_cast<std::uint8_t>(run.code));
    packer.pack_bin(static_cast<std::uint32_t>(output.size()));
    packer.pack_bin_body(output.data(), static_cast<std::uint32_t>(output.size()));
    pack_details(packer, details_of(run, i));
  }
}

char result_writer::last() const {
  if (scratch_.size() > scratch_used_) return scratch_.back();
  if (pieces_.empty()) return '\n';
  const piece& end = pieces_.back();
  return (end.owner ? end.data : scratch_.data() + end.offset)[end.length - 1];
}

void result_writer::flush() {
  close_scratch();
  std::vector<iovec> vectors;
  vectors.reserve(pieces_.size());
  for (const piece& p : pieces_)
    vectors.push_back(
        {const_cast<char*>(p.owner ? p.data : scratch_.data() + p.offset), p.length});
  out_.write(vectors);
  pieces_.clear();
  pending_ = 0;
  scratch_used_ = 0;
  if (scratch_.capacity() > kept_scratch)
    scratch_ = {};
  else
    scratch_.clear();
}

}  // namespace weir::io
