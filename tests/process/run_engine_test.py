"""weir run: what becomes of commands, and of the run. Input and replacement strings have tests of
their own; comparisons with GNU parallel too."""
import os
import re
import signal

from run_case import Runs
from support import PIPE, exists, main, wait_until


class Commands(Runs):
    def test_each_line_is_given_to_a_command_and_its_output_is_printed(self):
        got = self.run_it("-j2", "echo", "got", "{}", input=b"".join(b"%d\n" % n for n in range(100)))
        self.assertOnce(got.splitlines(), ["got %d" % n for n in range(100)])

    def test_the_exit_status_is_the_number_of_failures_and_at_most_101(self):
        self.run_it("-j2", "exit {}; true", ":::", "0", "1", "2", code=2)
        self.run_it("-j4", "false", ":::", *map(str, range(120)), code=101)

    def test_a_command_that_is_not_there_fails_with_127_and_one_that_may_not_be_run_with_126(self):
        self.run_it("--joblog", self.path("log"), "no-such-command", ":::", "1", code=1)
        self.assertEqual(self.joblog()[1][5], "127")
        self.assertIn("no-such-command: command not found", self.said)
        self.write("plain", b"not to be executed\n")
        self.run_it("--joblog", self.path("log"), self.path("plain"), ":::", "1", code=1)
        self.assertEqual(self.joblog()[1][5], "126")

    def test_commands_know_their_number_slot_and_attempt(self):
        got = self.run_it("-j1", "echo $WEIR_SEQ $PARALLEL_SEQ $WEIR_SLOT $PARALLEL_JOBSLOT $WEIR_ATTEMPT; : {}",
                          ":::", "a", "b")
        self.assertEqual(got, "1 1 1 1 1\n2 2 1 1 1\n")

    def test_how_many_tasks_there_are_is_known_to_commands_that_ask_for_it(self):
        self.assertEqual(self.run_it("--plus", "-k", "echo", "{#}/{##}", input=b"a\nb\nc\n"), "1/3\n2/3\n3/3\n")

    def test_the_longest_command_line_implies_that_it_is_filled(self):
        self.assertEqual(self.run_it("-j1", "-s", "10", "echo", input=b"aa\nbb\ncc\n"), "aa\nbb\ncc\n")
        self.assertEqual(self.run_it("-j1", "-s", "100", "echo", input=b"aa\nbb\ncc\n"), "aa bb cc\n")

    def test_a_nul_byte_is_no_part_of_an_argument_but_may_go_to_a_coprocess(self):
        self.run_it("echo", input=b"a\0b\n", code=255)
        self.assertIn("NUL", self.said)
        node = self.weir("run", "-j1", "--coproc", "cat", input=b"a\0b\n")
        self.ends(node, 0)
        self.assertEqual(node.stdout(), b"a\0b\n")

    def test_the_rows_of_a_table_of_results_are_in_order_if_output_is(self):
        self.run_it("-k", "-j4", "--results", self.path("r.tsv"), "sleep 0.{}; printf {}", ":::", "3", "2", "1", "0")
        rows = [line.split("\t")[0] for line in self.read("r.tsv").decode().splitlines()[1:]]
        self.assertEqual(rows, ["1", "2", "3", "4"])

    def test_a_dry_run_runs_nothing_and_notes_nothing(self):
        self.write("log", b"precious\n")
        got = self.run_it("--dry-run", "--joblog", self.path("log"), "--results", self.path("r.csv"), "touch", ":::",
                          self.path("made"))
        self.assertEqual(got, "touch %s\n" % self.path("made"))
        self.assertEqual(self.read("log"), b"precious\n")
        self.assertFalse(os.path.exists(self.path("made")) or os.path.exists(self.path("r.csv")))
        for arguments in (("--coproc", "cat"), ("--pipe", "--round-robin", "cat"),
                          ("--listen", "tcp://127.0.0.1:*", "echo")):
            self.run_it("--dry-run", *arguments, code=255)
            self.assertIn("leave out --dry-run", self.said)

    def test_what_would_be_ignored_or_overwritten_is_refused(self):
        self.run_it("--pipe", "-a", self.path("list"), "wc", code=255)
        self.assertIn("leave out -a, or use < FILE", self.said)
        values = self.write("list", b"1\ta\n2\tb")  # as a joblog that a crash has cut short
        os.symlink(values, self.path("link.csv"))
        for outputs in (("--joblog", values), ("--joblog", "+" + values), ("--results", self.path("link.csv"))):
            with open(values, "rb") as stdin:
                for arguments, how in ((("echo", "::::", values), {}), (("-a", values, "echo"), {}),
                                       (("echo",), {"input": stdin}), (("--pipe", "cat"), {"input": stdin})):
                    self.run_it(*outputs, *arguments, code=255, **how)
                    self.assertIn("values are read from that file", self.said)
        self.run_it("--resume", "--joblog", values, "echo", "::::", values, code=255)
        self.assertIn("values are read from that file", self.said)
        self.assertEqual(self.read("list"), b"1\ta\n2\tb")
        self.run_it("--timeout", "-1", "echo", ":::", "1", code=255)
        self.assertIn("--timeout: '-1' is not a length of time", self.said)

    def test_no_option_is_ignored_because_of_another(self):
        log = self.path("log")
        for way, options in (
                (("--pipe",), (("-0",), ("-d", ","), ("--colsep", ","), ("--csv",), ("--link",), ("--trim", "l"),
                               ("--shuf",), ("-X",), ("-s", "100"), ("--bar",), ("--eta",),
                               ("--resume", "--joblog", log), ("-a", "list"))),
                (("--pipe", "--round-robin"), (("--timeout", "1"), ("--retries", "2"), ("--delay", "1"),
                                               ("--load", "1"), ("--memfree", "1G"), ("-t",), ("-v",), ("--tag",),
                                               ("--joblog", log), ("--results", "x"), ("-u",),
                                               ("--halt N%", "soon,fail=10%"))),
                (("--coproc",), (("--delay", "1"), ("--load", "1"), ("--memfree", "1G"), ("-t",), ("-v",),
                                 ("--term-seq", "INT,100"), ("--timeout", "200%"), ("--tag",), ("-u",))),
                (("--listen", "tcp://127.0.0.1:*"), (("--timeout", "200%"),))):
            for option in options:
                with self.subTest(way=way, option=option):
                    given = (option[0].split()[0], *option[1:])  # "--halt N%" is how it is called
                    self.assertEqual(self.run_it(*way, *given, "cat", input=b"1\n", code=255), "")
                    self.assertRegex(self.said, "leave out " + option[0])
        for values in ((":::", "1"), ("::::", "list")):
            self.run_it("--pipe", "cat", *values, code=255)
            self.assertIn("there are no values", self.said)

    def test_commands_are_as_nice_as_asked_however_they_are_run(self):
        for how in ((), ("--pipe",), ("--pipe", "--round-robin"), ("--coproc",)):
            got = self.run_it("-j1", "--nice", "7", *how, "sh", "-c", "read x; nice; :", input=b"1\n")
            self.assertEqual(got, "7\n", how)

    def test_what_came_before_a_line_that_cannot_be_run_is_run(self):
        for options in ((), ("--shuf",), ("--bar",)):
            got = self.run_it("-j1", *options, "echo", input=b"1\n2\n\0bad\n3\n", code=255)
            self.assertEqual(sorted(got.split()), ["1", "2"], options)
            self.assertIn("NUL", self.said)

    def test_a_coprocess_that_does_not_answer_ends_with_the_run(self):
        node = self.weir("run", "-j1", "--coproc", "touch %s; exec sleep 1000" % self.path("began"), input=b"1\n2\n")
        wait_until(lambda: os.path.exists(self.path("began")), "it has begun")
        node.send(signal.SIGTERM)
        self.ends(node, 128 + signal.SIGTERM)

    def test_commands_do_not_read_our_input(self):
        got = self.run_it("-k", "-j1", "cat; echo {}", ":::", "1", "2", input=b"for nobody\n")
        self.assertEqual(got, "1\n2\n")

    def test_help_fits_a_terminal(self):
        text = self.run_it("--help")
        self.assertEqual(self.run_it("-h"), text)
        self.assertLessEqual(len(text.splitlines()), 49)
        self.assertLessEqual(max(map(len, text.splitlines())), 80)
        self.assertEqual(len(re.findall("^Example: ", text, re.M)), 2)
        for line in re.findall("^ +-.*", text, re.M):  # one line each: names, and what it does
            self.assertRegex(line, r"^ {2,6}-\S.* {2,}\S")
        for option in ("-k", "-j", "-a", "--halt", "--joblog", "--listen", "--help-all"):
            self.assertRegex(text, r"(?m)^ +%s\b" % option)
        self.assertIn("weir run --man", text)

    def test_all_of_the_help_has_what_completion_and_the_manual_have(self):
        text = self.run_it("--help-all")
        self.assertLessEqual(max(map(len, text.splitlines())), 80)
        self.assertNotRegex(text, ":INT|:POSITIVE|:UINT")
        brief = self.run_it("--help")
        manual = self.run_it("--man").replace("\\-", "-")
        names = self.run_it("--list-options").split()
        self.assertIn("--term-seq", names)
        for name in names:
            self.assertRegex(text, r"(?m)^ +.*%s\b" % name)
            self.assertIn(name, manual)
        self.assertLess(set(re.findall(r"(?m)^ +.*?(--[a-z-]+)", brief)), set(names))

    def test_a_mistake_is_255_so_that_no_number_of_failures_looks_like_it(self):
        for arguments, text in ((("--no-such-option", "echo"), "no option --no-such-option"),
                                (("--sshlogin", "host", "echo"), "weir-worker.*--listen"),
                                (("--halt", "sometimes", "echo"), "--halt sometimes: expected"),
                                (("-j", "many", "echo"), "not a number"),
                                (("-n", "-1", "echo"), "-1 not in range"),
                                (("-L", "0", "echo"), "0 not in range"),
                                (("--retries", "-1", "echo"), "-1 not in range"),
                                (("--block", "much", "--pipe", "cat"), "--block: 'much' is not a size"),
                                (("--arg-sep", "::::", "echo"), "cannot be empty or alike"),
                                (("--term-seq", "TERM,x", "echo"), "no number of milliseconds")):
            self.run_it(*arguments, ":::", "1", code=255)
            self.assertRegex(self.said, text)


class Control(Runs):
    def test_retries_run_it_again_and_only_the_last_output_counts(self):
        got = self.run_it("--retries", "3", "echo $WEIR_ATTEMPT; [ $WEIR_ATTEMPT = {} ]", ":::", "3")
        self.assertEqual(got, "3\n")
        self.run_it("--retries", "2", "echo x >> %s; exit {}" % self.path("tries"), ":::", "1", code=1)
        self.assertEqual(self.read("tries"), b"x\nx\n")

    def test_what_takes_too_long_is_ended_and_fails(self):
        for options in ((), ("--line-buffer",)):
            got = self.run_it("--joblog", self.path("log"), "--timeout", "0.2", *options,
                              "echo out; echo err >&2; exec sleep {}", ":::", "1000", code=1)
            self.assertEqual(self.joblog()[1][5:7], ["-1", "15"])
            self.assertEqual(got, "out\n")
            self.assertRegex(self.said, r"^err\nweir run: task 1: ended after its time limit of 0\.2 s \(--timeout\)\n$")

    def test_what_takes_much_longer_than_others_is_ended(self):
        self.run_it("-j1", "--timeout", "2000%", "--joblog", self.path("log"), "sleep", ":::", "0.01", "0.01",
                    "0.01", "1000", code=1)
        self.assertEqual(self.joblog()[4][5], "-1")

    def test_halt_soon_starts_no_more_and_finishes_what_runs(self):
        got = self.run_it("-j1", "--halt", "soon,fail=1", "echo {}; exit {}", ":::", "0", "7", "0", code=7)
        self.assertEqual(got, "0\n7\n")
        self.assertIn("2 done", self.said)

    def test_halt_now_ends_what_runs(self):
        self.run_it("-j2", "--halt", "now,fail=1", "--joblog", self.path("log"),
                    "if [ {} = 1 ]; then echo $$ > %s; exec sleep 1000; fi; "
                    "while [ ! -s %s ]; do sleep 0.05; done; exit 9" % (self.path("pid"), self.path("pid")),
                    ":::", "1", "0", "2", code=9)
        self.assertEqual(list(self.joblog()), [2])
        self.assertFalse(exists(int(self.read("pid"))))

    def test_the_first_success_is_enough_for_a_race(self):
        self.run_it("-j3", "--halt", "now,success=1", "sleep", ":::", "1000", "0.1", "1000", code=0)

    def test_term_seq_says_how_a_command_is_asked_to_end(self):
        got = self.run_it("--timeout", "0.3", "--term-seq", "USR1,60000,KILL,25",
                          "trap 'echo asked; exit 5' USR1; while :; do sleep 0.05; done; : {}", ":::", "1", code=1)
        self.assertEqual(got, "asked\n")

    def test_a_hangup_finishes_what_runs_and_starts_no_more(self):
        node = self.weir("run", "-j1", "echo {} >> %s; while [ ! -e %s ]; do sleep 0.05; done" % (self.path("begun"), self.path("go")),
                         ":::", "1", "2")
        wait_until(lambda: os.path.exists(self.path("begun")), "it runs")
        node.send(signal.SIGHUP)
        wait_until(lambda: "starting no more" in node.stderr(), "it has heard")
        self.write("go", b"")
        self.ends(node, 0)
        self.assertIn("1 done, 1 not", node.stderr())

    def test_an_interrupt_ends_what_runs_and_says_how_to_go_on(self):
        node = self.weir("run", "-j2", "--joblog", self.path("log"), "sleep", ":::", "0", "1000", "1000")
        wait_until(lambda: os.path.exists(self.path("log")) and b"sleep 0" in self.read("log"), "one is done")
        node.send(signal.SIGINT)
        self.ends(node, 128 + signal.SIGINT)
        self.assertIn("--resume", node.stderr())
        self.assertEqual(list(self.joblog()), [1])

    def test_signals_are_heard_while_input_is_read_to_its_end_before_the_first_task(self):
        silent = self.path("silent")
        os.mkfifo(silent)
        for options in (("--bar",), ("--eta",), ("--shuf",), ("--plus", "--tagstring", "{##}"), ("--header", ":"),
                        ("--csv", "--header", ":"), ("--halt", "soon,fail=10%"), ("-a", silent),
                        ("-n2", "--bar"), ("--pipe", "--header", ":"), ("--coproc", "--shuf")):
            node = self.weir("run", *options, "cat", input=PIPE)
            node.feed(b"a line, and then no more", more=True)
            wait_until(lambda: node.threads() > 1, "it listens to signals")
            node.send(signal.SIGTERM)
            self.ends(node, 128 + signal.SIGTERM)
            self.assertEqual(node.stdout(), b"", options)
            self.assertSays(node, "0 done, the others not")

    def test_what_is_counted_first_stops_at_a_signal_even_if_nothing_is_waited_for(self):
        self.write("numbers", b"".join(b"%d\n" % n for n in range(2000)))
        node = self.weir("run", "--bar", "true", *["::::", self.path("numbers")] * 4)  # 16 * 10^12 of them
        wait_until(lambda: node.rss() > 64, "it is at it")
        node.send(signal.SIGINT)
        self.ends(node, 128 + signal.SIGINT)

    def test_usr1_says_what_runs(self):
        node = self.weir("run", "-j1", "sleep", ":::", "1000")

        def asked():
            node.send(signal.SIGUSR1)
            return "sleep 1000" in node.stderr()
        wait_until(lambda: node.children(), "it is up")
        wait_until(asked, "it says so")
        self.assertIn("task 1 for", node.stderr())
        node.send(signal.SIGTERM)
        self.ends(node, 128 + signal.SIGTERM)

    def test_nothing_that_was_started_outlives_it(self):
        node = self.weir("run", "-u", "echo $$; (echo $BASHPID >/dev/null; exec sleep 1000) & wait; : {}", ":::", "1")
        wait_until(lambda: node.stdout().strip(), "it runs")
        pid = int(node.stdout())
        node.kill()
        wait_until(lambda: not exists(pid), "the command is gone")

    def test_a_delay_is_kept_between_starts(self):
        self.run_it("-j4", "--delay", "0.2", "--joblog", self.path("log"), "true", ":::", "1", "2", "3")
        starts = sorted(float(row[1]) for row in self.joblog().values())
        self.assertGreaterEqual(starts[2] - starts[0], 0.39)

    def test_nothing_starts_while_the_machine_has_not_what_is_asked_for(self):
        for options in (("--load", "0"), ("--load", "0%"), ("--memfree", "900T")):
            node = self.weir("run", "-j2", *options, "touch", ":::", self.path("begun"))
            wait_until(lambda: node.threads() > 3, "its slots are there")
            node.send(signal.SIGTERM)
            self.ends(node, 128 + signal.SIGTERM)
            self.assertFalse(os.path.exists(self.path("begun")), options)
            self.assertSays(node, "0 done, (1|the others) not")  # it may not have come to the input's end
        got = self.run_it("--load", "1000000", "--memfree", "1k", "--delay", "1ms", "echo", ":::", "1", "2")
        self.assertEqual(sorted(got.split()), ["1", "2"])

    def test_a_dry_run_prints_commands_and_runs_none(self):
        got = self.run_it("-k", "--dry-run", "touch %s; echo {}" % self.path("made"), ":::", "a b")
        self.assertEqual(got, "touch %s; echo 'a b'\n" % self.path("made"))
        self.assertFalse(os.path.exists(self.path("made")))


if __name__ == "__main__":
    main()
