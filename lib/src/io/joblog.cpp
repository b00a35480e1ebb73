#include "io/joblog.hpp"

#include "io/text.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <string>
#include <string_view>

namespace weir::io {

namespace {

constexpr std::string_view header =
    "Seq\tHost\tStarttime\tJobRuntime\tSend\tReceive\tExitval\tSignal\tCommand\n";

constexpr std::size_t runtime_width = 10;
/// Enough of a file to know a joblog: a number of 64 bits and a TAB.
constexpr std::size_t begins_with = 21;

/// Of a file that can be read, what is behind its last newline, and where that is.
struct unfinished_line {
  off_t at = 0;
  std::string text;
};

std::string read_at(int fd, off_t at, std::size_t most) {
  std::string text(most, '\0');
  const ssize_t got = ::pread(fd, text.data(), text.size(), at);
  text.resize(got > 0 ? static_cast<std::size_t>(got) : 0);
  return text;
}

unfinished_line last_line(int fd, off_t size) {
  unfinished_line last{size, {}};
  constexpr off_t piece = 4096;
  while (last.at > 0) {
    const off_t from = std::max<off_t>(last.at - piece, 0);
    const auto text = read_at(fd, from, static_cast<std::size_t>(last.at - from));
    const auto newline = text.rfind('\n');
    const auto begin = newline == text.npos ? 0 : newline + 1;
    last.text.insert(0, text, begin);
    last.at = from + static_cast<off_t>(begin);
    if (begin > 0 || text.empty()) break;
  }
  return last;
}

/// Whether a line of a joblog begins like this.
bool begins_line(std::string_view text) {
  const auto number = text.find_first_not_of("0123456789");
  return header.starts_with(text.substr(0, header.size())) ||
         (number != 0 && number != text.npos && text[number] == '\t');
}

bool is_number(std::string_view text) {
  return text.find_first_not_of("0123456789") == text.npos;
}

/// A line that a crash has cut short would otherwise be the beginning of the next one, and what
/// is left of its command must not be run.
void cut_last_line(const output& log) {
  const int fd = ::open(log.name().c_str(), O_RDONLY | O_CLOEXEC);
  struct stat about {};
  if (fd >= 0 && ::fstat(fd, &about) == 0) {
    const auto last = last_line(fd, about.st_size);
    if (begins_line(read_at(fd, 0, begins_with)) &&
        (begins_line(last.text) || is_number(last.text))) [[maybe_unused]]
      const int ignored = ::ftruncate(log.fd(), last.at);
  }
  if (fd >= 0) ::close(fd);
}

bool has_content(int fd) {
  struct stat about {};
  return ::fstat(fd, &about) == 0 && S_ISREG(about.st_mode) && about.st_size > 0;
}

void go_on(output& log) {
  cut_last_line(log);
  // Where it could not be cut it stays, and reading the log says which one it is.
  end_last_line(log);
  // At once: whoever comes second finds it there.
  if (!has_content(log.fd())) log.write(header);
}

output open_log(const std::string& file, claim held) {
  if (!file.starts_with('+')) return output::to_file(file, if_exists::overwrite, held);
  return output::to_file(file.substr(1), if_exists::append, held, go_on);
}

// A host is whatever a worker calls itself: it must not add columns or lines.
void append_host(std::string& out, std::string_view host) {
  if (host.empty()) out += ':';
  for (const char c : host) out += static_cast<unsigned char>(c) < 0x20 || c == 0x7f ? '?' : c;
}

int exit_value(status code, const outcome_details& details) {
  return details.exit_code > 0 ? details.exit_code : static_cast<int>(code);
}

}  // namespace

joblog::joblog(const std::string& file, claim held) : out_(open_log(file, held)) {
  if (!has_content(out_.fd())) pending_ = header;
}

void joblog::write(const proto::result_run& run, const source_id& source) {
  static const outcome_details none;
  const std::string identity = to_string(source) + ':';
  for (std::uint32_t i = 0; i < run.payloads.size(); ++i) {
    const outcome_details& details = run.details.empty() ? none : run.details[i];
    const std::string command = identity + std::to_string(run.first + i);
    write(joblog_entry{run.first + i, details.host, details.started, details.runtime, 0,
                       run.payloads.length(i), exit_value(run.code, details), details.signal,
                       command});
  }
}

void joblog::write(const joblog_entry& entry) {
  append_number(pending_, entry.seq);
  pending_ += '\t';
  append_host(pending_, entry.host);
  pending_ += '\t';
  append_number(pending_, entry.started, 3);
  pending_ += '\t';
  std::string runtime;
  append_number(runtime, entry.runtime, 3);
  if (runtime.size() < runtime_width) pending_.append(runtime_width - runtime.size(), ' ');
  pending_ += runtime;
  pending_ += '\t';
  append_number(pending_, entry.sent);
  pending_ += '\t';
  append_number(pending_, entry.received);
  pending_ += '\t';
  pending_ += std::to_string(entry.exit_value);
  pending_ += '\t';
  pending_ += std::to_string(entry.signal);
  pending_ += '\t';
  for (const char c : entry.command) pending_ += c == '\n' ? '\0' : c;
  pending_ += '\n';
}

void joblog::flush() {
  if (pending_.empty()) return;
  out_.write(pending_);
  pending_.clear();
}

}  // namespace weir::io
