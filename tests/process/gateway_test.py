#!/usr/bin/python3
"""weir-gateway as a program: what it answers when there is nobody, how it ends, whom it serves."""
import json
import os
import signal
import sys

from support import Case, main, wait_until
from rpc_peer import CallError, Client

INTEROP = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "interop")
NOT_FOUND, RESOURCE_EXHAUSTED, UNAVAILABLE = 5, 8, 14


class Gateway(Case):
    def setUp(self):
        super().setUp()
        self.at = self.endpoint()
        self.marks = self.write("marks", b"")

    def gateway(self, *options, at=None, **how):
        return self.start("gateway", "-v", "--bind", at or self.at, *options, **how)

    def offer(self, at=None):
        """A worker. Its loop does not say ALIVE while a call holds it."""
        here = os.path.dirname(os.path.abspath(__file__))
        return self.bystander(
            sys.executable, "-B", os.path.join(INTEROP, "rpc_worker.py"), at or self.at,
            "spool_methods", env=dict(os.environ, MARKS=self.marks, PYTHONPATH=here))

    def client(self, at=None):
        client = Client(at or self.at)
        self.addCleanup(client.__exit__)
        return client

    def holds(self, client, name):
        """A call that runs until there is a file of that name."""
        call = client.start("hold", name)
        wait_until(lambda: client.pump() or name.encode() in self.read("marks"), "it runs")
        return call

    def code(self, client, *call):
        return client.outcome(client.start(*call))[0]

    def test_a_method_that_nobody_offers_is_not_found_and_one_that_was_offered_unavailable(self):
        self.gateway("--wait", "50ms", "--heartbeat", "200ms")
        client = self.client()
        self.assertEqual(self.code(client, "mark", "a"), NOT_FOUND)
        worker = self.offer()
        wait_until(lambda: self.code(client, "mark", "b") == 0, "the worker is there")
        worker.kill()
        worker.wait()
        wait_until(lambda: not client.call("weir.services"), "it is gone")
        self.assertEqual(self.code(client, "mark", "c"), UNAVAILABLE)

    def test_a_call_waits_for_a_worker_that_comes_within_the_wait(self):
        self.gateway("--wait", "1m")
        client = self.client()
        call = client.start("mark", "early")
        client.call("weir.ping")
        self.offer()
        self.assertEqual(client.outcome(call)[::2], (0, "early"))

    def test_a_full_queue_refuses_at_once_and_says_so(self):
        self.gateway("--wait", "1m", "--queue", "2")
        client = self.client()
        calls = [client.start("mark", "q%d" % n) for n in range(3)]
        code, details, _ = client.outcome(calls[2])
        self.assertEqual(code, RESOURCE_EXHAUSTED, details)
        self.offer()
        self.assertEqual([client.outcome(call)[2] for call in calls[:2]], ["q0", "q1"])

    def test_the_call_of_a_worker_that_is_killed_fails_and_others_go_on(self):
        self.gateway("--heartbeat", "500ms")
        client = self.client()
        worker = self.offer()
        call = self.holds(client, "a")
        worker.kill()
        worker.wait()
        code, details, _ = client.outcome(call)
        self.assertEqual(code, UNAVAILABLE, details)
        self.offer()
        wait_until(lambda: self.code(client, "mark", "b") == 0, "another worker is there")

    def test_a_client_that_is_gone_leaves_nothing_behind(self):
        self.gateway("--heartbeat", "200ms")
        other = self.client()
        with Client(self.at) as client:
            client.start("mark", "nobody offers it yet")
            client.call("weir.ping")
            self.assertEqual(other.call("weir.stats")["clients"], 2)
        wait_until(lambda: other.call("weir.stats")["clients"] == 1, "it is forgotten")

    def test_several_endpoints_serve_the_same_methods(self):
        second = self.tcp_endpoint()
        self.gateway("--bind", second, "--wait", "1m")
        self.offer(at=second)
        self.assertEqual(self.client().call("mark", "a"), "a")
        self.assertEqual(self.client(second).call("mark", "b"), "b")

    def test_term_answers_what_is_in_hand_and_takes_no_more(self):
        gateway = self.gateway("--heartbeat", "5s", "--summary", "json")
        client = self.client()
        self.offer()
        call = self.holds(client, "a")
        gateway.send(signal.SIGTERM)
        self.says(gateway, "taking no more calls")
        self.write("a", b"")
        self.assertEqual(client.outcome(call)[::2], (0, "a"))
        self.ends(gateway, 0)
        summary = json.loads(gateway.stdout())
        self.assertEqual((summary["answered"], summary["failed"]), (1, 0))

    def test_term_twice_leaves_at_once(self):
        gateway = self.gateway("--heartbeat", "5s")
        self.offer()
        self.holds(self.client(), "a")
        gateway.send(signal.SIGTERM)
        self.says(gateway, "taking no more calls")
        gateway.send(signal.SIGTERM)
        self.ends(gateway, 143)
        self.write("a", b"")

    def test_without_work_it_ends_at_once(self):
        for number in signal.SIGTERM, signal.SIGINT:
            gateway = self.gateway()
            self.says(gateway, "listening")
            gateway.send(number)
            self.ends(gateway, 0)

    def test_what_cannot_be_bound_is_named(self):
        taken = self.tcp_endpoint()
        self.says(self.gateway(at=taken), "listening")
        second = self.gateway(at=taken)
        self.ends(second, 69)
        self.assertSays(second, taken)
        bad = self.start("gateway", "--bind", "tcp://0.0.0.0:*")
        self.ends(bad, 77)
        self.assertSays(bad, "--insecure")
        odd = self.start("gateway", "--queue", "none")
        self.ends(odd, 64)

    def test_options_come_from_a_file_and_help_names_all(self):
        file = self.write("gateway.toml", b"bind = \"%s\"\nwait = \"50ms\"\n" % self.at.encode())
        self.start("gateway", "--config", file)
        with self.assertRaises(CallError):
            self.client().call("nobody offers this")
        help = self.start("gateway", "--help")
        self.ends(help, 0)
        for option in b"--bind", b"--spool FILE", b"--wait", b"--queue", b"--insecure":
            self.assertIn(option, help.stdout())
        self.assertNotIn(b"--connect-timeout", help.stdout())
        manual = self.start("gateway", "--man")
        self.ends(manual, 0)
        self.assertIn(b"weir\\-gateway", manual.stdout())


if __name__ == "__main__":
    main()
