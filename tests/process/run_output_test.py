"""weir run: what commands read and write."""
import os
import resource
import signal

from run_case import Runs
from support import PIPE, exists, main, sanitized, wait_until


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

    def ends_when_its_reader_goes(self, *arguments, **how):
        read, write = os.pipe()
        node = self.weir("run", *arguments, stdout=write, **how)
        os.close(write)
        os.read(read, 1)
        os.close(read)
        self.ends(node, 141)

    def test_a_reader_that_goes_ends_the_run(self):
        self.ends_when_its_reader_goes("-j2", "yes | head -100000; : {}", ":::", *map(str, range(50)))

    def test_a_reader_that_goes_ends_the_run_however_much_there_is_to_read(self):
        self.ends_when_its_reader_goes("-j2", "echo", input=b"x\n" * 100_000)

    def test_a_reader_of_lines_that_goes_ends_commands_that_never_would(self):
        self.ends_when_its_reader_goes("-j2", "--line-buffer", "yes; : {}", ":::", *map(str, range(50)))

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

    def test_round_robin_says_what_runs(self):
        node = self.weir("run", "--pipe", "--round-robin", "-j1", "-N1", "cat", input=PIPE)
        node.feed(b"a line\n", more=True)
        wait_until(lambda: node.children(), "it is up")

        def asked():
            node.send(signal.SIGUSR1)
            return "1 running" in node.stderr()
        wait_until(asked, "it says so")
        self.assertIn("task 1 for", node.stderr())
        node.feed(b"")
        self.ends(node, 0)
        self.assertEqual(node.stdout(), b"a line\n")

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

    def test_a_line_that_nobody_asked_for_is_an_error_whenever_it_is_seen(self):
        got = self.run_it("-j1", "--coproc", "read x; printf 'banner\\n%s\\n' $x; cat", input=LINES, code=255)
        self.assertEqual(got, "")
        self.assertIn('the coprocess wrote what nobody asked for: "banner', self.said)
        got = self.run_it("-j1", "-k", "--coproc", "while read x; do echo $x; done; echo total", input=b"1\n2\n", code=255)
        self.assertEqual(got, "1\n2\n")
        self.assertIn('nobody asked for: "total', self.said)

    def test_a_coprocess_that_dies_fails_the_task_that_it_had(self):
        self.run_it("-j1", "--coproc", "sh", "-c", "while read x; do [ $x = 2 ] && exit 1; echo $x; done",
                    input=b"1\n2\n3\n", code=1)


if __name__ == "__main__":
    main()
