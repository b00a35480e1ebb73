"""Starts weir's programs and the Python peers for a test, waits for what it expects, and leaves nothing behind."""

import io
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
import unittest
from subprocess import PIPE

import msgpack

HERE = os.path.dirname(os.path.abspath(__file__))
NODES = os.environ.get("WEIR_NODES", os.path.join(HERE, "..", "..", "build", "nodes"))
CLIENT = os.environ.get("WEIR_CLIENT", os.path.join(NODES, "..", "cli", "weir"))
DEADLINE = 60.0  # for any one wait; what takes that long has failed


class Proxy:
    """Passes on what comes to one Unix socket to another, until its connections are cut."""

    def __init__(self, front, back):
        self.back, self.pairs, self.sockets, self.accepted = back, [], [], 0
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(front)
        self.listener.listen(16)
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            try:
                near, _ = self.listener.accept()
            except OSError:
                return
            far = socket.socket(socket.AF_UNIX)
            self.sockets += [near, far]
            try:
                far.connect(self.back)
            except OSError:  # nobody is there yet; the peer tries again
                near.close()
                continue
            self.pairs.append((near, far))
            self.accepted += 1
            for source, target in ((near, far), (far, near)):
                threading.Thread(target=self.carry, args=(source, target), daemon=True).start()

    @staticmethod
    def carry(source, target):
        try:
            while data := source.recv(65536):
                target.sendall(data)
        except OSError:
            pass
        for end in (source, target):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def cut(self):
        """Closes all connections; what was in them is lost."""
        pairs, self.pairs = self.pairs, []
        for pair in pairs:
            for end in pair:
                try:
                    end.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass

    def close(self):
        self.listener.shutdown(socket.SHUT_RDWR)  # ends accept(), which close() would not
        self.listener.close()
        self.cut()
        for one in self.sockets:
            one.close()


class Node:
    """A process with its input and output in files."""

    def __init__(self, case, name, command, stdin):
        self.name, self.command = name, command
        self.out, self.err = (os.path.join(case.dir, f"{name}.{end}") for end in ("out", "err"))
        environment = dict(os.environ, MARKS=case.marks, PYTHONPATH=HERE, PYTHONDONTWRITEBYTECODE="1")
        with open(self.out, "wb") as out, open(self.err, "wb") as err, tempfile.TemporaryFile(dir=case.dir) as source:
            if stdin is not PIPE:
                source.write(stdin)
                source.seek(0)
                stdin = source
            self.process = subprocess.Popen(command, stdin=stdin, stdout=out, stderr=err, env=environment)

    def end(self):
        """The exit status, once it has ended by itself."""
        return self.process.wait(DEADLINE)

    def write(self, data):
        """More for an input that was left open (stdin=PIPE)."""
        self.process.stdin.write(data)
        self.process.stdin.flush()

    def feed(self, data=b""):
        """The last of such an input."""
        self.write(data)
        self.process.stdin.close()

    def kill(self):
        self.process.kill()
        self.process.wait()
        if self.process.stdin:
            self.process.stdin.close()

    def output(self):
        with open(self.out, "rb") as file:
            return file.read()

    def errors(self):
        with open(self.err, "rb") as file:
            return file.read().decode(errors="replace")


class InteropCase(unittest.TestCase):
    def setUp(self):
        self.dir = tempfile.mkdtemp(prefix="weir-")  # short: a Unix socket's path has 107 bytes
        self.marks = os.path.join(self.dir, "marks")
        os.mkdir(self.marks)
        self.nodes = []
        self.tasks, self.results, self.calls = self.endpoint("t"), self.endpoint("r"), self.endpoint("c")
        self.failures_before = self.failures_so_far()

    def failures_so_far(self):
        return len(self._outcome.result.failures) + len(self._outcome.result.errors)

    def tearDown(self):
        for node in self.nodes:
            if node.process.poll() is None:
                node.kill()
        if self.failures_so_far() == self.failures_before:
            shutil.rmtree(self.dir, ignore_errors=True)
            return
        for node in self.nodes:
            print(f"--- {node.name}: {' '.join(node.command)}: {node.process.returncode}\n{node.errors()[-2000:]}",
                  file=sys.stderr)

    def endpoint(self, name):
        return "ipc://" + os.path.join(self.dir, name)

    def proxy(self, name, front="proxy"):
        """A proxy before the endpoint of that name, and where to connect to instead."""
        made = Proxy(os.path.join(self.dir, f"{name}-{front}"), os.path.join(self.dir, name))
        self.addCleanup(made.close)
        return made, self.endpoint(f"{name}-{front}")

    def start(self, command, stdin=b""):
        node = Node(self, f"{len(self.nodes)}-{os.path.basename(command[0])}", command, stdin)
        self.nodes.append(node)
        return node

    def feed_and_cut(self, ventilator, lines, proxies, cuts=5):
        """Gives it its input bit by bit, and cuts all connections after each bit. The end of input comes after the
        last cut, so that nobody can be done before it."""
        piece = -(-len(lines) // cuts)
        for cut in range(cuts):
            self.wait_until(lambda: all(proxy.accepted > cut for proxy in proxies), "connected (again)")
            ventilator.write(b"".join(line + b"\n" for line in lines[cut * piece:(cut + 1) * piece]))
            for proxy in proxies:
                proxy.cut()
        ventilator.feed()

    def wait_for_workers(self, ventilator, count):
        """Until so many have joined: a ventilator that is done sooner would leave a late one waiting for the next."""
        self.wait_until(lambda: ventilator.errors().count("joined") >= count, f"{count} peers joined the ventilator")

    # weir's own programs
    @staticmethod
    def program(name):
        return os.path.join(NODES, name)

    def weir_ventilator(self, *options, stdin=b"", bind=None):
        return self.start([self.program("weir-ventilator"), "--bind", bind or self.tasks, "-v", *options], stdin)

    def weir_worker(self, *command, options=(), tasks=None):
        return self.start([self.program("weir-worker"), "--from", tasks or self.tasks, "-v", *options, "--",
                           *command])

    def weir_sink(self, *options):
        return self.start([self.program("weir-sink"), "--bind", self.results, "-v", *options])

    def weir_gateway(self, *options, bind=None):
        node = self.start([self.program("weir-gateway"), "--bind", bind or self.calls, "-v", *options])
        self.wait_until(lambda: "listening" in node.errors(), "the gateway listens")
        return node

    def weir_methods(self, *options):
        return self.start([self.program("weir-worker"), "-v", *options])

    def weir(self, verb, *arguments, stdin=b""):
        """The shell client."""
        return self.start([CLIENT, verb, *arguments], stdin)

    # the peers in Python
    def python(self, program, *arguments, stdin=b""):
        node = self.start([sys.executable, os.path.join(HERE, program), *arguments], stdin)
        node.name = f"{len(self.nodes)}-{program}"
        return node

    def python_ventilator(self, *options, stdin=b""):
        return self.python("ventilator.py", self.tasks, *options, stdin=stdin)

    def python_worker(self, handler, *options, tasks=None):
        return self.python("worker.py", tasks or self.tasks, "handlers:" + handler, *options)

    def python_sink(self):
        return self.python("sink.py", self.results, self.path("records"))

    def python_methods(self, calls=None):
        return self.python("rpc_worker.py", calls or self.calls, "rpc_methods")

    def python_client(self, *calls, to=None):
        """Makes these calls, each (method, arguments, options), all at once."""
        return self.python("rpc_client.py", to or self.calls,
                           stdin=b"".join(json.dumps(call).encode() + b"\n" for call in calls))

    def answers(self, client):
        """The outcomes of a Python client's calls, once it has ended."""
        self.assert_ends(client)
        return [json.loads(line) for line in client.output().splitlines()]

    def path(self, name):
        return os.path.join(self.dir, name)

    @staticmethod
    def outcomes(node):
        """What weir-sink --format msgpack has written: [attempt, code, payload, details] by seq."""
        return {seq: rest for _, seq, *rest in msgpack.Unpacker(io.BytesIO(node.output()))}

    def records(self):
        """What the Python sink has written: (code, payload, details) by seq. One source, and nothing twice."""
        with open(self.path("records"), "rb") as file:
            records = list(msgpack.Unpacker(file))
        by_seq = {seq: (code, payload, details) for _, seq, code, payload, details in records}
        self.assertEqual(len(records), len(by_seq), "a result was written twice")
        self.assertLessEqual(len({record[0] for record in records}), 1)
        return by_seq

    def wait_until(self, condition, what):
        end = time.monotonic() + DEADLINE
        while not condition():
            if time.monotonic() > end:
                self.fail(f"waited in vain: {what}")
            time.sleep(0.01)

    def begun(self, by=""):
        """The marks of tasks that handlers have begun, or those of one worker, by its name or process."""
        name = str(by.process.pid) if isinstance(by, Node) else by
        return [mark for mark in os.listdir(self.marks) if mark.startswith(name + "-" if name else "") and "-" in mark]

    def open_gate(self):
        open(os.path.join(self.marks, "gate"), "w").close()

    def assert_ends(self, *nodes, status=0):
        for node in nodes:
            self.assertEqual(node.end(), status, f"{node.name}: {node.errors()}")

    def assert_lines(self, node_or_path, expected):
        if isinstance(node_or_path, str):
            with open(node_or_path, "rb") as file:
                got = file.read()
        else:
            got = node_or_path.output()
        self.assertEqual(sorted(got.split(b"\n")[:-1]), sorted(expected))


def numbers(count):
    """Input of `count` lines, and the lines."""
    lines = [str(n).encode() for n in range(1, count + 1)]
    return b"".join(line + b"\n" for line in lines), lines


def gated(name):
    """A command for a C++ worker that leaves the mark name-TASK when it begins and ends when the gate opens."""
    script = 'touch "$MARKS/$2-$1"; while [ ! -e "$MARKS/gate" ]; do sleep 0.02; done; echo "$1"'
    return ["sh", "-c", script, "sh", "{}", name]
