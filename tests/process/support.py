"""Real processes for the tests: starts weir's programs, waits for things, cleans up.

    from support import Case, main

    class NormalRuns(Case):
        def test_two_workers_share_the_tasks(self):
            tasks, results = self.endpoint(), self.endpoint()
            sink = self.sink("--bind", results)
            self.worker("--from", tasks, "--coproc", "--", "cat")
            ventilator = self.ventilator("--bind", tasks, "--sink", results, input=b"a\\nb\\n")
            self.ends(ventilator, 0)
            self.ends(sink, 0)
            self.assertEqual(sink.lines(), [b"a", b"b"])

    if __name__ == "__main__":
        main()

Every node writes to files of its own in a temporary directory, so that none waits for a reader
and all of them can be shown when a test fails. Nothing waits without a deadline, and nothing is
expected to happen within a time: DEADLINE is only there to end a test that hangs. A test that
leaves a process behind fails.
"""
import collections
import contextlib
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import unittest
import uuid

#: A test that waits for longer than this has found a hang, however slow the machine is.
DEADLINE = 90.0
#: Between two looks at a condition.
POLL = 0.01
#: Written into the environment of all nodes, and so of all that they start.
MARK = "WEIR_PROCESS_TEST"
#: As a node's `input` or `stdout`: a pipe from or to the test.
PIPE = subprocess.PIPE
#: A worker's command that is fast, one process for all tasks of a slot, and hands back exactly
#: what it is given.
ECHO = ("--coproc", "--", "cat")
#: Fast enough that five of them pass within a test, slow enough for a busy machine.
HEARTBEAT = "100ms"
#: Programs that are not in the folder of the nodes.
ELSEWHERE = {"weir": ("cli", "weir"), "calls": ("tests", "process", "weir_call_nodes")}

_build = None


def wait_until(condition, what, deadline=DEADLINE):
    """Returns what condition() returns, once that is true."""
    end = time.monotonic() + deadline
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError("waited %.0f s in vain until %s" % (deadline, what))
        time.sleep(POLL)


def wait_for_change(condition, seconds):
    """Whether condition() becomes true within `seconds`: for what should not happen."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(POLL)
    return False


def processes_with(text):
    """The pids of all processes with `text` in their environment, but for zombies."""
    found = []
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            with open("/proc/%s/environ" % entry, "rb") as environ:
                if text.encode() in environ.read():
                    found.append(int(entry))
        except OSError:
            pass
    return found


def quiet(nodes, seconds=0.3):
    """Whether the nodes do next to nothing for a while: what is under way has come to a halt."""
    before = [node.cpu_ticks() for node in nodes]
    time.sleep(seconds)
    return all(node.cpu_ticks() - was <= 2 for node, was in zip(nodes, before))


def exists(pid):
    """Whether a process is there and not a zombie."""
    try:
        with open("/proc/%d/stat" % pid) as stat:
            return stat.read().rsplit(")", 1)[1].split()[0] not in "ZX"
    except OSError:
        return False


def free_port():
    """A TCP port that nobody listens on, below the ephemeral range: a connect to a port in that
    range, with nobody there, can connect to itself."""
    while True:
        port = random.randrange(10000, 32000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


def sanitized():
    with open(os.path.join(_build, "CMakeCache.txt")) as cache:
        return any(line.startswith("CMAKE_CXX_FLAGS:") and "-fsanitize" in line for line in cache)


def program_folders():
    """Where the programs are, for a PATH."""
    return [os.path.join(_build, folder) for folder in ("nodes", "cli")]


class Node:
    """One running program."""

    def __init__(self, case, program, arguments, input, stdout, preexec, env, stderr):
        self.case = case
        self.name = "%s%d" % (program, len(case.nodes) + 1)
        path = ELSEWHERE.get(program, ("nodes", "weir-" + program))
        self.command = [os.path.join(_build, *path)] + [
            os.fsencode(a) if isinstance(a, str) else a for a in arguments]
        self.out_path = os.path.join(case.dir, self.name + ".out")
        self.err_path = os.path.join(case.dir, self.name + ".err")
        self.feeder = None
        stdin = subprocess.DEVNULL
        if isinstance(input, bytes):
            path = os.path.join(case.dir, self.name + ".in")
            with open(path, "wb") as file:
                file.write(input)
            stdin = open(path, "rb")
        elif input is not None:
            stdin = input
        with open(self.err_path, "wb") as file:
            err = file if stderr is None else stderr
            out = open(self.out_path, "wb") if stdout is None else stdout
            environment = {k: v for k, v in os.environ.items() if not k.startswith("WEIR_")}
            environment.update(env or {})
            environment[MARK] = case.mark
            self.process = subprocess.Popen(self.command, stdin=stdin, stdout=out, stderr=err,
                                            preexec_fn=preexec, env=environment)
            if stdout is None:
                out.close()
        if isinstance(input, bytes):
            stdin.close()
        self.pid = self.process.pid

    def running(self):
        return self.process.poll() is None

    def send(self, number):
        self.process.send_signal(number)

    def stop(self):
        """SIGSTOP, and returns when it has stopped."""
        self.send(signal.SIGSTOP)
        wait_until(lambda: self._state() == "T", self.name + " is stopped")

    def cont(self):
        self.send(signal.SIGCONT)

    def feed(self, data, more=False):
        """Writes to its standard input, which it was given as PIPE, and closes that; with
        `more`, it stays open. Does not wait until all of it is taken."""

        def write():
            if before:
                before.join()
            try:
                self.process.stdin.write(data)
                self.process.stdin.flush()
                if not more:
                    self.process.stdin.close()
            except (BrokenPipeError, ValueError):
                pass

        before = self.feeder
        self.feeder = threading.Thread(target=write, daemon=True)
        self.feeder.start()

    def kill(self):
        """SIGKILL, and returns when it is gone."""
        self.process.kill()
        self.process.wait()

    def wait(self, deadline=DEADLINE):
        """The exit status as a shell shows it: 128 + n for signal n."""
        try:
            status = self.process.wait(deadline)
        except subprocess.TimeoutExpired:
            raise AssertionError("%s did not end within %.0f s" % (self.name, deadline)) from None
        return status if status >= 0 else 128 - status

    def _state(self):
        with open("/proc/%d/stat" % self.pid) as stat:
            return stat.read().rsplit(")", 1)[1].split()[0]

    def rss(self):
        """Resident memory in MiB."""
        return self._status("VmRSS")

    def peak_rss(self):
        """The most resident memory it has had, in MiB; 0 if it has ended, and under a sanitizer,
        whose shadow and quarantine are most of what there is: the Release suite claims figures."""
        return 0.0 if sanitized() else self._status("VmHWM")

    def _status(self, field):
        try:
            with open("/proc/%d/status" % self.pid) as status:
                for line in status:
                    if line.startswith(field + ":"):
                        return int(line.split()[1]) / 1024
        except OSError:
            pass
        return 0.0

    def threads(self):
        with open("/proc/%d/status" % self.pid) as status:
            return int(re.search(r"Threads:\s+(\d+)", status.read()).group(1))

    def children(self):
        """How many processes it has started that are still there."""
        count = 0
        for entry in os.listdir("/proc"):
            if entry.isdigit():
                try:
                    with open("/proc/%s/stat" % entry) as stat:
                        count += int(stat.read().rsplit(")", 1)[1].split()[1]) == self.pid
                except OSError:
                    pass
        return count

    def cpu_ticks(self):
        """Processor time used so far, in hundredths of a second."""
        with open("/proc/%d/stat" % self.pid) as stat:
            fields = stat.read().rsplit(")", 1)[1].split()
        return int(fields[11]) + int(fields[12])

    def stdout(self):
        with open(self.out_path, "rb") as file:
            return file.read()

    def stderr(self):
        with open(self.err_path, "rb") as file:
            return file.read().decode("utf-8", "replace")

    def lines(self):
        """What it wrote to standard output, line by line, sorted."""
        return sorted(self.stdout().splitlines())

    def written(self):
        """How many bytes it has written to standard output so far."""
        return os.path.getsize(self.out_path)

    def count(self):
        """How many lines it has written so far."""
        return self.stdout().count(b"\n")


class Case(unittest.TestCase):
    """A test with nodes, which die with it."""

    longMessage = True
    maxDiff = 2000

    def setUp(self):
        self.nodes = []
        self.others = []
        self.started = time.monotonic()
        self.mark = uuid.uuid4().hex
        self.dir = tempfile.mkdtemp(prefix="weir-")
        self.dirs = 0

    def tearDown(self):
        print("%.1f s " % (time.monotonic() - self.started), end="", file=sys.stderr)
        for node in self.nodes:
            if node.running():
                node.kill()
        for process in self.others:
            if process.poll() is None:
                process.kill()
            process.wait()
            for stream in (process.stdin, process.stdout, process.stderr):
                if stream:
                    stream.close()
        for node in self.nodes:
            if node.feeder:
                node.feeder.join()
            for stream in (node.process.stdin, node.process.stdout):
                if stream:
                    # What it was fed and did not read before it ended is still in the buffer.
                    with contextlib.suppress(BrokenPipeError):
                        stream.close()
        left = []
        if wait_for_change(lambda: not processes_with(self.mark), 20) is False:
            for pid in processes_with(self.mark):
                with open("/proc/%d/cmdline" % pid, "rb") as cmdline:
                    left.append("%d %r" % (pid, cmdline.read()))
                os.kill(pid, signal.SIGKILL)
        try:
            if self._failed() or left:
                self._show()
            self.assertEqual(left, [], "processes outlived the nodes that started them")
        finally:
            shutil.rmtree(self.dir, ignore_errors=True)

    def _failed(self):
        result = self._outcome.result
        return any(self in (test, getattr(test, "test_case", None))
                   for test, _ in result.failures + result.errors)

    def _show(self):
        print("\n---- %s" % self.id(), file=sys.stderr)
        for node in self.nodes:
            print("-- %s (exit %s): %s" % (node.name, node.process.returncode, b" ".join(
                os.fsencode(a) for a in node.command[1:]).decode("utf-8", "backslashreplace")),
                file=sys.stderr)
            print(node.stderr()[-4000:], file=sys.stderr)

    # ---- Starting nodes

    def endpoint(self):
        """A fresh endpoint on a Unix socket."""
        self.dirs += 1
        return "ipc://%s/%d" % (self.dir, self.dirs)

    def tcp_endpoint(self):
        return "tcp://127.0.0.1:%d" % free_port()

    def path(self, name):
        return os.path.join(self.dir, name)

    def write(self, name, content):
        with open(self.path(name), "wb") as file:
            file.write(content)
        return self.path(name)

    def read(self, name):
        with open(self.path(name), "rb") as file:
            return file.read()

    def start(self, program, *arguments, input=None, stdout=None, preexec=None, env=None,
              stderr=None):
        node = Node(self, program, arguments, input, stdout, preexec, env, stderr)
        self.nodes.append(node)
        return node

    def ventilator(self, *arguments, **how):
        return self.start("ventilator", "-v", *arguments, **how)

    def worker(self, *arguments, **how):
        return self.start("worker", "-v", *arguments, **how)

    def sink(self, *arguments, **how):
        return self.start("sink", "-v", *arguments, **how)

    def gateway(self, *arguments, **how):
        return self.start("gateway", "-v", *arguments, **how)

    def weir(self, verb, *arguments, **how):
        """The shell client."""
        return self.start("weir", verb, *arguments, **how)

    def bystander(self, *command, **how):
        """A process that is not one of weir's; it ends with the test."""
        process = subprocess.Popen(command, **how)
        self.others.append(process)
        return process

    # ---- What is expected

    def ends(self, node, code, deadline=DEADLINE):
        """The node ends, with this exit code."""
        self.assertEqual(node.wait(deadline), code, "exit code of " + node.name)

    def says(self, node, text):
        """The node's stderr matches the regular expression `text`, now or soon."""
        wait_until(lambda: re.search(text, node.stderr()), "%s says %r" % (node.name, text))

    def joined(self, node, *others):
        """The others have a session with the node."""
        for other in others:
            self.says(node, r":%d@\S* joined" % other.pid)

    def assertSays(self, node, text):
        self.assertRegex(node.stderr(), text)

    def assertOnce(self, got, expected):
        """Every expected line exactly once, in any order, and nothing else."""
        if sorted(got) == sorted(expected):
            return
        have, want = collections.Counter(got), collections.Counter(expected)
        missing, extra = want - have, have - want
        self.fail("%d missing, such as %r; %d too many, such as %r" % (
            sum(missing.values()), list(missing)[:3], sum(extra.values()), list(extra)[:3]))


def numbers(count, first=1):
    """`count` different lines, and the same as input of a ventilator."""
    lines = [b"task-%d" % n for n in range(first, first + count)]
    return lines, b"".join(line + b"\n" for line in lines)


def main():
    """Runs the tests of the calling file: FILE BUILD-FOLDER [unittest's arguments]."""
    global _build
    if len(sys.argv) < 2 or not os.path.isdir(sys.argv[1]):
        sys.exit("usage: %s BUILD-FOLDER [unittest's arguments]" % sys.argv[0])
    _build = os.path.abspath(sys.argv.pop(1))
    # `import support` in a test file and this module must be one and the same.
    sys.modules["support"]._build = _build
    unittest.main(verbosity=2)
