#include "finished_task.hpp"

#include <algorithm>
#include <utility>

namespace weir::cli::run {
namespace {

finished_task from_here(std::shared_ptr<task_record> record, spool& room) {
  local_attempt& last = *record->last;
  finished_task done(room);
  done.slot = last.slot;
  done.started = last.started;
  done.runtime = last.runtime;
  done.end = last.end;
  done.sent = last.sent;
  done.received = last.received;
  done.out = std::move(last.out);
  done.err = std::move(last.err);
  // It has read what it wanted, and with --keep-order the record may wait for long.
  std::string().swap(record->input);
  done.record = std::move(record);
  return done;
}

task_end end_of(const result& outcome) {
  task_end end;
  end.ok = outcome.code == status::ok;
  if (end.ok) return end;
  if (outcome.details) {
    end.exit_code = std::max(outcome.details->exit_code, 0);
    end.signal = outcome.details->signal;
  }
  if (outcome.code == status::deadline_exceeded) end.exit_code = -1;
  // Not the command's own doing: it has no exit code, and must not look as if it had ended
  // well.
  if (end.exit_code == 0 && end.signal == 0) end.exit_code = 255;
  return end;
}

/// Not what a command has written, but what a coprocess or a function has answered.
bool is_answer(const result& outcome) {
  return outcome.code == status::ok && (!outcome.details || outcome.details->exit_code < 0);
}

}  // namespace

finished_task finish(std::shared_ptr<task_record> record, const result& outcome, spool& room,
                     answers how) {
  if (record->last && record->last->attempt == outcome.attempt)
    return from_here(std::move(record), room);
  finished_task done(room);
  done.end = end_of(outcome);
  done.out.append(outcome.payload);
  if (how == answers::lines && is_answer(outcome) && !outcome.payload.ends_with('\n'))
    done.out.append("\n");
  done.received = outcome.payload.size();
  if (outcome.details) {
    done.host = outcome.details->host;
    done.started = outcome.details->started;
    done.runtime = outcome.details->runtime;
    done.err.append(outcome.details->stderr_tail);
    if (done.end.exit_code == 255 || outcome.code == status::deadline_exceeded)
      done.err.append("weir run: task " + std::to_string(record->number) + ": " +
                      outcome.details->message + "\n");
  }
  done.out.finish();
  done.err.finish();
  done.record = std::move(record);
  return done;
}

}  // namespace weir::cli::run
