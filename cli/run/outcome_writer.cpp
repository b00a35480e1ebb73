#include "outcome_writer.hpp"

#include <chrono>
#include <utility>

namespace weir::cli::run {

outcome_writer::outcome_writer(options how, const command_template& command, task_table& tasks,
                               governor& rules, spool& room, printer& print, run_counts& counts)
    : options_(std::move(how)),
      command_(command),
      tasks_(tasks),
      rules_(rules),
      room_(room),
      print_(print),
      counts_(counts),
      log_waits_(options_.keep_order &&
                 (options_.print || (options_.files && options_.files->is_table()))) {}

void outcome_writer::write(const results& some) try {
  for (std::uint32_t i = 0; i < some.size(); ++i) write(some[i]);
} catch (...) {
  give_up();
  throw;
}

/// What cannot be written ends the run: whoever waits for us to go on need not.
void outcome_writer::give_up() {
  tasks_.abandon();
  rules_.press(governor::pressure::end_all);
}

void outcome_writer::write(const result& outcome) {
  const auto seq = outcome.id.seq;
  auto known = tasks_.take(seq);
  if (!known) return;
  std::optional<finished_task> task;
  if (known->skipped) {
    ++counts_.skipped;
  } else {
    const bool counted = known->counted;
    task = finish(std::move(known), outcome, room_, options_.elsewhere);
    ++counts_.done;
    if (!task->end.ok) ++counts_.failed;
    if (!counted)
      rules_.count(task->end, std::chrono::duration_cast<proto::duration>(
                                  std::chrono::duration<double>(task->runtime)));
    if (!log_waits_) record(*task);
  }
  if (!options_.keep_order) {
    if (task) print(*task);
    return tasks_.printed(1);
  }
  early_.emplace(seq, std::move(task));
  std::size_t printed = 0;
  for (auto next = early_.begin(); next != early_.end() && next->first == due_;
       next = early_.erase(next)) {
    if (next->second) print(*next->second);
    ++due_;
    ++printed;
  }
  if (printed > 0) tasks_.printed(printed);
}

/// The joblog says that nothing more is to be done, so it comes last.
void outcome_writer::record(const finished_task& task) {
  if (options_.files) options_.files->write(task);
  if (!options_.log) return;
  options_.log->write(io::joblog_entry{
      .seq = task.record->number,
      .host = task.host,
      .started = task.started,
      .runtime = task.runtime,
      .sent = task.sent,
      .received = task.received,
      .exit_value = task.end.exit_code,
      .signal = task.end.signal,
      .command = command_.text(task.record->values, task.where()),
  });
}

void outcome_writer::print(const finished_task& task) {
  if (log_waits_) record(task);
  if (!options_.print) return;
  print_.task(task.out, task.err,
              options_.tag ? options_.tag(*task.record, task.where()) : std::string());
}

void outcome_writer::flush() try {
  print_.flush();
  if (options_.files) options_.files->flush();
  if (options_.log) options_.log->flush();
} catch (...) {
  give_up();
  throw;
}

}  // namespace weir::cli::run
