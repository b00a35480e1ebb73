"""Tests of calls between real programs: weir-gateway, and weir_call_nodes as workers and callers.

    gateway = self.gateway()
    worker = self.offer("--slots", "2")
    caller = self.caller("nap a 0", "hold b %s" % self.path("go"))
    self.runs("b")                        # it has begun
    self.outcomes(caller)                 # {"a": ("OK", "a"), ...}
"""
import collections

from rpc_peer import Client
from support import HEARTBEAT, PIPE, Case, wait_until


class Calls(Case):
    """A gateway, workers and callers, and what became of the calls."""

    def setUp(self):
        super().setUp()
        self.at = self.endpoint()
        self.marks = self.write("marks", b"")

    def gateway(self, *options, at=None):
        node = self.start("gateway", "-v", "--bind", at or self.at, "--heartbeat", HEARTBEAT,
                          # A call waits for a worker as long as the test needs.
                          "--wait", "1m", "--max-attempts", "1000", *options)
        self.says(node, "listening")
        return node

    def offer(self, *options, at=None):
        """A worker of these gateways."""
        to = () if at == () else ("--from", *(at or (self.at,)))
        return self.start("calls", "serve", *to, "--marks", self.marks, *options)

    def caller(self, *lines, at=None, options=("--no-introduce",), more=False):
        """Makes these calls; with `more`, others can be fed to it later."""
        node = self.start("calls", "call", "--connect", *(at or (self.at,)), *options, input=PIPE)
        node.feed("".join(line + "\n" for line in lines).encode(), more=more)
        return node

    def outcomes(self, caller):
        """{id: (code, result)} of a caller that has ended; each call has exactly one outcome."""
        self.ends(caller, 0)
        return self.so_far(caller)

    def so_far(self, caller):
        found = {}
        for line in caller.stdout().decode().splitlines():
            call, code, _, result = line.split(" ", 3)
            self.assertNotIn(call, found, "two outcomes of one call")
            found[call] = (code, result)
        return found

    def marked(self):
        return collections.Counter(self.read("marks").decode().split("\n")[:-1])

    def runs(self, *calls):
        wait_until(lambda: all(self.marked()[call] for call in calls), "%r run" % (calls,))

    def let_go(self):
        self.write("go", b"")

    def all_ok(self, caller, ids):
        outcomes = self.outcomes(caller)
        self.assertEqual({i: o for i, o in outcomes.items() if o[0] != "OK"}, {})
        self.assertEqual(set(outcomes), set(ids))

    def asks(self, at=None):
        """Someone who can ask a gateway how it is."""
        client = Client(at or self.at)
        self.addCleanup(client.__exit__)
        return client

    def workers_of(self, client):
        methods = client.ask("weir.services")
        return max([method["workers"] for method in methods] or [0])

    def serving(self, count, at=None):
        client = self.asks(at)
        wait_until(lambda: self.workers_of(client) == count, "%d workers are there" % count)
        return client

    def introduced(self, caller, worker):
        """The caller has a connection to this worker itself."""
        self.says(caller, r"worker-%d@\S* joined" % worker.pid)

    def has_come(self, method, count):
        """So many calls of a method wait or run; returns who asked."""
        client = self.asks()
        wait_until(lambda: any(m["name"] == method and m["queued"] + m["running"] == count
                               for m in client.call("weir.stats")["methods"]),
                   "%d calls of %s are there" % (count, method))
        return client

    def at_most_once(self, outcomes, ids):
        """What may not be run twice was not; what is said to be done was."""
        marked = self.marked()
        for call in ids:
            code, result = outcomes[call]
            self.assertIn(code, ("OK", "UNAVAILABLE"), result)
            self.assertLessEqual(marked[call], 1, call)
            if code == "OK":
                self.assertEqual(marked[call], 1, call)
