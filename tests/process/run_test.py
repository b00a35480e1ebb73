"""Normal runs: however many nodes, started in whatever order, whoever binds."""
import glob
import itertools

from support import ECHO, PIPE, Case, main, numbers, quiet, wait_until


class NormalRuns(Case):
    def run_pipeline(self, tasks, results, workers=1, order="vws", count=300):
        """Starts the roles in `order`, and expects all to end well with each result once.

        The tasks come when all workers are there: one that comes after the end of it all waits
        for another ventilator, as it should."""
        lines, text = numbers(count)
        crew = []
        for role in order:
            if role == "v":
                ventilator = self.ventilator("--bind", tasks, "--sink", results, input=PIPE)
            elif role == "s":
                sink = self.sink("--bind", results, "--format", "lines")
            else:
                crew = [self.worker("--from", tasks, *ECHO) for _ in range(workers)]
        self.joined(ventilator, *crew)
        ventilator.feed(text)
        for node in [ventilator, sink] + crew:
            self.ends(node, 0)
        self.assertOnce(sink.lines(), lines)

    def test_one_two_and_three_workers_do_every_task_once(self):
        for workers in (1, 2, 3):
            with self.subTest(workers=workers):
                self.run_pipeline(self.endpoint(), self.endpoint(), workers, count=2000)

    def test_the_nodes_may_start_in_any_order(self):
        for order in itertools.permutations("vws"):
            with self.subTest(order=order):
                self.run_pipeline(self.endpoint(), self.endpoint(), 2, order)

    def test_the_nodes_talk_over_tcp(self):
        self.run_pipeline(self.tcp_endpoint(), self.tcp_endpoint(), 2, "wvs", 2000)

    def test_a_node_that_starts_much_later_is_waited_for(self):
        # Each of the others has said HELLO in vain by the time the last one comes.
        for late in "vws":
            with self.subTest(late=late):
                lines, text = numbers(50)
                tasks, results = self.endpoint(), self.endpoint()
                start = {
                    "v": lambda: self.ventilator("--bind", tasks, "--sink", results, input=text),
                    "w": lambda: self.worker("--from", tasks, *ECHO),
                    "s": lambda: self.sink("--bind", results, "--format", "lines"),
                }
                nodes = {role: make() for role, make in start.items() if role != late}
                for node in nodes.values():
                    # It has read its options and opened its sockets: it sleeps.
                    wait_until(lambda: node.threads() > 2, "the node is up")
                nodes[late] = start[late]()
                for node in nodes.values():
                    self.ends(node, 0)
                self.assertOnce(nodes["s"].lines(), lines)

    def test_two_ventilators_deliver_into_one_sink(self):
        results = self.endpoint()
        tasks = [self.endpoint(), self.endpoint()]
        sink = self.sink("--bind", results, "--format", "lines")
        inputs = [numbers(3000), numbers(1000, first=100000)]
        # Both are there before the first task, or the sink could be complete, and gone, before
        # the second one comes.
        ventilators = [self.ventilator("--bind", t, "--sink", results, input=PIPE)
                       for t in tasks]
        workers = [self.worker("--from", tasks[0], *ECHO),
                   self.worker("--from", tasks[0], "--from", tasks[1], *ECHO)]
        self.joined(sink, *ventilators)
        self.joined(ventilators[0], *workers)
        self.joined(ventilators[1], workers[1])
        for ventilator, (_, text) in zip(ventilators, inputs):
            ventilator.feed(text)
        for node in ventilators + workers + [sink]:
            self.ends(node, 0)
        self.assertOnce(sink.lines(), inputs[0][0] + inputs[1][0])

    def test_a_ventilator_without_a_sink_prints_the_results_itself(self):
        lines, text = numbers(2000)
        tasks = self.endpoint()
        ventilator = self.ventilator("--bind", tasks, "--output-format", "lines", input=PIPE)
        workers = [self.worker("--from", tasks, *ECHO) for _ in range(2)]
        self.joined(ventilator, *workers)
        ventilator.feed(text)
        for node in [ventilator] + workers:
            self.ends(node, 0)
        self.assertOnce(ventilator.lines(), lines)

    def test_one_process_per_task_prints_what_the_command_prints(self):
        lines, text = numbers(100)
        tasks = self.endpoint()
        ventilator = self.ventilator("--bind", tasks, input=text)
        worker = self.worker("--from", tasks, "--", "echo", "<{}>")
        self.ends(ventilator, 0)
        self.ends(worker, 0)
        self.assertOnce(ventilator.lines(), [b"<" + line + b">" for line in lines])


class WhoBinds(Case):
    """Each of the three links, bound at either end."""

    def check(self, ventilator, worker, sink):
        lines, text = numbers(500)
        nodes = [self.ventilator(*ventilator, input=text),
                 self.worker(*worker, *ECHO),
                 self.sink("--format", "lines", *sink)]
        for node in nodes:
            self.ends(node, 0)
        self.assertOnce(nodes[2].lines(), lines)

    def test_the_worker_binds_for_the_ventilator(self):
        w, s = self.endpoint(), self.endpoint()
        self.check(["--connect", w, "--sink", s], ["--bind", w], ["--bind", s])

    def test_the_worker_binds_for_both(self):
        w, s = self.endpoint(), self.endpoint()
        self.check(["--connect", w, "--sink", s], ["--bind", w], ["--bind", s, "--connect", w])

    def test_the_sink_connects_to_ventilator_and_worker(self):
        v, w = self.endpoint(), self.endpoint()
        self.check(["--bind", v, "--sink-connects"], ["--from", v, "--bind", w],
                   ["--connect", v, "--connect", w])

    def test_everybody_connects_to_the_worker_but_the_sink_also_to_the_ventilator(self):
        v, w = self.endpoint(), self.endpoint()
        self.check(["--bind", v, "--connect", w, "--sink-connects"], ["--bind", w],
                   ["--connect", v, "--connect", w])

    def test_the_workers_own_address_for_results_goes_first(self):
        v, s = self.endpoint(), self.endpoint()
        self.check(["--bind", v, "--sink", s], ["--from", v, "--to", s], ["--bind", s])

    def test_without_a_sink_the_ventilator_connects_to_workers(self):
        lines, text = numbers(1000)
        places = [self.endpoint(), self.endpoint()]
        workers = [self.worker("--bind", place, *ECHO) for place in places]
        ventilator = self.ventilator("--connect", places[0], "--connect", places[1],
                                     "--output-format", "lines", input=PIPE)
        self.joined(ventilator, *workers)
        ventilator.feed(text)
        for node in workers + [ventilator]:
            self.ends(node, 0)
        self.assertOnce(ventilator.lines(), lines)

    def test_a_worker_serves_two_ventilators(self):
        tasks = [self.endpoint(), self.endpoint()]
        worker = self.worker("--from", tasks[0], "--from", tasks[1], *ECHO)
        inputs = [numbers(1000), numbers(1000, first=5000)]
        ventilators = [self.ventilator("--bind", t, "--output-format", "lines", input=PIPE)
                       for t in tasks]
        self.joined(worker, *ventilators)
        for ventilator, (_, text) in zip(ventilators, inputs):
            ventilator.feed(text)
        for ventilator, (lines, _) in zip(ventilators, inputs):
            self.ends(ventilator, 0)
            self.assertOnce(ventilator.lines(), lines)
        self.ends(worker, 0)

    def test_a_worker_that_serves_stays_for_the_next_ventilator(self):
        tasks = self.endpoint()
        worker = self.worker("--from", tasks, "--serve", *ECHO)
        for first in (1, 1000):
            lines, text = numbers(100, first)
            ventilator = self.ventilator("--bind", tasks, "--output-format", "lines", input=text)
            self.ends(ventilator, 0)
            self.assertOnce(ventilator.lines(), lines)
        self.assertTrue(worker.running())

    def test_a_sink_that_serves_stays_for_the_next_ventilator(self):
        tasks, results = self.endpoint(), self.endpoint()
        sink = self.sink("--bind", results, "--serve", "--format", "lines")
        expected = []
        for first in (1, 1000):
            lines, text = numbers(100, first)
            expected += lines
            ventilator = self.ventilator("--bind", tasks, "--sink", results, input=text)
            worker = self.worker("--from", tasks, *ECHO)
            self.ends(ventilator, 0)
            self.ends(worker, 0)
        wait_until(lambda: sink.count() == len(expected), "all is written")
        self.assertOnce(sink.lines(), expected)
        self.assertTrue(sink.running())
        sink.send(15)
        self.ends(sink, 0)


class InOrder(Case):
    def test_keep_order_holds_back_what_comes_too_early(self):
        # The first task ends when all the others have been done.
        count = 300
        done = self.path("done")
        lines, text = numbers(count)
        tasks, results = self.endpoint(), self.endpoint()
        sink = self.sink("--bind", results, "--keep-order")
        ventilator = self.ventilator("--bind", tasks, "--sink", results, input=text)
        worker = self.worker("--from", tasks, "-j4", "--shell", "--", """
            if [ $WEIR_SEQ = 1 ]; then
              while [ $(wc -c < "$2") -lt %d ]; do sleep 0.01; done
            else
              printf x >> "$2"
            fi
            echo "$1" """ % (count - 1), done)
        self.write("done", b"")
        for node in (ventilator, sink, worker):
            self.ends(node, 0)
        self.assertEqual(sink.stdout(), text)

    def test_20000_tasks_wait_behind_a_slow_first_one_in_bounded_memory(self):
        # 50 MB of results that have to wait: more than any node keeps in memory.
        count, padding = 20_000, "." * 2500
        tasks, results, go = self.endpoint(), self.endpoint(), self.path("go")
        text = b"".join(b"%d\n" % n for n in range(1, count + 1))
        filter = self.write("filter.sh", b"""
            : > "$1-$$"
            while read -r line; do
              while [ "$line" = 1 ] && ! [ -e "$1" ]; do sleep 0.02; done
              echo "$line $2"
            done""")
        command = ("--coproc", "--", "sh", filter, go, padding)
        sink = self.sink("--bind", results, "--keep-order", "--format", "lines")
        ventilator = self.ventilator("--bind", tasks, "--sink", results, input=text)
        first = self.worker("--from", tasks, "-j1", *command)
        self.joined(ventilator, first)
        second = self.worker("--from", tasks, "-j1", *command)
        nodes = [sink, ventilator, first, second]
        wait_until(lambda: len(glob.glob(go + "-*")) == 2, "both have begun")
        wait_until(lambda: quiet(nodes), "no more results come in")
        self.assertEqual(sink.stdout(), b"")
        for node in nodes:
            self.assertLess(node.peak_rss(), 80, node.name)
        self.write("go", b"")
        for node in nodes:
            self.ends(node, 0)
        self.assertEqual(sink.stdout(), b"".join(
            b"%d %s\n" % (n, padding.encode()) for n in range(1, count + 1)))


if __name__ == "__main__":
    main()
