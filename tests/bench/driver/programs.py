"""Starts the programs of one measurement and makes sure that none outlives it."""

import contextlib
import json
import os
import random
import select
import signal
import socket
import tempfile
import time
from pathlib import Path


class Failed(Exception):
    """A run that gave no figure: says which program, and what it said."""


class Missing(Exception):
    """A program that is not there."""


class Tools:
    """The programs of one build folder."""

    PLACES = ("tests/bench", "nodes", "cli", "")

    def __init__(self, build):
        self.build = Path(build).resolve()

    def path(self, name):
        for place in self.PLACES:
            candidate = self.build / place / name
            if candidate.is_file() and os.access(candidate, os.X_OK):
                return str(candidate)
        raise Missing(f"{name} is not in {self.build}")

    def has(self, name):
        try:
            return bool(self.path(name))
        except Missing:
            return False


@contextlib.contextmanager
def signals_wait():
    """No signal's handler, which may raise, comes between what has to happen together."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


class Program:
    """One child process. Its output goes to files, so that no pipe can fill up and stall it."""

    def __init__(self, name, argv, folder, stdin, stdout):
        self.name = name
        self.status = None
        self.cpu_seconds = 0.0
        self.peak_kib = 0
        self._out = Path(stdout) if stdout else folder / f"{name}.out"
        self._err = folder / f"{name}.err"
        write = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
        # Not subprocess.Popen: it would wait for the child as well, now and then.
        self.pid = os.posix_spawn(
            argv[0], argv, os.environ, setsigmask=[],
            file_actions=[
                (os.POSIX_SPAWN_DUP2, stdin.fileno(), 0) if stdin
                else (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                (os.POSIX_SPAWN_OPEN, 1, self._out, write, 0o644),
                (os.POSIX_SPAWN_OPEN, 2, self._err, write, 0o644),
            ],
        )
        self.pidfd = os.pidfd_open(self.pid)

    def running(self):
        return self.status is None

    def poll(self):
        """Whether it still runs; takes its exit status if it has ended."""
        if self.running() and select.select([self.pidfd], [], [], 0)[0]:
            self.reap()
        return self.running()

    def reap(self):
        """Takes the exit status of a child that ends, and what it cost."""
        with signals_wait():
            _, status, used = os.wait4(self.pid, 0)
            self.status = os.waitstatus_to_exitcode(status)
        self.cpu_seconds = used.ru_utime + used.ru_stime
        os.close(self.pidfd)

    def end(self):
        """Kills it, stopped or not, unless it has ended by itself."""
        if self.running():
            self.send(signal.SIGKILL)
            self.reap()

    def send(self, which):
        signal.pidfd_send_signal(self.pidfd, which)

    def sample_memory(self):
        """ru_maxrss would also count the Python process that forked it; VmHWM does not."""
        try:
            for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
                if line.startswith("VmHWM:"):
                    self.peak_kib = max(self.peak_kib, int(line.split()[1]))
        except OSError:
            pass  # it has just ended

    def cpu_so_far(self):
        """Seconds on a CPU, to the nanosecond, over all its threads."""
        total = 0
        for thread in Path(f"/proc/{self.pid}/task").iterdir():
            total += int((thread / "schedstat").read_text().split()[0])
        return total / 1e9

    def output(self):
        return self._out.read_text(errors="replace")

    def figure(self):
        """The one JSON line that it printed."""
        try:
            return json.loads(self.output().strip().splitlines()[-1])
        except (IndexError, ValueError) as why:
            raise Failed(f"{self.name} printed no JSON line: {self.output()!r}") from why

    def complaint(self):
        said = self._err.read_text(errors="replace").strip().splitlines()
        return f"{self.name}: exit status {self.status}" + (f": {said[-1]}" if said else "")


class Run:
    """The programs of one measurement, which together have `deadline` seconds."""

    def __init__(self, deadline):
        self._deadline = deadline
        self._ends = time.monotonic() + deadline
        self._programs = []
        self._folder = tempfile.TemporaryDirectory(prefix="weir-bench-")
        self.folder = Path(self._folder.name)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for program in self._programs:
            program.end()
        self._folder.cleanup()

    def start(self, name, argv, stdin=None, stdout=None):
        argv = [str(word) for word in argv]
        with signals_wait():
            program = Program(name, argv, self.folder, stdin, stdout)
            self._programs.append(program)
        return program

    def check_time(self, waiting_for):
        if time.monotonic() > self._ends:
            raise Failed(f"{waiting_for}: not done after {self._deadline} s")

    def wait(self, watch=None):
        """Waits until all programs have ended well. Calls `watch` about 20 times a second."""
        poll = select.poll()
        by_fd = {p.pidfd: p for p in self._programs if p.running()}
        for fd in by_fd:
            poll.register(fd, select.POLLIN)
        while by_fd:
            left = max(0.0, self._ends - time.monotonic())
            for fd, _ in poll.poll(50 if watch else left * 1000):
                poll.unregister(fd)
                program = by_fd.pop(fd)
                program.reap()
                if program.status != 0:
                    raise Failed(program.complaint())
            if watch:
                watch()
            if by_fd:
                self.check_time(", ".join(p.name for p in by_fd.values()))

    def wait_for(self, condition, what):
        """Waits until `condition()` is true while all programs go on running."""
        while not condition():
            for program in self._programs:
                if program.running() and not program.poll():
                    raise Failed(f"{program.complaint()} (while waiting for {what})")
            self.check_time(what)
            time.sleep(0.01)

    def cpu_seconds(self):
        return sum(program.cpu_seconds for program in self._programs)


def endpoint():
    """A free port on loopback, below the ephemeral range (a TCP connect to an unbound ephemeral
    port can connect to itself)."""
    for _ in range(100):
        port = random.randint(20_000, 30_000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        return f"tcp://127.0.0.1:{port}"
    raise Failed("no free port between 20000 and 30000 in 100 attempts")
