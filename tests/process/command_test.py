"""What a worker does with its command: how tasks reach it, and what can go wrong."""
import glob
import json
import os
import signal
import struct

from support import (ECHO, PIPE, Case, exists, main, numbers, processes_with, wait_for_change,
                     wait_until)


class Commands(Case):
    def run_tasks(self, text, *worker, code=0, options=("--output-format", "lines"), env=None):
        """Runs the tasks by a worker with these arguments; returns (ventilator, worker)."""
        tasks = self.endpoint()
        node = self.ventilator("--bind", tasks, *options, input=text)
        self.crew = self.worker("--from", tasks, *worker, env=env)
        self.ends(node, code)
        self.ends(self.crew, 0)
        return node

    def test_the_task_fills_every_brace_pair_as_one_argument(self):
        node = self.run_tasks(b"a b\n", "--", "printf", "[%s]", "{}", "x{}y{}", "z")
        self.assertEqual(node.stdout(), b"[a b][xa bya b][z]\n")

    def test_without_braces_the_task_is_appended(self):
        self.assertEqual(self.run_tasks(b"a b\n", "--", "printf", "[%s]", "z").stdout(),
                         b"[z][a b]\n")

    def test_what_follows_the_dashes_is_taken_as_it_is(self):
        node = self.run_tasks(b"x\n", "--", "printf", "<%s>", "[0-9]", "[a,b]", "", "--", "-n",
                              "@{}@")
        self.assertEqual(node.stdout(), b"<[0-9]><[a,b]><><--><-n><@x@>\n")

    def test_a_command_without_dashes_works_unless_it_would_be_misread(self):
        self.assertEqual(self.run_tasks(b"x\n", "echo", "y").stdout(), b"y x\n")
        worker = self.worker("grep", "[0-9]")
        self.ends(worker, 64)
        self.assertSays(worker, r"say -- before it: '\[0-9\]' would be taken for a list")

    def test_a_worker_needs_a_command(self):
        for arguments in ((), ("--",)):
            worker = self.worker(*arguments)
            self.ends(worker, 64)
            self.assertSays(worker, "COMMAND is required")

    def test_the_command_can_stand_in_a_configuration_file(self):
        config = self.write("config", b'command = ["printf", "<%s>", "x"]\njobs = 1\n')
        node = self.run_tasks(b"a\n", "--config", config)
        self.assertEqual(node.stdout(), b"<x><a>\n")

    def test_stdin_feeds_the_task_to_the_command(self):
        node = self.run_tasks(b"banana\n", "--stdin", "--", "tr", "a", "o")
        self.assertEqual(node.stdout(), b"bonono\n")

    def test_a_command_may_exit_without_reading_its_task(self):
        big = b"x" * 2_000_000 + b"\n"
        self.assertEqual(self.run_tasks(big, "--stdin", "--", "echo", "done").stdout(), b"done\n")

    def test_shell_never_interprets_the_task(self):
        nasty = b"$(touch pwned); `touch pwned` \"'\\ && touch pwned\n"
        node = self.run_tasks(nasty, "--cwd", self.dir, "--shell", "--", 'printf %s "$1"')
        self.assertEqual(node.stdout(), nasty)
        self.assertFalse(os.path.exists(self.path("pwned")))

    def test_a_line_coprocess_answers_each_line(self):
        lines, text = numbers(2000)
        node = self.run_tasks(text, "-j2", "--coproc", "--", "sed", "-u", "s/task/done/")
        self.assertOnce(node.lines(), [line.replace(b"task", b"done") for line in lines])

    def test_a_frame_coprocess_carries_any_bytes(self):
        program = self.write("frames.py", b"""
import struct, sys
while True:
    head = sys.stdin.buffer.read(4)
    if not head: break
    data = sys.stdin.buffer.read(struct.unpack('>I', head)[0])
    sys.stdout.buffer.write(struct.pack('>I', len(data)) + data[::-1])
    sys.stdout.buffer.flush()
""")
        payloads = [b"", b"\n", b"a\nb", bytes(range(1, 256)), b"x" * 300_000]
        node = self.run_tasks(b"".join(p + b"\0" for p in payloads), "-j1", "--coproc=frame",
                              "--", "python3", program,
                              options=("-0", "--output-format", "raw", "--keep-order"))
        self.assertEqual(node.stdout(), b"".join(p[::-1] for p in payloads))

    def test_a_coprocess_that_dies_is_started_again(self):
        lines, text = numbers(20)
        script = 'for i in 1 2 3 4 5; do read -r line || exit; echo "$line"; done'
        node = self.run_tasks(text, "-j1", "--coproc", "--", "sh", "-c", script,
                              options=("--output-format", "lines", "--max-attempts", "2",
                                       "--retry-delay", "10ms"))
        self.assertOnce(node.lines(), lines)

    def test_a_coprocess_that_writes_more_than_answers_ends_its_worker_and_others_go_on(self):
        lines, text = numbers(200)
        tasks = self.endpoint()
        node = self.ventilator("--bind", tasks, "--output-format", "lines", input=text)
        worker = self.worker("--from", tasks, "-j2", "--coproc", "--", "sh", "-c",
                             'read -r line; printf "banner\\n%s\\n" "$line"; exec cat')
        self.ends(worker, 76)
        self.assertSays(worker, r'weir-worker: the coprocess wrote what nobody asked for: "banner')
        self.worker("--from", tasks, *ECHO)
        self.ends(node, 0)
        self.assertOnce(node.lines(), lines)

    def test_a_coprocess_that_has_a_last_word_is_told_of_at_the_end(self):
        for plain in (), ("--plain",):
            tasks = self.endpoint()
            to = ("--sink", self.endpoint()) if plain else ()
            sink = self.sink("--bind", to[1], "--plain", "--expect", "2") if plain else None
            node = self.ventilator("--bind", tasks, *plain, input=b"a\nb\n")
            worker = self.worker("--from", tasks, "-j1", *plain, *(("--to", to[1], "--idle-timeout", "1") if plain
                                                                   else ()),
                                 "--coproc", "--", "sh", "-c", 'while read -r x; do echo "$x"; done; echo total')
            self.ends(node, 0)
            self.ends(worker, 76)
            self.assertSays(worker, r'nobody asked for: "total')
            if sink:
                self.ends(sink, 0)

    def test_the_command_sees_the_tasks_identity(self):
        node = self.run_tasks(b"x\ny\n", "--", "sh", "-c",
                              "echo $WEIR_TASK_ID $WEIR_SEQ $WEIR_ATTEMPT")
        for seq, line in enumerate(sorted(node.lines(), key=lambda l: l.split()[1]), 1):
            identity, number, attempt = line.decode().split()
            self.assertRegex(identity, r"^[0-9a-f]{32}-%d$" % seq)
            self.assertEqual((number, attempt), (str(seq), "1"))

    def test_env_and_cwd_are_the_commands(self):
        os.mkdir(self.path("here"))
        node = self.run_tasks(b"x\n", "--env", "COLOUR=blue green", "--env", "EMPTY=", "--cwd",
                              self.path("here"), "--", "sh", "-c",
                              'pwd; echo "$COLOUR,$EMPTY,$OUTER"', env={"OUTER": "inherited"})
        self.assertEqual(node.stdout().decode(),
                         self.path("here") + "\nblue green,,inherited\n")

    def test_a_command_that_does_not_exist_is_refused_at_the_start(self):
        worker = self.worker("--from", self.endpoint(), "--", "no-such-command-anywhere")
        self.ends(worker, 64)
        self.assertSays(worker, "no-such-command-anywhere.*not found")

    def test_a_command_that_vanishes_fails_the_task_with_127(self):
        command = self.write("command", b"#!/bin/sh\nrm -f \"$0\"\n")
        os.chmod(command, 0o755)
        tasks = self.endpoint()
        node = self.ventilator("--bind", tasks, "--output-format", "jsonl", input=b"1\n2\n")
        self.worker("--from", tasks, "-j1", "--", command)
        self.ends(node, 1)
        first, second = sorted(map(json.loads, node.stdout().splitlines()),
                               key=lambda r: r["seq"])
        self.assertEqual((first["code"], first["exit"]), ("OK", 0))
        self.assertEqual((second["code"], second["exit"], second["attempt"]),
                         ("NOT_FOUND", 127, 1))

    def test_a_shell_that_finds_no_command_reports_127(self):
        node = self.run_tasks(b"x\n", "--shell", "--", "no-such-command-anywhere", code=1,
                              options=("--output-format", "jsonl", "--max-attempts", "1"))
        record = json.loads(node.stdout())
        self.assertEqual((record["code"], record["exit"]), ("UNKNOWN", 127))

    def test_output_beyond_the_limit_fails_exactly_that_task(self):
        node = self.run_tasks(b"1000\n1001\n", "--max-output", "1000", "--shell", "--",
                              'head -c "$1" /dev/zero', code=1,
                              options=("--output-format", "jsonl", "--keep-order"))
        first, second = map(json.loads, node.stdout().splitlines())
        self.assertEqual(first["code"], "OK")
        self.assertEqual((second["code"], second["attempt"]), ("RESOURCE_EXHAUSTED", 1))


class Failures(Case):
    def test_a_failing_task_is_tried_again_and_may_succeed(self):
        tasks = self.endpoint()
        node = self.ventilator("--bind", tasks, "--max-attempts", "3", "--retry-delay", "10ms",
                               input=b"a\nb\n")
        self.worker("--from", tasks, "--shell", "--",
                    '[ $1 = a ] || [ $WEIR_ATTEMPT = 3 ] && echo "$1 $WEIR_ATTEMPT"')
        self.ends(node, 0)
        self.assertOnce(node.lines(), [b"a 1", b"b 3"])

    def test_one_attempt_means_one(self):
        tasks, log = self.endpoint(), self.path("log")
        node = self.ventilator("--bind", tasks, "--max-attempts", "1", input=b"a\n")
        self.worker("--from", tasks, "--shell", "--", 'echo x >> "$2"; exit 1', log)
        self.ends(node, 1)
        self.assertEqual(self.read("log"), b"x\n")

    def test_what_failed_can_be_fed_in_again(self):
        for option, separator in ((None, b"\n"), ("-0", b"\0")):
            with self.subTest(option=option):
                inputs = [b"good", b"bad 1", b"good too", b"bad 2"]
                tasks, failed = self.endpoint(), self.path("failed%s" % option)
                how = ["--bind", tasks, "--output-format", "lines"] + [option] * bool(option)
                node = self.ventilator(*how, "--failed", failed, "--max-attempts", "1",
                                       input=b"".join(i + separator for i in inputs))
                self.worker("--from", tasks, "--shell", "--",
                            'case $1 in bad*) exit 1 ;; esac; printf %s "$1"')
                self.ends(node, 1)
                with open(failed, "rb") as file:
                    self.assertOnce(file.read().split(separator)[:-1], [b"bad 1", b"bad 2"])
                again = self.ventilator(*how, failed)
                self.worker("--from", tasks, *ECHO)
                self.ends(again, 0)
                self.assertOnce(again.lines(), [b"bad 1", b"bad 2"])

    def test_failed_msgpack_tasks_can_be_fed_in_again(self):
        import msgpack
        tasks, failed = self.endpoint(), self.path("failed")
        node = self.ventilator("--bind", tasks, "--format", "msgpack", "--failed", failed,
                               "--max-attempts", "1",
                               input=msgpack.packb(b"\n\0") + msgpack.packb("b"))
        self.worker("--from", tasks, "--stdin", "--", "false")
        self.ends(node, 1)
        unpacker = msgpack.Unpacker(raw=True)
        unpacker.feed(self.read("failed"))
        self.assertOnce(list(unpacker), [b"\n\0", b"b"])

    def failed_file(self, *how, text):
        """What --failed holds when all three tasks of `text` fail, the last one first."""
        tasks, failed = self.endpoint(), self.path("failed%d" % len(self.nodes))
        node = self.ventilator("--bind", tasks, *how, "--failed", failed, "--max-attempts", "1",
                               input=text)
        self.worker("--from", tasks, "-j3", "--shell", "--", """
            until [ $WEIR_SEQ = 3 ] || grep -q "task 3 failed" "$2"; do sleep 0.01; done
            exit 1""", node.err_path)
        self.ends(node, 1)
        return self.read(os.path.basename(failed))

    def test_failed_blocks_stay_whole_lines(self):
        self.assertOnce(self.failed_file("--block", "4", text=b"aa\nbb\ncc").splitlines(),
                        [b"aa", b"bb", b"cc"])

    def test_of_failed_records_a_short_one_comes_last(self):
        self.assertIn(self.failed_file("--record", "2", text=b"aabbc"), (b"aabbc", b"bbaac"))

    def test_failed_short_records_of_several_inputs_can_be_fed_in_again(self):
        tasks, failed = self.endpoint(), self.path("failed")
        inputs = [self.write(name, text) for name, text in (("i1", b"aab"), ("i2", b"cc"), ("i3", b"d"), ("i4", b"eef"))]
        node = self.ventilator("--bind", tasks, "--record", "2", "--failed", failed, "--max-attempts", "1", *inputs)
        self.worker("--from", tasks, "--", "false")
        self.ends(node, 1)
        self.assertSays(node, "failed short records of further inputs are in .*/failed.2 to .*/failed.3")
        again = self.ventilator("--bind", tasks, "--record", "2", "--output-format", "lines", failed, failed + ".2",
                                failed + ".3")
        self.worker("--from", tasks, *ECHO)
        self.ends(again, 0)
        self.assertOnce(again.lines(), [b"aa", b"b", b"cc", b"d", b"ee", b"f"])

    def test_failed_short_records_of_several_inputs_are_all_on_standard_output_if_so_asked(self):
        tasks, results = self.endpoint(), self.endpoint()
        sink = self.sink("--bind", results)
        inputs = [self.write(name, text) for name, text in (("i1", b"aab"), ("i2", b"c"))]
        node = self.ventilator("--bind", tasks, "--sink", results, "--record", "2", "--failed", "-", "--max-attempts", "1",
                               *inputs)
        self.worker("--from", tasks, "--", "false")
        self.ends(node, 1)
        self.ends(sink, 1)
        self.assertIn(node.stdout(), (b"aabc", b"aacb"))

    def test_failed_short_records_do_not_go_where_tasks_are_read_from(self):
        inputs = [self.write(name, b"aab") for name in ("i.1", "i.2")]
        node = self.ventilator("--bind", self.endpoint(), "--record", "2", "--failed", self.path("i"), *inputs)
        self.ends(node, 64)
        self.assertSays(node, "i.2: tasks are read from that file: say another one")
        self.assertEqual(self.read("i.2"), b"aab")

    def test_what_is_too_large_to_be_a_task_is_no_failed_task(self):
        tasks, failed = self.endpoint(), self.path("failed")
        node = self.ventilator("--bind", tasks, "--failed", failed, "--max-attempts", "1",
                               input=b"x" * (2**24 + 1) + b"\nbad\n")
        self.worker("--from", tasks, "--", "false")
        self.ends(node, 1)
        self.assertEqual(self.read("failed"), b"bad\n")

    def test_a_poison_task_is_given_up_and_all_others_are_done(self):
        # It takes its worker down; a supervisor starts another one.
        lines, _ = numbers(40)
        tasks = self.endpoint()
        text = b"".join(line + b"\n" for line in lines[:20] + [b"poison"] + lines[20:])
        node = self.ventilator("--bind", tasks, "--max-attempts", "3", "--retry-delay", "10ms",
                               "--heartbeat", "100ms", "--failed", self.path("failed"),
                               input=text)
        deaths = 0
        worker = None
        while node.running():
            if worker is None or not worker.running():
                deaths += worker is not None and worker.wait() == 137
                worker = self.worker("--from", tasks, "-j2", "--shell", "--",
                                     '[ "$1" = poison ] && kill -9 $PPID; echo "$1"')
            wait_until(lambda: not node.running() or not worker.running(),
                       "a worker dies or all is over")
        self.ends(node, 1)
        self.assertOnce([line for line in node.lines() if line], lines)
        self.assertEqual(self.read("failed"), b"poison\n")
        self.assertEqual(deaths, 3)

    def test_a_task_timeout_ends_commands_that_ignore_term(self):
        tasks, pids = self.endpoint(), self.path("pids")
        node = self.ventilator("--bind", tasks, "--task-timeout", "300ms", "--max-attempts", "1",
                               "--output-format", "jsonl", input=b"1\n2\n3\n4\n")
        worker = self.worker("--from", tasks, "-j4", "--grace", "200ms", "--shell", "--", """
            trap '' TERM
            echo $$ >> "$2"
            while :; do sleep 0.05; done""", pids)
        self.ends(node, 1)
        records = [json.loads(line) for line in node.stdout().splitlines()]
        self.assertOnce([r["seq"] for r in records], [1, 2, 3, 4])
        self.assertEqual({r["code"] for r in records}, {"DEADLINE_EXCEEDED"})
        self.ends(worker, 0)
        for pid in self.read("pids").split():
            self.assertFalse(exists(int(pid)))

    def test_a_task_timeout_lets_commands_clean_up(self):
        tasks = self.endpoint()
        node = self.ventilator("--bind", tasks, "--task-timeout", "300ms", "--max-attempts", "1",
                               input=b"1\n")
        self.worker("--from", tasks, "--shell", "--", """
            trap 'echo clean; exit 1' TERM
            while :; do sleep 0.05; done""")
        self.ends(node, 1)
        self.assertEqual(node.stdout(), b"clean\n")


class Leaving(Case):
    def test_term_drains_a_worker_and_nothing_is_lost(self):
        lines, text = numbers(300)
        tasks, results = self.endpoint(), self.endpoint()
        sink = self.sink("--bind", results)
        node = self.ventilator("--bind", tasks, "--sink", results, "--summary", "json",
                               input=text)
        workers = [self.worker("--from", tasks, "-j2", "--shell", "--",
                               'sleep 0.01; echo "$1"') for _ in range(2)]
        self.joined(node, *workers)
        wait_until(lambda: sink.count() > 20, "some tasks are done")
        workers[0].send(signal.SIGTERM)
        self.ends(workers[0], 0)
        self.assertSays(workers[0], "leaving: finishing what runs")
        self.ends(node, 0)
        self.ends(sink, 0)
        self.assertOnce(sink.lines(), lines)
        self.assertEqual(json.loads(node.stdout())["workers_lost"], 0)

    def test_a_draining_worker_finishes_what_runs_and_hands_back_the_rest(self):
        tasks, go = self.endpoint(), self.path("go")
        node = self.ventilator("--bind", tasks, "--max-attempts", "1", input=b"1\n2\n3\n4\n")
        first = self.worker("--from", tasks, "-j1", "--shell", "--", """
            : > "$2.running"
            while ! [ -e "$2" ]; do sleep 0.02; done
            echo first""", go)
        wait_until(lambda: os.path.exists(go + ".running"), "a task runs")
        first.send(signal.SIGTERM)
        self.says(first, "leaving")
        self.assertTrue(first.running())
        self.write("go", b"")
        self.ends(first, 0)
        self.worker("--from", tasks, "--", "echo", "second")
        self.ends(node, 0)
        self.assertOnce([line.split()[0] for line in node.lines()], [b"first"] + 3 * [b"second"])

    def test_a_second_term_hands_back_what_runs_too(self):
        tasks = self.endpoint()
        node = self.ventilator("--bind", tasks, "--max-attempts", "1", input=b"1\n2\n")
        first = self.worker("--from", tasks, "-j2", "--shell", "--",
                            ': > "$2-$1"; sleep 1000', self.path("running"))
        wait_until(lambda: len(glob.glob(self.path("running-*"))) == 2, "both run")
        first.send(signal.SIGTERM)
        self.says(first, "leaving")
        first.send(signal.SIGTERM)
        self.ends(first, 143)
        # Handed back is not failed: one attempt is enough for each.
        self.worker("--from", tasks, "--shell", "--", 'echo "$1 $WEIR_ATTEMPT"')
        self.ends(node, 0)
        self.assertOnce([line.split()[0] for line in node.lines()], [b"1", b"2"])

    def test_nothing_survives_a_worker_that_is_killed(self):
        # A child, a grandchild in the background, a daemon in a session of its own.
        mark = "family-%d" % os.getpid()
        tasks = self.endpoint()
        node = self.ventilator("--bind", tasks, "--heartbeat", "100ms", input=b"1\n2\n")
        worker = self.worker("--from", tasks, "-j2", "--env", "FAMILY=" + self.mark + mark,
                             "--shell", "--", """
            trap '' TERM HUP
            sleep 1001 &
            setsid sh -c 'trap "" TERM HUP; sleep 1002; :' &
            sleep 1003; :""")
        wait_until(lambda: len(processes_with(self.mark + mark)) >= 10, "all are there")
        worker.kill()
        wait_until(lambda: not processes_with(self.mark + mark), "all are gone")
        node.kill()

    def test_nothing_is_left_behind_by_a_task_that_ends(self):
        tasks = self.endpoint()
        node = self.ventilator("--bind", tasks, input=b"1\n")
        worker = self.worker("--from", tasks, "--serve", "--shell", "--",
                             "sleep 1004 & echo $!")
        self.ends(node, 0)
        left = int(node.stdout())
        wait_until(lambda: not exists(left), "the background process is gone")
        self.assertTrue(worker.running())


if __name__ == "__main__":
    main()
