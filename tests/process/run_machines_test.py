"""weir run --listen: workers elsewhere, here as other processes. Those on other hosts are in hosts_test.py."""
import os
import signal

from run_case import Runs
from screen import TerminalCase
from support import exists, main, quiet, wait_until


class OtherMachines(Runs, TerminalCase):
    """Workers that join while it runs, here as other processes."""

    def setUp(self):
        super().setUp()
        self.where = self.tcp_endpoint()

    def start_run(self, *arguments, **how):
        return self.weir("run", "--listen", self.where, "--heartbeat", "100ms", "-j1", *arguments, **how)

    def hosts_of(self, tasks):
        return {self.joblog()[n][0] for n in tasks}

    def test_a_worker_runs_its_own_command_on_the_values(self):
        node = self.start_run("sh", "-c", "while [ ! -e %s ]; do sleep 0.02; done; echo here {}" % self.path("go"),
                              ":::", *map(str, range(20)))
        self.worker("--from", self.where, "-j1", "--", "sh", "-c", "echo there {}; [ {} != 15 ] || : > %s" %
                    self.path("go"))
        self.ends(node, 0)
        lines = node.stdout().decode().splitlines()
        self.assertOnce([line.split()[1] for line in lines], [str(n) for n in range(20)])
        self.assertEqual({line.split()[0] for line in lines}, {"here", "there"})

    def test_what_a_coprocess_answers_there_is_a_line_and_what_a_command_writes_is_as_it_is(self):
        for mode, expected in ((("--coproc", "--", "sed", "-u", "s/^a$//"), b"\nb\nc\nhere\n"),
                               (("--", "printf", "%s"), b"abchere\n")):
            self.where = self.tcp_endpoint()
            node = self.start_run("--joblog", self.path("log"), "echo {} >> %s; until [ -e %s ]; do sleep 0.02; done; "
                                  "echo {}" % (self.path("begun"), self.path("go")), ":::", "here", *"abc")
            wait_until(lambda: os.path.exists(self.path("begun")), "the first one has begun here")
            self.worker("--from", self.where, "-j1", *mode)
            wait_until(lambda: self.read("log").count(b"\n") == 4, "the others are done there")
            self.write("go", b"")
            self.ends(node, 0)
            self.assertEqual(sorted(node.stdout()), sorted(expected))
            for name in ("begun", "go", "log"):
                os.remove(self.path(name))

    def test_a_worker_that_accepts_commands_runs_the_one_that_came(self):
        script = "[ -n \"$HERE\" ] && while [ ! -e %s ]; do sleep 0.02; done; echo got {}; [ {} != 15 ] || : > %s" % (
            self.path("go"), self.path("go"))
        node = self.start_run("-k", "--joblog", self.path("log"), script, ":::", *map(str, range(20)),
                              env={"HERE": "1"})
        self.worker("--from", self.where, "-j1", "--accept-command")
        self.ends(node, 0)
        self.assertEqual(node.stdout().decode().split("\n")[:-1], ["got %d" % n for n in range(20)])
        self.assertEqual(len(self.hosts_of(range(1, 21))), 2)

    def test_a_worker_that_dies_costs_nothing_even_if_a_command_may_fail_only_once(self):
        node = self.start_run("sh", "-c", "sleep 0.02; echo {}", ":::", *map(str, range(60)))
        dying = self.worker("--from", self.where, "-j4", "--accept-command")
        wait_until(lambda: dying.children(), "it has something to do")
        dying.kill()
        self.ends(node, 0)
        self.assertOnce(node.stdout().decode().split(), [str(n) for n in range(60)])

    def test_what_is_in_flight_elsewhere_is_in_the_status_line(self):
        node, screen = self.on_terminal("weir", "run", "--listen", self.where, "-j1", "--progress",
                                        "until [ -e %s ]; do sleep 0.02; done; : {}" % self.path("go"), ":::", *"abc")
        self.worker("--from", self.where, "-j2", "--accept-command")
        self.drawn(screen, "^0/3 done  3 in flight")
        self.write("go", b"")
        self.ends(node, 0)

    def test_a_worker_that_leaves_in_good_order_costs_nothing(self):
        node = self.start_run("sh", "-c", "sleep 0.02; echo {}", ":::", *map(str, range(60)))
        leaving = self.worker("--from", self.where, "-j4", "--accept-command")
        wait_until(lambda: node.stderr().count("joined") == 2, "it has joined")
        leaving.send(signal.SIGTERM)
        self.ends(leaving, 0)
        self.ends(node, 0)
        self.assertOnce(node.stdout().decode().split(), [str(n) for n in range(60)])

    def test_what_takes_too_long_is_ended_there_too(self):
        self.worker("--from", self.where, "-j1", "--", "sh", "-c", ": > %s; exec sleep 1000" % self.path("go"))
        node = self.start_run("--joblog", self.path("log"), "--timeout", "4",
                              "until [ -e %s ]; do sleep 0.02; done; : {}" % self.path("go"), ":::", "1", "2")
        self.ends(node, 1)
        self.assertEqual([row[5] for row in self.joblog().values() if row[0] != ":"], ["-1"])
        self.assertSays(node, "weir run: task [12]: ended after its time limit of 4 s")

    def test_a_delay_before_a_start_here_is_no_part_of_the_time_that_it_may_take(self):
        for retries in "1", "2":
            begun = self.path("begun" + retries)
            node = self.start_run("--delay", "0.6", "--timeout", "0.5", "--retries", retries, "echo {} >> " + begun,
                                  ":::", "1", "2", "3")
            self.ends(node, 0)
            with open(begun) as starts:
                self.assertOnce(starts.read().split(), ["1", "2", "3"])

    def test_a_failure_elsewhere_counts_like_one_here(self):
        node = self.start_run("--joblog", self.path("log"), "-k", "while [ ! -e %s ] && [ -n \"$HERE\" ]; do "
                              "sleep 0.02; done; : > %s; exit {}" % (self.path("go"), self.path("go")), ":::",
                              "0", "3", "0", "3", env={"HERE": "1"})
        self.worker("--from", self.where, "--accept-command")
        self.ends(node, 2)
        self.assertEqual([self.joblog()[n][5] for n in (1, 2, 3, 4)], ["0", "3", "0", "3"])

    def test_a_slot_number_means_nothing_elsewhere(self):
        self.write("log", b"1\t:\t1.0\t1.0\t0\t0\t0\t0\techo 1 a\n")
        for arguments in (("echo", "{%}", ":::", "1"), ("echo s{%}", ":::", "1"),
                          ("--tagstring", "{%}", "echo", ":::", "1"), ("--plus", "echo", "{0%}", ":::", "1"),
                          ("--results", self.path("{%}"), "echo", ":::", "1"), ("--pipe", "echo", "{%}"),
                          ("--joblog", self.path("log"), "--resume", "echo", "{%}", ":::", "a", "b")):
            node = self.start_run(*arguments)
            self.ends(node, 255)
            self.assertSays(node, "{%} numbers the slots of this machine")

    def busy_worker(self, *arguments, **how):
        """A run whose first command here waits for `go`, then fails; there one runs for ever. Both, and its pid."""
        node = self.start_run(*arguments, "if [ -n \"$HERE\" ]; then until [ -e %s ]; do sleep 0.02; done; exit 3; fi; "
                              "echo $$ >> %s; exec sleep 1000; : {}" % (self.path("go"), self.path("begun")),
                              ":::", *map(str, range(20)), env={"HERE": "1"}, **how)
        worker = self.worker("--from", self.where, "-j1", "--accept-command")
        pid = wait_until(lambda: os.path.exists(self.path("begun")) and int(self.read("begun") or 0), "it is at work")
        return node, worker, pid

    def test_what_ends_the_run_now_ends_what_runs_there(self):
        for how in "halt", signal.SIGINT:
            node, worker, pid = self.busy_worker("--halt", "now,fail=1", "--joblog", self.path("log"))
            if how == "halt":
                self.write("go", b"")
            else:
                node.send(how)
            self.ends(node, 3 if how == "halt" else 128 + how)
            wait_until(lambda pid=pid: not exists(pid), "the command there has ended")
            self.ends(worker, 0)
            self.assertEqual(self.read("begun").split(), [b"%d" % pid])
            self.assertEqual(len(self.joblog()), 1 if how == "halt" else 0)
            os.remove(self.path("begun"))
            if how == "halt":
                os.remove(self.path("go"))

    def test_what_starts_no_more_starts_nothing_there_and_finishes_what_runs(self):
        node = self.start_run("-k", "echo {} >> %s; until [ -e %s ]; do sleep 0.02; done; echo {}" % (
            self.path("begun"), self.path("go")), ":::", *map(str, range(20)))
        worker = self.worker("--from", self.where, "-j1", "--accept-command")
        wait_until(lambda: os.path.exists(self.path("begun")) and self.read("begun").count(b"\n") == 2, "both are at work")
        node.send(signal.SIGHUP)
        self.says(node, "starting no more")
        wait_until(lambda: quiet([node, worker]), "the worker has given back what it has not begun")
        self.write("go", b"")
        self.ends(node, 0)
        self.assertEqual(sorted(self.read("begun").split()), sorted(node.stdout().split()))
        self.assertSays(node, "2 done, 18 not")

    def test_a_run_is_gone_on_with_whoever_has_run_what(self):
        # Here the first one waits until the others have been begun there.
        command = "echo {} >> %s; until [ -z \"$HERE\" ] || [ $(wc -l < %s) = 8 ]; do sleep 0.02; done; " \
                  "[ {} != 3 ] || [ -e %s ]" % (self.path("begun"), self.path("begun"), self.path("well"))

        def go(*options, code=0, values=8, env=None):
            self.write("begun", b"")
            self.where = self.tcp_endpoint()
            node = self.start_run("--joblog", self.path("log"), *options, command, ":::", *map(str, range(values)), env=env)
            self.worker("--from", self.where, "-j2", "--accept-command")
            self.ends(node, code)
            return sorted(self.read("begun").split(), key=int)

        self.assertEqual(go("--resume", code=1, env={"HERE": "1"}), [b"%d" % n for n in range(8)])
        self.assertEqual(len(self.hosts_of(range(1, 9))), 2)
        self.assertEqual(go("--resume", values=10), [b"8", b"9"])
        self.assertEqual(go("--resume-failed", code=1, values=11), [b"3", b"10"])
        self.write("well", b"")
        self.assertEqual(go("--retry-failed"), [b"3"])
        self.assertEqual(go("--retry-failed"), [])
        self.assertEqual(go("--resume-failed", values=11), [])

    def test_what_has_failed_is_not_given_to_workers_as_a_value(self):
        self.run_it("--joblog", self.path("log"), "[ $AGAIN ] || exit 1; until [ -e %s ]; do sleep 0.02; done; : {}" %
                    self.path("go"), ":::", "a", "b", code=2)
        node = self.start_run("--joblog", self.path("log"), "--retry-failed", env={"AGAIN": "1"})
        worker = self.worker("--from", self.where, "--", "sh", "-c", "echo $1 >> %s" % self.path("there"), "-")
        self.says(node, "gets no tasks: it does not run commands that come with them")
        self.write("go", b"")
        self.ends(node, 0)
        self.ends(worker, 0)
        self.assertFalse(os.path.exists(self.path("there")))


if __name__ == "__main__":
    main()
