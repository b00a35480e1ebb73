"""weir run's line on a terminal: --bar, --eta and --progress, and what else appears there."""
import os
import signal

from screen import Screen, TerminalCase
from support import PIPE, main

TURN = "until [ -e %s/{} ]; do sleep 0.02; done"


class Status(TerminalCase):
    def on_terminal(self, *arguments, **how):
        return super().on_terminal("weir", "run", *arguments, **how)

    def turn(self, name):
        """Lets the task with this value end."""
        self.write(name, b"")

    def test_a_bar_grows_with_what_is_done_and_is_gone_in_the_end(self):
        node, screen = self.on_terminal("-j1", "--bar", TURN % self.dir, ":::", *"abcd")
        line = self.drawn(screen, r"\[ {20}\]")
        self.assertRegex(line, r"^0/4 done  \[ +\]  1 in flight  0/s")
        self.turn("a")
        self.assertRegex(self.drawn(screen, r"\[#{5} {15}\]"), r"^1/4 done  \[.*\]  1 in flight")
        self.turn("b")
        self.turn("c")
        self.assertRegex(self.drawn(screen, r"\[#{15} {5}\]"), "^3/4 done")
        self.turn("d")
        self.ends(node, 0)
        self.assertEqual(screen.lines(), [""])

    def test_an_estimate_comes_when_something_is_done(self):
        node, screen = self.on_terminal("-j1", "--eta", TURN % self.dir, ":::", *"abc")
        self.assertNotIn("ETA", self.drawn(screen, "^0/3 done"))
        self.turn("a")
        self.assertNotIn("[", self.drawn(screen, r"^1/3 done .* ETA \d+:\d\d"))
        self.turn("b")
        self.turn("c")
        self.ends(node, 0)

    def test_progress_does_not_wait_for_the_end_of_the_input(self):
        node, screen = self.on_terminal("-j2", "--progress", TURN % self.dir, input=PIPE)
        node.feed(b"a\nb\n", more=True)
        self.drawn(screen, "^0 done  2 in flight")
        self.turn("a")
        self.assertRegex(self.drawn(screen, "^1 done"), "1 in flight")
        self.turn("b")
        node.feed(b"")
        self.ends(node, 0)

    def test_failures_are_counted(self):
        node, screen = self.on_terminal("-j1", "--bar", (TURN + "; [ {} != a ]") % self.dir, ":::", *"ab")
        self.turn("a")
        self.assertRegex(self.drawn(screen, "failed"), r"^1/2 done  \[.*\]  1 failed  1 in flight")
        self.turn("b")
        self.ends(node, 1)

    def test_what_was_done_in_an_earlier_run_is_done(self):
        command = ("--joblog", self.path("log"), "-j1", TURN % self.dir, ":::")
        for name in "ab":
            self.turn(name)
        self.ends(self.weir("run", *command, *"ab"), 0)
        node, screen = self.on_terminal("--bar", "--resume", *command, *"abcd")
        self.assertRegex(self.drawn(screen, "^2/4 done"), r"\[#{10} {10}\]")
        self.turn("c")
        self.turn("d")
        self.ends(node, 0)

    def test_tasks_of_several_values_are_counted_too(self):
        node, screen = self.on_terminal("-j1", "--bar", "-n2", "until [ -e %s/{1} ]; do sleep 0.02; done" % self.dir,
                                        ":::", *"abcdef")
        self.drawn(screen, "^0/3 done")
        for name in "ace":
            self.turn(name)
        self.ends(node, 0)

    def test_how_many_tasks_a_coprocess_has_before_it_is_shown(self):
        node, screen = self.on_terminal("-j1", "--bar", "--coproc", "read x; until [ -e %s/a ]; do sleep 0.02; done; "
                                        "echo $x; while read x; do echo $x; done" % self.dir, ":::", *"abcd")
        self.drawn(screen, r"^0/4 done  \[ {20}\]")
        self.turn("a")
        self.ends(node, 0)

    def test_output_and_errors_do_not_run_into_the_line(self):
        script = (TURN + "; echo out {}; echo err {} >&2") % self.dir
        for options in ((), ("--line-buffer",)):
            node, screen = self.on_terminal("-k", "-j1", "--bar", *options, script, ":::", *"abcd", stdout=True)
            for n, name in enumerate("abcd"):
                self.drawn(screen, "^%d/4 done" % n)
                self.turn(name)
            self.ends(node, 0)
            self.assertEqual(screen.lines(), [text + name for name in "abcd" for text in ("out ", "err ")] + [""])
            for name in "abcd":
                os.remove(self.path(name))

    def test_output_whose_last_line_has_no_end_is_not_erased(self):
        for options in ((), ("--line-buffer",)):
            node, screen = self.on_terminal("-j1", "--bar", *options, TURN % self.dir + "; printf {}; [ {} != b ] || echo",
                                            ":::", *"abcd", stdout=True)
            self.drawn(screen, "^0/4 done")
            self.turn("a")
            self.turn("b")
            self.drawn(screen, "^2/4 done")  # not before the line has ended
            self.turn("c")
            self.turn("d")
            self.ends(node, 0)
            self.assertEqual(screen.lines(), ["ab", "cd"])
            for name in "abcd":
                os.remove(self.path(name))

    def test_nothing_is_drawn_where_commands_write_by_themselves(self):
        node, screen = self.on_terminal("-j1", "--bar", "-u", "printf {}; sleep 0.3", ":::", *"ab", stdout=True)
        self.ends(node, 0)
        self.assertEqual(screen.bytes, b"ab")
        node, screen = self.on_terminal("-j1", "--bar", "-u", TURN % self.dir + "; printf {}", ":::", *"ab")
        self.drawn(screen, "^0/2 done")
        self.turn("a")
        self.turn("b")
        self.ends(node, 0)
        self.assertEqual(node.stdout(), b"ab")

    def test_answers_of_a_coprocess_do_not_run_into_the_line(self):
        node, screen = self.on_terminal("-j1", "--progress", "--coproc", "cat", input=PIPE, stdout=True)
        node.feed(b"a\n", more=True)
        self.drawn(screen, "^1 done")
        node.feed(b"b\n")
        self.ends(node, 0)
        self.assertEqual(screen.lines(), ["a", "b", ""])

    def test_messages_go_above_the_line(self):
        node, screen = self.on_terminal("-j1", "--bar", TURN % self.dir, ":::", "a")
        self.drawn(screen, "^0/1 done")
        node.send(signal.SIGTERM)
        self.ends(node, 128 + signal.SIGTERM)
        self.assertEqual(screen.lines(), ["weir run: ending what runs (again to kill it)",
                                          "weir run: 0 done, 1 not; with --joblog FILE it could be resumed", ""])

    def test_a_bar_is_there_if_there_is_room_for_it_whatever_else_is_left_out(self):
        node, screen = self.on_terminal("-j1", "--bar", TURN % self.dir, ":::", *"ab", columns=36)
        self.assertRegex(self.drawn(screen, "^0/2 done"), r"^0/2 done  \[ {20}\]$")
        self.turn("a")
        self.turn("b")
        self.ends(node, 0)

    def test_the_line_is_no_longer_than_the_terminal_is_wide(self):
        node, screen = self.on_terminal("-j1", "--bar", TURN % self.dir, ":::", *"ab", columns=30)
        self.assertNotIn("[", self.drawn(screen, "^0/2 done"))
        self.turn("a")
        self.drawn(screen, "^1/2 done")
        self.turn("b")
        self.ends(node, 0)
        self.assertLess(max(map(len, screen.drawn())), 30)

    def test_nothing_is_drawn_where_it_could_not_be_erased(self):
        node = self.weir("run", "--bar", "true", ":::", *"abcd")
        self.ends(node, 0)
        self.assertEqual(node.stderr(), "")
        node, screen = self.on_terminal("--bar", "true", ":::", *"abcd", env={"TERM": "dumb"})
        self.ends(node, 0)
        self.assertEqual(screen.lines(), [""])

    def test_who_has_forgotten_the_values_is_told_that_the_terminal_is_read(self):
        screen = Screen()
        node = self.weir("run", "echo", "got", input=screen.slave)
        screen.given_away()
        self.says(node, "reading from the terminal, to Ctrl-D")
        os.write(screen.master, b"a\n\x04")
        self.ends(node, 0)
        self.assertEqual(node.stdout(), b"got a\n")

    def test_nothing_is_drawn_unless_asked_for(self):
        node, screen = self.on_terminal("true", ":::", *"abcd")
        self.ends(node, 0)
        self.assertEqual(screen.lines(), [""])


if __name__ == "__main__":
    main()
