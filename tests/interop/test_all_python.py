"""The three Python peers together, and what the page says of single frames."""

import os
import re
import signal
import unittest

import zmq

from harness import HERE, InteropCase, numbers
from weir_link import (ALIVE, ERROR, HELLO, MALFORMED, SAY_HELLO, WELCOME, batches_of, decode, encode, items_of,
                       ranges_of, seqs_of)


class AllPython(InteropCase):
    def test_every_task_is_recorded_once(self):
        stdin, lines = numbers(5000)
        sink = self.python_sink()
        worker = self.python_worker("upper")
        self.assert_ends(self.python_ventilator("--sink", self.results, stdin=stdin), worker, sink)
        self.assertEqual([payload for _, payload, _ in map(self.records().get, range(1, 5001))], lines)

    def test_failures_are_retried_and_what_is_given_up_is_recorded(self):
        sink = self.python_sink()
        worker = self.python_worker("fail")
        ventilator = self.python_ventilator("--sink", self.results, stdin=b"fine\n5\n6 final\n")
        self.assert_ends(worker)
        self.assert_ends(ventilator, sink, status=1)
        self.assertEqual({seq: code for seq, (code, _, _) in self.records().items()}, {1: 0, 2: 5, 3: 6})

    def test_any_of_them_may_be_killed_but_the_ventilator(self):
        stdin, lines = numbers(60)
        self.python_sink()
        victim = self.python_worker("gated")
        ventilator = self.python_ventilator("--sink", self.results, stdin=stdin)
        self.wait_until(lambda: len(self.begun(victim)) == 2, "the worker began two tasks")
        for node in self.nodes[:2]:
            node.kill()
        self.open_gate()
        sink = self.python_sink()
        self.assert_ends(ventilator, self.python_worker("gated"), sink)
        self.assertEqual(sorted(payload for _, payload, _ in self.records().values()), sorted(lines))

    def test_a_drained_worker_leaves_the_rest_to_another(self):
        stdin, lines = numbers(60)
        sink = self.python_sink()
        leaver = self.python_worker("gated")
        ventilator = self.python_ventilator("--sink", self.results, "--max-attempts", "1", stdin=stdin)
        self.wait_until(lambda: len(self.begun(leaver)) == 2, "the worker began two tasks")
        leaver.process.send_signal(signal.SIGTERM)
        stayer = self.python_worker("gated")
        self.wait_until(lambda: len(self.begun(stayer)) == 2, "the other worker got some of them")
        self.open_gate()
        self.assert_ends(leaver, stayer, ventilator, sink)
        self.assertEqual(sorted(payload for _, payload, _ in self.records().values()), sorted(lines))


class Frames(unittest.TestCase):
    """weir_link against the frames on the page."""

    def frames(self, kind):
        with open(os.path.join(HERE, "..", "..", "docs", "protocol.md"), encoding="utf-8") as page:
            for name, block in re.findall(rf"^```{kind} (.*?)\n(.*?)^```$", page.read(), re.M | re.S):
                lines = {start: b"".join(bytes.fromhex(line[2:]) for line in block.splitlines()
                                         if line.startswith(start + " ")) for start in "HB"}
                yield name, [lines["H"]] + ([lines["B"]] if lines["B"] else [])

    def test_every_golden_frame_is_read_and_written_back_to_the_byte(self):
        count = 0
        for name, frames in self.frames("golden"):
            message, body = decode(frames)
            self.assertEqual(encode(message, body), frames, name)
            if message[0] in (3, 4):
                list(items_of(message[2], body))
            count += 1
        self.assertGreater(count, 20)

    def test_frames_that_mean_the_same_are_read_alike(self):
        golden = dict(self.frames("golden"))
        for names, frames in self.frames("same"):
            message, body = decode(frames)
            expected, expected_body = decode(golden[names.split()[-1]])
            if message[0] in (3, 4):
                self.assertEqual(list(items_of(message[2], body)), list(items_of(expected[2], expected_body)), names)
            self.assertEqual(message[0], expected[0])

    def test_runs_and_ranges_unfold_to_what_was_folded(self):
        tasks = [(seq, 1 + seq % 2, b"x" * (seq % 5)) for seq in (1, 2, 3, 7, 9, 10, 50_000)]
        (runs, body), = batches_of(tasks)
        self.assertEqual([item[:3] for item in items_of(runs, body)], tasks)
        results = [(seq, 1, b"y" * seq, seq % 3, {"exit": seq}) for seq in range(1, 9)]
        (runs, body), = batches_of(results)
        self.assertEqual(list(items_of(runs, body)), results)
        self.assertEqual(ranges_of([5, 1, 2, 9, 8]), [1, 2, 5, 5, 8, 9])
        self.assertEqual(list(seqs_of([1, 2, 5, 5, 8, 9])), [1, 2, 5, 8, 9])

    def test_messages_keep_to_the_limits(self):
        batches = list(batches_of((seq, 1, b"z" * 100) for seq in range(1, 40_001)))
        self.assertEqual(sum(run[2] for runs, _ in batches for run in runs), 40_000)
        self.assertTrue(all(len(body) <= 256 << 10 for _, body in batches))
        self.assertTrue(all(sum(run[2] for run in runs) <= 16384 for runs, _ in
                            batches_of((seq, 1, b"") for seq in range(1, 40_001))))


class BarePeer(InteropCase):
    """A socket and nothing else, before weir's own nodes."""

    def setUp(self):
        super().setUp()
        context = zmq.Context()
        self.addCleanup(context.destroy, 0)
        self.socket = context.socket(zmq.DEALER)

    def answer(self, kind):
        """The next message of that kind."""
        while self.socket.poll(60_000):
            message, _ = decode(self.socket.recv_multipart())
            if message[0] == kind:
                return message
        self.fail("no answer")

    def greet(self, endpoint):
        self.socket.connect(endpoint)
        self.socket.send_multipart(encode([HELLO, 1, "worker", "", b"12345678", {"slots": 1}]))
        return self.answer(WELCOME)

    def test_whoever_has_no_session_is_told_to_say_hello(self):
        self.weir_sink()
        self.socket.connect(self.results)
        self.socket.send_multipart(encode([ALIVE]))
        self.assertEqual(self.answer(ERROR)[1], SAY_HELLO)

    def test_another_version_or_role_is_refused(self):
        self.weir_sink()
        self.socket.connect(self.results)
        self.socket.send_multipart(encode([HELLO, 2, {"whatever": "it has"}]))
        self.assertEqual(self.answer(ERROR)[1], 2)
        self.socket.send_multipart(encode([HELLO, 1, "sink", "", b"12345678", {}]))
        self.assertEqual(self.answer(ERROR)[1], 4)

    def test_a_malformed_message_is_answered_and_does_not_cost_the_session(self):
        self.weir_sink()
        self.greet(self.results)
        for _, frames in Frames.frames(self, "refused"):
            self.socket.send_multipart(frames)
            if decode_kind(frames) != 99:  # a kind that is not known is ignored instead
                self.assertEqual(self.answer(ERROR)[1], MALFORMED)
        self.socket.send_multipart(encode([HELLO, 1, "worker", "", b"12345678", {"slots": 1}]))
        self.assertEqual(self.answer(WELCOME)[2], "sink")


def decode_kind(frames):
    try:
        return decode(frames)[0][0]
    except ValueError:
        return None


if __name__ == "__main__":
    unittest.main()
