#!/usr/bin/env python3
"""Tests of scripts/bench that need none of weir's programs."""

import os
import select
import signal
import sys
import unittest
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parent))

from driver import machine, report, rpc_workloads, run_workloads, workloads  # noqa: E402
from driver.fairness import longest_idle, read_log  # noqa: E402
from driver.programs import Failed, Missing, Run, Tools  # noqa: E402
from driver.table import Row, selected  # noqa: E402


class IdleBesideWaitingTasks(unittest.TestCase):
    def test_workers_that_are_busy_throughout_are_never_idle(self):
        self.assertEqual(longest_idle([[(0, 5), (5, 10)], [(0, 10)]]), 0)

    def test_a_gap_between_two_tasks_counts_whole(self):
        self.assertEqual(longest_idle([[(0, 5), (12, 20)], [(0, 20)]]), 7)

    def test_idle_at_the_end_counts_only_while_others_still_start_tasks(self):
        self.assertEqual(longest_idle([[(0, 5)], [(0, 100)]]), 0)
        self.assertEqual(longest_idle([[(0, 5)], [(0, 100), (100, 101)]]), 95)

    def test_a_worker_that_starts_late_was_idle_until_then(self):
        self.assertEqual(longest_idle([[(0, 50)], [(40, 50)]]), 40)

    def test_logs_need_not_be_in_order(self):
        self.assertEqual(read_log("7 9\n1 3\n"), [(1, 3), (7, 9)])


class Verdicts(unittest.TestCase):
    def judge(self, measured, against, **bar):
        row = Row("row", "x", "weir", "figure", "raw", **bar)
        taken = {
            name: {"runs": [{"figure": value} for value in values], "problem": None}
            for name, values in (("weir", measured), ("raw", against))
        }
        return report.judge(row, taken)

    def test_a_bar_is_met_at_the_limit_and_not_below(self):
        self.assertEqual(self.judge([5], [10], at_least=0.5).verdict, "met")
        self.assertEqual(self.judge([4.9], [10], at_least=0.5).verdict, "NOT MET")
        self.assertEqual(self.judge([12.5], [10], at_most=1.25).verdict, "met")
        self.assertEqual(self.judge([12.6], [10], at_most=1.25).verdict, "NOT MET")

    def test_one_wild_run_does_not_move_the_median(self):
        self.assertEqual(self.judge([1, 10, 10], [10, 10, 99], at_least=1).ratio, 1)

    def test_a_failed_run_is_reported_as_failed(self):
        row = Row("row", "x", "weir", "figure", at_most=1)
        problem = {"kind": "FAILED", "text": "it broke"}
        verdict = report.judge(row, {"weir": {"runs": [{"figure": 0}], "problem": problem}})
        self.assertEqual((verdict.verdict, verdict.why), ("FAILED", "it broke"))

    def test_a_row_that_needs_what_is_not_installed_is_left_out(self):
        rows = [Row("a", "x", "m", "k"), Row("b", "x", "m", "k", needs="grpc_rpc")]
        self.assertEqual(selected(rows, [], lambda program: False), rows[:1])
        self.assertEqual(selected(rows, ["b"], lambda program: program == "grpc_rpc"), rows[1:])

    def test_every_row_names_measurements_that_exist(self):
        names = {each.name for suite in (workloads, rpc_workloads, run_workloads)
                 for each in suite.measurements(quick=False)}
        for row in workloads.ROWS + rpc_workloads.ROWS + run_workloads.ROWS:
            self.assertLessEqual({row.measured, row.against} - {None}, names)


class OtherPrograms(unittest.TestCase):
    def test_what_programs_of_ours_have_used_does_not_count(self):
        others = machine.Others()
        with Run(60) as run:
            ours = run.start("ours", ["/bin/sh", "-c", "while :; do :; done"])
            run.wait_for(lambda: ours.cpu_so_far() > 0.3, "it to use the processor")
            ours.send(signal.SIGSTOP)
            as_if_of_others = others.seconds()
        self.assertLess(others.seconds(), as_if_of_others)


class Programs(unittest.TestCase):
    def test_a_program_that_fails_is_named_with_what_it_said(self):
        with Run(60) as run:
            run.start("broken", ["/bin/sh", "-c", "echo no such thing >&2; exit 3"])
            with self.assertRaisesRegex(Failed, "broken: exit status 3: no such thing"):
                run.wait()

    def test_a_program_that_hangs_is_ended_at_the_deadline(self):
        with self.assertRaisesRegex(Failed, "hangs: not done after 0.1 s"):
            with Run(0.1) as run:
                hangs = run.start("hangs", ["/bin/sleep", "1000"])
                run.wait()
        self.assertFalse(hangs.running())

    def test_a_program_that_ended_unnoticed_is_no_trouble_in_the_end(self):
        with Run(60) as run:
            ended = run.start("ended", ["/bin/sh", "-c", "exit 7"])
            select.select([ended.pidfd], [], [])
        self.assertEqual(ended.status, 7)

    def test_a_signal_in_the_middle_of_a_run_leaves_no_program_behind(self):
        def told(number, _):
            raise SystemExit(128 + number)

        before = signal.signal(signal.SIGTERM, told)
        try:
            with self.assertRaises(SystemExit), Run(60) as run:
                stays = run.start("stays", ["/bin/sleep", "1000"])
                ends_us = f"kill -TERM {os.getpid()}; exec sleep 1000"
                run.start("ends-us", ["/bin/sh", "-c", ends_us])
                run.wait_for(lambda: False, "the signal")
        finally:
            signal.signal(signal.SIGTERM, before)
        self.assertFalse(stays.running())

    def test_a_program_can_be_told_to_end(self):
        with Run(60) as run:
            told = run.start("told", ["/bin/sleep", "1000"])
            told.send(signal.SIGTERM)
            with self.assertRaisesRegex(Failed, "told: exit status -15"):
                run.wait()

    def test_a_missing_program_is_named(self):
        with self.assertRaisesRegex(Missing, "weir_nothing"):
            Tools("/").path("weir_nothing")


if __name__ == "__main__":
    unittest.main()
