#!/usr/bin/python3
"""More calls than can be done, more callers than there are connections, and readers that stall."""
import sys

from call_case import Calls
from callers import Caller
from support import main, wait_until

#: What a gateway or worker may come to, in MiB, whatever waits in it.
MOST = 64
#: The same while one caller does not read: beside that, 16 MiB that it was sent and 16 MiB of
#: replies that were on their way. docs/failure_model.md, "A caller reads nothing at all".
MOST_UNREAD = MOST + 32


class Overload(Calls):
    #: Eight at a time, 20 ms each: about 400 calls a second, whatever the processors do.
    SLOTS, NAP = 8, 20
    #: Milliseconds that are counted, from when things have settled.
    FROM, UNTIL = 1000, 4000

    def load(self, name, count, *options):
        """Starts so many calls."""
        return self.caller(*("nap %s%d %d" % (name, n, self.NAP) for n in range(count)),
                           options=("--no-introduce", "--retries", "0", "--deadline", "1000",
                                    *options))

    def counted(self, caller, code):
        """How many calls ended so while it counts."""
        self.ends(caller, 0)
        ended = [line.split(" ", 3) for line in caller.stdout().decode().splitlines()]
        return sum(c == code and self.FROM <= int(ms) < self.UNTIL for _, c, ms, _ in ended)

    def test_at_ten_times_its_capacity_a_gateway_does_four_fifths_of_it_and_refuses_the_rest(self):
        gateway = self.gateway("--queue", "1000")
        self.offer("--slots", str(self.SLOTS))
        client = self.serving(1)
        tries = []
        for turn in range(3):
            # As many as can be done at a time, and some more that wait.
            capacity = self.counted(self.load("c%d-" % turn, 1800, "--in-flight", "24"), "OK")
            flood = self.load("f%d-" % turn, 18_000, "--rate", "4000")
            queued = []
            while flood.running():
                queued.append(sum(m["queued"] for m in client.call("weir.stats")["methods"]))
            goodput = self.counted(flood, "OK")
            outcomes = self.so_far(flood)
            self.assertEqual(len(outcomes), 18_000)
            self.assertLessEqual(max(queued), 1000)
            refused = sum(code == "RESOURCE_EXHAUSTED" for code, _ in outcomes.values())
            tries.append((capacity, goodput, refused, max(queued)))
            self.assertLess(gateway.peak_rss(), MOST)
            # What is in the way of others now is this machine's, not the gateway's.
            if goodput >= 0.8 * capacity and refused > 9000:
                break
        else:
            self.fail("capacity, goodput, refused, queued: %r" % tries)
        print("%r " % tries[-1:], end="", file=sys.stderr)

    def test_what_is_refused_is_told_so_while_what_was_accepted_still_waits(self):
        self.gateway("--queue", "100")
        self.offer("--slots", "1")
        self.serving(1)
        go = self.path("go")
        first = self.caller("hold first %s" % go)
        self.runs("first")
        caller = self.caller(*("once n%d 0" % n for n in range(5000)),
                             options=("--no-introduce", "--retries", "0", "--in-flight", "5000"))
        # With the gateway wait 100; a few more may be with the worker already.
        wait_until(lambda: caller.count() >= 4800, "most are refused")
        refused = self.so_far(caller)
        self.assertEqual({code for code, _ in refused.values()}, {"RESOURCE_EXHAUSTED"})
        self.assertEqual(self.marked()["first"], 1)
        self.let_go()
        outcomes = self.outcomes(caller)
        self.all_ok(first, ["first"])
        done = {i for i, (code, _) in outcomes.items() if code == "OK"}
        self.assertEqual(len(done) + len(refused), 5000)
        self.assertGreaterEqual(len(done), 100)
        self.assertEqual(set(self.marked()), done | {"first"}, "what was refused never ran")


class ManyCallers(Calls):
    def test_ten_thousand_callers_on_two_hundred_connections(self):
        gateway = self.gateway()
        workers = [self.offer(), self.offer()]
        client = self.serving(2)
        # Each connection carries 50 callers that make four calls each, one after the other.
        callers, ids = [], []
        for process in range(4):
            names = ["p%d-%d" % (process, n) for n in range(10_000)]
            ids.append(names)
            callers.append(self.caller(*("%s %s 0" % (("nap", "once")[n % 2], i) for n, i in enumerate(names)),
                                       options=("--no-introduce", "--clients", "50", "--in-flight", "2500")))
        self.assertTrue(wait_until(lambda: client.call("weir.stats")["clients"] == 201
                                   or not any(c.running() for c in callers), "they have come"))
        for caller, names in zip(callers, ids):
            self.all_ok(caller, names)
        once = {i for names in ids for i in names[1::2]}
        self.assertEqual(self.marked(), dict.fromkeys(once, 1))
        for node in gateway, *workers:
            self.assertLess(node.peak_rss(), MOST, node.name)


class SlowReaders(Calls):
    def setUp(self):
        super().setUp()
        self.readers = []

    def tearDown(self):
        for reader in self.readers:
            reader.close()
        super().tearDown()

    def reader(self, at, **how):
        self.readers.append(Caller(at, **how))
        return self.readers[-1]

    def stalls_nobody(self, at, *nodes):
        """Twenty streams whose readers take three elements and then no more; two slots."""
        reader = self.reader(at)
        streams = [reader.start("count", "s", 20_000, sw=3) for _ in range(20)]
        wait_until(lambda: reader.listen(0.02) or all(len(reader.parts[s]) == 3 for s in streams),
                   "each has sent what it may")
        # Neither others nor calls of the same client, nor other streams of it, have to wait.
        ids = ["n%d" % n for n in range(500)]
        others = self.caller(*("nap %s 0" % i for i in ids), at=[at])
        wait_until(lambda: reader.listen(0.02) or not others.running(), "others are served")
        self.all_ok(others, ids)
        self.assertEqual(reader.call("nap", "same", 0)[:2], (0, "same"))
        quick = reader.start("count", "q", 50, sw=100)
        self.assertEqual(reader.await_(quick).code, 0)
        self.assertEqual(reader.parts[quick], list(range(50)))
        self.assertFalse(any(stream in reader.answers for stream in streams))
        self.assertEqual({len(reader.parts[s]) for s in streams}, {3})
        for node in nodes:
            self.assertLess(node.peak_rss(), MOST, node.name)
        # One of them reads on, and misses nothing.
        chosen = streams[7]

        def ended():
            reader.credit(chosen, len(reader.parts[chosen]), len(reader.parts[chosen]) + 1000)
            reader.listen(0.02)
            return chosen in reader.answers
        wait_until(ended, "it has ended")
        self.assertEqual(reader.parts[chosen], list(range(20_000)))
        self.assertEqual(reader.answers[chosen].code, 0)

    def test_slow_readers_of_streams_stall_nobody_at_a_gateway(self):
        gateway = self.gateway()
        worker = self.offer("--slots", "2")
        self.serving(1)
        self.stalls_nobody(self.at, gateway, worker)

    def test_slow_readers_of_streams_stall_nobody_at_a_worker(self):
        place = self.endpoint()
        worker = self.offer("--slots", "2", "--bind", place, at=())
        self.stalls_nobody(place, worker)

    def test_a_caller_that_reads_nothing_at_all_stalls_nobody(self):
        gateway = self.gateway()
        worker = self.offer("--slots", "2")
        self.serving(1)
        stalled = self.caller(*("large l%d 100000" % n for n in range(1000)),
                              options=("--no-introduce", "--in-flight", "1000"))
        wait_until(lambda: stalled.count() > 10, "its calls are under way")
        stalled.stop()
        ids = ["n%d" % n for n in range(500)]
        self.all_ok(self.caller(*("nap %s 0" % i for i in ids)), ids)
        self.assertTrue(gateway.running() and worker.running())
        stalled.kill()

    def reads_large_replies_late(self, at, *nodes):
        """A caller makes calls whose replies are 400 MiB, and reads nothing until others are served."""
        reader = self.reader(at, ahead=1)
        calls = [reader.start("large", "l%d" % n, 1 << 20) for n in range(400)]
        ids = ["n%d" % n for n in range(500)]
        for _ in range(3):
            others = self.caller(*("nap %s 1" % i for i in ids), at=[at],
                                 options=("--no-introduce", "--in-flight", "8"))
            wait_until(lambda: reader.says_alive() or not others.running(), "others are served")
            self.all_ok(others, ids)
        for node in nodes:
            self.assertLess(node.peak_rss(), MOST_UNREAD, node.name)
        for call in calls:
            answer = reader.await_(call)
            self.assertEqual((answer.code, len(answer.result)), (0, 1 << 20))
        for node in nodes:
            self.assertLess(node.peak_rss(), MOST_UNREAD, node.name)
            print("%s %d MiB " % (node.name, node.peak_rss()), end="", file=sys.stderr)

    def test_large_replies_do_not_pile_up_at_a_gateway_behind_a_caller_that_reads_nothing(self):
        gateway = self.gateway()
        worker = self.offer("--slots", "2")
        self.serving(1)
        self.reads_large_replies_late(self.at, gateway, worker)

    def test_large_replies_do_not_pile_up_at_a_worker_behind_a_caller_that_reads_nothing(self):
        place = self.endpoint()
        worker = self.offer("--slots", "2", "--bind", place, at=())
        self.reads_large_replies_late(place, worker)


if __name__ == "__main__":
    main()
