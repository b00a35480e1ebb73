"""What tasks can be made of, and where they can come from."""
import json
import os
import random
import signal

import msgpack

from support import ECHO, PIPE, Case, main, numbers, wait_until

MIB = 1024 * 1024
#: The largest payload: docs/protocol.md, "Limits".
LIMIT = 16 * MIB


class Payloads(Case):
    def echo(self, text, *ventilator, code=0, worker=("--stdin", "--", "cat"), out="raw"):
        tasks = self.endpoint()
        node = self.ventilator("--bind", tasks, "--output-format", out, *ventilator, input=text)
        self.crew = self.worker("--from", tasks, *worker)
        self.ends(node, code)
        return node

    def test_10000_files_with_awkward_names(self):
        chance = random.Random(1)
        odd = [b"\n", b" ", b"'", b'"', b"\\", b"$(x)", b"-", b"--", b"\xff\xfe", b"*", b"{}",
               b"\t", b";", b"`", "é😀".encode(), b"\x01", b"[", b"]", b"%s"]
        names = set()
        while len(names) < 10_000:
            names.add(b"".join(chance.choices(odd, k=chance.randrange(1, 9))))
        # The files exist, and the command finds them by the name it is given.
        files = self.path("files")
        os.mkdir(files)
        for name in names:
            open(os.path.join(files.encode(), name), "wb").close()
        node = self.echo(b"".join(name + b"\0" for name in names), "-0", "--summary", "json",
                         "--out", self.path("out"),
                         worker=("-j2", "--cwd", files, "--", "stat", "--printf", r"%n\0", "--"))
        self.assertOnce(self.read("out").split(b"\0")[:-1], names)
        self.assertEqual(json.loads(node.stdout())["failed"], 0)

    def test_names_that_look_like_options_reach_the_command_unharmed(self):
        names = [b"--help", b"-n", b"--", b"-", b"--version"]
        node = self.echo(b"".join(name + b"\n" for name in names),
                         worker=("--", "printf", r"%s\n", "{}"))
        self.assertOnce(node.lines(), names)

    def test_every_byte_goes_there_and_back(self):
        payloads = [bytes(range(256)) * 100, b"\0", b"", b"\r\n", os.urandom(100_000)]
        node = self.echo(b"".join(map(msgpack.packb, payloads)), "--format", "msgpack",
                         out="msgpack")
        unpacker = msgpack.Unpacker(raw=True, max_buffer_size=0)
        unpacker.feed(node.stdout())
        self.assertOnce([record[4] for record in unpacker], payloads)

    def test_empty_tasks_are_tasks(self):
        node = self.echo(b"\n\n\n", worker=("--", "printf", "<%s>", "{}"))
        self.assertEqual(node.stdout(), b"<><><>")

    def test_a_last_line_without_a_newline_is_a_task(self):
        node = self.echo(b"a\nb", worker=("--", "echo", "{}"))
        self.assertOnce(node.lines(), [b"a", b"b"])

    def test_16_mib_go_there_and_back_and_one_byte_more_fails_exactly_that_task(self):
        big, small = os.urandom(LIMIT), b"small"
        text = b"".join(map(msgpack.packb, [small, big, big + b"x", small]))
        failed = self.path("failed")
        node = self.echo(text, "--format", "msgpack", "--keep-order", "--failed", failed, code=1,
                         out="msgpack")
        unpacker = msgpack.Unpacker(raw=True, max_buffer_size=0)
        unpacker.feed(node.stdout())
        records = list(unpacker)
        self.assertEqual([r[1] for r in records], [1, 2, 3, 4])
        self.assertEqual([r[3] for r in records], [0, 0, 8, 0])
        self.assertTrue([r[4] for r in records] == [small, big, b"", small], "the payloads")
        self.assertSays(node, r"task 3 failed: .*record 3 of .* has 16777217 bytes")

    def test_results_of_16_mib_pass_and_one_byte_more_fails_exactly_that_task(self):
        node = self.echo(b"%d\n%d\n" % (LIMIT, LIMIT + 1), code=1, out="jsonl",
                         worker=("--shell", "--", 'head -c "$1" /dev/zero'))
        codes = {}
        for line in node.stdout().splitlines():
            record = json.loads(line)
            codes[record["seq"]] = record["code"]
            if record["seq"] == 1:
                self.assertEqual(len(record["stdout"]), LIMIT)
        self.assertEqual(codes, {1: "OK", 2: "RESOURCE_EXHAUSTED"})

    def test_large_tasks_take_turns_in_bounded_memory(self):
        size = 4 * MIB
        text = b"".join(bytes([65 + i % 26]) * (size - 1) + b"\n" for i in range(40))
        tasks = self.endpoint()
        node = self.ventilator("--bind", tasks, "--out", self.path("out"), input=text)
        worker = self.worker("--from", tasks, "-j2", "--stdin", "--", "sh", "-c", "cat; echo")
        peaks = {}

        def over():
            for one in (node, worker):
                peaks[one.name] = max(peaks.get(one.name, 0), one.peak_rss())
            return not node.running()

        wait_until(over, "all is done")
        self.ends(node, 0)
        self.ends(worker, 0)
        self.assertOnce(self.read("out").splitlines(), text.splitlines())
        for name, peak in peaks.items():
            self.assertLess(peak, 160, name)

    def test_blocks_are_whole_lines(self):
        lines, text = numbers(10_000)
        node = self.echo(text, "--block", "4K", "--keep-order")
        self.assertEqual(node.stdout(), text)

    def test_records_have_a_fixed_length(self):
        node = self.echo(b"abcdefgh", "--record", "3", "--keep-order",
                         worker=("--", "printf", "<%s>", "{}"))
        self.assertEqual(node.stdout(), b"<abc><def><gh>")


class Sources(Case):
    def test_no_tasks_at_all_end_everything_with_0(self):
        tasks, results = self.endpoint(), self.endpoint()
        sink = self.sink("--bind", results)
        node = self.ventilator("--bind", tasks, "--sink", results, input=PIPE)
        worker = self.worker("--from", tasks, *ECHO)
        self.joined(node, worker)
        node.feed(b"")
        for ended in (node, sink, worker):
            self.ends(ended, 0)
        self.assertEqual(sink.stdout(), b"")

    def test_no_tasks_need_no_worker(self):
        tasks, results = self.endpoint(), self.endpoint()
        sink = self.sink("--bind", results)
        node = self.ventilator("--bind", tasks, "--sink", results)
        self.ends(node, 0)
        self.ends(sink, 0)

    def test_workers_that_come_late_to_a_short_job_are_told_that_it_is_done(self):
        tasks, results = self.endpoint(), self.endpoint()
        sink = self.sink("--bind", results)
        workers = [self.worker("--from", tasks, *ECHO) for _ in range(4)]
        node = self.ventilator("--bind", tasks, "--sink", results, input=b"the only task")
        for ended in (node, sink, *workers):
            self.ends(ended, 0)
        self.assertEqual(sink.stdout(), b"the only task")

    def test_a_sink_waits_for_as_many_ventilators_as_it_was_told(self):
        results = self.endpoint()
        sink = self.sink("--bind", results, "--ventilators", "2", "--format", "lines")
        for text in (b"first", b"second"):
            tasks = self.endpoint()
            node = self.ventilator("--bind", tasks, "--sink", results, input=text)
            worker = self.worker("--from", tasks, *ECHO)
            self.ends(node, 0)
            self.ends(worker, 0)
        self.ends(sink, 0)
        self.assertEqual(sink.lines(), [b"first", b"second"])

    def test_a_ventilator_that_does_not_come_is_missed(self):
        results = self.endpoint()
        sink = self.sink("--bind", results, "--ventilators", "2", "--connect-timeout", "0.5")
        self.ends(self.ventilator("--bind", self.endpoint(), "--sink", results), 0)
        self.ends(sink, 69)
        self.assertSays(sink, "only 1 of 2 ventilators have come")

    def test_several_files_and_standard_input_are_read_in_turn(self):
        tasks = self.endpoint()
        one, two = self.write("one", b"1\n"), self.write("two", b"3\n")
        node = self.ventilator("--bind", tasks, "--keep-order", "--output-format", "lines", one,
                               "-", two, input=b"2\n")
        self.worker("--from", tasks, *ECHO)
        self.ends(node, 0)
        self.assertEqual(node.stdout(), b"1\n2\n3\n")

    def refused(self, path, text):
        node = self.ventilator("--bind", self.endpoint(), path)
        self.ends(node, 66)
        self.assertSays(node, text)

    def test_a_file_that_is_read_is_not_written(self):
        tasks = self.write("tasks", b"1\n2\n")
        link = self.path("link")
        os.symlink(tasks, link)
        for options in (("--failed", tasks, tasks), ("--failed", link, "empty", tasks),
                        ("--out", tasks, "--overwrite", link), ("--joblog", tasks, tasks),
                        ("--out", tasks, "--append", tasks), ("--joblog", "+" + tasks, tasks)):
            with self.subTest(options=options):
                node = self.ventilator("--bind", self.endpoint(), *options)
                self.ends(node, 64)
                self.assertSays(node, "tasks are read from that file")
                self.assertEqual(self.read("tasks"), b"1\n2\n")

    def test_standard_input_is_not_written_either(self):
        node = self.ventilator("--bind", self.endpoint(), "--failed",
                               self.path("ventilator1.in"), input=b"1\n")
        self.ends(node, 64)
        self.assertEqual(self.read("ventilator1.in"), b"1\n")

    def test_a_missing_file_is_named(self):
        self.refused(self.path("nowhere"), "nowhere.*No such file or directory")

    def test_a_directory_is_no_input(self):
        self.refused(self.dir, "Is a directory")

    def test_an_unreadable_file_is_named(self):
        # Root may read everything, so this is one that nobody can open: a loop of links.
        os.symlink(self.path("b"), self.path("a"))
        os.symlink(self.path("a"), self.path("b"))
        self.refused(self.path("a"), "Too many levels of symbolic links")

    def test_a_missing_file_is_noticed_before_anything_is_done(self):
        tasks = self.endpoint()
        self.worker("--from", tasks, *ECHO)
        node = self.ventilator("--bind", tasks, self.write("first", b"1\n"), self.path("nowhere"))
        self.ends(node, 66)
        self.assertEqual(node.stdout(), b"")

    def test_malformed_msgpack_is_named_with_65(self):
        tasks = self.endpoint()
        node = self.ventilator("--bind", tasks, "--format", "msgpack", "--output-format", "lines",
                               input=msgpack.packb(b"fine") + b"\x93\x01\x02\x03")
        self.worker("--from", tasks, *ECHO)
        self.ends(node, 65)
        self.assertEqual(node.stdout(), b"fine\n")

    def test_endless_input_costs_bounded_memory_and_ends_cleanly_by_sigint(self):
        tasks, results = self.endpoint(), self.endpoint()
        yes = self.bystander("yes", stdout=PIPE)
        sink = self.sink("--bind", results, "--format", "null")
        node = self.ventilator("--bind", tasks, "--sink", results, "--summary", "json",
                               input=yes.stdout)
        workers = [self.worker("--from", tasks, *ECHO) for _ in range(2)]
        nodes = [node, sink] + workers
        # A second's worth of work in each: memory that grew with it would show.
        wait_until(lambda: all(one.cpu_ticks() > 30 for one in nodes), "all have been busy")
        for one in nodes:
            self.assertLess(one.peak_rss(), 64, one.name)
        node.send(signal.SIGINT)
        self.ends(node, 130)
        summary = json.loads(node.stdout())
        self.assertEqual(summary["done"], summary["tasks"])
        self.assertGreater(summary["done"], 10_000)
        self.ends(sink, 0)
        for worker in workers:
            self.ends(worker, 0)


if __name__ == "__main__":
    main()
