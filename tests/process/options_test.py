"""The command line: mistakes and what is said about them, help, configuration, exit codes."""
import os
import re
import shutil
import socket
import subprocess

from support import ECHO, PIPE, Case, free_port, main, numbers

PROGRAMS = {"ventilator": (), "worker": ("--", "cat"), "sink": ()}


class Mistakes(Case):
    def fails(self, code, text, program, *arguments, **how):
        node = self.start(program, *arguments, **how)
        self.ends(node, code)
        self.assertRegex(node.stderr(), text)
        self.assertEqual(node.stdout(), b"")
        return node

    def test_a_port_in_use_is_named_with_what_to_do(self):
        with socket.socket() as taken:
            port = free_port()
            taken.bind(("127.0.0.1", port))
            taken.listen()
            place = "tcp://127.0.0.1:%d" % port
            for program, command in PROGRAMS.items():
                self.fails(69, r"bind %s: address in use .*ss -ltnp" % re.escape(place), program,
                           "--bind", place, *command)

    def test_malformed_endpoints_are_refused_with_64(self):
        for place in ("nonsense", "tcp://", "tcp://127.0.0.1", "tcp://127.0.0.1:99999",
                      "udp://127.0.0.1:5000", "127.0.0.1:5557", "ipc://", "tcp://:5557"):
            with self.subTest(endpoint=place):
                self.fails(64, "endpoint '%s'" % re.escape(place), "sink", "--bind", place)

    def test_a_path_that_is_too_long_for_a_socket_says_so(self):
        self.fails(64, "longer than 107 bytes", "sink", "--bind", "ipc:///tmp/" + "x" * 200)

    def test_a_socket_in_a_directory_that_is_not_there_says_so(self):
        place = "ipc://" + self.path("nowhere/socket")
        self.fails(64, re.escape(place) + ".*No such file or directory", "sink", "--bind", place)

    def test_addresses_that_others_can_reach_need_insecure(self):
        for place in ("tcp://0.0.0.0:%d" % free_port(), "tcp://*:%d" % free_port()):
            with self.subTest(endpoint=place):
                for program, command in PROGRAMS.items():
                    self.fails(77, "--insecure", program, "--bind", place, *command)
        self.fails(77, "--insecure", "worker", "--from", "tcp://192.0.2.1:5557", "--", "cat")

    def test_with_insecure_they_work(self):
        lines, text = numbers(100)
        port = free_port()
        node = self.ventilator("--insecure", "--bind", "tcp://*:%d" % port, "--output-format",
                               "lines", input=text)
        self.worker("--from", "tcp://127.0.0.1:%d" % port, *ECHO)
        self.ends(node, 0)
        self.assertOnce(node.lines(), lines)

    def test_whoever_finds_no_peer_gives_up_with_69_and_names_the_endpoint(self):
        place, other = self.endpoint(), self.endpoint()
        wait = ("--connect-timeout", "200ms")
        text = re.escape(place) + r" for 0\.2 s \(--connect-timeout"
        self.fails(69, "no worker at " + text, "ventilator", *wait, "--bind", place,
                   input=b"1\n")
        worker = self.worker("--from", other, "--", "cat")
        self.fails(69, "no sink at " + re.escape(place) + " for 2 s", "ventilator",
                   "--connect-timeout", "2s", "--bind", other, "--sink", place, input=b"1\n")
        worker.kill()
        named = self.ventilator("--bind", other, "--sink", place, input=b"1\n")
        self.fails(69, "no sink at " + re.escape(place) + ", where results should go, for 2 s",
                   "worker", "--connect-timeout", "2s", "--from", other, "--", "cat")
        named.kill()
        self.fails(69, "no ventilator at " + text + ".*has not been started, or has finished", "worker",
                   *wait, "--from", place, "--", "cat")
        self.fails(69, "no ventilator has come to " + text, "sink", *wait, "--bind", place)

    def test_mistakes_in_options_are_one_line_and_64(self):
        for program, arguments in (
                ("ventilator", ("--no-such-option",)),
                ("ventilator", ("--max-attempts", "0")),
                ("ventilator", ("--window", "none")),
                ("ventilator", ("-0", "--format", "msgpack")),
                ("ventilator", ("--task-timeout", "soon")),
                ("ventilator", ("--heartbeat", "1ms")),
                ("worker", ("-j0", "--", "cat")),
                ("worker", ("--stdin", "--shell", "--", "cat")),
                ("worker", ("--coproc=words", "--", "cat")),
                ("worker", ("--env", "NAME", "--", "cat")),
                ("worker", ("--cwd", "/nowhere", "--", "cat")),
                ("worker", ("--max-output", "17M", "--", "cat")),
                ("sink", ("--format", "xml")),
                ("sink", ("--tag", "--format", "jsonl")),
                ("sink", ("--plain", "--expect", "-1")),
                ("sink", ("--plain", "--expect", "1.5")),
                ("ventilator", ("--sink", "ipc:///tmp/weir", "--out", "results")),
                ("ventilator", ("--sink", "ipc:///tmp/weir", "--keep-order")),
                ("ventilator", ("--sink-connects", "--joblog", "log")),
                ("sink", ("unexpected",))):
            with self.subTest(program=program, arguments=arguments):
                node = self.fails(64, "^weir-%s: " % program, program, *arguments)
                self.assertEqual(node.stderr().count("\n"), 1, node.stderr())

    def test_the_wrong_end_of_a_link_is_named_with_76(self):
        place = self.endpoint()
        self.sink("--bind", place)
        self.fails(76, "a sink.*check the endpoint", "sink", "--connect", place)
        place = self.endpoint()
        self.worker("--bind", place, "--", "cat")
        self.fails(76, "a worker.*check the endpoint", "worker", "--from", place, "--", "cat")
        place = self.endpoint()
        self.ventilator("--bind", place, input=PIPE)
        self.fails(76, "a ventilator.*check the endpoint", "ventilator", "--bind",
                   self.endpoint(), "--sink", place, input=b"1\n")


class Information(Case):
    def test_help_shows_defaults_and_an_example(self):
        for program in PROGRAMS:
            node = self.start(program, "--help")
            self.ends(node, 0)
            text = node.stdout().decode()
            self.assertEqual(node.stderr(), "")
            self.assertRegex(text, r"^Usage: weir-%s" % program)
            self.assertRegex(text, r"\[default:\s+1s\]")
            self.assertIn("Example: ", text)
            self.assertLessEqual(max(map(len, text.splitlines())), 80)

    def test_version_is_one_line(self):
        for program in PROGRAMS:
            node = self.start(program, "--version")
            self.ends(node, 0)
            self.assertRegex(node.stdout().decode(), r"^weir-%s \d+\.\d+\.\d+\n$" % program)

    def test_the_manual_is_well_formed(self):
        for program in PROGRAMS:
            node = self.start(program, "--man")
            self.ends(node, 0)
            text = node.stdout()
            self.assertIn(rb'.TH "WEIR\-%s" 1' % program.upper().encode(), text)
            if shutil.which("man"):
                shown = subprocess.run(
                    ["man", "--warnings", "-E", "UTF-8", "-l", "-"], input=text,
                    capture_output=True, env={**os.environ, "MANWIDTH": "80", "LC_ALL": "C.UTF-8"})
                self.assertEqual((shown.returncode, shown.stderr), (0, b""))

    def test_help_into_a_full_disk_is_an_error(self):
        with open("/dev/full", "wb") as full:
            self.ends(self.start("sink", "--help", stdout=full), 74)


class Configuration(Case):
    def test_a_file_sets_options_and_the_command_line_goes_before_it(self):
        lines, text = numbers(20)
        tasks = self.endpoint()
        config = self.write("config", b'bind = "%s"\noutput-format = "lines"\n'
                            b'max-attempts = 7\nverbose = 1\n' % tasks.encode())
        node = self.start("ventilator", "--config", config, input=text)
        self.worker("--from", tasks, *ECHO)
        self.ends(node, 0)
        self.assertOnce(node.lines(), lines)
        self.assertIn("listening on " + tasks, node.stderr())
        other = self.start("ventilator", "--config", config, "--output-format", "null",
                           input=text)
        self.worker("--from", tasks, *ECHO)
        self.ends(other, 0)
        self.assertEqual(other.stdout(), b"")

    def test_an_unknown_key_is_an_error(self):
        config = self.write("config", b"max-atempts = 7\n")
        node = self.start("ventilator", "--config", config)
        self.ends(node, 64)
        self.assertIn("max-atempts", node.stderr())

    def test_a_missing_file_is_an_error(self):
        node = self.start("ventilator", "--config", self.path("nowhere"))
        self.assertIn(node.wait(), (64, 66))
        self.assertIn("nowhere", node.stderr())

    def test_endpoints_come_from_the_environment(self):
        lines, text = numbers(50)
        tasks, results = self.endpoint(), self.endpoint()
        sink = self.sink("--format", "lines", env={"WEIR_SINK_BIND": results})
        node = self.ventilator(input=text, env={"WEIR_VENTILATOR_BIND": tasks,
                                                "WEIR_SINK": results})
        worker = self.worker(*ECHO, env={"WEIR_TASKS": tasks})
        for ended in (node, sink, worker):
            self.ends(ended, 0)
        self.assertOnce(sink.lines(), lines)

    def test_the_command_line_goes_before_the_environment(self):
        tasks = self.endpoint()
        node = self.ventilator("--bind", tasks, input=b"1\n",
                               env={"WEIR_VENTILATOR_BIND": "tcp://nonsense"})
        self.worker("--from", tasks, *ECHO)
        self.ends(node, 0)

    def test_quiet_says_nothing_and_not_quiet_little(self):
        for option, expected in (("-q", r"^$"), ("--name=me", r"^$"), ("-v", "listening on")):
            tasks = self.endpoint()
            node = self.start("ventilator", option, "--bind", tasks, input=b"1\n")
            self.worker("--from", tasks, *ECHO)
            self.ends(node, 0)
            self.assertRegex(node.stderr(), expected)

    def test_names_are_what_peers_are_told(self):
        tasks, results = self.endpoint(), self.endpoint()
        sink = self.sink("--bind", results, "--name", "the sink")
        node = self.ventilator("--bind", tasks, "--sink", results, "--name", "the source",
                               input=b"1\n")
        worker = self.worker("--from", tasks, "--name", "the worker", *ECHO)
        for ended in (node, sink, worker):
            self.ends(ended, 0)
        self.assertSays(node, "worker the worker@")
        self.assertSays(node, "sink the sink@")
        self.assertSays(worker, "ventilator the source@")


if __name__ == "__main__":
    main()
