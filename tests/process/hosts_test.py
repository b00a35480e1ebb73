"""Workers on other machines, which come, leave and are cut off. Exit status 77 (skipped) where there
are no network namespaces."""
import re
import signal
import sys
import unittest

import support
from hosts import Hosts
from support import HEARTBEAT, PIPE, Case, main, numbers, wait_until

#: As ctest's SKIP_RETURN_CODE.
SKIPPED = 77
#: A worker's command that takes a while.
SLOW = ("-j2", "--shell", "--", 'sleep 0.02; echo "$1"')
BEAT = ("--heartbeat", HEARTBEAT)
TASKS, RESULTS = 5557, 5558


class HostsCase(Case):
    def setUp(self):
        super().setUp()
        self.hosts = Hosts()
        self.addCleanup(self.hosts.close)
        self.hub, self.left, self.right = (self.hosts.hub, self.hosts.leaf("left"),
                                           self.hosts.leaf("right"))
        self.tasks = "tcp://%s:%d" % (self.hub.address, TASKS)

    def worker_on(self, host, *command):
        """Gives up by itself, should it be cut off for good."""
        return self.worker("--from", self.tasks, *BEAT, "--insecure", "--connect-timeout", "5s",
                           *(command or SLOW), preexec=host.enter)

    def gone(self, node, worker):
        self.says(node, r":%d@\S* has been silent" % worker.pid)

    def joined_again(self, node, worker):
        wait_until(lambda: len(re.findall(r":%d@\S* joined" % worker.pid, node.stderr())) == 2,
                   "%s is back" % worker.name)


class FanOut(HostsCase):
    """The three nodes by hand: ventilator and sink on one host, workers on two others."""

    def fan_out(self):
        results = "tcp://%s:%d" % (self.hub.address, RESULTS)
        sink = self.sink("--bind", results, *BEAT, "--insecure", preexec=self.hub.enter)
        node = self.ventilator("--bind", self.tasks, "--sink", results, *BEAT, "--insecure",
                               # Being cut off is nobody's fault.
                               "--max-attempts", "1000", "--retry-delay", "1ms", input=PIPE,
                               preexec=self.hub.enter)
        return node, sink

    def test_a_host_is_unplugged_and_each_result_comes_once(self):
        lines, text = numbers(400)
        node, sink = self.fan_out()
        left, right = self.worker_on(self.left), self.worker_on(self.right)
        self.joined(node, left, right)
        node.feed(text)
        wait_until(lambda: sink.count() > 50, "some tasks are done")
        self.left.unplug()
        self.gone(node, left)
        self.ends(node, 0)
        self.ends(sink, 0)
        self.ends(right, 0)
        # Nobody could tell it that all is done.
        self.ends(left, 69)
        self.assertOnce(sink.lines(), lines)

    def test_a_host_that_is_plugged_in_again_works_on_and_what_it_did_meanwhile_counts_once(self):
        lines, text = numbers(600)
        node, sink = self.fan_out()
        left, right = self.worker_on(self.left), self.worker_on(self.right)
        self.joined(node, left, right)
        node.feed(text, more=True)
        wait_until(lambda: sink.count() > 50, "some tasks are done")
        self.left.unplug()
        self.gone(node, left)
        self.left.plug()
        self.joined_again(node, left)
        node.feed(b"")
        for ended in (node, sink, left, right):
            self.ends(ended, 0)
        self.assertOnce(sink.lines(), lines)

    def test_the_only_host_with_workers_is_unplugged_and_another_one_takes_over(self):
        lines, text = numbers(200)
        node, sink = self.fan_out()
        left = self.worker_on(self.left)
        self.joined(node, left)
        node.feed(text)
        wait_until(lambda: sink.count() > 20, "some tasks are done")
        self.left.unplug()
        self.gone(node, left)
        right = self.worker_on(self.right)
        for ended in (node, sink, right):
            self.ends(ended, 0)
        self.ends(left, 69)
        self.assertOnce(sink.lines(), lines)


class Run(HostsCase):
    """`weir run --listen` on one host, workers on two others that come and go."""

    def run_on_hub(self, *arguments):
        return self.weir("run", "--listen", self.tasks, "--insecure", *BEAT, "-j1", "--joblog",
                         self.path("log"), "--retries", "1", *arguments,
                         "--", "sleep 0.02; echo {}", input=PIPE, preexec=self.hub.enter)

    def log(self):
        """The joblog: Seq -> (Host, Exitval)."""
        rows = [line.split("\t") for line in self.read("log").decode().splitlines()[1:]]
        self.assertEqual(len({row[0] for row in rows}), len(rows), "a line for each task")
        return {int(row[0]): (row[1], int(row[6])) for row in rows}

    def test_hosts_join_and_leave_while_it_runs_and_one_is_unplugged(self):
        lines, text = numbers(600)
        node = self.run_on_hub("-k")
        node.feed(text, more=True)
        left, leaving = self.worker_on(self.left), self.worker_on(self.right)
        wait_until(lambda: node.count() > 50, "some tasks are done")
        leaving.send(signal.SIGTERM)
        self.ends(leaving, 0)
        late = self.worker_on(self.right)
        wait_until(lambda: node.count() > 150, "more tasks are done")
        self.left.unplug()
        node.feed(b"")
        for ended in (node, late):
            self.ends(ended, 0)
        self.ends(left, 69)
        self.assertEqual(node.stdout().splitlines(), lines)
        rows = self.log()
        self.assertEqual(sorted(rows), list(range(1, 601)))
        self.assertEqual({exitval for _, exitval in rows.values()}, {0})
        self.assertGreater(len({host for host, _ in rows.values()}), 1, "others have worked too")


def available():
    """Whether there can be hosts; if not, says why."""
    try:
        Hosts().close()
        return True
    except unittest.SkipTest as reason:
        print("skipped:", reason, file=sys.stderr)
        return False


if __name__ == "__main__":
    if not available():
        sys.exit(SKIPPED)
    main()
