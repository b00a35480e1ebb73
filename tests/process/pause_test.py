"""Nodes that are stopped for longer than it takes to be thought dead, and readers that stall."""
import os
import re
import time

from support import ECHO, HEARTBEAT, PIPE, Case, main, numbers, quiet, wait_until

#: A node's resident memory, at most, whatever flows or stands still (in MiB).
MOST = 64


class Paused(Case):
    def test_whoever_is_stopped_for_long_every_result_comes_once(self):
        for who in ("worker", "sink", "ventilator"):
            with self.subTest(stopped=who):
                lines, text = numbers(400)
                tasks, results = self.endpoint(), self.endpoint()
                beat = ("--heartbeat", HEARTBEAT)
                sink = self.sink("--bind", results, *beat)
                node = self.ventilator("--bind", tasks, "--sink", results, *beat, input=text)
                command = ("--shell", "--", 'sleep 0.01; echo "$1"')
                worker = self.worker("--from", tasks, *beat, *command)
                other = self.worker("--from", tasks, *beat, *command)
                self.joined(node, worker, other)
                wait_until(lambda: sink.count() > 20, "some tasks are done")
                stopped = {"worker": worker, "sink": sink, "ventilator": node}[who]
                stopped.stop()
                # Until somebody has given it up for dead.
                witness = {"worker": node, "sink": node, "ventilator": sink}[who]
                self.says(witness, r":%d@\S* (has been silent|is gone)" % stopped.pid)
                stopped.cont()
                for ended in (node, sink, worker, other):
                    self.ends(ended, 0)
                self.assertOnce(sink.lines(), lines)

    def test_a_worker_that_wakes_up_late_does_no_harm(self):
        # Its tasks were given to others; what it delivers then is dropped.
        lines, text = numbers(50)
        tasks = self.endpoint()
        node = self.ventilator("--bind", tasks, "--heartbeat", HEARTBEAT, input=PIPE)
        go = self.path("go")
        late = self.worker("--from", tasks, "-j1", "--shell", "--", """
            echo "$1"; : > "$2.running"; while ! [ -e "$2" ]; do sleep 0.02; done""", go)
        self.joined(node, late)
        node.feed(text, more=True)
        wait_until(lambda: os.path.exists(go + ".running"), "it is at its task")
        late.stop()
        self.says(node, "has been silent")
        other = self.worker("--from", tasks, "--", "echo")
        wait_until(lambda: node.count() == 50, "the other one does it all")
        self.write("go", b"")
        late.cont()
        wait_until(lambda: len(re.findall(r":%d@\S* joined" % late.pid, node.stderr())) == 2,
                   "it is back")
        node.feed(b"")
        for ended in (node, late, other):
            self.ends(ended, 0)
        self.assertOnce(node.lines(), lines)

    def test_a_handler_that_is_busy_for_long_is_not_dead(self):
        # Longer than five heartbeats, on all slots, and one attempt is all there is.
        tasks = self.endpoint()
        node = self.ventilator("--bind", tasks, "--heartbeat", "200ms", "--max-attempts", "1",
                               input=b"1\n2\n")
        self.worker("--from", tasks, "-j2", "--shell", "--", 'sleep 1.5; echo "$1"')
        self.ends(node, 0)
        self.assertOnce(node.lines(), [b"1", b"2"])
        self.assertNotIn("silent", node.stderr())


class Stalled(Case):
    def test_a_reader_that_stalls_costs_no_memory_and_loses_nothing(self):
        # 100 MB, of which nothing is read until everything stands still. With a sink, and with a
        # ventilator that prints the results itself.
        for collects in (False, True):
            with self.subTest(ventilator_prints=collects):
                lines = [b"%07d%s" % (n, b"." * 1000) for n in range(100_000)]
                text = b"".join(line + b"\n" for line in lines)
                tasks, results = self.endpoint(), self.endpoint()
                beat = ("--heartbeat", "200ms", "--connect-timeout", "2s")
                if collects:
                    node = writer = self.ventilator("--bind", tasks, "--output-format", "lines",
                                                    *beat, input=text, stdout=PIPE)
                else:
                    writer = self.sink("--bind", results, "--format", "lines", *beat,
                                       stdout=PIPE)
                    node = self.ventilator("--bind", tasks, "--sink", results, *beat, input=text)
                workers = [self.worker("--from", tasks, *beat, *ECHO) for _ in range(2)]
                nodes = {writer, node, *workers}
                writer.process.stdout.read(100)
                wait_until(lambda: quiet(nodes), "everything stands still")
                # Longer than anybody waits for a peer that is not there. But they all are.
                time.sleep(2.5)
                for one in nodes:
                    self.assertTrue(one.running(), one.name)
                    self.assertLess(one.peak_rss(), MOST, one.name)
                    self.assertNotIn("silent", one.stderr())
                self.assertEqual(self.rest(writer), len(text) - 100)
                for one in nodes:
                    self.ends(one, 0)

    def rest(self, node):
        """Reads all there is; returns how many bytes."""
        count = 0
        while True:
            part = node.process.stdout.read(1 << 20)
            if not part:
                return count
            count += len(part)

    def test_large_results_do_not_pile_up_behind_a_reader_that_stalls(self):
        # Small tasks, results of 100 kB: windows of tasks alone would not bound this.
        for collects in (False, True):
            with self.subTest(ventilator_prints=collects):
                tasks, results = self.endpoint(), self.endpoint()
                text = b"100000\n" * 3000
                if collects:
                    node = writer = self.ventilator("--bind", tasks, input=text, stdout=PIPE)
                else:
                    writer = self.sink("--bind", results, stdout=PIPE)
                    node = self.ventilator("--bind", tasks, "--sink", results, input=text)
                script = self.write("blow-up.py", b"""
import sys
for line in sys.stdin:
    sys.stdout.write("." * int(line) + "\\n")
    sys.stdout.flush()
""")
                worker = self.worker("--from", tasks, "-j2", "--coproc", "--", "python3", script)
                nodes = {writer, node, worker}
                writer.process.stdout.read(100)
                wait_until(lambda: quiet(nodes), "everything stands still")
                for one in nodes:
                    self.assertLess(one.peak_rss(), MOST, one.name)
                self.assertEqual(self.rest(writer), 100_000 * 3000 - 100)
                for one in nodes:
                    self.ends(one, 0)


if __name__ == "__main__":
    main()
