"""`weir run` beside GNU parallel: every command of run_parity_table.py, run by both.

    run_parity_test.py BUILD-FOLDER [--only-parallel] [unittest's arguments]

--only-parallel checks the table itself: whether parallel does what it says.

Every run has a folder, a TMPDIR and an environment of its own, and nothing may remain of it but what
the row says: no process, no temporary file. So several run at once, whatever the order.
"""
import concurrent.futures
import csv
import os
import re
import shlex
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
import unittest
import uuid

import support
from parity_case import ANY_ORDER
from run_parity_table import TABLE

#: Most of a run's time is somebody's waiting.
AT_ONCE = 2 * (os.cpu_count() or 1)
#: How much of what a program wrote is shown when it was wrong.
SHOWN = 1500

_only_parallel = "--only-parallel" in sys.argv


class Ran:
    """What came of one run."""

    def __init__(self, status, out, err, tree, temporary, processes, seconds):
        self.status, self.out, self.err, self.seconds = status, out, err, seconds
        self.tree, self.temporary, self.processes = tree, temporary, processes

    def log(self):
        """The joblog's fields, by Seq; the attempts of one task stay in their order."""
        rows = list(csv.reader(self.tree["log"].decode("utf-8", "surrogateescape").splitlines(),
                               delimiter="\t", quoting=csv.QUOTE_NONE))
        assert rows[0] == ["Seq", "Host", "Starttime", "JobRuntime", "Send", "Receive", "Exitval",
                           "Signal", "Command"], "joblog's header: %r" % rows[0]
        for row in rows[1:]:
            assert len(row) == 9, "nine columns: %r" % row
            float(row[2]), float(row[3])
        return sorted(((int(r[0]), int(r[6]), int(r[7]), words(r[8]), int(r[4]), int(r[5]))
                       for r in rows[1:]), key=lambda row: row[0])


def words(command):
    """A command line as words, whichever way it is quoted."""
    try:
        return shlex.split(command)
    except ValueError:
        return [command]


class Tool:
    """`parallel` or `weir run`, behind the name `tool` in a folder of its own."""

    def __init__(self, name, command, home):
        self.name, self.home = name, home
        self.folder = os.path.join(home, name + "-bin")
        os.mkdir(self.folder)
        path = os.path.join(self.folder, "tool")
        with open(path, "w") as file:
            file.write('#!/bin/sh\nexec %s "$@"\n' % " ".join(map(shlex.quote, command)))
        os.chmod(path, 0o755)

    def run(self, case):
        top = tempfile.mkdtemp(prefix="weir-parity-")
        try:
            return self._run_in(top, case)
        finally:
            shutil.rmtree(top, ignore_errors=True)

    def _run_in(self, top, case):
        work, temporary = os.path.join(top, "work"), os.path.join(top, "tmp")
        os.mkdir(work)
        os.mkdir(temporary)
        for name, content in case.files.items():
            content, mode = content if isinstance(content, tuple) else (content, 0o644)
            path = os.path.join(work.encode(), os.fsencode(name))
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "wb") as file:
                file.write(content)
            os.chmod(path, mode)
        with open(os.path.join(top, "stdin"), "wb") as file:
            file.write(case.stdin)
        mark = uuid.uuid4().hex
        environment = {"PATH": self.folder + ":/usr/local/bin:/usr/bin:/bin", "HOME": self.home,
                       "TMPDIR": temporary, "SHELL": "/bin/sh", "PARALLEL_SHELL": "/bin/sh",
                       "LC_ALL": "C.UTF-8", support.MARK: mark, **case.env}
        command = ["sh", "-c", case.script] if case.script else [
            os.path.join(self.folder, "tool"), *case.args]
        started = time.monotonic()
        with open(os.path.join(top, "stdin"), "rb") as stdin, \
                open(os.path.join(top, "out"), "wb") as out, \
                open(os.path.join(top, "err"), "wb") as err:
            process = subprocess.Popen(command, stdin=stdin, stdout=out, stderr=err, cwd=work,
                                       env=environment, start_new_session=True)
            try:
                status = process.wait(case.deadline)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
                status = None
        seconds = time.monotonic() - started
        left = []
        if not support.wait_for_change(lambda: not support.processes_with(mark), 10):
            for pid in support.processes_with(mark):
                with open("/proc/%d/cmdline" % pid, "rb") as cmdline:
                    left.append("%d %r" % (pid, cmdline.read()))
                os.kill(pid, signal.SIGKILL)
        written = tree(top)
        return Ran(status, written["out"], written["err"], tree(work), sorted(tree(temporary)), left,
                   seconds)


def tree(folder):
    """Relative path -> content of every file, and None for every empty folder."""
    found = {}
    for path, folders, files in os.walk(os.fsencode(folder)):
        relative = os.path.relpath(path, os.fsencode(folder))
        for name in files:
            full = os.path.join(path, name)
            key = os.fsdecode(os.path.normpath(os.path.join(relative, name)))
            if stat.S_ISREG(os.lstat(full).st_mode):
                with open(full, "rb") as file:
                    found[key] = file.read()
            else:
                found[key] = b"(not a file)"
        if not folders and not files and relative != b".":
            found[os.fsdecode(relative)] = None
    return found


class Comparison:
    """Collects what is wrong with a case."""

    def __init__(self, case):
        self.case, self.wrong = case, []

    def expect(self, tool, what, got, wanted):
        if got != wanted:
            self.wrong.append("%s: %s is %s, not %s" % (tool, what, shown(got), shown(wanted)))

    def in_order(self, text):
        return sorted(text.splitlines(True)) if self.case.order == ANY_ORDER else text

    def claims(self, tool, ran, result):
        """The run against what the row says of it."""
        if ran.status is None:
            self.wrong.append("%s: did not end within %.0f s" % (tool, self.case.deadline))
        if result.status is not None:
            self.expect(tool, "exit status", ran.status, result.status)
        if result.out is not None:
            self.expect(tool, "stdout", self.in_order(ran.out), self.in_order(result.out))
        if isinstance(result.err, bytes):
            self.expect(tool, "stderr", self.in_order(ran.err), self.in_order(result.err))
        elif result.err is not None:
            if not re.search(result.err, ran.err.decode("utf-8", "replace")):
                self.wrong.append("%s: stderr is %s, without %r" % (tool, shown(ran.err),
                                                                    result.err))
        for path, content in result.left.items():
            self.expect(tool, "file " + path, ran.tree.get(path), content)
        if result.log is not None:
            if "log" not in ran.tree:
                self.wrong.append("%s: no file log" % tool)
            else:
                self.expect(tool, "joblog", self.rows(tool, ran, len(result.log[0]) if result.log
                                                      else 4),
                            [(*row[:3], words(row[3]), *row[4:]) for row in result.log])
        self.expect(tool, "temporary files left", ran.temporary, [])
        if tool != "parallel":  # which on a busy machine may leave some behind
            self.expect(tool, "processes left", ran.processes, [])

    def rows(self, tool, ran, width):
        try:
            return [row[:width] for row in ran.log()]
        except (AssertionError, ValueError, IndexError) as error:
            self.wrong.append("%s: bad joblog: %s in %s" % (tool, error, shown(ran.tree["log"])))
            return []

    def same(self, parallel, weir):
        """Both runs against each other, in what the row leaves open."""
        differs = self.case.differs
        if differs is None or differs.status is None:
            self.expect("weir run", "exit status", weir.status, parallel.status)
        if differs is None or differs.out is None:
            self.expect("weir run", "stdout", self.in_order(weir.out), self.in_order(parallel.out))
        settled = set(self.case.varies) | set(differs.left if differs else ())
        if "log" in parallel.tree and "log" in weir.tree and "log" not in settled:
            settled.add("log")
            if differs is None or differs.log is None:
                self.expect("weir run", "joblog", self.rows("weir run", weir, 6),
                            self.rows("parallel", parallel, 6))
        files = {path: content for path, content in weir.tree.items() if path not in settled}
        wanted = {path: content for path, content in parallel.tree.items() if path not in settled}
        self.expect("weir run", "files left", files, wanted)


def shown(value):
    text = repr(value)
    return text if len(text) <= SHOWN else "%s... (%d characters)" % (text[:SHOWN], len(text))


def examine(case):
    """Runs the case; returns what is wrong, line by line, and the seconds of each side."""
    comparison, seconds, parallel = Comparison(case), [], None
    if not case.without_parallel:
        parallel = _tools["parallel"].run(case)
        seconds.append(parallel.seconds)
        comparison.claims("parallel", parallel, case.result)
    if not _only_parallel:
        weir = _tools["weir"].run(case)
        seconds.append(weir.seconds)
        comparison.claims("weir run", weir, case.differs or case.result)
        if parallel:
            comparison.same(parallel, weir)
        if comparison.wrong:
            comparison.wrong.append("weir run's stderr: " + shown(weir.err))
    if parallel and comparison.wrong:
        comparison.wrong.append("parallel's stderr: " + shown(parallel.err))
    return comparison.wrong, seconds


class Parity(unittest.TestCase):
    """A test for every row."""

    def check(self, case):
        wrong, seconds = _started[case].result() if case in _started else examine(case)
        print("%s " % " + ".join("%.1f s" % s for s in seconds), end="", file=sys.stderr)
        if wrong:
            command = "sh -c %s" % shlex.quote(case.script) if case.script else "tool " + " ".join(
                shlex.quote(a if isinstance(a, str) else repr(a))[:200] for a in case.args)
            self.fail("\n%s\n  %s" % (command, "\n  ".join(wrong)))


_tools, _rows, _started = {}, {}, {}


def load_tests(loader, chosen, pattern):
    """All rows that were chosen start here, as many at once as make sense."""
    names = {test.id().rsplit(".", 1)[1] for suite in chosen for test in suite}
    pool = concurrent.futures.ThreadPoolExecutor(AT_ONCE)
    # What takes long begins first.
    for name, case in sorted(_rows.items(), key=lambda row: -row[1].deadline):
        if name in names:
            _started[case] = pool.submit(examine, case)
    return chosen


def _add(part, case):
    name = "test_%s_%s" % (part, case.slug())
    assert not hasattr(Parity, name), "two rows are called %r" % case.name
    _rows[name] = case
    setattr(Parity, name, lambda self: self.check(case))
    getattr(Parity, name).__doc__ = case.name


for _part, _cases in TABLE.items():
    for _case in _cases:
        _add(_part, _case)


if __name__ == "__main__":
    if _only_parallel:
        sys.argv.remove("--only-parallel")
    if not shutil.which("parallel"):
        sys.exit("GNU parallel is not installed, and there is nothing else to compare `weir run` "
                 "with: apt install parallel (scripts/packages has all that the tests need)")
    with tempfile.TemporaryDirectory(prefix="weir-parity-home-") as _home:
        # Else parallel asks whoever runs it for the first time to cite it.
        os.mkdir(os.path.join(_home, ".parallel"))
        open(os.path.join(_home, ".parallel", "will-cite"), "w").close()
        _tools["parallel"] = Tool("parallel", [shutil.which("parallel")], _home)
        _tools["weir"] = Tool("weir", [os.path.join(os.path.abspath(sys.argv[1]), "cli", "weir"),
                                       "run"], _home)
        support.main()
