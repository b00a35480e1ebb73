"""weir-worker --method: commands that are called."""
import json
import os
import resource
import signal

import callers
from callers import Caller
from support import HEARTBEAT, Case, exists, main, sanitized, wait_until


class Methods(Case):
    """Helpers of all tests here."""

    def setUp(self):
        super().setUp()
        self.callers = []

    def tearDown(self):
        for caller in self.callers:
            caller.close()
        super().tearDown()

    def offering(self, *arguments, **how):
        """A worker with these options, and someone who calls it."""
        self.where = self.endpoint()
        self.node = self.worker("--bind", self.where, "--heartbeat", HEARTBEAT, *arguments, **how)
        return self.caller(self.where)

    def caller(self, where):
        self.callers.append(Caller(where))
        return self.callers[-1]

    def assertAnswer(self, answer, code, result=None):
        self.assertEqual((answer.code, answer.result), (code, result), answer.details)

    def pid_in(self, name):
        """The number that a command wrote into this file."""
        wait_until(lambda: os.path.exists(self.path(name)) and self.read(name).endswith(b"\n"),
                   name + " is written")
        return int(self.read(name))


class Arguments(Methods):
    def test_a_single_text_or_bytes_argument_is_standard_input_as_it_is(self):
        caller = self.offering("--method", "count=wc -c", "--method", "cat=cat")
        self.assertAnswer(caller.call("count", "hello"), callers.OK, "5")
        self.assertAnswer(caller.call("count", b"\0\n\xff"), callers.OK, "3")
        self.assertAnswer(caller.call("cat", ""), callers.OK, "")
        self.assertAnswer(caller.call("cat", "a\nb\n"), callers.OK, "a\nb")

    def test_anything_else_is_one_json_array(self):
        caller = self.offering("--method", "cat=cat")
        for arguments, text in (
                ((), "[]"), ((1,), "[1]"), (("a", 2), '["a",2]'), (([1, None],), "[[1,null]]"),
                (({"k": 1.5},), '[{"k":1.5}]'), ((True,), "[true]")):
            self.assertAnswer(caller.call("cat", *arguments), callers.OK, text)

    def test_a_large_argument_arrives_whole(self):
        caller = self.offering("--method", "cat=cat")
        text = "0123456789" * 100_000
        self.assertAnswer(caller.call("cat", text), callers.OK, text)

    def test_arguments_by_number_stay_one_word_each_whatever_is_in_them(self):
        caller = self.offering("--method", "show=printf '<%s>' {2} 'x{1}y' {1}")
        self.assertAnswer(caller.call("show", "a b; rm -rf $HOME", "*"), callers.OK,
                          "<*><xa b; rm -rf $HOMEy><a b; rm -rf $HOME>")
        self.assertAnswer(caller.call("show", 7, [1, {"k": "v"}]), callers.OK,
                          '<[1,{"k":"v"}]><x7y><7>')
        self.assertAnswer(caller.call("show", None, False), callers.OK, "<false><xy><>")

    def test_what_has_no_place_is_standard_input(self):
        caller = self.offering("--method", "both(size, data)=sh -c 'echo $0; cat' {size}")
        self.assertEqual(caller.methods["both"]["sig"], "(size: str, data: any) -> str")
        self.assertAnswer(caller.call("both", 3, "the data"), callers.OK, "3\nthe data")
        self.assertAnswer(caller.call("both", 3, [1, 2]), callers.OK, "3\n[[1,2]]")

    def test_names_are_arguments_in_the_order_in_which_they_stand(self):
        caller = self.offering("--method", "greet=echo {greeting}, {name} {greeting}")
        self.assertEqual([a[:2] for a in caller.methods["greet"]["args"]],
                         [["greeting", "str"], ["name", "str"], ["stdin", "any"]])
        self.assertAnswer(caller.call("greet", "Hi", "Ada"), callers.OK, "Hi, Ada Hi")

    def test_braces_that_are_no_names_of_declared_arguments_are_text(self):
        caller = self.offering("--method", "sum(file)=awk '{print} END {x}' {file}",
                               "--method", "json=echo '{\"a\": 1} {} {a b} {0}'")
        self.assertAnswer(caller.call("sum", self.write("f", b"1\n2\n")), callers.OK, "1\n2")
        self.assertAnswer(caller.call("json"), callers.OK, '{"a": 1} {} {a b} {0}')

    def test_arguments_that_do_not_fit_are_refused_with_the_signature(self):
        caller = self.offering("--method", "two(a, b)=echo {a} {b}")
        for arguments in ((), ("x",), ("x", "y", "z"), ("x", "a\0b")):
            answer = caller.call("two", *arguments)
            self.assertEqual(answer.code, callers.INVALID_ARGUMENT, answer)
            self.assertTrue(answer.details["msg"].startswith("two(a: str, b: str) -> str: "))

    def test_a_script_gets_its_arguments_as_parameters(self):
        caller = self.offering("--shell", "--method", "add=echo $(($1 + $2)) | tr -d '\\n'")
        self.assertAnswer(caller.call("add", 2, "3"), callers.OK, "5")


class Keys(Methods):
    #: Says in a file that it runs, waits for another file, and has a result of its own each time.
    ONCE = ("--shell", "--method",
            "once=echo run >> $1; while ! [ -e $2 ]; do sleep 0.02; done; echo $$")

    def test_calls_with_the_same_key_are_run_once_by_a_worker_that_is_called_directly(self):
        caller = self.offering(*self.ONCE, "--method", "other=echo x")
        runs, go = self.write("runs", b""), self.path("go")
        first = caller.start("once", runs, go, ik=b"k")
        wait_until(lambda: self.read("runs"), "the first one runs")
        meanwhile = self.caller(self.where)
        second = meanwhile.start("once", runs, go, ik=b"k")
        wait_until(lambda: self.calls_of(caller, "once") == 2, "the second one has come")
        self.assertAnswer(caller.call("other", ik=b"k"), callers.OK, "x")
        refused = caller.call("once", runs, self.path("elsewhere"), ik=b"k")
        self.assertEqual(refused.code, callers.FAILED_PRECONDITION, refused)
        self.write("go", b"")
        result = caller.await_(first).result
        self.assertAnswer(meanwhile.await_(second), callers.OK, result)
        # Later, by the shell client.
        node = self.weir("call", "--key", "k", self.where, "once", runs, go)
        self.ends(node, 0)
        self.assertEqual(node.stdout().decode(), result + "\n")
        self.assertEqual(self.read("runs"), b"run\n")
        node = self.weir("call", "--key", "another", self.where, "once", runs, go)
        self.ends(node, 0)
        self.assertEqual(self.read("runs"), b"run\nrun\n")

    def test_replies_are_remembered_within_the_bound_that_was_given(self):
        caller = self.offering(*self.ONCE, "--reply-cache", "0")
        runs, go = self.write("runs", b""), self.write("go", b"")
        for _ in range(2):
            self.assertEqual(caller.call("once", runs, go, ik=b"k").code, callers.OK)
        self.assertEqual(self.read("runs"), b"run\nrun\n")

    def calls_of(self, caller, method):
        methods = caller.call("weir.stats").result["methods"]
        return next(m["calls"] for m in methods if m["name"] == method)


class Results(Methods):
    def test_the_callers_metadata_are_in_the_environment(self):
        caller = self.offering("--method", "env=env", "-j", "1", env={"TRACEPARENT": "the worker's"})

        def seen(**options):
            lines = caller.call("env", **options).result.splitlines()
            return {name: value for name, _, value in (line.partition("=") for line in lines)}
        found = seen(md={"traceparent": "00-1-2-01", "user": 'Jo "x"\n'})
        self.assertEqual(found["TRACEPARENT"], "00-1-2-01")
        self.assertEqual(json.loads(found["WEIR_METADATA"]),
                         {"traceparent": "00-1-2-01", "user": 'Jo "x"\n'})
        self.assertEqual((found["WEIR_METHOD"], found["WEIR_ATTEMPT"]), ("env", "1"))
        without = seen()
        self.assertNotIn("WEIR_METADATA", without)
        self.assertEqual(without["TRACEPARENT"], "the worker's")

    def test_text_json_and_bytes(self):
        caller = self.offering("--result", "json", "--method", "value=echo '{\"a\": [1, 2.5]}'",
                               "--method", "raw->bytes=printf '\\377\\n'",
                               "--method", "text -> text=printf 'a\\n\\n'")
        self.assertAnswer(caller.call("value"), callers.OK, {"a": [1, 2.5]})
        self.assertAnswer(caller.call("raw"), callers.OK, b"\xff\n")
        self.assertAnswer(caller.call("text"), callers.OK, "a\n")
        self.assertEqual({n: m["ret"] for n, m in caller.methods.items()},
                         {"value": "any", "raw": "bytes", "text": "str"})

    def test_output_that_is_not_what_was_promised_is_data_loss(self):
        caller = self.offering("--method", "text=printf '\\377'",
                               "--method", "json->json=echo {")
        for method in "text", "json":
            self.assertEqual(caller.call(method).code, callers.DATA_LOSS)

    def test_exit_codes_become_status_codes(self):
        caller = self.offering("--shell", "--method", "exit=echo \"it was $1\" >&2; exit $1",
                               "--method", "die=kill -USR1 $$", "--method", "quiet=exit 9")
        for exit_code, code in ((1, callers.UNKNOWN), (3, callers.UNKNOWN),
                                (64, callers.INVALID_ARGUMENT), (65, callers.INVALID_ARGUMENT),
                                (66, callers.NOT_FOUND), (68, callers.NOT_FOUND),
                                (69, callers.UNAVAILABLE), (75, callers.UNAVAILABLE),
                                (70, callers.INTERNAL), (77, callers.PERMISSION_DENIED),
                                (126, callers.PERMISSION_DENIED), (127, callers.UNIMPLEMENTED)):
            answer = caller.call("exit", exit_code)
            self.assertEqual(answer.code, code, answer)
            self.assertEqual(answer.details["msg"], "it was %d" % exit_code)
            self.assertEqual(answer.details["type"], "exit %d" % exit_code)
        answer = caller.call("die")
        self.assertEqual(answer.code, callers.ABORTED)
        self.assertIn("SIGUSR1", answer.details["type"])
        self.assertEqual(caller.call("quiet").details["msg"], "exit 9")

    def test_the_end_of_a_long_standard_error_is_the_message(self):
        caller = self.offering("--shell", "--method", "fail=seq 10000 >&2; exit 1")
        message = caller.call("fail").details["msg"]
        self.assertTrue(message.endswith("9999\n10000"), message)
        self.assertLess(len(message), 1024)

    def test_more_output_than_allowed_is_resource_exhausted(self):
        caller = self.offering("--max-output", "10K", "--method", "much=yes")
        self.assertEqual(caller.call("much").code, callers.RESOURCE_EXHAUSTED)


class Ends(Methods):
    SLEEPER = "sleep=sh -c 'echo $$ > {1}; sleep 1000'"

    def test_the_deadline_ends_the_command_and_what_it_started(self):
        caller = self.offering("--shell", "--grace", "100ms", "--method",
                               "long=sleep 1000 & echo $! > $1; wait")
        answer = caller.call("long", self.path("pid"), ttl=1.0)
        self.assertEqual(answer.code, callers.DEADLINE_EXCEEDED)
        if os.path.exists(self.path("pid")):
            pid = self.pid_in("pid")
            wait_until(lambda: not exists(pid), "the sleeper is gone")

    def test_cancelling_ends_the_command(self):
        caller = self.offering("--method", self.SLEEPER)
        number = caller.start("sleep", self.path("pid"))
        pid = self.pid_in("pid")
        caller.cancel(number)
        self.assertEqual(caller.await_(number).code, callers.CANCELLED)
        wait_until(lambda: not exists(pid), "the sleeper is gone")

    def test_a_caller_that_dies_ends_its_commands(self):
        caller = self.offering("--method", self.SLEEPER)
        caller.start("sleep", self.path("pid"))
        pid = self.pid_in("pid")
        caller.close()
        wait_until(lambda: not exists(pid), "the sleeper is gone")

    def test_nothing_outlives_a_killed_worker(self):
        caller = self.offering("--method", self.SLEEPER)
        caller.start("sleep", self.path("pid"))
        pid = self.pid_in("pid")
        self.node.kill()
        wait_until(lambda: not exists(pid), "the sleeper is gone")

    def test_sigterm_finishes_the_calls_in_hand(self):
        caller = self.offering(
            "--shell", "--method", "wait=echo $$ > $1; while ! [ -e $2 ]; do sleep 0.02; done")
        number = caller.start("wait", self.path("pid"), self.path("go"))
        self.pid_in("pid")
        self.node.send(signal.SIGTERM)
        self.says(self.node, "leaving")
        self.write("go", b"")
        self.assertEqual(caller.await_(number).code, callers.OK)
        self.ends(self.node, 0)

    def test_a_second_sigterm_ends_them(self):
        caller = self.offering("--method", self.SLEEPER)
        number = caller.start("sleep", self.path("pid"))
        pid = self.pid_in("pid")
        self.node.send(signal.SIGTERM)
        self.says(self.node, "leaving")
        self.node.send(signal.SIGTERM)
        self.assertNotEqual(caller.await_(number).code, callers.OK)
        self.ends(self.node, 128 + signal.SIGTERM)
        self.assertFalse(exists(pid))


class Wiring(Methods):
    def test_what_is_declared_is_offered(self):
        caller = self.offering(
            "--method", "a=cat", "--describe", "a=Echoes = echoes.", "--idempotent", "a",
            "--concurrency", "a=3", "--deadline", "a=1.5s", "--cacheable", "a=1m")
        a = caller.methods["a"]
        self.assertEqual(a["doc"], "Echoes = echoes.")
        self.assertEqual((a["idem"], a["par"], a["ttl"], a["cache"]), (True, 3, 1500, 60000))
        self.assertNotIn("args", a)

    def test_no_more_at_a_time_than_was_said(self):
        caller = self.offering(
            "-j4", "--shell", "--concurrency", "one=1", "--method",
            "one=mkdir $1 || exit 1; sleep 0.05; rmdir $1")
        numbers = [caller.start("one", self.path("lock")) for _ in range(8)]
        self.assertEqual([caller.await_(n).code for n in numbers], [callers.OK] * 8)

    def test_several_gateways_are_served_alike(self):
        doors = [self.endpoint(), self.endpoint()]
        for door in doors:
            self.start("gateway", "-v", "--bind", door, "--heartbeat", HEARTBEAT, "--wait", "60s")
        self.worker("--from", doors[0], "--from", doors[1], "--method", "cat=cat")
        for door in doors:
            self.assertAnswer(self.caller(door).call("cat", "x"), callers.OK, "x")

    def test_direct_is_bound_and_announced(self):
        where = self.endpoint()
        self.worker("--direct", where, "--from", self.endpoint(), "--method", "cat=cat")
        caller = self.caller(where)
        self.assertAnswer(caller.call("cat", "x"), callers.OK, "x")

    def test_more_slots_than_the_system_has_threads_for_are_named(self):
        def little_memory():
            resource.setrlimit(resource.RLIMIT_AS, (300 << 20, 300 << 20))
            resource.setrlimit(resource.RLIMIT_STACK, (8 << 20, 8 << 20))
        if sanitized():  # it needs terabytes of addresses
            return
        worker = self.worker("--bind", self.endpoint(), "-j100", "--method", "now=date",
                             preexec=little_memory)
        self.ends(worker, 70)
        self.says(worker, "cannot start a thread: .* .see: ulimit -u -v.")

    def test_a_gateway_that_is_not_there_is_named(self):
        where = self.endpoint()
        worker = self.worker("--from", where, "--connect-timeout", "200ms", "--method", "a=cat")
        self.ends(worker, 69)
        self.assertSays(worker, "no gateway at " + where)

    def test_mistakes_are_usage_errors_that_say_what_to_do(self):
        for arguments, text in (
                (("--method", "cat"), "expected NAME=COMMAND"),
                (("--method", "=cat"), "needs a name"),
                (("--method", "a="), "no command"),
                (("--method", "a=no-such-command-here"), "not found"),
                (("--method", "a=cat 'x"), "no closing '"),
                (("--method", "a(x=cat"), r"no \)"),
                (("--method", "a->xml=cat"), "text, json or bytes"),
                (("--method", "a=cat", "--method", "a=cat"), "already"),
                (("--method", "weir.a=cat"), "weir's own"),
                (("--method", "a(x)=echo {2}"), "at most 1 argument"),
                (("--method", "a=cat", "--describe", "b=x"), "no --method of that name"),
                (("--method", "a=cat", "--stdin"), "means nothing with --method"),
                (("--method", "a=cat", "--", "cat"), "given by --method"),
                (("--reply-cache", "1M", "--", "cat"), "for --method only"),
                (("--direct", "ipc://x", "--", "cat"), "for --method only")):
            worker = self.worker("--from", self.endpoint(), *arguments)
            self.ends(worker, 64)
            self.assertSays(worker, text)


if __name__ == "__main__":
    main()
