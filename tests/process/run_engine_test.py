"""weir run: what becomes of commands, their output, and the run. Input and replacement strings have tests of
their own; comparisons with GNU parallel too."""
import csv
import io
import os
import re
import resource
import signal

from support import PIPE, Case, exists, main, sanitized, wait_until


class Runs(Case):
    def run_it(self, *arguments, code=0, **how):
        """Runs it to its end, and returns what it wrote to standard output."""
        node = self.weir("run", *arguments, **how)
        self.ends(node, code)
        self.said = node.stderr()
        return node.stdout().decode()

    def joblog(self):
        """By number: [host, start, runtime, sent, received, exit value, signal, command]."""
        head, *rows = self.read("log").decode().splitlines()
        self.assertEqual(head.split("\t"), ["Seq", "Host", "Starttime", "JobRuntime", "Send", "Receive",
                                            "Exitval", "Signal", "Command"])
        return {int(row.split("\t")[0]): row.split("\t")[1:] for row in rows}


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


class Output(Runs):
    def test_output_comes_whole_and_errors_behind_it(self):
        node = self.weir("run", "-j2", "echo a{}; echo e{} >&2; sleep 0.{}; echo b{}", ":::", "2", "1")
        self.ends(node, 0)
        self.assertIn(node.stdout(), (b"a1\nb1\na2\nb2\n", b"a2\nb2\na1\nb1\n"))
        self.assertOnce(node.stderr().split(), ["e1", "e2"])

    def test_keep_order_prints_in_order_whoever_is_done_first(self):
        got = self.run_it("-k", "-j4", "sleep 0.{}; echo {}", ":::", "4", "3", "2", "1")
        self.assertEqual(got, "4\n3\n2\n1\n")

    def test_lines_come_while_the_command_runs(self):
        node = self.weir("run", "--line-buffer", "--tag", "echo first; sleep 1000; : {}", ":::", "x")
        wait_until(lambda: node.stdout() == b"x\tfirst\n", "the line is there")
        node.send(signal.SIGTERM)
        self.ends(node, 128 + signal.SIGTERM)

    def test_lines_in_order_are_those_of_the_oldest(self):
        got = self.run_it("-k", "--line-buffer", "-j2", "echo a{}; sleep 0.{}; echo b{}", ":::", "3", "1")
        self.assertEqual(got, "a3\nb3\na1\nb1\n")

    def test_tags_go_before_each_line_of_output_and_errors(self):
        node = self.weir("run", "--tagstring", "{#}:{}", "printf 'a\\nb\\nc'; echo e >&2; : {}", ":::", "v")
        self.ends(node, 0)
        self.assertEqual(node.stdout(), b"1:v\ta\n1:v\tb\n1:v\tc")
        self.assertEqual(node.stderr(), "1:v\te\n")

    def test_output_of_any_size_takes_no_memory(self):
        size = 100_000_000
        node = self.weir("run", "-j2", "head -c %d /dev/zero; : {}" % size, ":::", "1", "2",
                         stdout=os.open(self.path("out"), os.O_CREAT | os.O_WRONLY))
        self.ends(node, 0)
        self.assertEqual(os.path.getsize(self.path("out")), 2 * size)

    def test_a_reader_that_goes_ends_the_run(self):
        read, write = os.pipe()
        node = self.weir("run", "-j2", "yes | head -100000; : {}", ":::", *map(str, range(50)), stdout=write)
        os.close(write)
        os.read(read, 1)
        os.close(read)
        self.ends(node, 141)

    def test_a_reader_that_goes_ends_the_run_however_much_there_is_to_read(self):
        read, write = os.pipe()
        node = self.weir("run", "-j2", "echo", input=b"x\n" * 100_000, stdout=write)
        os.close(write)
        os.read(read, 1)
        os.close(read)
        self.ends(node, 141)

    def test_a_reader_of_lines_that_goes_ends_commands_that_never_would(self):
        read, write = os.pipe()
        node = self.weir("run", "-j2", "--line-buffer", "yes; : {}", ":::", *map(str, range(50)), stdout=write)
        os.close(write)
        os.read(read, 1)
        os.close(read)
        self.ends(node, 141)

    def test_lines_that_cannot_be_written_end_the_run_and_say_why(self):
        for options in ((), ("--delay", "10ms"), ("--tag", "-k"), ("--verbose", "-v")):
            full = os.open("/dev/full", os.O_WRONLY)
            node = self.weir("run", "-j2", "--line-buffer", *options, "yes; : {}", ":::", *map(str, range(50)),
                             stdout=full)
            os.close(full)
            self.ends(node, 255)
            self.assertSays(node, "standard output: No space left on device")

    def test_output_that_cannot_be_kept_ends_the_run_and_says_why(self):
        def small_files():
            resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))
        for options in (("--joblog", self.path("log")), ("--results", self.path("out")),
                        ("--pipe", "--round-robin")):
            node = self.weir("run", "-j2", *options, "yes", input=b"1\n2\n3\n", preexec=small_files)
            self.ends(node, 255)
            self.assertSays(node, "weir run: writing .*: File too large")

    def test_what_the_system_does_not_grant_is_no_bug_of_ours(self):
        def few_files():
            resource.setrlimit(resource.RLIMIT_NOFILE, (20, 20))

        def little_memory():
            resource.setrlimit(resource.RLIMIT_AS, (300 << 20, 300 << 20))
            resource.setrlimit(resource.RLIMIT_STACK, (8 << 20, 8 << 20))
        limits = [(few_files, "cannot create an eventfd: Too many open files .see: ulimit -n.")]
        if not sanitized():  # it needs terabytes of addresses
            limits.append((little_memory, "cannot start a thread: .* .see: ulimit -u -v."))
        for limit, said in limits:
            node = self.weir("run", "-j100", "echo", ":::", "1", preexec=limit)
            self.ends(node, 255)
            self.assertRegex(node.stderr(), "^weir run: " + said + "\n$")
        self.write("file", b"")
        self.run_it("--results", self.path("file/below"), "echo", ":::", "1", code=255)
        self.assertRegex(self.said, "^weir run: --results: cannot create .*: Not a directory\n$")

    def test_results_go_to_files(self):
        self.run_it("--results", self.path("out"), "echo o{}; echo e{} >&2", ":::", "a", "b/c")
        self.assertEqual(self.read("out/1/a/stdout"), b"oa\n")
        self.assertEqual(self.read("out/1/a/stderr"), b"ea\n")
        self.assertEqual(self.read("out/1/a/seq"), b"1")
        self.assertEqual(self.read("out/1/b\\_c/stdout"), b"ob/c\n")

    def test_no_value_leads_out_of_the_folder_of_results_or_over_anothers(self):
        long = "\u00e9" * 200
        values = ["..", ".", "", "a/../../b", long + "1", long + "2", "\\e", "x"]
        self.run_it("-j1", "--results", self.path("out/deep"), "printf %s", ":::", *values)
        names = os.listdir(self.path("out/deep/1"))
        self.assertEqual(len(names), len(values))
        self.assertEqual(sorted(self.read("out/deep/1/%s/stdout" % name).decode() for name in names), sorted(values))
        self.assertLessEqual({"\\..", "\\.", "\\e", "\\\\e", "a\\_..\\_..\\_b", "x"}, set(names))
        self.assertEqual((os.listdir(self.path("out")), os.listdir(self.path("out/deep"))), (["deep"], ["1"]))
        self.run_it("--header", ":", "--results", self.path("out/deep"), "echo", ":::", "../../up", "1")
        self.assertEqual(sorted(os.listdir(self.path("out/deep"))), ["..\\_..\\_up", "1"])

    def test_no_value_leads_out_of_the_folder_that_results_names(self):
        self.run_it("--results", self.path("out/{}.txt"), "echo", ":::", "a/../b", "c/d")
        self.assertEqual(self.read("out/b.txt"), b"a/../b\n")
        self.assertEqual(self.read("out/c/d.txt"), b"c/d\n")
        for value in ("../b", "a/../../b", "/../b"):
            self.run_it("--results", self.path("out/{}"), "echo", ":::", value, code=255)
            self.assertRegex(self.said, "--results .*: .*b is not in .*/out/")
        self.assertEqual([name for name in os.listdir(self.dir) if name.startswith("b")], [])
        self.run_it("--results", "{}.out", "echo", ":::", self.path("beside"))
        self.assertEqual(self.read("beside.out"), self.path("beside").encode() + b"\n")

    def test_the_joblog_has_nine_columns_and_a_plus_goes_on_in_it(self):
        self.run_it("--joblog", self.path("log"), "echo {}; exit {}", ":::", "0", "3", code=1)
        log = self.joblog()
        self.assertEqual(log[1][4:7], ["2", "0", "0"])
        self.assertEqual(log[2][4:7], ["2", "3", "0"])
        self.assertGreater(float(log[1][1]), 1.5e9)
        self.run_it("--joblog", "+" + self.path("log"), "kill -9 $$; : {}", ":::", "0", code=1)
        rows = self.read("log").splitlines()
        self.assertEqual(len(rows), 4)
        self.assertEqual(rows[3].split(b"\t")[6:8], [b"0", b"9"])


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


class Resume(Runs):
    COMMAND = "echo {}; [ ! -e %s/{} ]"

    def go(self, values, *options, code=0):
        return self.run_it("-k", "--joblog", self.path("log"), *options, self.COMMAND % self.dir, ":::", *values,
                           code=code).split()

    def test_what_is_in_the_joblog_is_left_out_and_what_failed_is_not_if_asked(self):
        self.write("b", b"")
        self.assertEqual(self.go("abc", code=1), ["a", "b", "c"])
        self.assertEqual(self.go("abcd", "--resume"), ["d"])
        self.assertEqual(self.go("abcd", "--resume"), [])
        os.remove(self.path("b"))
        self.assertEqual(self.go("abcd", "--resume-failed"), ["b"])
        self.assertEqual(self.go("abcd", "--resume-failed"), [])

    def test_an_edited_list_is_told_from_the_old_one_by_what_is_in_it(self):
        self.go("abc")
        self.assertEqual(self.go("cxab", "--resume"), ["x"])
        self.assertEqual(self.go("yx", "--resume"), ["y"])
        self.assertIn("3 tasks of the joblog are not among these", self.said)

    def test_a_task_is_known_again_whatever_slot_it_had(self):
        # As jobs end in any order, so do slots come to tasks: here they are the other way round.
        def go(*values):
            return self.run_it("-k", "-j2", "--joblog", self.path("log"), "--resume", "echo {%} >/dev/null; echo {}",
                               ":::", *values).split()
        self.write("log", b"".join(b"%d\t:\t1.0\t1.0\t0\t0\t0\t0\techo %d >/dev/null; echo %s\n" % row for row in (
            (1, 2, b"a"), (2, 1, b"b"), (3, 4096, b"c"))))
        self.assertEqual(go("a", "b", "c", "d"), ["d"])
        self.assertEqual(go("a", "b", "c", "d"), [])

    def test_a_task_is_not_taken_for_another_that_looked_like_it_on_its_slot(self):
        def go(*values):
            return self.run_it("-k", "-j1", "--joblog", self.path("log"), "--resume", "echo {}{%}", ":::", *values).split()
        self.write("log", b"2\t:\t1.0\t1.0\t0\t0\t0\t0\techo 111\n")  # 11 on slot 1, not 1 on slot 11
        self.assertEqual(go("1", "11"), ["11"])
        self.assertIn(b"\techo 11\n", self.read("log"))
        self.assertEqual(go("1", "11"), [])

    def test_equal_tasks_are_done_as_often_as_they_are_there(self):
        self.go("aa")
        self.assertEqual(self.go("aaa", "--resume"), ["a"])

    def test_going_on_appends_to_a_table_of_results(self):
        for table, cut in (("r.csv", 3), ("r.tsv", 1), ("r.json", 5)):
            options = ("-k", "-j1", "--joblog", self.path(table + ".log"), "--results", self.path(table))
            self.run_it(*options, "printf '1\n2\n%s' {}", ":::", "a", "b")
            whole = self.read(table)
            # A crash: the last row is not whole, and its task not in the joblog.
            self.write(table, whole[:-cut])
            log = self.read(table + ".log")
            self.write(table + ".log", log[:log.rindex(b"\n", 0, -1) + 1])
            self.run_it(*options, "--resume", "printf '1\n2\n%s' {}", ":::", "a", "b", "c")
            got = self.read(table)
            self.assertEqual(got[:len(whole) // 2], whole[:len(whole) // 2])
            values = [len(re.findall(rb"2(?:\n|\\n)%s" % value, got)) for value in (b"a", b"b", b"c")]
            self.assertEqual(values, [1, 1, 1], got)
            self.assertEqual(got.count(b"Starttime"), 3 if table == "r.json" else 1)
        rows = list(csv.reader(io.StringIO(self.read("r.csv").decode(), newline="")))
        self.assertEqual([row[-2] for row in rows], ["Stdout", "1\n2\na", "1\n2\nb", "1\n2\nc"])

    def test_a_table_that_cannot_be_read_is_not_gone_on_with(self):
        os.symlink("/proc/self/mem", self.path("r.csv"))  # reading its beginning is an error
        self.run_it("--joblog", self.path("log"), "--resume", "--results", self.path("r.csv"), "echo", ":::", "a",
                    code=255)
        self.assertIn("r.csv: it cannot be read", self.said)

    def test_what_the_joblog_has_in_spite_of_a_crash_the_results_have_too(self):
        count = 30
        tasks = [str(n) for n in range(1, count + 1)]
        script = ("case {} in 1|%d) : > %s/begun{}; until [ -e %s/go ]; do sleep 0.02; done;; esac; echo got {}" %
                  (count, self.dir, self.dir))
        for place in ("r.tsv", "r.json", "tree"):
            options = ("-k", "-j2", "--joblog", self.path(place + ".log"), "--results", self.path(place))
            node = self.weir("run", *options, script, ":::", *tasks)
            wait_until(lambda: os.path.exists(self.path("begun%d" % count)), "only the first and the last are left")
            if place == "tree":  # nothing of it waits for the first
                wait_until(lambda: self.read("tree.log").count(b"\n") == count - 1, "the others are done")
            node.kill()
            self.write("go", b"")
            done = [line.split(b"\t")[0].decode() for line in self.read(place + ".log").splitlines()[1:]]

            def results(place=place):
                if place == "tree":
                    return {n for n in tasks if os.path.exists(self.path("tree/1/%s/stdout" % n))}
                return set(re.findall("got ([0-9]+)(?=[^;{])", self.read(place).decode().replace("echo got", "")))
            self.assertLessEqual(set(done), results())
            self.run_it(*options, "--resume", script, ":::", *tasks)
            self.assertEqual(results(), set(tasks))
            for name in ("go", "begun1", "begun%d" % count):
                os.remove(self.path(name))

    def test_what_the_joblog_has_in_spite_of_a_crash_has_been_printed(self):
        count = 30
        tasks = [str(n) for n in range(1, count + 1)]
        script = ("case {} in 1|%d) : > %s/begun{}; until [ -e %s/go ]; do sleep 0.02; done;; esac; echo got {}" %
                  (count, self.dir, self.dir))
        options = ("-k", "-j2", "--joblog", self.path("log"))
        node = self.weir("run", *options, script, ":::", *tasks)
        wait_until(lambda: os.path.exists(self.path("begun%d" % count)), "only the first and the last are left")
        node.kill()
        self.write("go", b"")
        self.assertEqual(node.stdout(), b"")  # everything waits for the first
        self.assertEqual(list(self.joblog()), [])
        got = self.run_it(*options, "--resume", script, ":::", *tasks)
        self.assertEqual(got, "".join("got %s\n" % n for n in tasks))
        self.assertEqual(self.run_it(*options, "--resume", script, ":::", *tasks), "")

    def test_what_failed_is_run_again_as_the_joblog_has_it(self):
        self.write("b", b"")
        self.go("abc", code=1)
        os.remove(self.path("b"))
        got = self.run_it("--joblog", self.path("log"), "--retry-failed", "ignored", ":::", "z")
        self.assertEqual(got, "b\n")
        self.assertEqual(self.run_it("--joblog", self.path("log"), "--retry-failed"), "")

    def test_what_is_run_again_keeps_its_number_even_if_it_is_counted_first(self):
        for options in (("--bar",), ("--eta",), ("--halt", "soon,fail=100%")):
            self.run_it("--joblog", self.path("log"), "[ {} = b ] || [ -e %s ]" % self.path("go"), ":::", *"abcd", code=3)
            self.write("go", b"")
            self.run_it("--joblog", self.path("log"), "--retry-failed", *options)
            os.remove(self.path("go"))
            numbers = [int(row.split(b"\t")[0]) for row in self.read("log").splitlines()[1:]]
            self.assertEqual(sorted(numbers), [1, 1, 2, 3, 3, 4, 4], options)

    def test_a_line_that_a_crash_has_cut_short_is_left_out(self):
        self.go("ab", "-j1")  # so that b's line is the last
        whole = self.read("log")
        self.write("log", whole[:-3])
        self.assertEqual(self.go("ab", "--resume"), ["b"])
        self.assertEqual(self.read("log").count(b"\n"), 3)
        self.assertEqual(self.go("ab", "--resume"), [])

    def test_what_is_no_joblog_is_refused(self):
        self.write("log", b"something else\n")
        self.run_it("--joblog", self.path("log"), "--resume", "echo", ":::", "a", code=255)
        self.assertIn("line 1 is not that of a task", self.said)
        self.run_it("--resume", "echo", ":::", "a", code=255)
        self.assertIn("--joblog", self.said)


LINES = b"".join(b"line %d\n" % n for n in range(100_000))


class Pipe(Runs):
    def test_blocks_of_whole_lines_are_what_commands_read(self):
        got = self.run_it("--pipe", "-k", "--block", "50k", "cat", input=LINES)
        self.assertEqual(got.encode(), LINES)
        sizes = self.run_it("--pipe", "--block", "50k", "wc", "-c", input=LINES).split()
        self.assertGreater(len(sizes), 20)
        self.assertLessEqual(max(map(int, sizes)), 50_000)

    def test_a_record_longer_than_a_block_stays_whole(self):
        got = self.run_it("--pipe", "-k", "--block", "10", "wc", "-c", input=b"short\n" + b"x" * 1000 + b"\nlast")
        self.assertEqual(got.split(), ["6", "1001", "4"])

    def test_so_many_records_are_in_a_block_if_asked(self):
        got = self.run_it("--pipe", "-k", "-N", "3", "wc", "-l", input=b"1\n2\n3\n4\n5\n6\n7\n")
        self.assertEqual(got.split(), ["3", "3", "1"])

    def test_records_end_and_begin_with_what_one_says(self):
        got = self.run_it("--pipe", "-k", "-N", "1", "--recend", ";", "cat; echo", input=b"a;b\n;c")
        self.assertEqual(got, "a;\nb\n;\nc\n")
        got = self.run_it("--pipe", "-k", "-N", "1", "--recstart", ">", "cat; echo", input=b">a\nb>c>")
        self.assertEqual(got, ">a\nb\n>c\n>\n")

    def test_so_many_records_are_in_a_block_if_they_are_known_by_their_start(self):
        got = self.run_it("--pipe", "-k", "-N", "2", "--recstart", ">", "cat; echo", input=b">a>b>c>d>e")
        self.assertEqual(got, ">a>b\n>c>d\n>e\n")

    def test_a_command_need_not_read_everything(self):
        got = self.run_it("--pipe", "-k", "--block", "200k", "head", "-n1", input=LINES)
        self.assertEqual(got.splitlines()[0], "line 0")

    def test_round_robin_gives_each_slot_a_block_before_any_gets_a_second_one(self):
        for blocks in 1, 2, 3, 4, 50:
            got = self.run_it("--pipe", "--round-robin", "-j4", "-N1", "wc", "-l", input=b"x\n" * blocks).split()
            self.assertEqual((len(got), sum(map(int, got))), (min(blocks, 4), blocks))

    def test_round_robin_needs_no_more_memory_for_the_first_blocks_than_there_is(self):
        # Each is more than all blocks together may have.
        big = b"x" * 30_000_000 + b"\n"
        got = self.run_it("--pipe", "--round-robin", "-j2", "--block", "1k", "wc", "-c", input=big * 3).split()
        self.assertEqual(sorted(map(int, got)), [len(big), 2 * len(big)])

    def test_round_robin_ends_while_a_command_waits_for_the_others(self):
        node = self.weir("run", "--pipe", "--round-robin", "-j2", "-N1", "cat", input=PIPE)
        node.feed(b"1\n", more=True)
        wait_until(node.children, "the first command runs")
        node.send(signal.SIGINT)
        self.ends(node, 130)

    def test_round_robin_counts_commands_that_fail(self):
        self.run_it("--pipe", "--round-robin", "-j1", "cat > /dev/null; exit 3", input=LINES, code=1)

    def test_a_percentage_that_halts_is_of_all_blocks(self):
        blocks = b"1\n2\n3\n4\n"
        for halt, code in ("now,done=100%", 25), ("soon,fail=50%", 25), ("now,success=100%", 25):
            node = self.weir("run", "--pipe", "-N1", "-j1", "-k", "--halt", halt, "read x; echo $x; [ $x != 2 ]",
                             input=PIPE)
            node.feed(blocks[:4], more=True)
            wait_until(lambda node=node: node.stdout() == blocks[:4], "two are done, and it is not known of how many")
            node.feed(blocks[4:])
            self.ends(node, code)
            self.assertEqual(node.stdout(), blocks)
        self.run_it("--pipe", "--plus", "echo", "{##}", input=blocks, code=255)
        self.assertIn("how many tasks there are is not known here", self.said)

    def test_a_header_goes_before_each_block(self):
        got = self.run_it("--pipe", "-k", "--header", ":", "-N", "2", "cat; echo", input=b"h\n1\n2\n3\n")
        self.assertEqual(got, "h\n1\n2\n\nh\n3\n\n")

    def test_blocks_and_records_are_of_any_size_here(self):
        big = b"x" * 40_000_000 + b"\n"
        got = self.run_it("--pipe", "-k", "-j2", "--block", "1M", "wc", "-c", input=b"a\n" + big + b"b\n")
        self.assertEqual(got.split(), ["2", str(len(big)), "2"])
        got = self.run_it("--pipe", "--round-robin", "-j1", "--block", "20M", "wc", "-c", input=big + big)
        self.assertEqual(got.split(), [str(2 * len(big))])

    def test_large_blocks_run_side_by_side(self):
        # Each waits until all four have begun.
        got = self.run_it("--pipe", "-j4", "--block", "8M", "head -c1 >/dev/null; : > %s/begun{#}; "
                          "until [ $(ls %s | grep -c begun) = 4 ]; do sleep 0.02; done; cat | wc -c" % (self.dir, self.dir),
                          input=(b"x" * 8_388_607 + b"\n") * 4)
        self.assertEqual(got.split(), [str(8_388_607)] * 4)

    def test_a_block_that_is_to_travel_is_at_most_16_MiB(self):
        self.run_it("--pipe", "--listen", self.tcp_endpoint(), "--block", "16M", "cat", input=b"a\n")
        self.run_it("--pipe", "--listen", self.tcp_endpoint(), "--block", "16777217", "cat", input=b"", code=255)
        self.assertIn("at most 16M with --listen", self.said)
        self.run_it("--pipe", "--listen", self.tcp_endpoint(), "wc", "-c", input=b"x" * 17_000_000, code=1)
        self.assertIn("the limit is 16777216", self.said)


class Coproc(Runs):
    def test_a_line_in_is_a_line_out(self):
        got = self.run_it("-k", "-j2", "--coproc", "sed", "-u", "s/line/got/", input=LINES)
        self.assertEqual(got.encode(), LINES.replace(b"line", b"got"))

    def test_what_does_not_go_with_it_is_refused(self):
        self.run_it("--coproc", "--joblog", self.path("log"), "cat", input=b"1\n", code=255)
        self.assertIn("--coproc", self.said)

    def test_a_line_that_takes_a_coprocess_too_long_fails_and_the_next_one_gets_another(self):
        got = self.run_it("-j1", "--timeout", "0.3", "--coproc", "sh", "-c",
                          "while read x; do [ $x = 2 ] && sleep 1000; echo $x; done", input=b"1\n2\n3\n", code=1)
        self.assertEqual(got.split(), ["1", "3"])
        self.assertIn("task 2 failed: time limit passed", self.said)

    def test_a_reader_of_answers_that_goes_ends_the_run_though_the_input_is_silent(self):
        read, write = os.pipe()
        node = self.weir("run", "-j1", "--coproc", "cat", input=PIPE, stdout=write)
        os.close(write)
        node.feed(b"1\n", more=True)
        os.read(read, 1)
        os.close(read)
        node.feed(b"2\n", more=True)
        self.ends(node, 141)

    def test_halt_ends_coprocesses_even_if_nobody_reads_what_is_said_of_it(self):
        read, write = os.pipe()
        os.set_blocking(write, False)
        with self.assertRaises(BlockingIOError):
            while True:
                os.write(write, b"x" * 4096)
        os.set_blocking(write, True)
        pid = self.path("pid")
        node = self.weir("run", "-j2", "--halt", "now,success=1", "--coproc", "read x; if [ $x = 2 ]; then echo $$ > %s; "
                         "exec sleep 1000; fi; until [ -s %s ]; do sleep 0.02; done; echo $x; cat" % (pid, pid),
                         input=b"1\n2\n", stderr=write)
        os.close(write)
        wait_until(lambda: os.path.exists(pid) and self.read("pid").strip(), "the other one runs")
        wait_until(lambda: not exists(int(self.read("pid"))), "it has ended")
        while os.read(read, 65536):
            pass
        os.close(read)
        self.ends(node, 0)

    def test_a_coprocess_that_dies_fails_the_task_that_it_had(self):
        self.run_it("-j1", "--coproc", "sh", "-c", "while read x; do [ $x = 2 ] && exit 1; echo $x; done",
                    input=b"1\n2\n3\n", code=1)


if __name__ == "__main__":
    main()
