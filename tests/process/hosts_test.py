"""Workers on other machines, which come, leave and are cut off. Exit status 77 (skipped) where there
are no network namespaces."""
import re
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
