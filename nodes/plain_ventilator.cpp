// weir-ventilator --plain: pushes its input to whoever pulls.
#include "io/record_reader.hpp"
#include "plain_nodes.hpp"
#include "watcher.hpp"

#include <weir/error.hpp>

#include <sys/eventfd.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <optional>

namespace weir::nodes {
namespace {

enum class reading { ended, stopped };

reading read_all(io::record_reader& from, plain_ventilator& to, console& say) {
  proto::pack_builder tasks;
  for (;;) {
    const auto got = from.read_into(tasks, 4096, proto::limits::batch_bytes);
    const proto::pack some = tasks.take();
    for (std::uint32_t i = 0; i < some.size(); ++i)
      if (!to.submit(some[i])) return reading::stopped;
    if (got == io::record_reader::fill::end) return reading::ended;
    if (got == io::record_reader::fill::woken) return reading::stopped;
    if (got != io::record_reader::fill::oversize) continue;
    const auto& r = from.refused();
    say.error("record " + std::to_string(r.number) + " of " + r.input + " has " +
              std::to_string(r.bytes) + " bytes, and a task at most " +
              std::to_string(proto::limits::payload_bytes) + ": left out");
  }
}

}  // namespace

int run_plain_ventilator(const node_options& node, const std::vector<std::string>& inputs,
                         const io::record_format& format, node_context& context) {
  signals ends;
  warn_of_plain(context.say);
  const int stop_fd = eventfd(0, EFD_CLOEXEC);
  io::record_reader reader(inputs, format, stop_fd);
  plain_ventilator out(node);
  for (const auto& where : out.endpoints()) context.say.detail("listening on " + where);
  std::atomic<int> ended_by = 0;
  std::optional<reading> how;
  bool handed_over = false;
  rate_meter rate;
  {
    watcher watch(
        ends,
        [&](int signal) {
          if (ended_by.exchange(signal) != 0)  // what is queued is given up too
            std::_Exit(static_cast<int>(exit_code::signalled) + signal);
          const std::uint64_t one = 1;
          [[maybe_unused]] const auto n = ::write(stop_fd, &one, sizeof one);
          out.stop();
        },
        [&] {
          const auto stats = out.stats();
          const auto now = std::chrono::steady_clock::now();
          rate.update(stats.done, now);
          progress_figures figures;
          figures.done = stats.done;
          figures.rate = rate.per_second();
          figures.note = plural(stats.peers, "peer");
          context.say.status(figures, now);
        });
    how = read_all(reader, out, context.say);
    handed_over = out.finish();
  }
  ::close(stop_fd);
  const auto handed = out.stats().done;
  context.say.detail(plural(handed, "task") + " handed over");
  if (how == reading::stopped && ended_by != 0)
    return static_cast<int>(exit_code::signalled) + ended_by;
  if (!handed_over)
    throw error(exit_code::unavailable,
                "nobody has taken the last tasks (--connect-timeout; 0 waits for ever)");
  return static_cast<int>(reader.records() > handed ? exit_code::some_failed : exit_code::ok);
}

}  // namespace weir::nodes
