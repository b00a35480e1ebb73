"""The status lines of ventilator, worker and sink, and what else appears on their terminal."""
import signal

from screen import TerminalCase
from support import PIPE, main


class Lines(TerminalCase):
    def turns(self):
        """A worker's command: writes `a-`, `b-` and a newline, `c-` when it is its turn."""
        return ("--shell", "--", 'until [ -e %s/"$1" ]; do sleep 0.02; done; printf "$1-"; [ "$1" != b ] || echo'
                % self.dir)

    def turn(self, name):
        self.write(name, b"")

    def test_results_and_the_ventilators_line_share_a_terminal(self):
        tasks = self.endpoint()
        node, screen = self.on_terminal("ventilator", "--bind", tasks, stdout=True, input=b"a\nb\nc\n")
        self.worker("--from", tasks, "-j1", *self.turns())
        self.drawn(screen, "^0/3 done .*  1 worker$")
        self.turn("a")
        self.turn("b")
        self.assertRegex(self.drawn(screen, "^2/3 done"), r"^2/3 done  1 in flight  \S+/s  ETA \d+:\d\d  1 worker$")
        self.turn("c")
        self.ends(node, 0)
        self.assertEqual(screen.lines(), ["a-b-", "c-"])

    def test_results_and_the_sinks_line_share_a_terminal(self):
        tasks, results = self.endpoint(), self.endpoint()
        node, screen = self.on_terminal("sink", "--bind", results, "--keep-order", stdout=True)
        self.drawn(screen, "^0 done")
        ventilator = self.ventilator("--bind", tasks, "--sink", results, input=b"a\nb\nc\n")
        worker, line = self.on_terminal("worker", "--from", tasks, "-j1", *self.turns())
        self.drawn(line, "^0 done  1 in flight")
        self.turn("a")
        self.turn("b")
        self.drawn(screen, r"^2(/3)? done  \S+/s  .*1 worker$")
        self.drawn(line, "^2 done  1 in flight")
        self.turn("c")
        self.ends(node, 0)
        self.ends(ventilator, 0)
        self.ends(worker, 0)
        self.assertEqual(screen.lines(), ["a-b-", "c-"])
        self.assertEqual(line.lines(), [""])

    def test_a_line_is_no_wider_than_the_terminal_and_gone_after_a_signal(self):
        for columns in (20, 40):
            tasks = self.endpoint()
            node, screen = self.on_terminal("ventilator", "--bind", tasks, input=PIPE, columns=columns)
            node.feed(b"a\n", more=True)
            worker, line = self.on_terminal("worker", "--from", tasks, "-j1", "--", "sh", "-c", "exec sleep 1000", columns=columns)
            for each in (screen, line):
                self.drawn(each, "^0 done" if columns == 20 else "^0 done  1 in flight")
            for each in (worker, node):
                each.send(signal.SIGINT)
                each.send(signal.SIGTERM)  # the second one: it waits for nobody
            self.ends(node, 143)
            self.ends(worker, 143)
            for each in (screen, line):
                self.assertEqual(each.lines()[-1], "")
                # So that the ^C that a terminal shows behind it is in the same row.
                lines = [text for text in each.drawn() if not text.startswith("weir-")]
                self.assertLessEqual(max(map(len, lines)), columns - 3)


if __name__ == "__main__":
    main()
