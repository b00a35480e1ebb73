"""The Python ventilator before weir-worker and weir-sink."""

import os
import signal
import unittest

import msgpack

from harness import InteropCase, gated, numbers


class PythonVentilator(InteropCase):
    def coproc(self, **more):
        return self.weir_worker("cat", options=("--coproc",), **more)

    def test_its_tasks_are_done_and_written_each_exactly_once(self):
        stdin, lines = numbers(5000)
        sink = self.weir_sink("--format", "lines")
        worker = self.coproc()
        ventilator = self.python_ventilator("--sink", self.results, stdin=stdin)
        self.assert_ends(ventilator, sink, worker)
        self.assert_lines(sink, lines)

    def test_it_collects_the_results_itself(self):
        stdin, lines = numbers(1000)
        worker = self.coproc()
        ventilator = self.python_ventilator(stdin=stdin)
        self.assert_ends(ventilator, worker)
        self.assert_lines(ventilator, lines)

    def test_no_tasks_at_all_end_well(self):
        sink = self.weir_sink()
        self.assert_ends(self.python_ventilator("--sink", self.results), sink)
        self.assertEqual(sink.output(), b"")

    def test_binary_empty_and_large_payloads_arrive_unchanged(self):
        payloads = [b"", b"\0", bytes(range(256)), b"\n\r\n", os.urandom(1 << 20), os.urandom(16 << 20)]
        sink = self.weir_sink("--format", "msgpack")
        worker = self.weir_worker("cat", options=("--stdin",))
        ventilator = self.python_ventilator("--sink", self.results, "--format", "msgpack",
                                            stdin=b"".join(msgpack.packb(payload) for payload in payloads))
        self.assert_ends(ventilator, sink, worker)
        got = self.outcomes(sink)
        self.assertEqual([got[seq + 1][2] for seq in range(len(payloads))], payloads)

    def test_a_payload_that_nobody_takes_is_failed_before_the_first_attempt(self):
        sink = self.weir_sink("--format", "msgpack")
        worker = self.weir_worker("cat", options=("--stdin",))
        ventilator = self.python_ventilator("--sink", self.results, "--format", "msgpack",
                                            stdin=msgpack.packb(bytes((16 << 20) + 1)) + msgpack.packb(b"good"))
        self.assert_ends(ventilator, sink, status=1)
        self.assert_ends(worker)
        got = self.outcomes(sink)
        self.assertEqual((got[1][:2], got[2][:3]), ([0, 8], [1, 0, b"good"]))

    def test_large_batches_are_cut_into_messages_within_the_limits(self):
        stdin, lines = numbers(50_000)
        sink = self.weir_sink("--format", "lines")
        worker = self.coproc()
        ventilator = self.python_ventilator("--sink", self.results, stdin=stdin)
        self.assert_ends(ventilator, sink, worker)
        self.assert_lines(sink, lines)

    def test_a_failing_command_is_tried_as_often_as_allowed_and_its_details_reach_the_sink(self):
        sink = self.weir_sink("--format", "msgpack")
        worker = self.weir_worker('echo partial; echo "why" >&2; exit "$1"', options=("--shell",))
        ventilator = self.python_ventilator("--sink", self.results, "--max-attempts", "2", stdin=b"0\n7\n")
        self.assert_ends(ventilator, sink, status=1)
        self.assert_ends(worker)
        got = self.outcomes(sink)
        self.assertEqual(got[1][:3], [1, 0, b"partial\n"])
        attempt, code, payload, details = got[2]
        self.assertEqual((attempt, code, payload), (2, 2, b"partial\n"))
        self.assertEqual((details["exit"], details["stderr"]), (7, b"why\n"))

    def test_what_a_killed_worker_had_in_hand_is_done_by_another(self):
        stdin, lines = numbers(40)
        sink = self.weir_sink("--format", "lines")
        victim = self.weir_worker(*gated("victim"), options=("-j", "2"))
        ventilator = self.python_ventilator("--sink", self.results, stdin=stdin)
        self.wait_until(lambda: len(self.begun("victim")) == 2, "the worker began two tasks")
        victim.kill()
        self.open_gate()
        worker = self.weir_worker(*gated("other"), options=("-j", "2"))
        self.assert_ends(ventilator, sink, worker)
        self.assert_lines(sink, lines)

    def test_a_drained_worker_hands_back_what_it_has_not_begun_at_no_cost(self):
        stdin, lines = numbers(40)
        sink = self.weir_sink("--format", "lines")
        leaver = self.weir_worker(*gated("leaver"), options=("-j", "2"))
        ventilator = self.python_ventilator("--sink", self.results, "--max-attempts", "1", stdin=stdin)
        self.wait_until(lambda: len(self.begun("leaver")) == 2, "the worker began two tasks")
        leaver.process.send_signal(signal.SIGTERM)
        stayer = self.weir_worker(*gated("stayer"), options=("-j", "2"))
        self.wait_until(lambda: len(self.begun("stayer")) == 2, "the other worker got some of them")
        self.open_gate()
        self.assert_ends(leaver, stayer, ventilator, sink)
        self.assert_lines(sink, lines)
        self.assertEqual(len(self.begun("leaver")), 2)

    def test_a_sink_that_restarts_takes_up_where_the_ventilator_says(self):
        stdin, lines = numbers(40)
        options = ("--format", "lines", "--out", self.path("out"), "--append")
        first = self.weir_sink(*options)
        worker = self.weir_worker(*gated("w"), options=("-j", "2"))
        ventilator = self.python_ventilator("--sink", self.results, "--max-attempts", "1", stdin=stdin)
        self.wait_until(lambda: len(self.begun()) == 2, "two tasks were begun")
        first.kill()
        self.open_gate()
        second = self.weir_sink(*options)
        self.assert_ends(ventilator, second, worker)
        self.assert_lines(self.path("out"), lines)

    def test_started_anew_it_finds_a_worker_that_has_forgotten_the_old_tasks(self):
        stdin, lines = numbers(20)
        killed = self.python_ventilator(stdin=b"old\n" * 20)
        worker = self.weir_worker(*gated("w"), options=("-j", "2"))
        self.wait_until(lambda: self.begun(), "the worker began a task")
        killed.kill()
        ventilator = self.python_ventilator(stdin=stdin)
        self.wait_until(lambda: "1" in {mark[2:] for mark in self.begun()}, "the worker began a new one")
        self.open_gate()
        self.assert_ends(worker, ventilator)
        self.assert_lines(ventilator, [piece for line in lines for piece in (line, b"")])

    def test_cut_connections_lose_nothing_and_double_nothing(self):
        stdin, lines = numbers(500)
        to_workers, tasks = self.proxy("t")
        to_sink, results = self.proxy("r")
        sink = self.weir_sink("--format", "lines")
        # The first task lasts until the last cut is over, so that nobody can be done before it.
        worker = self.weir_worker('[ "$1" != gate ] || while [ ! -e "$MARKS/gate" ]; do sleep 0.02; done; echo "$1"',
                                  options=("--shell", "-j", "2"), tasks=tasks)
        ventilator = self.python_ventilator("--sink", results, "--max-attempts", "20", stdin=b"gate\n" + stdin)
        for cuts in range(1, 6):
            self.wait_until(lambda: to_workers.accepted >= cuts and to_sink.accepted >= 2 * cuts, "connected (again)")
            if cuts < 5:
                to_workers.cut()
                to_sink.cut()
        self.open_gate()
        self.assert_ends(ventilator, sink, worker)
        self.assert_lines(sink, lines + [b"gate"])


if __name__ == "__main__":
    unittest.main()
