"""weir run: joblogs and results that are gone on with."""
import csv
import io
import os
import re

from run_case import Runs
from support import main, wait_until


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
        self.assertIn("this list lacks 3 tasks of the joblog", self.said)

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

    def begun(self, *options):
        """A run that has begun and goes on until the file `go` is there."""
        node = self.weir("run", "-j1", *options, "until [ -e %s ]; do sleep 0.02; done; echo {}" % self.path("go"),
                         ":::", "a", "b")
        wait_until(lambda: os.path.exists(self.path("log")) and self.read("log"), "the joblog has its header")
        return node

    def test_a_joblog_that_another_run_writes_is_refused_and_left_as_it_is(self):
        log = self.path("log")
        for first in (("--joblog", log), ("--resume", "--joblog", log), ("--joblog", "+" + log)):
            node = self.begun(*first)
            for second in (("--joblog", log), ("--resume", "--joblog", log), ("--retry-failed", "--joblog", log),
                           ("--joblog", "+" + log)):
                if first == second == ("--joblog", "+" + log):
                    continue  # the next test
                self.run_it(*second, "echo", ":::", "x", code=255)
                self.assertIn("log is being written by another process", self.said)
            self.run_it("--dry-run", "--joblog", log, "echo", ":::", "x")
            self.write("go", b"")
            self.ends(node, 0)
            self.assertEqual([row[-1].split()[-1] for row in self.joblog().values()], ["a", "b"])
            os.remove(self.path("go"))
            os.remove(log)

    def test_two_runs_may_append_to_one_joblog(self):
        log = ("--joblog", "+" + self.path("log"))
        node = self.begun(*log)
        self.run_it("-j1", *log, "echo", ":::", "x", "y")
        self.write("go", b"")
        self.ends(node, 0)
        head, *rows = self.read("log").splitlines()
        self.assertTrue(head.startswith(b"Seq"))
        self.assertEqual([row.split()[-1] for row in rows], [b"x", b"y", b"a", b"b"])

    def test_a_table_of_results_that_another_run_writes_is_refused_and_left_as_it_is(self):
        for table in ("r.csv", "r.tsv", "r.json"):
            results = ("--results", self.path(table))
            node = self.begun("--joblog", self.path("log"), *results)
            wait_until(lambda: os.path.exists(self.path(table)), "the table is there")
            for goes_on in ((), ("--resume", "--joblog", self.path("other"))):
                self.run_it(*goes_on, *results, "echo", ":::", "x", code=255)
                self.assertIn(table + " is being written by another process", self.said)
            self.run_it("--joblog", self.path("2" + table), "--results", self.path("2" + table), "true", ":::", "x",
                        code=255)
            self.assertIn("is given twice", self.said)
            self.write("go", b"")
            self.ends(node, 0)
            self.assertEqual(self.read(table).count(b"until"), 2)
            for name in ("go", "log"):
                os.remove(self.path(name))


if __name__ == "__main__":
    main()
