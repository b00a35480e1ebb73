"""Nodes that are killed with -9, at any moment, and what comes out all the same."""
import os
import random
import signal

from support import ECHO, HEARTBEAT, PIPE, Case, main, numbers, wait_until

#: Which moments are tried; another one is tried each time with WEIR_SEED=$RANDOM.
SEED = int(os.environ.get("WEIR_SEED", "1"))
#: A worker's command that takes a while.
SLOW = ("-j2", "--shell", "--", 'sleep 0.01; echo "$1"')


class Workers(Case):
    def pipeline(self, *ventilator):
        self.tasks, results = self.endpoint(), self.endpoint()
        sink = self.sink("--bind", results, "--format", "lines", "--heartbeat", HEARTBEAT)
        node = self.ventilator("--bind", self.tasks, "--sink", results, "--heartbeat", HEARTBEAT,
                               # Deaths that are nobody's fault but ours must not add up.
                               "--max-attempts", "1000", "--retry-delay", "1ms", *ventilator,
                               input=PIPE)
        return node, sink

    def start_workers(self, node, count, *command):
        workers = [self.worker("--from", self.tasks, "--heartbeat", HEARTBEAT,
                               *(command or ECHO)) for _ in range(count)]
        self.joined(node, *workers)
        return workers

    def finish(self, lines, node, sink):
        self.ends(node, 0)
        self.ends(sink, 0)
        self.assertOnce(sink.lines(), lines)

    def test_a_worker_is_killed_at_any_moment_and_each_result_comes_once(self):
        lines, text = numbers(50_000)
        for seed in range(SEED, SEED + 8):
            with self.subTest(seed=seed):
                chance = random.Random(seed)
                node, sink = self.pipeline()
                workers = self.start_workers(node, 2)
                node.feed(text)
                moment = chance.randrange(len(text))
                wait_until(lambda: sink.written() > moment or not node.running(), "the moment")
                chance.choice(workers).kill()
                self.finish(lines, node, sink)

    def test_workers_of_slow_commands_are_killed_again_and_again(self):
        chance = random.Random(SEED)
        lines, text = numbers(300)
        node, sink = self.pipeline()
        workers = self.start_workers(node, 2, *SLOW)
        node.feed(text)
        for _ in range(6):
            moment = sink.count() + chance.randrange(5, 30)
            wait_until(lambda: sink.count() > moment or not node.running(), "the moment")
            if not node.running():
                break
            workers.pop(chance.randrange(len(workers))).kill()
            workers += self.start_workers(node, 1, *SLOW)
        self.finish(lines, node, sink)

    def test_all_workers_die_and_new_ones_take_over(self):
        lines, text = numbers(300)
        node, sink = self.pipeline()
        workers = self.start_workers(node, 3, *SLOW)
        node.feed(text)
        wait_until(lambda: sink.count() > 20, "some tasks are done")
        for worker in workers:
            worker.kill()
        for worker in workers:
            self.says(node, r"worker \S*:%d@\S* closed its connection" % worker.pid)
        self.assertTrue(node.running())
        self.start_workers(node, 1)
        self.finish(lines, node, sink)

    def test_a_task_whose_worker_dies_is_charged_an_attempt_and_others_are_not(self):
        tasks = self.endpoint()
        node = self.ventilator("--bind", tasks, "--max-attempts", "2", "--heartbeat", HEARTBEAT,
                               input=b"1\n2\n3\n4\n")
        first = self.worker("--from", tasks, "-j1", "--shell", "--",
                            ': > "$2"; sleep 1000', self.path("running"))
        wait_until(lambda: os.path.exists(self.path("running")), "a task runs")
        first.kill()
        self.worker("--from", tasks, "-j1", "--shell", "--", 'echo "$1"')
        self.ends(node, 0)
        self.assertOnce(node.lines(), [b"1", b"2", b"3", b"4"])


class Sinks(Case):
    def test_a_sink_is_killed_and_its_successor_appends_the_rest(self):
        # Nothing is lost. What the first had written and not yet acknowledged comes again, and
        # nothing else does: docs/failure_model.md.
        lines, text = numbers(50_000)
        for seed in range(SEED, SEED + 5):
            with self.subTest(seed=seed):
                chance = random.Random(seed)
                tasks, results, out = self.endpoint(), self.endpoint(), self.path("out%d" % seed)
                how = ["--bind", results, "--format", "lines", "--heartbeat", HEARTBEAT,
                       "--out", out, "--append"]
                sink = self.sink(*how)
                node = self.ventilator("--bind", tasks, "--sink", results, "--heartbeat",
                                       HEARTBEAT, input=PIPE)
                workers = [self.worker("--from", tasks, *ECHO) for _ in range(2)]
                self.joined(node, *workers)
                moment = chance.randrange(len(text))
                node.feed(text, more=True)
                wait_until(lambda: os.path.getsize(out) >= moment, "the moment")
                sink.kill()
                before = self.read("out%d" % seed)
                sink = self.sink(*how)
                node.feed(b"")
                for ended in [node, sink] + workers:
                    self.ends(ended, 0)
                after = self.read("out%d" % seed)
                self.assertEqual(after[:len(before)], before)
                # What the first had written only half of a line of is written again; the half
                # stays where it is, in front of the first line of the second.
                whole, cut = before.rpartition(b"\n")[0].splitlines(), before.rpartition(b"\n")[2]
                rest = after[len(before):].splitlines()
                self.assertEqual(set(whole) | set(rest), set(lines))
                self.assertEqual(len(whole), len(set(whole)), "the first writes each once")
                self.assertEqual(len(rest), len(set(rest)), "the second writes each once")
                self.assertTrue(not cut or any(line.startswith(cut) for line in lines))

    def test_without_a_sink_nothing_is_lost_until_there_is_one(self):
        lines, text = numbers(200)
        tasks, results = self.endpoint(), self.endpoint()
        node = self.ventilator("--bind", tasks, "--sink", results, "--heartbeat", HEARTBEAT,
                               input=text)
        worker = self.worker("--from", tasks, "--heartbeat", HEARTBEAT, "--shell", "--",
                             'sleep 0.01; echo "$1"')
        first = self.sink("--bind", results, "--heartbeat", HEARTBEAT)
        wait_until(lambda: first.count() > 20, "some tasks are done")
        first.stop()
        self.says(node, "sink .* has been silent")
        written = first.lines()
        first.kill()
        second = self.sink("--bind", results, "--heartbeat", HEARTBEAT)
        for running in (node, second, worker):
            self.ends(running, 0)
        self.assertEqual(set(written) | set(second.lines()), set(lines))


class Ventilators(Case):
    def test_a_killed_ventilator_is_named_by_sink_and_worker_which_then_give_up(self):
        tasks, results = self.endpoint(), self.endpoint()
        patience = ("--connect-timeout", "700ms", "--heartbeat", HEARTBEAT)
        sink = self.sink("--bind", results, *patience)
        node = self.ventilator("--bind", tasks, "--sink", results, "--name", "numbers",
                               "--heartbeat", HEARTBEAT, input=numbers(1000)[1])
        worker = self.worker("--from", tasks, *patience, "--shell", "--",
                             'sleep 0.02; echo "$1"')
        wait_until(lambda: sink.count() > 5, "some tasks are done")
        node.kill()
        self.ends(sink, 69)
        self.ends(worker, 69)
        self.assertSays(sink, r"ventilator numbers@\S+ is gone with \d+ of 1000 tasks committed")
        self.assertSays(worker, "no ventilator at " + tasks)

    def test_a_sink_ends_well_if_all_was_done_before_the_ventilator_died(self):
        # What comes to an end as it should ends as it should, however slowly it is told.
        lines, text = numbers(100)
        tasks, results = self.endpoint(), self.endpoint()
        sink = self.sink("--bind", results, "--format", "lines", "--heartbeat", HEARTBEAT)
        node = self.ventilator("--bind", tasks, "--sink", results, "--heartbeat", HEARTBEAT,
                               input=PIPE)
        worker = self.worker("--from", tasks, *ECHO)
        node.feed(text, more=True)
        wait_until(lambda: sink.count() == 100, "all that has come is done")
        # Its input is still open: nobody knows that this is all.
        node.kill()
        worker.kill()
        self.says(sink, "ventilator .* is gone")
        self.assertTrue(sink.running())
        self.assertOnce(sink.lines(), lines)

    def test_a_sink_that_serves_does_not_end_well_when_tasks_are_missing(self):
        # Killed, given up, or still at it when the sink is told to end.
        for end in ("killed", "given up", "under way"):
            with self.subTest(end=end):
                tasks, results = self.endpoint(), self.endpoint()
                sink = self.sink("--bind", results, "--serve", "--format", "lines")
                worker = self.worker("--from", tasks, "-j1", "--shell", "--",
                                     '[ "$1" = 1 ] || exec sleep 1000; echo "$1"')
                node = self.ventilator("--bind", tasks, "--sink", results, input=b"1\n2\n")
                wait_until(lambda: sink.count() == 1, "one of two tasks is done")
                if end == "killed":
                    node.kill()
                elif end == "given up":
                    node.send(signal.SIGTERM)
                    self.says(node, "reading no more")
                    node.send(signal.SIGTERM)
                    self.ends(node, 143)
                    self.says(sink, "has left before all its tasks were done: 1 are committed")
                sink.send(signal.SIGTERM)
                self.ends(sink, 143)
                node.kill()
                worker.kill()

    def test_a_ventilator_that_is_interrupted_lets_sink_and_worker_end(self):
        tasks, results = self.endpoint(), self.endpoint()
        sink = self.sink("--bind", results)
        node = self.ventilator("--bind", tasks, "--sink", results, input=PIPE)
        worker = self.worker("--from", tasks, "-j2", "--shell", "--", 'echo "$1"; sleep 1000')
        self.joined(node, worker)
        node.feed(b"1\n2\n3\n", more=True)
        wait_until(lambda: worker.children() >= 2, "two tasks run")
        node.send(signal.SIGINT)
        self.says(node, "reading no more")
        node.send(signal.SIGINT)
        self.ends(node, 130)
        self.ends(worker, 0)
        self.ends(sink, 69)
        self.assertSays(sink, "results are missing")


if __name__ == "__main__":
    main()
