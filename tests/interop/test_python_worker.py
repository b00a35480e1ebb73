"""The Python worker between weir-ventilator and weir-sink."""

import os
import signal
import unittest

import msgpack

from harness import PIPE, InteropCase, gated, numbers


class PythonWorker(InteropCase):
    def test_its_results_reach_the_sink_each_exactly_once(self):
        stdin, lines = numbers(5000)
        sink = self.weir_sink("--format", "lines")
        ventilator = self.weir_ventilator("--sink", self.results, stdin=PIPE)
        workers = [self.python_worker("upper"), self.python_worker("upper")]
        self.wait_for_workers(ventilator, 3)  # and the sink
        ventilator.feed(stdin)
        self.assert_ends(ventilator, sink, *workers)
        self.assert_lines(sink, lines)

    def test_without_a_sink_the_ventilator_takes_its_results(self):
        stdin, lines = numbers(500)
        ventilator = self.weir_ventilator("--output-format", "lines", stdin=stdin)
        self.assert_ends(self.python_worker("echo"), ventilator)
        self.assert_lines(ventilator, lines)

    def test_no_tasks_at_all_end_well(self):
        sink = self.weir_sink()
        ventilator = self.weir_ventilator("--sink", self.results, stdin=PIPE)
        worker = self.python_worker("echo")
        self.wait_for_workers(ventilator, 2)
        ventilator.feed()
        self.assert_ends(worker, ventilator, sink)
        self.assertEqual(sink.output(), b"")

    def test_binary_empty_and_large_payloads_arrive_unchanged(self):
        payloads = [b"", b"\0", bytes(range(256)), b"\n\r\n", os.urandom(1 << 20), b"\xc4\x10" * 9, os.urandom(16 << 20)]
        sink = self.weir_sink("--format", "msgpack")
        ventilator = self.weir_ventilator("--sink", self.results, "--format", "msgpack",
                                          stdin=b"".join(msgpack.packb(payload) for payload in payloads))
        self.assert_ends(self.python_worker("echo"), ventilator, sink)
        got = self.outcomes(sink)
        self.assertEqual([got[seq + 1][2] for seq in range(len(payloads))], payloads)

    def test_large_batches_are_cut_into_messages_within_the_limits(self):
        stdin, lines = numbers(50_000)
        sink = self.weir_sink("--format", "lines")
        ventilator = self.weir_ventilator("--sink", self.results, stdin=stdin)
        self.assert_ends(self.python_worker("echo", "--window", "40000"), ventilator, sink)
        self.assert_lines(sink, lines)

    def test_a_task_that_fails_once_is_tried_again(self):
        stdin, lines = numbers(50)
        sink = self.weir_sink("--format", "msgpack")
        ventilator = self.weir_ventilator("--sink", self.results, "--retry-delay", "10ms", stdin=stdin)
        self.assert_ends(self.python_worker("flaky"), ventilator, sink)
        got = self.outcomes(sink)
        self.assertEqual(sorted(payload for _, _, payload, _ in got.values()), sorted(lines))
        self.assertEqual({(attempt, code) for attempt, code, _, _ in got.values()}, {(2, 0)})

    def test_every_failure_code_and_its_details_reach_the_sink(self):
        stdin = b"".join(b"%d final\n" % code for code in range(1, 17)) + b"3\nfine\n"
        sink = self.weir_sink("--format", "msgpack")
        ventilator = self.weir_ventilator("--sink", self.results, "--retry-delay", "10ms", stdin=stdin)
        worker = self.python_worker("fail")
        self.assert_ends(worker)
        self.assert_ends(ventilator, sink, status=1)
        got = self.outcomes(sink)
        for code in range(1, 17):  # final: tried once
            attempt, got_code, payload, details = got[code]
            self.assertEqual((attempt, got_code, payload), (1, code, b"partial"))
            self.assertEqual((details["message"], details["stderr"], details["exit"]),
                             (f"says {code}", b"tail\xff", 3))
        self.assertEqual(got[17][:2], [3, 3])  # not final: as often as the ventilator allows
        self.assertEqual(got[18][:3], [1, 0, b"fine"])

    def test_a_task_that_takes_too_long_fails_with_code_4(self):
        ventilator = self.weir_ventilator("--task-timeout", "50ms", "--max-attempts", "1", "--output-format", "msgpack",
                                          stdin=b"slow\n")
        worker = self.python_worker("gated")
        self.assert_ends(ventilator, status=1)
        self.open_gate()
        self.assert_ends(worker)
        self.assertEqual(self.outcomes(ventilator)[1][1], 4)

    def test_what_a_killed_worker_had_in_hand_is_done_by_another(self):
        stdin, lines = numbers(40)
        sink = self.weir_sink("--format", "lines")
        ventilator = self.weir_ventilator("--sink", self.results, "--summary", "json", stdin=stdin)
        victim = self.python_worker("gated")
        self.wait_until(lambda: len(self.begun(victim)) == 2, "the worker began two tasks")
        victim.kill()
        self.open_gate()
        self.assert_ends(self.python_worker("gated"), ventilator, sink)
        self.assert_lines(sink, lines)
        self.assertIn(b'"workers_lost": 1', ventilator.output())

    def test_a_drained_worker_hands_back_what_it_has_not_begun_at_no_cost(self):
        stdin, lines = numbers(40)
        sink = self.weir_sink("--format", "lines")
        ventilator = self.weir_ventilator("--sink", self.results, "--max-attempts", "1", stdin=stdin)
        leaver = self.python_worker("gated")
        self.wait_until(lambda: len(self.begun(leaver)) == 2, "the worker began two tasks")
        leaver.process.send_signal(signal.SIGTERM)
        stayer = self.python_worker("gated")
        self.wait_until(lambda: len(self.begun(stayer)) == 2, "the other worker got some of them")
        self.open_gate()
        self.assert_ends(leaver, stayer, ventilator, sink)
        self.assert_lines(sink, lines)
        self.assertEqual(len(self.begun(leaver)), 2, "what it ran was finished, and it began nothing more")

    def test_a_sink_that_restarts_gets_held_results_again_and_nothing_is_run_twice(self):
        stdin, lines = numbers(300)
        options = ("--format", "lines", "--out", self.path("out"), "--append")
        first = self.weir_sink(*options)
        ventilator = self.weir_ventilator("--sink", self.results, "--max-attempts", "1", stdin=stdin)
        worker = self.python_worker("gated", "--window", "300")
        self.wait_until(lambda: len(self.begun()) == 2, "two tasks were begun")
        first.kill()
        self.open_gate()
        self.wait_until(lambda: len(self.begun()) == 300, "all tasks were run while there was no sink")
        second = self.weir_sink(*options)
        self.assert_ends(second, ventilator, worker)
        self.assert_lines(self.path("out"), lines)

    def test_a_ventilator_that_starts_anew_finds_a_worker_that_has_forgotten_the_old_tasks(self):
        stdin, lines = numbers(20)
        killed = self.weir_ventilator("--output-format", "lines", stdin=b"old\n" * 20)
        worker = self.python_worker("gated")
        self.wait_until(lambda: self.begun(), "the worker began a task")
        killed.kill()
        ventilator = self.weir_ventilator("--output-format", "lines", stdin=stdin)
        self.wait_for_workers(ventilator, 1)
        self.open_gate()
        self.assert_ends(worker, ventilator)
        self.assert_lines(ventilator, lines)

    def test_cut_connections_lose_nothing_and_double_nothing(self):
        _, lines = numbers(5000)
        to_ventilator, tasks = self.proxy("t")
        to_sink, results = self.proxy("r")
        sink = self.weir_sink("--format", "lines")
        ventilator = self.weir_ventilator("--sink", self.results, "--max-attempts", "20", stdin=PIPE)
        worker = self.python_worker("upper", "--window", "100", "--to", results, tasks=tasks)
        self.feed_and_cut(ventilator, lines, [to_ventilator, to_sink])
        self.assert_ends(ventilator, sink, worker)
        self.assert_lines(sink, lines)

    def test_beside_a_weir_worker_it_gets_its_share(self):
        stdin, lines = numbers(200)
        sink = self.weir_sink("--format", "lines")
        ventilator = self.weir_ventilator("--sink", self.results, stdin=stdin)
        ours = self.python_worker("gated")
        theirs = self.weir_worker(*gated("theirs"), options=("-j", "2"))
        self.wait_until(lambda: self.begun(ours) and self.begun("theirs"), "both began")
        self.open_gate()
        self.assert_ends(ours, theirs, ventilator, sink)
        self.assert_lines(sink, lines)


class SmallestWorker(InteropCase):
    def test_it_does_all_tasks_of_a_ventilator_without_a_sink(self):
        stdin, lines = numbers(200)
        ventilator = self.weir_ventilator("--output-format", "lines", stdin=PIPE)
        workers = [self.python("smallest_worker.py", self.tasks) for _ in range(2)]
        self.wait_for_workers(ventilator, 2)
        ventilator.feed(stdin)
        self.assert_ends(*workers, ventilator)
        self.assert_lines(ventilator, lines)

    def test_it_comes_back_after_a_cut_connection(self):
        _, lines = numbers(2000)
        proxy, tasks = self.proxy("t")
        ventilator = self.weir_ventilator("--output-format", "lines", "--max-attempts", "20", stdin=PIPE)
        worker = self.python("smallest_worker.py", tasks)
        self.feed_and_cut(ventilator, lines, [proxy])
        self.assert_ends(worker, ventilator)
        self.assert_lines(ventilator, lines)


if __name__ == "__main__":
    unittest.main()
