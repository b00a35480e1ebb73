#include "result_output.hpp"

#include "io/joblog.hpp"
#include "io/result_writer.hpp"
#include "net/results_impl.hpp"

#include <unistd.h>

#include <map>
#include <optional>
#include <utility>

namespace weir::nodes {
namespace {

const std::map<std::string, io::result_format> formats{{"raw", io::result_format::raw},
                                                       {"lines", io::result_format::lines},
                                                       {"jsonl", io::result_format::jsonl},
                                                       {"msgpack", io::result_format::msgpack},
                                                       {"null", io::result_format::null}};

class file_store final : public result_store {
 public:
  /// `terminal`: has a status line that may be in the way.
  file_store(io::result_writer writer, std::optional<io::joblog> log, console* terminal)
      : writer_(std::move(writer)), log_(std::move(log)), terminal_(terminal) {}

  void write(const results& some) override {
    writer_.write(some.inner().run, some.source());
    if (log_) log_->write(some.inner().run, some.source());
  }
  void flush() override {
    if (terminal_ != nullptr && writer_.pending() > 0)
      terminal_->aside(writer_.last(), [this] { writer_.flush(); });
    else
      writer_.flush();
    if (log_) log_->flush();
  }
  // Tags and other formats add to the bytes, by less than the bytes themselves or so little
  // that a pipe with PIPE_BUF free takes it: asked for double, it is on the safe side.
  bool ready(std::size_t bytes) override { return writer_.can_take(2 * bytes + 512); }

 private:
  io::result_writer writer_;
  std::optional<io::joblog> log_;
  console* terminal_;
};

}  // namespace

void add_output_options(CLI::App& app, output_options& target, const std::string& format_flag) {
  app.add_option("--out", target.out, "Write results to FILE; - is standard output")
      ->type_name("FILE")
      ->group("Output");
  app.add_option(
         format_flag, target.format,
         "raw: each task's output as it is; lines: with a newline at its end; jsonl: an "
         "object per task; msgpack: an array per task; null: nothing")
      ->type_name("FORMAT")
      ->check(CLI::IsMember({"raw", "lines", "jsonl", "msgpack", "null"}))
      ->group("Output");
  app.add_flag("--tag", target.tag,
               "Put the task's number and a TAB before each line of output")
      ->group("Output");
  app.add_option("--joblog", target.joblog,
                 "Write a line per task to FILE, in GNU parallel's nine columns; +FILE appends")
      ->type_name("FILE")
      ->group("Output");
  app.add_flag("--append", target.append, "Append to the file of --out if it exists")
      ->group("Output");
  app.add_flag("--overwrite", target.overwrite, "Replace the file of --out if it exists")
      ->group("Output");
}

std::unique_ptr<result_store> open_output(const output_options& options, console& say) {
  if (options.append && options.overwrite)
    throw error(exit_code::usage, "--append and --overwrite exclude each other");
  const auto existing = options.append      ? io::if_exists::append
                        : options.overwrite ? io::if_exists::overwrite
                                            : io::if_exists::refuse;
  const auto format = formats.at(options.format);
  const bool in_lines =
      options.tag || format == io::result_format::lines || format == io::result_format::jsonl;
  auto out = io::output::to_file(options.out, existing, io::claim::whole_run,
                                 in_lines ? io::end_last_line : nullptr);
  console* const terminal = say.shows_status() && ::isatty(out.fd()) == 1 ? &say : nullptr;
  io::result_writer writer(std::move(out), format,
                           options.tag ? io::tagging::seq : io::tagging::off,
                           [&say](std::string_view summary, std::string_view stderr_tail) {
                             say.task_failed(summary, stderr_tail);
                           });
  std::optional<io::joblog> log;
  if (!options.joblog.empty()) log.emplace(options.joblog, io::claim::whole_run);
  return std::make_unique<file_store>(std::move(writer), std::move(log), terminal);
}

}  // namespace weir::nodes
