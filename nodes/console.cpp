#include "console.hpp"

#include "proto/utf8.hpp"

#include <poll.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <utility>

namespace weir::nodes {

namespace {

constexpr auto least_interval = std::chrono::milliseconds(100);
/// Columns for the ^C that the terminal puts behind the line, and the last one, in which
/// terminals differ about where the cursor is: what goes on in the next row is not erased.
constexpr std::size_t kept_free = 3;
constexpr std::string_view erase = "\r\x1b[K";

bool understands_erase(int fd) {
  const char* const term = std::getenv("TERM");
  return ::isatty(fd) == 1 && term != nullptr && *term != '\0' &&
         std::string_view(term) != "dumb";
}

std::size_t columns(int fd) {
  winsize size{};
  if (::ioctl(fd, TIOCGWINSZ, &size) != 0 || size.ws_col == 0) return 80;
  return size.ws_col;
}

void write_all(int fd, std::string_view text) {
  while (!text.empty()) {
    const ssize_t written = ::write(fd, text.data(), text.size());
    if (written >= 0) {
      text.remove_prefix(static_cast<std::size_t>(written));
    } else if (errno == EAGAIN) {
      pollfd wait{fd, POLLOUT, 0};
      ::poll(&wait, 1, -1);
    } else if (errno != EINTR) {
      return;
    }
  }
}

void append_escape(std::string& out, unsigned char c) {
  static constexpr char digits[] = "0123456789abcdef";
  out += '\\';
  if (c == '\n' || c == '\r' || c == '\t') {
    out += c == '\n' ? 'n' : c == '\r' ? 'r' : 't';
    return;
  }
  out += 'x';
  out += digits[c >> 4];
  out += digits[c & 15];
}

}  // namespace

std::string escape_controls(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  while (!text.empty()) {
    const std::size_t valid = proto::valid_utf8_prefix(text);
    for (std::size_t i = 0; i < valid; ++i) {
      const auto c = static_cast<unsigned char>(text[i]);
      const auto next = i + 1 < valid ? static_cast<unsigned char>(text[i + 1]) : 0;
      if (c == 0xc2 && next < 0xa0) {
        // U+0080 to U+009F: control characters too, some terminals obey them.
        append_escape(out, c);
        append_escape(out, static_cast<unsigned char>(next));
        ++i;
      } else if (c < 0x20 || c == 0x7f) {
        append_escape(out, c);
      } else {
        out += static_cast<char>(c);
      }
    }
    text.remove_prefix(valid);
    if (text.empty()) break;
    append_escape(out, static_cast<unsigned char>(text.front()));
    text.remove_prefix(1);
  }
  return out;
}

console::console(std::string program, level shown, int fd)
    : program_(std::move(program)),
      shown_(shown),
      fd_(fd),
      terminal_(shown != level::error && understands_erase(fd)) {}

void console::put(std::string text) {
  if (std::exchange(mid_line_, false)) text.insert(0, 1, '\n');
  if (!line_.empty()) text.insert(0, erase).append(line_);
  write_all(fd_, text);
}

void console::message(level of, std::string_view text) {
  if (!shows(of)) return;
  std::string line = program_ + ": " + escape_controls(text) + "\n";
  const std::lock_guard lock(mutex_);
  put(std::move(line));
}

void console::task_failed(std::string_view summary, std::string_view stderr_tail) {
  std::string text(stderr_tail);
  if (!text.empty() && text.back() != '\n') text += '\n';
  text += program_ + ": " + escape_controls(summary) + "\n";
  const std::lock_guard lock(mutex_);
  put(std::move(text));
}

void console::status(const progress_figures& figures, time_point now) {
  if (!terminal_) return;
  const std::lock_guard lock(mutex_);
  if (mid_line_ || (!line_.empty() && now - drawn_ < least_interval)) return;
  drawn_ = now;
  const std::size_t width = columns(fd_);
  line_ = escape_controls(format_progress(figures, width > kept_free ? width - kept_free : 0));
  write_all(fd_, std::string(erase) + line_);
}

void console::clear() {
  const std::lock_guard lock(mutex_);
  remove();
}

void console::aside(char last, const std::function<void()>& write) {
  const std::lock_guard lock(mutex_);
  remove();
  mid_line_ = terminal_ && last != '\n';
  write();
}

void console::remove() {
  if (!std::exchange(line_, {}).empty()) write_all(fd_, erase);
}

}  // namespace weir::nodes
