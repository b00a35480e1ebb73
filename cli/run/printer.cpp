#include "printer.hpp"

#include <unistd.h>

#include <utility>

namespace weir::cli::run {
namespace {

constexpr std::size_t pending_bytes = 64 * 1024;

/// Puts a tag before each line of what comes piece by piece.
class tagger {
 public:
  explicit tagger(std::string_view tag) : tag_(tag) {}
  [[nodiscard]] std::string_view apply(std::string_view piece) {
    tagged_.clear();
    while (!piece.empty()) {
      if (at_start_) tagged_ += tag_;
      const auto newline = piece.find('\n');
      const auto line = piece.substr(0, newline == piece.npos ? newline : newline + 1);
      tagged_ += line;
      at_start_ = newline != piece.npos;
      piece.remove_prefix(line.size());
    }
    return tagged_;
  }

 private:
  std::string_view tag_;
  bool at_start_ = true;
  std::string tagged_;
};

}  // namespace

printer::printer(write_aside aside)
    : aside_(std::move(aside)),
      on_terminal_(::isatty(STDOUT_FILENO) == 1),
      out_(io::output::to_fd(STDOUT_FILENO, "standard output")),
      err_(io::output::to_fd(STDERR_FILENO, "standard error")) {}

void printer::task(const kept_output& out, const kept_output& err, std::string_view tag) {
  if (out.empty() && err.empty()) return;
  const std::lock_guard lock(mutex_);
  print(stream::out, out, tag);
  print(stream::err, err, tag);
}

void printer::lines(stream which, kept_output& said, std::string_view tag) {
  std::string& buffer = said.buffer();
  const auto newline = buffer.rfind('\n');
  if (newline == std::string::npos) return;
  std::string rest = buffer.substr(newline + 1);
  buffer.resize(newline + 1);
  {
    const std::lock_guard lock(mutex_);
    print(which, said, tag);
    flush_locked();
  }
  said.clear();
  said.buffer() = std::move(rest);
}

void printer::print(stream which, const kept_output& said, std::string_view tag) {
  tagger tags(tag);
  said.for_each_piece(
      [&](std::string_view piece) { put(which, tag.empty() ? piece : tags.apply(piece)); });
}

void printer::put(stream which, std::string_view bytes) {
  if (bytes.empty()) return;
  if (which == stream::err) {
    flush_locked();  // both may be the same file or terminal
    return aside_(bytes.back(), [&] { err_.write(bytes); });
  }
  if (pending_.size() + bytes.size() > pending_bytes) flush_locked();
  if (bytes.size() >= pending_bytes)
    write_out(bytes);
  else
    pending_ += bytes;
}

void printer::write_out(std::string_view bytes) {
  if (on_terminal_)
    aside_(bytes.back(), [&] { out_.write(bytes); });
  else
    out_.write(bytes);
}

void printer::flush() {
  const std::lock_guard lock(mutex_);
  flush_locked();
}

void printer::flush_locked() {
  if (pending_.empty()) return;
  write_out(pending_);
  pending_.clear();
}

}  // namespace weir::cli::run
