"""What the results look like, where they go, and what happens when they cannot go there."""
import json
import os
import signal
import stat

import msgpack

from support import ECHO, PIPE, Case, main, numbers, quiet, wait_until


#: Input whose results are more than a pipe holds.
MUCH = numbers(50_000)[1]


class Formats(Case):
    def results(self, text, command, *options, code=0, ventilator=()):
        """Runs the tasks through a sink with these options; returns the sink."""
        tasks, results = self.endpoint(), self.endpoint()
        sink = self.sink("--bind", results, *options)
        node = self.ventilator("--bind", tasks, "--sink", results, *ventilator, input=text)
        worker = self.worker("--from", tasks, *command)
        self.ends(node, code)
        self.ends(sink, code)
        self.ends(worker, 0)
        return sink

    def test_raw_is_what_the_commands_wrote_whole_and_unchanged(self):
        sink = self.results(b"a\nb\nc\n", ("--", "printf", r"%s-\0-", "{}"))
        self.assertOnce(sink.stdout().split(b"-\0-")[:-1], [b"a", b"b", b"c"])

    def test_a_tasks_output_is_never_interleaved_with_anothers(self):
        script = """for i in 1 2 3 4 5 6 7 8; do printf '%s%04000d\\n' "$1" $i; done"""
        sink = self.results(b"a\nb\nc\nd\ne\nf\n", ("-j4", "--shell", "--", script))
        lines = [line[:1] for line in sink.stdout().splitlines()]
        self.assertEqual(len(lines), 48)
        for i in range(0, 48, 8):
            self.assertEqual(len(set(lines[i:i + 8])), 1)

    def test_lines_end_each_result_with_a_newline(self):
        sink = self.results(b"a\nb\n", ("--shell", "--", 'printf "$1"; [ $1 = a ] && echo'),
                            "--format", "lines", code=1, ventilator=("--max-attempts", "1"))
        self.assertOnce(sink.stdout().splitlines(True), [b"a\n", b"b\n"])

    def test_null_writes_nothing(self):
        self.assertEqual(self.results(b"a\nb\n", ECHO, "--format", "null").stdout(), b"")

    def test_tag_puts_the_tasks_number_before_each_line(self):
        sink = self.results(b"a\nb\n", ("--shell", "--", 'echo "$1"; echo again'), "--tag")
        self.assertOnce(sink.lines(), [b"1\ta", b"1\tagain", b"2\tb", b"2\tagain"])

    def test_jsonl_can_be_read_back(self):
        # Quotes, controls, text beyond ASCII, and bytes that are no text at all.
        payloads = [b'say "\\ \x01\t', "späß 😀".encode(), b"\xff\xfe not text", b""]
        sink = self.results(b"".join(p + b"\0" for p in payloads),
                            ("--stdin", "--", "sh", "-c", "cat; echo gone wrong >&2; exit 3"),
                            "--format", "jsonl", code=1,
                            ventilator=("-0", "--max-attempts", "2", "--retry-delay", "10ms"))
        records = [json.loads(line) for line in sink.stdout().splitlines()]
        got = {}
        for r in records:
            import base64
            got[r["seq"]] = (r["stdout"].encode() if "stdout" in r
                             else base64.b64decode(r["stdout_base64"]))
            self.assertEqual((r["code"], r["exit"], r["signal"], r["attempt"]),
                             ("UNKNOWN", 3, 0, 2))
            self.assertEqual(r["stderr"], "gone wrong\n")
            self.assertEqual(len(r["source"]), 32)
            self.assertGreater(r["start"], 1.5e9)
            self.assertTrue(0 <= r["runtime"] < 1000)
            self.assertTrue(r["host"])
        self.assertEqual(got, dict(enumerate(payloads, 1)))

    def test_msgpack_can_be_read_back(self):
        payloads = [b"\x00\xff", b"text", b""]
        sink = self.results(b"".join(msgpack.packb(p) for p in payloads),
                            ("--stdin", "--", "cat"), "--format", "msgpack",
                            ventilator=("--format", "msgpack"))
        unpacker = msgpack.Unpacker(raw=False)
        unpacker.feed(sink.stdout())
        got = {}
        for source, seq, attempt, code, payload, details in unpacker:
            self.assertEqual((len(source), attempt, code), (16, 1, 0))
            self.assertEqual(details["exit"], 0)
            got[seq] = payload
        self.assertEqual(got, dict(enumerate(payloads, 1)))

    def test_a_joblog_has_gnu_parallels_nine_columns(self):
        log = self.path("log")
        sink = self.results(b"0\n7\n0\n", ("--shell", "--", 'echo out; exit "$1"'), "--joblog",
                            log, code=1, ventilator=("--max-attempts", "1"))
        self.assertEqual(sink.count(), 3)
        head, *rows = self.read("log").decode().splitlines()
        self.assertEqual(head.split("\t"), ["Seq", "Host", "Starttime", "JobRuntime", "Send",
                                            "Receive", "Exitval", "Signal", "Command"])
        rows = sorted(row.split("\t") for row in rows)
        self.assertEqual([len(row) for row in rows], [9, 9, 9])
        self.assertEqual([(r[0], r[6], r[7]) for r in rows],
                         [("1", "0", "0"), ("2", "7", "0"), ("3", "0", "0")])
        self.assertEqual([r[5] for r in rows], ["4", "4", "4"])
        for row in rows:
            self.assertGreater(float(row[2]), 1.5e9)

    def test_a_joblog_with_a_plus_goes_on_where_it_was(self):
        log = self.path("log")
        for _ in range(2):
            self.results(b"1\n", ECHO, "--joblog", "+" + log)
        rows = self.read("log").splitlines()
        self.assertEqual(len(rows), 3)
        self.assertEqual(rows[0].split(b"\t")[0], b"Seq")

    def test_failed_tasks_show_their_stderr(self):
        sink = self.results(b"a\n", ("--", "sh", "-c", "echo no such row >&2; exit 3"),
                            code=1, ventilator=("--max-attempts", "1"))
        self.assertSays(sink, r"task 1 failed: exit 3.* after 1 attempt")
        self.assertSays(sink, "no such row")

    def test_the_ventilators_summary_is_json(self):
        tasks = self.endpoint()
        node = self.ventilator("--bind", tasks, "--summary", "json", "--output-format", "null",
                               "--max-attempts", "2", "--retry-delay", "10ms",
                               input=b"0\n0\n1\n0\n")
        self.worker("--from", tasks, "--shell", "--", 'exit "$1"')
        self.ends(node, 1)
        summary = json.loads(node.stdout())
        for key, value in {"tasks": 4, "done": 4, "failed": 1, "redelivered": 1,
                           "duplicates": 0, "workers_lost": 0}.items():
            self.assertEqual(summary[key], value, key)


class WhereTo(Case):
    def run_into(self, *options, text=b"new\n"):
        tasks = self.endpoint()
        node = self.ventilator("--bind", tasks, "--output-format", "lines", *options, input=text)
        worker = self.worker("--from", tasks, *ECHO)
        return node, worker

    def test_an_existing_file_is_not_touched_unless_told_to(self):
        out = self.write("out", b"old\n")
        node, worker = self.run_into("--out", out)
        self.ends(node, 73)
        self.assertSays(node, r"out.*exists")
        self.assertSays(node, "--append|--overwrite")
        self.assertEqual(self.read("out"), b"old\n")
        worker.kill()

    def test_a_second_sink_by_mistake_leaves_the_files_of_the_first_alone(self):
        files = ("--out", self.path("out"), "--overwrite", "--joblog", self.path("log"))
        first, tasks = self.endpoint(), self.endpoint()
        sink = self.start("sink", "--bind", first, "--format", "lines", "--serve", *files)
        self.worker("--from", tasks, "--serve", *ECHO)
        self.ends(self.ventilator("--bind", tasks, "--sink", first, input=b"1\n"), 0)
        for place in (first, self.endpoint()):
            second = self.start("sink", "--bind", place, *files)
            self.ends(second, 75)
            self.assertSays(second, "out is being written by another process")
        self.ends(self.ventilator("--bind", tasks, "--sink", first, input=b"2\n"), 0)
        sink.send(15)
        self.ends(sink, 0)
        self.assertEqual(self.read("out"), b"1\n2\n")
        self.assertEqual(len(self.read("log").splitlines()), 3)

    def test_a_second_ventilator_by_mistake_leaves_the_failed_tasks_of_the_first_alone(self):
        tasks, failed = self.endpoint(), self.path("failed")
        first = self.start("ventilator", "--bind", tasks, "--max-attempts", "1", "--failed",
                           failed, input=PIPE)
        self.worker("--from", tasks, "--", "false")
        first.feed(b"1\n", more=True)
        wait_until(lambda: os.path.exists(failed) and self.read("failed"), "the first task has failed")
        second = self.start("ventilator", "--bind", tasks, "--failed", failed, input=b"2\n")
        self.ends(second, 75)
        first.feed(b"")
        self.ends(first, 1)
        self.assertEqual(self.read("failed"), b"1\n")

    def test_append_adds_to_it(self):
        node, _ = self.run_into("--out", self.write("out", b"old\n"), "--append")
        self.ends(node, 0)
        self.assertEqual(self.read("out"), b"old\nnew\n")

    def test_what_is_appended_to_a_last_line_without_an_end_is_a_line_of_its_own(self):
        self.write("log", b"my notes")
        node, _ = self.run_into("--out", self.write("out", b"old"), "--append", "--joblog", "+" + self.path("log"))
        self.ends(node, 0)
        self.assertEqual(self.read("out"), b"old\nnew\n")
        self.assertRegex(self.read("log"), b"^my notes\n1\t.*\n$")

    def test_overwrite_replaces_it(self):
        node, _ = self.run_into("--out", self.write("out", b"old and longer\n"), "--overwrite")
        self.ends(node, 0)
        self.assertEqual(self.read("out"), b"new\n")

    def test_append_and_overwrite_exclude_each_other(self):
        node, worker = self.run_into("--out", self.path("out"), "--append", "--overwrite")
        self.ends(node, 64)
        worker.kill()

    def test_a_new_file_is_made(self):
        node, _ = self.run_into("--out", self.path("out"))
        self.ends(node, 0)
        self.assertEqual(self.read("out"), b"new\n")

    def test_a_file_that_cannot_be_made_is_named(self):
        node, worker = self.run_into("--out", self.path("nowhere/out"))
        self.ends(node, 73)
        self.assertSays(node, "nowhere/out: No such file or directory")
        worker.kill()

    def test_a_full_disk_ends_the_sink_with_74_and_a_message(self):
        tasks, results = self.endpoint(), self.endpoint()
        with open("/dev/full", "wb") as full:
            sink = self.sink("--bind", results, "--format", "lines", stdout=full)
        self.ventilator("--bind", tasks, "--sink", results, input=numbers(100)[1])
        self.worker("--from", tasks, *ECHO)
        self.ends(sink, 74)
        self.assertSays(sink, "No space left on device")

    def test_a_reader_that_leaves_ends_the_sink_with_141_and_no_message(self):
        tasks, results = self.endpoint(), self.endpoint()
        sink = self.start("sink", "--bind", results, "--format", "lines", stdout=PIPE)
        self.ventilator("--bind", tasks, "--sink", results, input=MUCH)
        self.worker("--from", tasks, *ECHO)
        sink.process.stdout.read(10)
        sink.process.stdout.close()
        self.ends(sink, 141)
        self.assertEqual(sink.stderr(), "")

    def test_a_reader_that_leaves_ends_a_ventilator_without_a_sink(self):
        tasks = self.endpoint()
        node = self.start("ventilator", "--bind", tasks, "--output-format", "lines", stdout=PIPE,
                          input=MUCH)
        worker = self.worker("--from", tasks, *ECHO)
        node.process.stdout.read(10)
        node.process.stdout.close()
        self.ends(node, 141)
        self.assertEqual(node.stderr(), "")
        worker.kill()

    def test_a_reader_that_stalls_does_not_keep_who_is_told_to_end(self):
        tasks, results = self.endpoint(), self.endpoint()
        sink = self.start("sink", "--bind", results, "--format", "lines", stdout=PIPE)
        node = self.ventilator("--bind", tasks, "--sink", results, input=MUCH)
        alone = self.endpoint()
        collector = self.start("ventilator", "--bind", alone, "--output-format", "lines",
                               stdout=PIPE, input=MUCH)
        workers = [self.worker("--from", place, *ECHO) for place in (tasks, alone)]
        wait_until(lambda: quiet([sink, collector, node, *workers]), "both pipes are full")
        sink.send(signal.SIGTERM)
        collector.send(signal.SIGTERM)
        self.says(collector, "reading no more")
        collector.send(signal.SIGTERM)
        for stuck in (sink, collector):
            self.ends(stuck, 143)
            stuck.process.stdout.close()
        for other in (node, *workers):
            other.kill()

    def test_a_closed_standard_output_is_an_error(self):
        results = self.endpoint()
        sink = self.start("sink", "--bind", results, preexec=lambda: os.close(1))
        tasks = self.endpoint()
        self.ventilator("--bind", tasks, "--sink", results, input=b"1\n")
        self.worker("--from", tasks, *ECHO)
        self.ends(sink, 74)
        self.assertSays(sink, "Bad file descriptor")


if __name__ == "__main__":
    main()
