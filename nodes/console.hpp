// Standard error: messages, and a status line below them if it is a terminal.
#pragma once

#include "progress.hpp"

#include <chrono>
#include <cstdint>
#include <functional>
#include <mutex>
#include <string>
#include <string_view>

namespace weir::nodes {

/// What a message is for. -q shows errors only, -v also details, -vv everything.
enum class level : std::uint8_t { error, notice, detail, trace };

/// `text` on one line and harmless: control characters and what is not UTF-8 as \n, \t, \x1b.
[[nodiscard]] std::string escape_controls(std::string_view text);

/// The only writer to standard error.
///
///   console say("weir-sink", level::notice);
///   say.error("port in use");                          // weir-sink: port in use
///   say.notice("listening on tcp://127.0.0.1:5558");
///   say.task_failed("task 17 failed: exit 3", stderr_tail);
///   say.status(figures, now);    // as often as you like: drawn ten times a second at most
///   say.clear();                 // before the program ends
///
/// The status line is drawn only if the descriptor is a terminal that understands "\r\x1b[K"
/// (TERM is set and not "dumb") and the level is not error; messages are put above it. While a
/// line there has no end, it is not drawn: it would erase that. Failing to write is not an
/// error: there is nobody left to tell.
///
/// Threads    Any.
class console {
 public:
  using time_point = std::chrono::steady_clock::time_point;

  console(std::string program, level shown, int fd = 2);
  ~console() { clear(); }
  console(const console&) = delete;
  console& operator=(const console&) = delete;

  [[nodiscard]] bool shows(level of) const { return of <= shown_; }
  /// One line, "program: text", escaped.
  void message(level of, std::string_view text);
  void error(std::string_view text) { message(level::error, text); }
  void notice(std::string_view text) { message(level::notice, text); }
  void detail(std::string_view text) { message(level::detail, text); }
  void trace(std::string_view text) { message(level::trace, text); }

  /// A failed task: the end of its stderr byte for byte, as it would have appeared without
  /// weir, then the summary as an error.
  void task_failed(std::string_view summary, std::string_view stderr_tail);

  void status(const progress_figures& figures, time_point now);
  /// Removes the status line, until the next status().
  void clear();
  /// The same around what somebody else has to write to the terminal; `last` is its last byte.
  void aside(char last, const std::function<void()>& write);
  [[nodiscard]] bool shows_status() const { return terminal_; }

 private:
  // Both need the lock.
  void put(std::string text);  // above the status line
  void remove();               // it

  std::string program_;
  level shown_;
  int fd_;
  bool terminal_;
  std::mutex mutex_;
  std::string line_;  // as it is on the screen; empty: none
  bool mid_line_ = false;
  time_point drawn_{};
};

}  // namespace weir::nodes
