"""The shell client: weir call, services, ping, stats, drain, and the verbs of the spool."""
import json
import os
import re
import signal
import subprocess

from support import HEARTBEAT, PIPE, Case, exists, main, wait_until


class Calls(Case):
    """A gateway, and a worker with some commands as methods."""

    METHODS = (
        "--method", "cat=cat",
        "--method", "greet=echo hello {name}",
        "--method", "pair=echo {1}-{2}",
        "--method", "fail=sh -c 'echo oops >&2; exit 3'",
        "--method", "wrong=sh -c 'exit 64'",
        "--method", "sleep=sleep {1}",
        "--method", "linger=sh -c 'echo $$ > \"$1\"; exec sleep 1000' sh {1}",
    )

    def setUp(self):
        super().setUp()
        self.where = self.tcp_endpoint()
        self.node = self.gateway("--bind", self.where, "--heartbeat", HEARTBEAT)
        self.offering = self.worker("--from", self.where, *self.METHODS)
        wait_until(lambda: self.verb("services", self.where, "--names").split(),
                   "the worker's methods are known")

    def verb(self, verb, *arguments, code=0, **how):
        """Runs it to its end, and returns what it wrote."""
        node = self.weir(verb, *arguments, **how)
        self.ends(node, code)
        self.said = node.stderr()
        return node.stdout().decode()


class Call(Calls):
    def test_text_goes_there_and_back_as_it_is(self):
        self.assertEqual(self.verb("call", self.where, "cat", "some text"), "some text\n")
        self.assertEqual(self.verb("call", "--raw", self.where, "cat", "some text"), "some text")
        self.assertEqual(self.verb("call", "--json", self.where, "cat", 'say "x"'),
                         '"say \\"x\\""\n')

    def test_arguments_have_places_and_names(self):
        self.assertEqual(self.verb("call", self.where, "greet", "world"), "hello world\n")
        self.assertEqual(self.verb("call", self.where, "greet", "name=world"), "hello world\n")
        self.assertEqual(self.verb("call", self.where, "pair", "a", "b c"), "a-b c\n")

    def test_a_word_is_json_where_anything_goes_and_text_where_it_is_none(self):
        self.assertEqual(self.verb("call", self.where, "cat", "1", "x", "[true]"),
                         '[1,"x",[true]]\n')
        self.assertEqual(self.verb("call", "--text", self.where, "cat", "1", "2"), '["1","2"]\n')

    def test_an_argument_too_many_is_not_sent(self):
        self.verb("call", self.where, "pair", "a", "b", "c", "d", code=64)
        self.assertRegex(self.said, "one argument too many.*pair\\(")

    def test_a_missing_argument_is_named_with_the_signature(self):
        self.verb("call", self.where, "pair", "a", code=64)
        self.assertRegex(self.said, "argument 'arg2' is missing.*pair\\(")

    def test_failures_are_told_apart_by_the_exit_code(self):
        for arguments, code, text in (
                (("fail",), 1, "UNKNOWN: oops .*exit 3"),
                (("wrong",), 2, "INVALID_ARGUMENT"),
                (("nosuch",), 2, "NOT_FOUND.*nosuch"),
                (("--deadline", "200ms", "sleep", "60"), 3, "DEADLINE_EXCEEDED")):
            options = [a for a in arguments if a.startswith("--") or a.endswith("ms")]
            words = [a for a in arguments if a not in options]
            self.assertEqual(self.verb("call", *options, self.where, *words, code=code), "")
            self.assertRegex(self.said, text)

    def test_nobody_there_is_69_and_names_the_endpoint(self):
        nowhere = self.tcp_endpoint()
        self.verb("call", "--connect-timeout", "300ms", nowhere, "cat", "x", code=69)
        self.assertIn(nowhere, self.said)

    def test_several_endpoints_are_for_what_any_gateway_does_as_well_as_another(self):
        both = self.where + "," + self.where
        self.assertEqual(self.verb("call", both, "cat", "x"), "x\n")
        self.verb("ping", "-c1", both)
        for words in (("drain", both), ("services", both), ("stats", both),
                      ("submit", both, "cat", "x"), ("result", "--gateway", both, "1-1")):
            self.verb(*words, code=64)
            self.assertIn("one ENDPOINT only", self.said)
        self.assertIn("cat", self.verb("services", self.where, "--names"))

    def test_a_cancelled_call_ends_its_command(self):
        node = self.weir("call", "--deadline", "80s", self.where, "linger", self.path("pid"))
        wait_until(lambda: os.path.exists(self.path("pid")) and self.read("pid").endswith(b"\n"),
                   "the command runs")
        node.send(signal.SIGINT)
        self.ends(node, 130)
        wait_until(lambda: not exists(int(self.read("pid"))), "the command is ended")

    def test_a_signal_cancels_calls_with_a_key_too_which_would_run_on(self):
        direct = self.endpoint()
        self.worker("--bind", direct, *self.METHODS)
        for where in self.where, direct:
            pid = self.path("pid of " + where[-8:].replace("/", "-"))
            node = self.weir("call", "--deadline", "1h", "--key", "k", where, "linger", pid)
            self.cancelled_by(signal.SIGTERM, node, pid)

    def test_a_signal_cancels_a_call_for_each_line_also_while_it_waits_for_more(self):
        pids = [self.path("pid%d" % n) for n in range(2)]
        node = self.weir("call", "--deadline", "1h", self.where, "linger", "-", input=PIPE)
        node.feed("".join(pid + "\n" for pid in pids).encode(), more=True)
        self.cancelled_by(signal.SIGINT, node, *pids)

    def cancelled_by(self, number, node, *pids):
        """The commands, which have written their own numbers, end with the one who has called."""
        for pid in pids:
            wait_until(lambda pid=pid: os.path.exists(pid) and self.read(pid).endswith(b"\n"),
                       "the command runs")
        node.send(number)
        self.ends(node, 128 + number)
        self.assertEqual((node.stdout(), node.stderr()), (b"", ""))
        for pid in pids:
            wait_until(lambda pid=pid: not exists(int(self.read(pid))), "the command is ended")

    def test_standard_output_that_is_full_is_74(self):
        with open("/dev/full", "wb") as full:
            node = self.weir("call", self.where, "cat", "x", stdout=full)
            self.ends(node, 74)


class Streams(Calls):
    def setUp(self):
        super().setUp()
        self.start("calls", "serve", "--from", self.where, "--marks", self.write("marks", b""))
        wait_until(lambda: "count" in self.verb("services", self.where, "--names").split(),
                   "the method is known")

    def test_elements_are_printed_a_line_each_and_nothing_behind_them(self):
        self.assertEqual(self.verb("call", self.where, "count", "s", "3"), "0\n1\n2\n")
        self.assertEqual(self.verb("call", "--json", self.where, "count", "s", "2"), "0\n1\n")
        self.assertEqual(self.verb("call", "--raw", self.where, "count", "s", "3"), "012")
        self.assertEqual(self.said, "")

    def test_a_signal_ends_a_stream_too_also_when_nobody_reads_what_it_prints(self):
        node = self.weir("call", "--deadline", "1h", self.where, "count", "s", "2000000000",
                         stdout=PIPE)
        node.process.stdout.readline()
        node.send(signal.SIGTERM)
        self.ends(node, 143)
        self.assertEqual(node.stderr(), "")

        def running():
            stats = json.loads(self.verb("stats", "--json", self.where))
            return {m["name"]: m["running"] for m in stats["methods"]}["count"]
        wait_until(lambda: running() == 0, "the stream is over")

    def test_a_streaming_method_is_not_called_line_by_line(self):
        self.verb("call", self.where, "count", "-", code=64)
        self.assertIn("streams", self.said)


class ManyCalls(Calls):
    def test_each_line_is_a_call_and_order_is_kept_if_asked_for(self):
        lines = "".join("line-%d\n" % n for n in range(300))
        self.assertEqual(
            self.verb("call", "-P", "16", "--keep-order", self.where, "cat", "-",
                      input=lines.encode()), lines)
        got = self.verb("call", "-P", "16", self.where, "cat", "-", input=lines.encode())
        self.assertEqual(sorted(got.split()), sorted(lines.split()))

    def test_a_line_is_words_or_a_json_array_and_empty_ones_are_skipped(self):
        lines = b"a 'b c'\n\n[\"d\", \"e\"]\n"
        self.assertEqual(self.verb("call", "--keep-order", self.where, "pair", "-", input=lines),
                         "a-b c\nd-e\n")

    def test_what_fails_is_reported_with_its_line_and_the_rest_goes_on(self):
        lines = b"a b\na\n[1\nc d\n"
        self.assertEqual(
            self.verb("call", "--keep-order", self.where, "pair", "-", input=lines, code=1),
            "a-b\nc-d\n")
        self.assertRegex(self.said, "line 2: INVALID_ARGUMENT: .*'arg2' is missing")
        self.assertRegex(self.said, "line 3: INVALID_ARGUMENT: .*not JSON")

    def test_calls_go_on_when_one_of_their_gateways_is_killed(self):
        also = self.tcp_endpoint()
        self.gateway("--bind", also, "--heartbeat", HEARTBEAT)
        self.worker("--from", self.where, "--from", also, "--method", "both=cat",
                    "--idempotent", "both")
        both = "%s,%s" % (self.where, also)
        for where in self.where, also:
            wait_until(lambda: "both" in self.verb("services", where, "--names").split(),
                       "the worker is there")
        lines = ["line-%d" % n for n in range(600)]
        node = self.weir("call", "-P", "8", "--deadline", "1m", both, "both", "-", input=PIPE)
        node.feed("".join(line + "\n" for line in lines).encode())
        wait_until(lambda: node.count() > 50, "some answers")
        self.node.kill()
        self.ends(node, 0)
        self.assertEqual(sorted(node.stdout().decode().split()), sorted(lines))
        self.assertEqual(self.verb("call", both, "both", "later"), "later\n")

    def test_an_endless_input_costs_bounded_memory(self):
        yes = self.bystander("yes", "x" * 1000, stdout=subprocess.PIPE)
        node = self.weir("call", "-P", "4", self.where, "cat", "-", input=yes.stdout)
        wait_until(lambda: node.count() > 500, "500 answers")
        self.assertLess(node.peak_rss(), 64)
        node.send(signal.SIGTERM)
        node.wait()

    def test_a_reader_that_goes_away_ends_it_quietly(self):
        yes = self.bystander("yes", stdout=subprocess.PIPE)
        node = self.weir("call", self.where, "cat", "-", input=yes.stdout, stdout=PIPE)
        node.process.stdout.readline()
        node.process.stdout.close()
        self.ends(node, 141)
        self.assertEqual(node.stderr(), "")


class Looking(Calls):
    def test_services_shows_signatures_and_workers(self):
        text = self.verb("services", self.where)
        self.assertRegex(text, r"METHOD +WORKERS +QUEUED +RUNNING +HELP")
        self.assertRegex(text, r"pair\(arg1.*\) -> str +1 +0 +0")
        one = json.loads(self.verb("services", "--json", self.where, "pair"))
        self.assertEqual([(m["name"], m["workers"]) for m in one], [("pair", 1)])
        self.verb("services", self.where, "nosuch", code=2)

    def test_names_and_help_cannot_play_with_the_terminal(self):
        name = "red\x1b[31m"
        self.worker("--from", self.where, "--method", name + "=cat",
                    "--describe", name + "=one\ntwo\x1b[32m")
        wait_until(lambda: name in self.verb("services", "--names", self.where), "it is known")
        text = self.verb("services", self.where, name)
        self.assertIn("one\ntwo\\x1b[32m\n", text)
        self.assertNotIn("\x1b", text)

    def test_ping_answers_and_counts(self):
        self.verb("ping", "-c", "-1", self.where, code=64)
        text = self.verb("ping", "-c", "3", "-i", "10ms", self.where)
        self.assertEqual(len(re.findall(r"^from .*gateway.*: \d", text, re.M)), 3)
        self.assertRegex(text, "3 calls, 3 answers; min .* median")

    def test_ping_ends_at_once_when_it_is_interrupted(self):
        where = self.tcp_endpoint()
        hangs = self.gateway("--bind", where, "--heartbeat", "20s")
        node = self.weir("ping", "-c", "0", "-i", "0", "--deadline", "1h", where)
        wait_until(lambda: node.stdout(), "it has begun")
        hangs.stop()
        node.send(signal.SIGINT)
        self.ends(node, 0)
        self.assertRegex(node.stdout().decode(), r"calls, \d+ answers; min .* median")
        hangs.cont()

    def test_stats_counts_calls_and_splits_their_time(self):
        for _ in range(3):
            self.verb("call", self.where, "cat", "x")
        self.verb("call", self.where, "fail", code=1)
        stats = json.loads(self.verb("stats", "--json", self.where))
        methods = {m["name"]: m for m in stats["methods"]}
        self.assertEqual(methods["cat"]["calls"], 3)
        self.assertEqual(methods["fail"]["errors"], 1)
        self.assertEqual(methods["cat"]["latency"]["service"]["count"], 3)
        self.assertRegex(self.verb("stats", self.where), r"cat +3 +0")

    def test_calls_that_go_past_the_gateway_are_counted_apart(self):
        other = self.worker("--from", self.where, "--direct", self.tcp_endpoint(),
                            "--method", "there=cat")
        wait_until(lambda: "there" in self.verb("services", self.where, "--names").split(),
                   "the other worker is known")
        lines = "".join('["%d"]\n' % n for n in range(500))
        self.assertEqual(len(self.verb("call", "-P", "4", self.where, "there", "-",
                                       input=lines.encode()).split()), 500)

        def counted():
            stats = json.loads(self.verb("stats", "--json", self.where))
            there = {m["name"]: m for m in stats["methods"]}["there"]
            return there["calls"] + there["direct"] == 500 and there["direct"]
        direct = wait_until(counted, "the gateway has heard of all calls")
        self.assertGreater(direct, 0)
        self.assertRegex(self.verb("stats", self.where), r"CACHED +DIRECT +QUEUED")
        self.assertTrue(other.running())

    def test_drain_sends_a_worker_home(self):
        self.verb("drain", self.where, "", code=64)  # of a variable that was not set
        self.assertRegex(self.said, "the worker's name is empty")
        self.verb("drain", self.where, "nobody", code=2)
        self.assertEqual(self.verb("call", self.where, "cat", "x"), "x\n")
        name = self.verb("drain", self.where).strip()
        self.assertTrue(name)
        self.ends(self.offering, 0)
        self.verb("call", self.where, "cat", "x", code=4)
        self.assertRegex(self.said, "UNAVAILABLE")


class Help(Case):
    def test_help_fits_a_terminal_and_names_every_verb(self):
        node = self.weir("--help")
        self.ends(node, 0)
        text = node.stdout().decode()
        verbs = re.findall(r"^  (\w+) {2,}", text, re.M)
        self.assertGreaterEqual(len(verbs), 11)
        for verb in verbs:
            for option in ("--help", "--man", "--list-options"):
                node = self.weir(verb, option)
                self.ends(node, 0)
                self.assertTrue(node.stdout())
                if option == "--help":
                    self.assertLessEqual(max(map(len, node.stdout().splitlines())), 80, verb)

    def test_a_verb_that_is_not_there_is_64_and_a_near_one_is_offered(self):
        node = self.weir("cal")
        self.ends(node, 64)
        self.assertSays(node, "did you mean 'call'")

    def test_no_verb_is_64(self):
        node = self.weir("")
        self.ends(node, 64)


class Submitted(Calls):
    def setUp(self):
        super().setUp()
        self.node.kill()
        self.node = self.gateway("--bind", self.where, "--heartbeat", HEARTBEAT, "--spool",
                                 self.path("calls.db"))
        wait_until(lambda: self.verb("services", self.where, "--names").split(),
                   "the worker has found the new gateway")

    def test_a_submitted_call_is_waited_for(self):
        id = self.verb("submit", self.where, "cat", "some text").strip()
        self.assertEqual(self.verb("wait", self.where, id), "some text\n")
        self.assertEqual(self.verb("result", "--gateway", self.where, id), "some text\n")

    def test_the_gateway_may_come_from_the_environment(self):
        id = self.verb("submit", self.where, "cat", "x").strip()
        self.assertEqual(self.verb("wait", id, env={"WEIR_GATEWAY": self.where}), "x\n")

    def test_what_waits_can_be_cancelled_and_has_no_result_yet(self):
        id = self.verb("submit", "--delay", "1h", self.where, "cat", "x").strip()
        self.verb("result", self.where, id, code=4)
        self.assertIn("queued", self.said)
        self.verb("wait", "--timeout", "200ms", self.where, id, code=4)
        self.verb("cancel", self.where, id)
        self.verb("wait", self.where, id, code=6)
        self.verb("cancel", self.where, id, code=1)

    def test_dead_calls_are_listed_and_put_back(self):
        id = self.verb("submit", "--retries", "0", self.where, "fail").strip()
        self.verb("wait", self.where, id, code=1)
        listed = json.loads(self.verb("dead", "--json", self.where))
        self.assertEqual([(d["id"], d["method"]) for d in listed], [(id, "fail")])
        self.assertRegex(self.verb("dead", self.where), id + " +fail +1 ")
        self.verb("dead", id, code=64)
        self.verb("dead", self.where, id, code=64)
        self.assertEqual(self.verb("requeue", self.where, id), "1\n")
        self.verb("wait", self.where, id, code=1)

    def test_a_call_of_the_shell_that_may_have_run_is_not_run_again_unless_told_to(self):
        id = self.verb("submit", self.where, "fail").strip()
        self.verb("wait", self.where, id, code=1)
        told = self.verb("submit", "--retries", "1", self.where, "fail").strip()
        self.verb("wait", self.where, told, code=1)
        attempts = {d["id"]: d["attempts"]
                    for d in json.loads(self.verb("dead", "--json", self.where))}
        self.assertEqual(attempts, {id: 1, told: 2})

    def test_an_id_that_is_not_known_is_2(self):
        self.verb("result", self.where, "no-such-id", code=2)

    def test_a_gateway_without_a_spool_says_so(self):
        other = self.tcp_endpoint()
        self.gateway("--bind", other)
        self.verb("submit", "--no-check", other, "cat", "x", code=2)
        self.assertRegex(self.said, "UNIMPLEMENTED.*spool")


if __name__ == "__main__":
    main()
