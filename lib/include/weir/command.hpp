// Commands as task handlers: what to run for each task, and within which bounds.
#pragma once

#include <chrono>
#include <cstddef>
#include <string>
#include <vector>

namespace weir {

/// How a task's payload reaches the command, and its result comes back. Nothing is ever split,
/// unquoted or interpreted: a payload is bytes.
enum class command_mode {
  /// One process for each task. Every `{}` in `argv` becomes the payload, within the element
  /// that
  /// it stands in; when there is none, the payload is appended as the last argument. The
  /// command
  /// itself, argv[0], cannot contain `{}`. A payload with a NUL byte, or longer than the system
  /// allows for an argument (128 KiB on Linux), fails for good.
  process,
  /// One process for each task, which reads the payload from its standard input. It may exit
  /// without reading all of it.
  stdin_,
  /// One `sh -c SCRIPT sh PAYLOAD ARG...` for each task, argv being SCRIPT ARG...: the payload
  /// is
  /// "$1". Bounds on the payload are those of `process`.
  shell,
  /// One process for each slot, started with the slot's first task. It reads a line for each
  /// task and answers each, in order, with one line of standard output; newlines are not part
  /// of
  /// payload or result. It must not hold lines back: `grep --line-buffered`, `sed -u`, `stdbuf
  /// -oL`, `mawk -W interactive`. A payload with a newline in it fails for good.
  ///
  /// One that writes anything else, such as a banner or a last word, gives answers to the wrong
  /// tasks. Whoever runs it ends with an error (`protocol`) as soon as that is seen: before the
  /// first task is read, with its answer, while no task is being worked on, or at the latest
  /// when the input ends. What was answered before cannot be taken back. It is never seen if
  /// the process has to be killed, or if it writes a line too much here and one too few there.
  coproc_lines,
  /// The same with a length of 4 bytes, most significant first, before each payload and result.
  coproc_frames,
};

/// A command, run for tasks.
///
/// What becomes of a task (outcome_details has exit code, signal, the end of stderr, start time
/// and run time of the process; a failed task's payload is its standard output so far):
///
///     exit 0                               OK, with standard output as the result
///     exit 1 to 255                        UNKNOWN
///     ended by a signal of its own making  ABORTED
///     time limit passed                    DEADLINE_EXCEEDED
///     cancelled                            CANCELLED
///     more output than max_output          RESOURCE_EXHAUSTED, not retried
///     no such command or directory         NOT_FOUND with exit code 127, not retried
///     command that may not be executed     PERMISSION_DENIED with exit code 126, not retried
///     payload not possible in this mode    INVALID_ARGUMENT, not retried
///     no process or pipe to be had         RESOURCE_EXHAUSTED
///     coprocess exited, or wrote more      UNAVAILABLE; tasks behind it are not charged
///
/// Standard input is /dev/null unless the mode says otherwise. No other descriptor is
/// inherited, signal dispositions are the default ones, no signal is blocked.
///
/// The process and its descendants form a process group. The group gets TERM when the task is
/// cancelled or its time is up, and KILL after `grace`; when the process itself has exited,
/// whatever it left in the group gets KILL at once and is not waited for. When the worker dies,
/// however it dies, so does everything (see start_reaper()).
struct command_options {
  command_mode mode = command_mode::process;
  /// The command and its arguments; the command is looked up in PATH, once.
  std::vector<std::string> argv{};
  /// Run the command that comes with a task, if one does (`weir run --listen` sends them), in
  /// place of `argv`, which may be empty then. Whoever can reach this worker's ventilator runs
  /// what he likes here. Not with coprocesses.
  bool accept_commands = false;
  /// NAME=VALUE each, added to the worker's environment, which is inherited. A NAME alone is
  /// refused. Processes of one task also get WEIR_TASK_ID (the source in hexadecimal, "-",
  /// seq), WEIR_SEQ and WEIR_ATTEMPT.
  std::vector<std::string> env{};
  /// Where it runs; empty: where the worker does.
  std::string cwd{};
  /// The largest result in bytes; the default is the largest payload that a message may carry.
  std::size_t max_output = std::size_t{16} * 1024 * 1024;
  /// From TERM to KILL. Long enough to remove a temporary file, short enough that a worker
  /// which is told to stop is gone before whoever told it loses patience (10 s in many
  /// supervisors).
  std::chrono::milliseconds grace{2000};
};

/// Throws weir::error, saying what to do, when no task could ever succeed: no command given,
/// not found, not executable, no such directory, `{}` for a command, an `env` element without a
/// '='. For a program to call before it takes tasks, because otherwise each of them would fail.
void check(const command_options& options);

/// Starts the reaper: a tiny process that does nothing until this one has died, even by kill
/// -9, and then kills all processes that commands have left behind, daemons included. Those it
/// finds by WEIR_REAPER_TOKEN in their environment, so a descendant that has cleared its
/// environment *and* left its process group escapes. Without a reaper, only the processes that
/// were started for tasks are certain to die with this one, not their descendants.
///
/// Threads    Call it first in main(), before there is any other thread. Once is enough.
/// Errors     Throws weir::error when there can be no further process.
void start_reaper();

}  // namespace weir
