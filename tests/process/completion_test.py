"""Completion of weir's commands in bash and zsh, in shells that believe that somebody types."""
import os
import pty
import re
import select
import shlex
import shutil
import signal
import subprocess
import time
import unittest

from support import DEADLINE, HEARTBEAT, Case, main, program_folders, wait_until

HERE = os.path.dirname(os.path.abspath(__file__))
COMPLETIONS = os.path.join(HERE, "..", "..", "cli", "completions")


class Shells:
    """What is the same in all shells. `offers(line)` is what a shell offers behind it."""

    def setUp(self):
        super().setUp()
        self.at = self.tcp_endpoint()
        self.gateway("--bind", self.at, "--heartbeat", HEARTBEAT)
        self.worker("--from", self.at, "--method", "hash=sha256sum", "--method", "cat=cat",
                    "--method", "count=cat")
        self.weir_names("hash")

    def weir_names(self, one):
        def known():
            node = self.weir("services", self.at, "--names")
            self.ends(node, 0)
            return one in node.stdout().decode().splitlines()
        wait_until(known, "the methods are known")

    def environment(self):
        return dict(os.environ, PATH=":".join([*program_folders(), os.environ["PATH"]]),
                    TERM="dumb", HOME=self.path(""))

    def test_verbs(self):
        self.assertEqual(self.offers("weir s"), ["services", "stats", "submit"])

    def test_options_of_a_verb(self):
        self.assertEqual(self.offers("weir call --dead"), ["--deadline"])

    def test_options_of_run(self):
        self.assertEqual(self.offers("weir run --resu"), ["--results", "--resume", "--resume-failed"])
        self.assertEqual(self.offers("weir run -k --line"), ["--line-buffer"])
        self.assertEqual(self.offers("weir run -j 4 --coproc --line"), ["--line-buffer"])

    def test_behind_run_comes_a_command_and_behind_that_what_is_its_own(self):
        self.write("name-of-a-file", b"")
        for line in ("weir run weir-gate", "weir run -j 4 -k --halt never weir-gate", "weir run -j4 weir-gate"):
            self.assertEqual(self.offers(line), ["weir-gateway"])
        for line in ("weir run -j 4 cat name-of", "weir run -- cat name-of", "weir run -a name-of"):
            self.assertEqual(self.offers(line), ["name-of-a-file"])
        for line in ("weir run cat --line", "weir run -j 4 cat --line", "weir run -- --line"):
            self.assertEqual(self.offers(line), [])

    def test_options_of_a_node(self):
        self.assertEqual(self.offers("weir-gateway --spool-s"), ["--spool-size"])

    def test_methods_of_the_gateway_that_was_named(self):
        self.assertEqual(self.offers("weir call %s c" % self.at), ["cat", "count"])
        self.assertEqual(self.offers("weir submit --priority 9 %s h" % self.at), ["hash"])
        self.assertEqual(self.offers("weir call %s " % self.at), ["cat", "count", "hash"])
        self.assertEqual(self.offers("weir services %s c" % self.at), ["cat", "count"])

    def test_behind_a_method_come_files(self):
        self.write("cat.jpg", b"")
        for line in ("weir call %s cat c", "weir call --deadline 5s %s cat c", "weir submit %s cat size=64 c"):
            self.assertEqual(self.offers(line % self.at), ["cat.jpg"])

    def test_the_name_of_a_method_is_not_run(self):
        name = "evil`touch${IFS}ran`"
        self.worker("--from", self.at, "--method", name + "=cat")
        self.weir_names(name)
        offered = self.offers("weir call %s ev" % self.at)
        self.assertEqual([shlex.split(word) for word in offered], [[name]])
        self.assertFalse(os.path.exists(self.path("ran")))

    def test_nothing_is_offered_where_nobody_answers(self):
        self.assertEqual(self.offers("weir call %s c" % self.tcp_endpoint()), [])


@unittest.skipUnless(shutil.which("bash"), "there is no bash")
class Bash(Shells, Case):
    def offers(self, line):
        child, self.terminal = pty.fork()
        if child == 0:
            os.chdir(self.path(""))
            os.execvpe("bash", ["bash", "--norc", "--noprofile", "-i"], self.environment())
        try:
            # Ctrl-T shows what the line has become.
            self.types("bind 'set show-all-if-ambiguous on'; bind 'set page-completions off'; "
                       "bind 'set enable-bracketed-paste off'\n"
                       "bind -x '\"\\C-t\": printf \"<%s>\\n\" \"$READLINE_LINE\"'\n"
                       "source " + os.path.join(COMPLETIONS, "weir.bash") + "\n"
                       "PS1='at''last '\n")
            self.sees("atlast ")
            self.types(line + "\t\x14")
            seen = self.sees("<weir[^>]*>")
        finally:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            os.close(self.terminal)
        seen, became = re.match("(.*)<(weir[^>]*)>", seen, re.DOTALL).groups()
        if became != line and became.endswith(" "):
            return [became.split()[-1]]
        # Several: they are listed between the line and its repetition. No file fits any of them.
        listed = [text for text in seen.split("\r\n")[1:] if "atlast" not in text]
        return " ".join(listed).split()

    def types(self, text):
        os.write(self.terminal, text.encode())

    def sees(self, what):
        seen = ""
        end = time.monotonic() + DEADLINE
        while not re.search(what, seen):
            self.assertLess(time.monotonic(), end, "%r is not in %r" % (what, seen))
            if select.select([self.terminal], [], [], 0.1)[0]:
                seen += os.read(self.terminal, 4096).decode(errors="replace")
        return seen


@unittest.skipUnless(shutil.which("zsh"), "there is no zsh")
class Zsh(Shells, Case):
    def offers(self, line):
        shown = subprocess.run(
            ["zsh", "-f", os.path.join(HERE, "completions.zsh"), COMPLETIONS,
             self.path("dump"), line],
            env=self.environment(), cwd=self.path(""), stdin=subprocess.DEVNULL,
            capture_output=True, timeout=DEADLINE, check=True)
        return sorted(set(shown.stdout.decode().split("\n")) - {""})


if __name__ == "__main__":
    main()
