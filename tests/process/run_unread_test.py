"""weir run when nobody reads what it writes: signals are heard all the same, and a second one always ends it."""
import os
import signal

from support import Case, exists, main, wait_until


class Unread(Case):
    #: A command that notes that it runs, and that it was asked to end, and does not end. With -u, its shell would
    #: have to wait to say what was terminated.
    STUBBORN = "exec 2>/dev/null; trap 'echo >> asked' TERM; echo $$ > begun; while :; do sleep 0.02; done; : {}"

    def full_pipe(self):
        """Both its ends."""
        reading, writing = os.pipe()
        self.addCleanup(os.close, reading)
        os.set_blocking(writing, False)
        try:
            while True:
                os.write(writing, b"x" * 4096)
        except BlockingIOError:
            pass
        os.set_blocking(writing, True)
        return reading, writing

    def unread(self):
        """The end to write to."""
        writing = self.full_pipe()[1]
        self.addCleanup(os.close, writing)
        return writing

    def run_here(self, *arguments, **how):
        return self.weir("run", *arguments, preexec=lambda: os.chdir(self.dir), **how)

    def begun(self):
        """The command's process id."""
        return wait_until(lambda: os.path.exists(self.path("begun")) and int(self.read("begun") or 0), "it runs")

    def ends_at_the_second(self, node):
        """The first signal is heard, as the command is asked to end; the second ends it."""
        pid = self.begun()
        node.send(signal.SIGINT)
        wait_until(lambda: os.path.exists(self.path("asked")), "the command is asked to end")
        node.send(signal.SIGTERM)
        self.ends(node, 128 + signal.SIGTERM)
        wait_until(lambda: not exists(pid), "the command has ended too")
        os.remove(self.path("begun"))
        os.remove(self.path("asked"))

    def test_a_second_signal_ends_it_while_standard_error_is_full(self):
        for options in ((), ("-k", "--joblog", "log"), ("--line-buffer",), ("-u",), ("--results", "r.csv"),
                        ("--listen", "tcp://127.0.0.1:*")):
            with self.subTest(options=options):
                node = self.run_here("-j1", "--term-seq", "TERM,60000", *options, self.STUBBORN, ":::", "1", "2",
                                     stderr=self.unread())
                self.ends_at_the_second(node)

    def test_a_second_signal_ends_it_while_what_commands_say_is_not_read(self):
        for options in ((), ("-k",), ("--line-buffer",)):
            for stream in "stdout", "stderr":
                with self.subTest(options=options, stream=stream):
                    node = self.run_here(
                        "-j2", "--term-seq", "TERM,60000", *options,
                        "case {} in said) echo x; echo x >&2;; *) %s;; esac" % self.STUBBORN, ":::", "said", "2",
                        **{stream: self.unread()})
                    self.ends_at_the_second(node)

    def test_a_second_signal_ends_coprocesses_whose_answers_are_not_read(self):
        node = self.run_here("-j1", "--coproc", "trap 'echo >> asked' TERM; echo $$ > begun; "
                             "while :; do read x && echo $x || sleep 0.02; done", input=b"x\n", stdout=self.unread())
        self.ends_at_the_second(node)

    def test_messages_are_said_when_somebody_reads_again(self):
        reading, writing = self.full_pipe()
        node = self.run_here("-j1", self.STUBBORN, ":::", "1", stderr=writing)
        os.close(writing)
        self.begun()
        node.send(signal.SIGINT)
        wait_until(lambda: not node.children(), "the command was ended")
        said = b""
        while part := os.read(reading, 65536):
            said += part
        self.ends(node, 128 + signal.SIGINT)
        self.assertEqual(said.lstrip(b"x").decode().splitlines(), [
            "weir run: ending what runs (again to kill it)",
            "weir run: 0 done, 1 not; with --joblog FILE it could be resumed"])


if __name__ == "__main__":
    main()
