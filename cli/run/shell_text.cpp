#include "shell_text.hpp"

#include <algorithm>
#include <array>

namespace weir::cli::run {

namespace {

bool is_plain(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
         std::string_view("-_.+/").find(c) != std::string_view::npos;
}

/// Those of POSIX and of bash. They are words like others, but not where a command may begin.
constexpr std::array<std::string_view, 17> reserved{
    "case",     "coproc", "do", "done", "elif", "else",   "esac",  "fi",   "for",
    "function", "if",     "in", "then", "time", "select", "until", "while"};

}  // namespace

void append_quoted(std::string& out, std::string_view value, quoting where, bool always) {
  switch (where) {
    case quoting::none:
      if (!always && !value.empty() && std::all_of(value.begin(), value.end(), is_plain) &&
          std::find(reserved.begin(), reserved.end(), value) == reserved.end()) {
        out += value;
        return;
      }
      break;
    case quoting::single:
      for (const char c : value) c == '\'' ? out += "'\"'\"'" : out += c;
      return;
    case quoting::twice:
      for (const char c : value) {
        if (std::string_view("$`\"\\").find(c) != std::string_view::npos) out += '\\';
        out += c;
      }
      return;
  }
  // 'it'"'"'s', without a '' at either end.
  const std::size_t start = out.size();
  out += '\'';
  append_quoted(out, value, quoting::single);
  out += '\'';
  if (value.empty()) return;
  if (value.back() == '\'') out.resize(out.size() - 2);
  if (value.front() == '\'') out.erase(start, 2);
}

std::string quoted(std::string_view value) {
  std::string out;
  append_quoted(out, value, quoting::none);
  return out;
}

bool needs_shell(std::string_view word) {
  return word.find_first_of(" \t\n|&;<>()$`\\\"'*?[]#~=!") != std::string_view::npos;
}

}  // namespace weir::cli::run
