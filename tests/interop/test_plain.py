"""The plain transport: bare PUSH and PULL sockets in each of the three places, before weir's own programs."""

import os
import signal
import unittest

import msgpack
import zmq

from harness import InteropCase, gated, numbers

EVERYTHING = [b"", b"\0", bytes(range(256)), b"\n\r\n", os.urandom(1 << 20), os.urandom(16 << 20)]


class Plain(InteropCase):
    def setUp(self):
        super().setUp()
        self.context = zmq.Context()
        self.sockets = []

    def tearDown(self):
        for socket in self.sockets:
            socket.close(0)
        self.context.destroy(0)
        super().tearDown()

    def socket(self, kind, bind=None, connect=None):
        socket = self.context.socket(kind)
        self.sockets.append(socket)
        if bind:
            socket.bind(bind)
        if connect:
            socket.connect(connect)
        return socket

    def receive(self, socket):
        self.assertTrue(socket.poll(60_000), "nothing has come")
        return socket.recv()

    def ventilator(self, *options, **more):
        return self.weir_ventilator("--plain", *options, **more)

    def worker(self, *command, options=(), **more):
        return self.weir_worker(*command, options=("--plain", "--to", self.results, *options), **more)

    def sink(self, *options):
        return self.weir_sink("--plain", *options)

    def assert_ends_when_told(self, *workers, status=0):
        for worker in workers:
            worker.process.send_signal(signal.SIGTERM)
        self.assert_ends(*workers, status=status)

    def test_all_three_are_weirs(self):
        stdin, lines = numbers(20_000)
        sink = self.sink("--format", "lines", "--expect", "20000")
        workers = [self.worker("cat", options=("--coproc",)) for _ in range(2)]
        ventilator = self.ventilator(stdin=stdin)
        self.assert_ends(ventilator, sink)
        self.assert_lines(sink, lines)
        self.assert_ends_when_told(*workers)
        for node in self.nodes:
            self.assertIn("at most once", node.errors())

    def test_a_python_program_pushes_the_tasks(self):
        sink = self.sink("--format", "msgpack", "--expect", str(len(EVERYTHING)))
        worker = self.worker("cat", options=("--stdin",))
        tasks = self.socket(zmq.PUSH, bind=self.tasks)
        for payload in EVERYTHING:
            tasks.send(payload)
        self.assert_ends(sink)
        self.assert_ends_when_told(worker)
        self.assertEqual(sorted(payload for _, _, payload, _ in self.outcomes(sink).values()), sorted(EVERYTHING))

    def test_a_python_program_does_the_work(self):
        stdin, lines = numbers(5000)
        sink = self.sink("--format", "lines", "--expect", "5000")
        ventilator = self.ventilator(stdin=stdin)
        tasks = self.socket(zmq.PULL, connect=self.tasks)
        results = self.socket(zmq.PUSH, connect=self.results)
        for _ in lines:
            results.send(b"<" + self.receive(tasks) + b">")
        self.assert_ends(ventilator, sink)
        self.assert_lines(sink, [b"<" + line + b">" for line in lines])

    def test_a_python_program_pulls_the_results(self):
        results = self.socket(zmq.PULL, bind=self.results)
        ventilator = self.ventilator("--format", "msgpack", stdin=b"".join(map(msgpack.packb, EVERYTHING)))
        worker = self.worker("cat", options=("--stdin",))
        self.assertEqual(sorted(self.receive(results) for _ in EVERYTHING), sorted(EVERYTHING))
        self.assert_ends(ventilator)
        self.assert_ends_when_told(worker)

    def test_either_end_binds(self):
        stdin, lines = numbers(100)
        results = self.socket(zmq.PUSH, bind=self.results)
        sink = self.start([self.program("weir-sink"), "--plain", "--connect", self.results, "--format", "lines",
                           "--expect", "100"])
        tasks = self.socket(zmq.PULL, bind=self.tasks)
        ventilator = self.start([self.program("weir-ventilator"), "--plain", "--connect", self.tasks], stdin)
        for _ in lines:
            results.send(self.receive(tasks))
        self.assert_ends(ventilator, sink)
        self.assert_lines(sink, lines)

    def test_a_worker_that_binds_is_found_by_who_pushes(self):
        results = self.socket(zmq.PULL, bind=self.results)
        worker = self.start([self.program("weir-worker"), "--plain", "--bind", self.tasks, "--to", self.results,
                             "--", "printf", "%s!"])
        tasks = self.socket(zmq.PUSH, connect=self.tasks)
        tasks.send(b"task")
        self.assertEqual(self.receive(results), b"task!")
        self.assert_ends_when_told(worker)

    def test_no_input_ends_at_once(self):
        self.assert_ends(self.ventilator())

    def test_a_task_that_fails_has_no_result_and_the_worker_says_so(self):
        results = self.socket(zmq.PULL, bind=self.results)
        ventilator = self.ventilator(stdin=b"0\n3\n0\n")
        worker = self.worker('echo "$1"; echo "because of $1" >&2; exit "$1"', options=("--shell",))
        self.assertEqual([self.receive(results) for _ in range(2)], [b"0\n", b"0\n"])
        self.wait_until(lambda: "because of 3" in worker.errors(), "the failure has been told")
        self.assert_ends(ventilator)
        self.assert_ends_when_told(worker, status=1)
        self.assertFalse(results.poll(0))

    def test_messages_of_several_frames_are_dropped_and_told(self):
        sink = self.sink("--format", "lines", "--expect", "2")
        results = self.socket(zmq.PUSH, connect=self.results)
        for frames in ([b"one"], [b"two", b"frames"], [b"three"]):
            results.send_multipart(frames)
        self.assert_ends(sink, status=1)
        self.assert_lines(sink, [b"one", b"three"])
        self.assertIn("several frames, dropped: 1", sink.errors())

    def test_a_worker_that_is_told_to_end_finishes_what_it_has(self):
        results = self.socket(zmq.PULL, bind=self.results)
        tasks = self.socket(zmq.PUSH, bind=self.tasks)
        worker = self.worker(*gated("w"), options=("-j", "2"))
        for number in (b"1", b"2"):
            tasks.send(number)
        self.wait_until(lambda: len(self.begun()) == 2, "the worker began two tasks")
        worker.process.send_signal(signal.SIGTERM)
        self.wait_until(lambda: "leaving" in worker.errors(), "the worker has noticed")
        self.open_gate()
        self.assertEqual(sorted(self.receive(results) for _ in range(2)), [b"1\n", b"2\n"])
        self.assert_ends(worker)

    def test_told_twice_it_stops_what_runs(self):
        tasks = self.socket(zmq.PUSH, bind=self.tasks)
        self.socket(zmq.PULL, bind=self.results)
        worker = self.worker(*gated("w"))
        tasks.send(b"1")
        self.wait_until(lambda: self.begun(), "the worker began a task")
        worker.process.send_signal(signal.SIGTERM)
        self.wait_until(lambda: "leaving" in worker.errors(), "the worker has noticed")
        worker.process.send_signal(signal.SIGTERM)
        self.assert_ends(worker, status=128 + signal.SIGTERM)

    def test_a_sink_ends_by_a_signal(self):
        sink = self.sink()
        self.socket(zmq.PUSH, connect=self.results).send(b"result\n")
        self.wait_until(lambda: sink.output() == b"result\n", "the result has been written")
        sink.process.send_signal(signal.SIGINT)
        self.assert_ends(sink)

    def test_a_worker_and_a_sink_end_when_nothing_comes(self):
        self.socket(zmq.PUSH, bind=self.tasks)
        idle = ("--idle-timeout", "100ms")
        self.socket(zmq.PUSH, connect=self.results)
        self.assert_ends(self.worker("true", options=idle), self.sink(*idle))

    def test_a_sink_that_got_less_than_it_expects_says_so(self):
        sink = self.sink("--expect", "2")
        other = self.start([self.program("weir-sink"), "--plain", "--bind", self.endpoint("r2"), "--expect", "2",
                            "--idle-timeout", "100ms"])
        self.socket(zmq.PUSH, connect=self.results).send(b"x")
        self.socket(zmq.PUSH, connect=self.endpoint("r2")).send(b"x")
        self.assert_ends(other, status=69)
        self.wait_until(lambda: sink.output() == b"x", "the result has been written")
        sink.process.send_signal(signal.SIGTERM)
        self.assert_ends(sink, status=128 + signal.SIGTERM)

    def test_whoever_finds_nobody_gives_up(self):
        timeout = ("--connect-timeout", "200ms")
        nobody = self.endpoint("nobody")
        worker = self.weir_worker("true", options=("--plain", "--to", nobody, *timeout), tasks=nobody)
        self.assert_ends(self.ventilator(*timeout, stdin=b"task\n"), self.sink(*timeout), worker, status=69)

    def test_a_worker_without_a_sink_says_that_its_results_are_lost(self):
        self.open_gate()
        tasks = self.socket(zmq.PUSH, bind=self.tasks)
        worker = self.worker(*gated("w"), options=("--connect-timeout", "200ms"))
        tasks.send(b"task")
        self.wait_until(lambda: self.begun(), "the worker began the task")
        self.assert_ends_when_told(worker, status=69)
        self.assertIn("no sink", worker.errors())

    def test_a_task_that_is_too_long_is_left_out_and_told(self):
        tasks = self.socket(zmq.PULL, connect=self.tasks)
        ventilator = self.ventilator("--format", "msgpack",
                                     stdin=msgpack.packb(bytes((16 << 20) + 1)) + msgpack.packb(b"good"))
        self.assertEqual(self.receive(tasks), b"good")
        self.assert_ends(ventilator, status=1)
        self.assertIn("left out", ventilator.errors())

    def test_options_that_mean_nothing_there_are_usage_errors(self):
        self.assert_ends(self.ventilator("--window", "5"), self.ventilator("--sink", self.results),
                         self.worker("true", options=("--serve",)), self.sink("--keep-order"),
                         self.weir_sink("--expect", "5"), self.weir_worker("true", options=("--idle-timeout", "1s")),
                         status=64)


if __name__ == "__main__":
    unittest.main()
