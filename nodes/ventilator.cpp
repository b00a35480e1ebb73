// weir-ventilator: reads tasks, owns them until they are acknowledged.
#include "io/output.hpp"
#include "io/record_reader.hpp"
#include "link_options.hpp"
#include "node_main.hpp"
#include "plain_nodes.hpp"
#include "result_output.hpp"
#include "watcher.hpp"

#include <weir/error.hpp>
#include <weir/memory.hpp>
#include <weir/ventilator.hpp>

#include <sys/eventfd.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <optional>
#include <utility>

using namespace weir;
using namespace weir::nodes;

namespace {

const program about{
    "weir-ventilator",
    "hand out tasks to weir workers",
    "[OPTION...] [FILE...]",
    "Reads tasks from FILEs or standard input, one per line unless told otherwise, and hands "
    "them to weir-worker processes that have room. A task is owned until a sink has written "
    "its "
    "result: when a worker dies, its tasks go to another one; when a task fails, it is tried "
    "again, up to --max-attempts.\n\n"
    "With --sink, a weir-sink collects the results. Without it, this program prints them "
    "itself, "
    "so that one ventilator and some workers are enough.\n\n"
    "The input is read as it is needed: it may be endless.",
    {{"Hash files with whatever workers there are",
      "find . -type f | weir-ventilator & weir-worker -- sha256sum {}"},
     {"With a sink, and what failed kept for another try",
      "weir-ventilator --sink tcp://127.0.0.1:5558 --failed failed.txt list.txt"}},
    {"weir-worker(1)", "weir-sink(1)"}};

struct settings {
  ventilator_options node;
  output_options output;
  std::vector<std::string> inputs;
  bool nul = false;
  std::string format = "lines";
  std::size_t block = 0;
  std::size_t record = 0;
  std::string failed;
  std::string summary;
  plain_settings plain;
};

void declare(CLI::App& app, settings& s) {
  s.node.bind = {std::string(default_tasks_endpoint)};
  add_endpoints(app, "--bind", s.node.bind, "WEIR_VENTILATOR_BIND", "Where workers connect to")
      ->group("Links");
  add_endpoints(app, "--connect", s.node.connect, "WEIR_VENTILATOR_CONNECT",
                "Connect to a worker that has bound this endpoint")
      ->group("Links");
  auto* sink =
      app.add_option("--sink", s.node.sink,
                     "The sink that collects results; workers are told to connect to it")
          ->type_name("ENDPOINT")
          ->envname("WEIR_SINK")
          ->group("Links");
  app.add_flag("--sink-connects", s.node.sink_connects,
               "A sink will connect to this ventilator and to the workers")
      ->excludes(sink)
      ->group("Links");
  add_link_options(app, s.node);
  auto* nul = app.add_flag("-0,--null", s.nul, "Tasks end with a NUL byte (find -print0)")
                  ->group("Input");
  auto* format = app.add_option("--format", s.format,
                                "lines, or msgpack: a stream of MessagePack bin or str")
                     ->type_name("FORMAT")
                     ->check(CLI::IsMember({"lines", "msgpack"}))
                     ->group("Input");
  auto* block = add_size(app, "--block", s.block, "Whole lines up to SIZE bytes per task")
                    ->group("Input");
  auto* record = add_size(app, "--record", s.record, "SIZE bytes per task")->group("Input");
  nul->excludes(format, block, record);
  format->excludes(block, record);
  block->excludes(record);
  app.add_option("--window", s.node.window, "Tasks read and not yet acknowledged, at most")
      ->type_name("N")
      ->check(CLI::Range(std::uint64_t{1}, std::uint64_t{16} << 20))
      ->group("Delivery");
  add_size(app, "--window-bytes", s.node.window_bytes,
           "The same in bytes; one task always fits, and a quarter of it is used by many small "
           "ones")
      ->group("Delivery");
  app.add_option("--max-attempts", s.node.max_attempts,
                 "Give a task up when it has failed, or taken its worker down, this often")
      ->type_name("N")
      ->check(CLI::Range(1U, 1'000'000U))
      ->group("Delivery");
  add_duration(app, "--retry-delay", s.node.retry_delay,
               "Wait before the second attempt; doubles from there, with jitter, up to 30s")
      ->group("Delivery");
  add_duration(app, "--task-timeout", s.node.task_timeout,
               "A worker may take this long over a task; 0: for ever")
      ->group("Delivery");
  app.add_option("--failed", s.failed,
                 "Write the tasks that were given up to FILE, in the format of the input; with "
                 "--record, "
                 "the short ones of further inputs to FILE.2, FILE.3 ...")
      ->type_name("FILE")
      ->group("Output");
  app.add_option("--summary", s.summary, "At the end, print what was done to standard output")
      ->type_name("FORMAT")
      ->check(CLI::IsMember({"json"}))
      ->group("Output");
  app.add_flag("--keep-order", s.node.keep_order,
               "Without --sink: print results in the order of the tasks")
      ->group("Output");
  add_output_options(app, s.output, "--output-format");
  add_plain_option(app, s.plain, "Ends when the input has been handed to the network");
  app.add_option("files", s.inputs, "Where tasks are read from; - or none: standard input")
      ->type_name("FILE");
}

/// Whether there is no sink but this program.
bool collects(const settings& s) { return s.node.sink.empty() && !s.node.sink_connects; }

void check_output(const CLI::App& app, const settings& s) {
  if (collects(s)) return;
  for (const char* option : {"--keep-order", "--out", "--output-format", "--tag", "--joblog",
                             "--append", "--overwrite"})
    if (app.count(option) > 0)
      throw CLI::ValidationError(option,
                                 "means nothing with a sink, which has an option for it");
}

io::record_format input_format(const settings& s) {
  if (s.nul) return {io::framing::nul};
  if (s.format == "msgpack") return {io::framing::msgpack};
  if (s.block > 0) return {io::framing::block, s.block};
  if (s.record > 0) return {io::framing::fixed, s.record};
  return {io::framing::lines};
}

/// Writes the tasks that were given up, such that they can be read back.
class failed_tasks {
 public:
  failed_tasks(const std::string& file, io::record_format format)
      : file_(io::output::to_file(file, io::if_exists::overwrite, io::claim::whole_run)),
        standard_output_(file == "-"),
        format_(std::move(format)) {}

  void add(std::string_view payload) {
    std::string record;
    io::append_record(record, format_, payload);
    // The end of an input: what came behind it would be cut in the wrong places.
    if (format_.how != io::framing::fixed || payload.size() == format_.size)
      file_.write(record);
    else if (files_++ == 0 || standard_output_)
      short_ += record;
    else
      io::output::to_file(further_file(), io::if_exists::overwrite, io::claim::whole_run)
          .write(record);
  }
  /// When no more will come.
  void finish(console& say) {
    file_.write(std::exchange(short_, {}));
    if (files_ > 1 && !standard_output_)
      say.notice("failed short records of further inputs are in " + file_.name() + ".2" +
                 (files_ > 2 ? " to " + further_file() : ""));
  }

 private:
  [[nodiscard]] std::string further_file() const {
    return file_.name() + "." + std::to_string(files_);
  }

  io::output file_;
  bool standard_output_;
  io::record_format format_;
  std::string short_;
  std::size_t files_ = 0;  // that end with a short record
};

/// Reads tasks on a thread of its own, as fast as the ventilator takes them.
class feeder {
 public:
  feeder(ventilator& to, const settings& s, int stop_fd)
      : to_(to), reader_(s.inputs, input_format(s), stop_fd) {}

  /// Until the end of the input, or until stopped.
  void run() {
    proto::pack_builder tasks;
    try {
      for (;;) {
        const auto got = reader_.read_into(tasks, 4096, proto::limits::batch_bytes);
        const proto::pack some = tasks.take();
        for (std::uint32_t i = 0; i < some.size(); ++i)
          if (!to_.submit(some[i])) return;
        if (got == io::fill::oversize && !refuse()) return;
        if (got == io::fill::woken) return;
        if (got == io::fill::end) break;
      }
      at_end_ = true;
    } catch (const error&) {
      failure_ = std::current_exception();
    }
    to_.finish();
  }
  /// After run(): the whole input was read.
  [[nodiscard]] bool at_end() const { return at_end_; }
  [[nodiscard]] std::exception_ptr failure() const { return failure_; }

 private:
  bool refuse() {
    const auto& r = reader_.refused();
    return to_.submit_refused(status::resource_exhausted,
                              "record " + std::to_string(r.number) + " of " + r.input +
                                  " has " + std::to_string(r.bytes) +
                                  " bytes; a task can have " +
                                  std::to_string(proto::limits::payload_bytes));
  }

  ventilator& to_;
  io::record_reader reader_;
  std::atomic<bool> at_end_ = false;
  std::exception_ptr failure_;
};

void print_summary(const ventilator_stats& c, double seconds) {
  std::printf(
      "{\"tasks\": %llu, \"done\": %llu, \"failed\": %llu, \"redelivered\": %llu, "
      "\"duplicates\": %llu, \"workers_lost\": %llu, \"seconds\": %.3f, "
      "\"tasks_per_second\": %.1f}\n",
      static_cast<unsigned long long>(c.submitted), static_cast<unsigned long long>(c.done),
      static_cast<unsigned long long>(c.failed), static_cast<unsigned long long>(c.redelivered),
      static_cast<unsigned long long>(c.duplicates),
      static_cast<unsigned long long>(c.lost_workers), seconds,
      seconds > 0 ? static_cast<double>(c.done) / seconds : 0.0);
  if (std::fflush(stdout) != 0) throw error(exit_code::io, "cannot write to standard output");
}

/// `--failed tasks tasks` would empty the tasks before they are read.
void keep_inputs(const settings& s) {
  const auto check = [&](const char* option, const std::string& output) {
    const auto& inputs = s.inputs.empty() ? std::vector<std::string>{"-"} : s.inputs;
    for (const auto& input : inputs)
      if (!output.empty() && io::is_same_file(input, output))
        throw error(exit_code::usage, std::string(option) + " " + output +
                                          ": tasks are read from that file: say another one");
  };
  check("--failed", s.failed);
  if (s.record > 0 && !s.failed.empty())
    for (std::size_t n = 2; n <= s.inputs.size(); ++n)
      if (const auto further = s.failed + "." + std::to_string(n);
          ::access(further.c_str(), F_OK) == 0)
        check("--failed", further);
  if (collects(s)) check("--out", s.output.out);
  check("--joblog", s.output.joblog.substr(s.output.joblog.starts_with('+') ? 1 : 0));
}

int run(settings& s, node_context& context) {
  if (s.plain.on) return run_plain_ventilator(s.node, s.inputs, input_format(s), context);
  if (collects(s) && !s.summary.empty() && s.output.out == "-" && s.output.format != "null")
    throw error(exit_code::usage,
                "--summary and the results would both go to standard output: say --out FILE or "
                "--output-format null");
  keep_inputs(s);
  signals ends;
  s.node.name = context.name;
  forward_notices(s.node, context.say);
  const io::record_format format = input_format(s);
  std::optional<failed_tasks> failed;
  if (!s.failed.empty()) failed.emplace(s.failed, format);
  s.node.on_given_up = [&](const result& what, std::string_view payload) {
    if (!collects(s))
      context.say.detail("task " + std::to_string(what.id.seq) +
                         " failed for good: " + what.details->message);
    // What was too large to be a task is not there to be written.
    if (failed && what.attempt > 0) failed->add(payload);
  };
  const int stop_fd = eventfd(0, EFD_CLOEXEC);
  std::optional<weir::ventilator> node;
  if (collects(s))
    node.emplace(s.node, open_output(s.output, context.say));
  else
    node.emplace(s.node);
  for (const auto& where : node->endpoints()) context.say.detail("listening on " + where);
  feeder feed(*node, s, stop_fd);

  const auto start = std::chrono::steady_clock::now();
  std::atomic<int> ended_by = 0;
  rate_meter rate;
  bool complete = false;
  {
    watcher watch(
        ends,
        [&](int signal) {
          if (ended_by.exchange(signal) == 0) {
            context.say.notice(
                "reading no more; waiting for what is under way (again to "
                "abandon it)");
            const std::uint64_t one = 1;
            [[maybe_unused]] const auto n = ::write(stop_fd, &one, sizeof one);
            node->finish();
          } else {
            node->stop();
          }
        },
        [&] {
          const auto c = node->stats();
          const auto now = std::chrono::steady_clock::now();
          rate.update(c.done, now);
          progress_figures figures;
          figures.done = c.done;
          if (feed.at_end()) figures.total = c.submitted;
          figures.failed = c.failed;
          figures.in_flight = c.in_flight;
          figures.rate = rate.per_second();
          figures.note = plural(c.workers, "worker");
          context.say.status(figures, now);
        });
    std::thread reader([&] { feed.run(); });
    std::exception_ptr failure;
    try {
      complete = node->wait_for_end();
    } catch (...) {
      failure = std::current_exception();
    }
    const std::uint64_t one = 1;
    [[maybe_unused]] const auto n = ::write(stop_fd, &one, sizeof one);
    reader.join();
    if (failed) failed->finish(context.say);
    if (failure) std::rethrow_exception(failure);
  }
  ::close(stop_fd);
  context.say.clear();
  const auto c = node->stats();
  const double seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  if (s.summary == "json") print_summary(c, seconds);
  context.say.detail(std::to_string(c.done) + " of " + plural(c.submitted, "task") + " done, " +
                     std::to_string(c.failed) + " failed, " + std::to_string(c.redelivered) +
                     " redelivered");
  if (feed.failure()) std::rethrow_exception(feed.failure());
  if (ended_by != 0 && (!complete || !feed.at_end())) {
    const int code = static_cast<int>(exit_code::signalled) + ended_by;
    leave_soon(code);
    return code;
  }
  return static_cast<int>(c.failed > 0 ? exit_code::some_failed : exit_code::ok);
}

}  // namespace

int main(int argc, char** argv) {
  keep_freed_memory();
  settings s;
  return node_main(
      argc, argv, about,
      [&](CLI::App& app) {
        declare(app, s);
        app.parse_complete_callback([&] {
          prefer_connect(app, s.node, "--connect", "--bind");
          check_plain(
              app, s.plain,
              {"--sink", "--sink-connects", "--heartbeat", "--window", "--max-attempts",
               "--retry-delay", "--task-timeout", "--failed", "--summary", "--keep-order",
               "--out", "--output-format", "--tag", "--joblog", "--append", "--overwrite"});
          check_output(app, s);
        });
      },
      [&](node_context& context) { return run(s, context); });
}
