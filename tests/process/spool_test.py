#!/usr/bin/python3
"""Calls that are handed over to a gateway's spool, and gateways that are killed."""
import collections
import os
import random
import resource
import signal
import sys

import msgpack

from support import Case, main, wait_until
from rpc_peer import UNAVAILABLE, CallError, Client

INTEROP = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "interop")
#: A worker's loop does not say ALIVE while a call holds it.
PATIENT = ("--heartbeat", "2s")


class SpoolCase(Case):
    def setUp(self):
        super().setUp()
        self.at = self.endpoint()
        self.spool = self.path("calls.spool")
        self.marks = self.write("marks", b"")

    def gateway(self, *options, **how):
        return self.start("gateway", "-v", "--bind", self.at, "--spool", self.spool, *options,
                          **how)

    def offer(self):
        """A worker."""
        here = os.path.dirname(os.path.abspath(__file__))
        return self.bystander(
            sys.executable, "-B", os.path.join(INTEROP, "rpc_worker.py"), self.at,
            "spool_methods", env=dict(os.environ, MARKS=self.marks, PYTHONPATH=here))

    def client(self):
        client = Client(self.at)
        self.addCleanup(client.__exit__)
        return client

    def go(self, name):
        self.write(name, b"")

    def runs(self):
        """How often each text was marked."""
        with open(self.marks, "rb") as marks:
            return collections.Counter(marks.read().decode().split())


def submit(client, method, *arguments, **options):
    return client.call("weir.submit", method, msgpack.packb(arguments), options)


def wait(client, call):
    return client.ask("weir.wait", call)


def value(report):
    return msgpack.unpackb(report["result"])


class Spool(SpoolCase):
    def test_a_submitted_call_runs_as_soon_as_there_is_a_worker(self):
        self.gateway()
        client = self.client()
        call = submit(client, "mark", "a")
        self.assertEqual(client.call("weir.result", call)["state"], "queued")
        self.offer()
        report = wait(client, call)
        self.assertEqual((report["state"], value(report), report["attempts"]), ("done", "a", 1))
        self.assertEqual(client.call("weir.result", call), report)
        self.assertEqual(client.call("weir.forget", [call]), 1)
        with self.assertRaisesRegex(CallError, "no call has this id"):
            client.call("weir.result", call)

    def test_what_fails_is_tried_again_then_dead_listed_and_queued_again_by_hand(self):
        self.gateway()
        self.offer()
        client = self.client()
        call = submit(client, "fail", "a", retries=1)
        report = wait(client, call)
        self.assertEqual((report["state"], report["code"], report["msg"], report["type"]),
                         ("dead", 2, "a", "ValueError"))
        self.assertEqual(report["attempts"], 2)
        self.assertEqual(client.call("weir.dead"), [report])
        self.assertEqual(client.call("weir.requeue", [call]), 1)
        wait_until(lambda: client.call("weir.dead"), "it is dead again")
        self.assertEqual(self.runs()["a"], 4)
        answered = submit(client, "wrong", "not like this", retries=5)
        report = wait(client, answered)
        self.assertEqual((report["state"], report["code"], report["attempts"]), ("failed", 3, 1))

    def test_a_cancelled_call_is_not_run_and_whoever_waits_is_told(self):
        self.gateway()
        client = self.client()
        call = submit(client, "mark", "never")
        waiting = client.start("weir.wait", call)
        self.assertIs(client.call("weir.cancel", call), True)
        self.assertEqual(client.outcome(waiting)[2]["state"], "cancelled")
        self.assertIs(client.call("weir.cancel", call), False)
        self.offer()
        self.assertEqual(value(wait(client, submit(client, "mark", "b"))), "b")
        self.assertEqual(self.runs(), {"b": 1})

    def test_a_wait_ends_with_its_deadline_and_the_call_goes_on(self):
        self.gateway()
        client = self.client()
        call = submit(client, "mark", "a")
        code, details, _ = client.outcome(client.start("weir.wait", call, deadline=0.2))
        self.assertEqual(code, 4, details)
        self.offer()
        self.assertEqual(wait(client, call)["state"], "done")

    def test_a_submission_that_is_repeated_is_one_call(self):
        self.gateway()
        client = self.client()
        first = submit(client, "mark", "a", idem_key=b"order 7")
        self.assertEqual(submit(client, "mark", "a", idem_key=b"order 7"), first)
        named = submit(client, "mark", "b", id="01m7wq4g37ky08t7rajc5je826")
        self.assertEqual(submit(client, "mark", "b", id=named), named)
        with self.assertRaisesRegex(CallError, "another method"):
            submit(client, "fail", "b", id=named)
        with self.assertRaisesRegex(CallError, "%s has this id or key, and other arg" % first):
            submit(client, "mark", "c", idem_key=b"order 7")
        self.offer()
        for call in first, named:
            wait(client, call)
        self.assertEqual(self.runs(), {"a": 1, "b": 1})

    def test_higher_priorities_first_and_nothing_before_its_time(self):
        self.gateway()
        client = self.client()
        later = submit(client, "mark", "later", delay_ms=60000, priority=9)
        calls = [submit(client, "mark", "p%d" % p, priority=p) for p in (1, 9, 5)]
        self.offer()
        for call in calls:
            wait(client, call)
        with open(self.marks) as marks:
            self.assertEqual(marks.read().split(), ["p9", "p5", "p1"])
        self.assertEqual(client.call("weir.result", later)["state"], "queued")


class Deaths(SpoolCase):
    def test_queued_delayed_and_finished_calls_survive_kill_9(self):
        gateway = self.gateway()
        client = self.client()
        self.offer()
        done = submit(client, "mark", "done")
        report = wait(client, done)
        delayed = submit(client, "mark", "delayed", delay_ms=1000)
        queued = submit(client, "nobody offers this")
        gateway.kill()
        self.gateway()
        self.assertEqual(client.ask("weir.result", done), report)
        self.assertEqual(wait(client, delayed)["state"], "done")
        self.assertEqual(client.ask("weir.result", queued)["state"], "queued")
        self.assertEqual(self.runs(), {"done": 1, "delayed": 1})

    def test_a_call_that_ran_when_the_gateway_was_killed_is_dead_unless_it_may_run_twice(self):
        gateway = self.gateway(*PATIENT)
        client = self.client()
        worker = self.offer()
        once = submit(client, "hold", "once")
        wait_until(lambda: self.runs()["once"] == 1, "it runs")
        gateway.kill()
        worker.kill()
        worker.wait()
        gateway = self.gateway(*PATIENT)
        report = wait(client, once)
        self.assertEqual((report["state"], report["code"]), ("dead", UNAVAILABLE))
        self.assertRegex(report["msg"], "gateway ended while it ran")
        self.says(gateway, "1 calls were running .* dead now")

        for name, how in (("retried", {"retries": 1}), ("keyed", {"idem_key": b"k"})):
            call = submit(client, "hold", name, **how)
            worker = self.offer()
            wait_until(lambda: self.runs()[name] == 1, name + " runs")
            gateway.kill()
            worker.kill()
            worker.wait()
            self.go(name)
            gateway = self.gateway(*PATIENT)
            worker = self.offer()
            self.assertEqual(wait(client, call)["state"], "done")
            self.assertEqual(self.runs()[name], 2)
            worker.kill()
            worker.wait()

        # Or it could be given to the one just killed, and would have to count as run.
        wait_until(lambda: not client.ask("weir.services"), "the last worker is gone")
        self.go("once")
        self.offer()
        self.assertEqual(client.ask("weir.requeue", [once]), 1)
        self.assertEqual(wait(client, once)["state"], "done")

    def test_a_call_whose_worker_was_killed_is_dead_unless_it_may_run_twice(self):
        self.gateway(*PATIENT)
        client = self.client()
        for name, how in (("once", {}), ("twice", {"retries": 1})):
            worker = self.offer()
            call = submit(client, "hold", name, **how)
            wait_until(lambda: self.runs()[name] == 1, name + " runs")
            worker.kill()
            worker.wait()
            if how:
                self.go(name)
                last = self.offer()
            report = wait(client, call)
            self.assertEqual(report["state"], "done" if how else "dead", report)
        last.kill()
        self.assertEqual(self.runs(), {"once": 1, "twice": 2})

    def test_gateways_are_killed_while_calls_are_submitted_and_run_and_each_has_one_outcome(self):
        seed = random.randrange(1 << 32)
        print("seed %d " % seed, end="", file=sys.stderr)
        chance = random.Random(seed)
        gateway = self.gateway()
        self.offer()
        client = self.client()
        calls = {}  # name, once it was acknowledged: id
        outcomes = {}
        total = 0
        for _ in range(8):
            client.ask("weir.ping")
            submissions = {}
            for _ in range(200):
                name = "c%d" % total
                # Some may run twice, the others may not.
                options = {"retries": 5} if total % 2 else {}
                submissions[name] = client.start("weir.submit", "mark",
                                                 msgpack.packb([name]), options)
                total += 1
            enough = chance.randrange(1, 200)
            wait_until(lambda: client.pump(0.001) or
                       sum(s.code is not None for s in submissions.values()) >= enough,
                       "%d submissions are acknowledged" % enough)
            waits = {name: client.start("weir.wait", s.result)
                     for name, s in submissions.items() if s.code == 0}
            enough = chance.randrange(len(waits) + 1)
            wait_until(lambda: client.pump(0.001) or
                       sum(w.code is not None for w in waits.values()) >= enough,
                       "%d calls have an outcome" % enough)
            gateway.kill()
            gateway = self.gateway()
            for s in submissions.values():
                client.outcome(s)
            for w in waits.values():
                client.outcome(w)
            calls.update((name, s.result) for name, s in submissions.items() if s.code == 0)
            outcomes.update((name, w.result) for name, w in waits.items() if w.code == 0)
        self.assertGreater(len(calls), 100)
        for name, call in calls.items():
            report = wait(client, call)
            self.assertIn(report["state"], ("done", "dead"))
            if name in outcomes:
                self.assertEqual(report, outcomes[name], "the outcome has changed")
            outcomes[name] = report
        runs = self.runs()
        for name, report in outcomes.items():
            may_repeat = int(name[1:]) % 2 == 1
            if may_repeat:
                self.assertEqual(report["state"], "done", report)
                self.assertGreaterEqual(runs[name], 1)
            else:
                self.assertLessEqual(runs[name], 1, "%s ran twice" % name)
                self.assertTrue(runs[name] == 1 or report["state"] == "dead", report)


class Ends(SpoolCase):
    def test_term_lets_what_runs_end_and_leaves_the_rest_on_disk(self):
        gateway = self.gateway(*PATIENT)
        client = self.client()
        self.offer()
        running = submit(client, "hold", "running")
        wait_until(lambda: self.runs()["running"] == 1, "it runs")
        queued = submit(client, "nobody offers this")
        gateway.send(signal.SIGTERM)
        self.says(gateway, "taking no more calls")
        self.go("running")
        self.ends(gateway, 0)
        self.gateway(*PATIENT)
        report = wait(client, running)
        self.assertEqual((report["state"], report["attempts"]), ("done", 1))
        self.assertEqual(client.ask("weir.result", queued)["state"], "queued")

    def test_a_spool_that_is_in_use_damaged_or_out_of_reach_is_named(self):
        self.gateway()
        self.client().call("weir.ping")
        second = self.start("gateway", "--bind", self.endpoint(), "--spool", self.spool)
        self.ends(second, 75)
        self.assertSays(second, "calls.spool is in use by another process")
        for name, content, code, text in (
                ("notes.txt", b"x" * 5000, 65, "notes.txt is something else than a database"),
                ("missing/spool", None, 73, "creating .*missing/spool: No such file")):
            if content:
                self.write(name, content)
            gateway = self.start("gateway", "--bind", self.endpoint(), "--spool", self.path(name))
            self.ends(gateway, code)
            self.assertSays(gateway, text)

    def test_a_full_disk_refuses_submissions_and_loses_nothing(self):
        limit = 700 * 1024

        def small_disk():
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))

        gateway = self.gateway(preexec=small_disk)
        client = self.client()
        calls = []
        with self.assertRaisesRegex(CallError, "calls.spool cannot be written"):
            while len(calls) < 1000:
                calls.append(submit(client, "size", b"x" * 10000))
        self.assertGreater(len(calls), 5)
        self.says(gateway, "cannot be written.*; submissions are refused")
        self.assertEqual(client.call("weir.result", calls[0])["state"], "queued")
        self.offer()
        resource.prlimit(gateway.pid, resource.RLIMIT_FSIZE,
                         (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        for call in calls:
            self.assertEqual(value(wait(client, call)), 10000)
        self.assertEqual(value(wait(client, submit(client, "size", b"y"))), 1)
        self.says(gateway, "the spool can be written again")

    def test_a_spool_that_has_grown_to_its_size_refuses_submissions(self):
        self.gateway("--spool-size", "300K")
        client = self.client()
        calls = []
        with self.assertRaisesRegex(CallError, "8: .*--spool-size"):
            while len(calls) < 1000:
                calls.append(submit(client, "size", b"x" * 10000))
        self.offer()
        for call in calls:
            wait(client, call)
        self.assertEqual(client.call("weir.forget", calls), len(calls))
        self.assertEqual(value(wait(client, submit(client, "size", b"y"))), 1)

    def test_many_queued_calls_cost_no_memory(self):
        gateway = self.gateway()
        client = self.client()
        data = os.urandom(1500)
        calls = [client.start("weir.submit", "size", msgpack.packb([data]), {})
                 for _ in range(40000)]
        for call in calls:
            self.assertEqual(client.outcome(call)[0], 0)
        self.assertGreater(os.path.getsize(self.spool), 60_000_000)
        self.assertLess(gateway.peak_rss(), 48)
        self.offer()
        self.assertEqual(value(wait(client, calls[-1].result)), 1500)
        self.assertLess(gateway.peak_rss(), 64)

    def test_without_a_spool_the_gateway_says_so(self):
        self.start("gateway", "--bind", self.at)
        with self.assertRaisesRegex(CallError, "12: .*--spool"):
            submit(self.client(), "mark", "a")


if __name__ == "__main__":
    main()
