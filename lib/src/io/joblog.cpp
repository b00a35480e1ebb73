#include "io/joblog.hpp"

#include "io/text.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <string_view>

namespace weir::io {

namespace {

constexpr std::string_view header =
    "Seq\tHost\tStarttime\tJobRuntime\tSend\tReceive\tExitval\tSignal\tCommand\n";

constexpr std::size_t runtime_width = 10;

/// A line that a crash has cut short would otherwise be the beginning of the next one.
/// A file of one line that does not end is a joblog only if that is the header's beginning.
bool begins_header(int fd, off_t size) {
  std::string text(static_cast<std::size_t>(std::min<off_t>(size, header.size() + 1)), '\0');
  if (::pread(fd, text.data(), text.size(), 0) != static_cast<ssize_t>(text.size()))
    return false;
  return header.starts_with(text);
}

void cut_partial_line(const std::string& file) {
  const int fd = ::open(file.c_str(), O_RDWR | O_CLOEXEC);
  struct stat about {};
  if (fd < 0 || ::fstat(fd, &about) != 0 || !S_ISREG(about.st_mode)) {
    if (fd >= 0) ::close(fd);
    return;  // opening it for good says what is wrong
  }
  off_t end = about.st_size;
  char last = '\n';
  while (end > 0 && ::pread(fd, &last, 1, end - 1) == 1 && last != '\n') --end;
  if (end == 0 && about.st_size > 0 && !begins_header(fd, about.st_size)) end = about.st_size;
  // Where that is not possible the line stays, and reading the log says which one it is.
  if (end < about.st_size) [[maybe_unused]]
    const int ignored = ::ftruncate(fd, end);
  ::close(fd);
}

output open_log(const std::string& file, claim held) {
  if (!file.starts_with('+')) return output::to_file(file, if_exists::overwrite, held);
  cut_partial_line(file.substr(1));
  return output::to_file(file.substr(1), if_exists::append, held);
}

bool has_content(int fd) {
  struct stat about {};
  return ::fstat(fd, &about) == 0 && S_ISREG(about.st_mode) && about.st_size > 0;
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
