#include "line_writer.hpp"

#include <unistd.h>

#include <utility>

namespace weir::cli::run {
namespace {
constexpr std::size_t pending_bytes = 256 * 1024;
}

line_writer::line_writer(ending after_each, governor& rules, late_failure& late,
                         run_counts& counts, printer::write_aside aside)
    : ending_(after_each),
      rules_(rules),
      late_(late),
      counts_(counts),
      aside_(std::move(aside)),
      on_terminal_(::isatty(STDOUT_FILENO) == 1),
      out_(io::output::to_fd(STDOUT_FILENO, "standard output")),
      err_(io::output::to_fd(STDERR_FILENO, "standard error")) {}

void line_writer::write(const results& some) try {
  for (std::uint32_t i = 0; i < some.size(); ++i) add(some[i]);
} catch (...) {
  give_up();
  throw;
}

/// Whoever waits for input to go on need not: nobody wants the answers. The reason is kept
/// first, as the run may be over before it arrives by itself.
void line_writer::give_up() {
  late_.keep(std::current_exception());
  rules_.press(governor::pressure::end_all);
}

void line_writer::add(const result& answer) {
  ++counts_.done;
  const bool ok = answer.code == status::ok;
  if (ok) {
    pending_ += answer.payload;
    if (ending_ == ending::newline) pending_ += '\n';
    if (pending_.size() >= pending_bytes) flush();
  } else {
    ++counts_.failed;
    flush();
    const auto message = answer.details ? answer.details->message : std::string();
    aside_('\n', [&] {
      err_.write("weir run: task " + std::to_string(answer.id.seq) + " failed: " + message +
                 "\n");
    });
  }
  task_end end;
  end.ok = ok;
  if (!ok)
    end.exit_code =
        answer.details && answer.details->exit_code > 0 ? answer.details->exit_code : 255;
  rules_.count(end, {});
}

void line_writer::flush() try {
  if (pending_.empty()) return;
  if (on_terminal_)
    aside_(pending_.back(), [&] { out_.write(pending_); });
  else
    out_.write(pending_);
  pending_.clear();
} catch (...) {
  give_up();
  throw;
}

}  // namespace weir::cli::run
