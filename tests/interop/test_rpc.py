"""Calls: the Python client, weir-gateway and the Python worker, and each with weir's own on the other side."""

import unittest

from harness import InteropCase


class CallsCase(InteropCase):
    def wait_for_methods(self, gateway, workers=1):
        self.wait_until(lambda: gateway.errors().count("joined") >= workers, f"{workers} workers joined the gateway")

    def with_python_worker(self, *options):
        gateway = self.weir_gateway(*options)
        worker = self.python_methods()
        self.wait_for_methods(gateway)
        return gateway, worker

    def values_of(self, *calls):
        """The results of calls of the Python client, all of which must be OK."""
        answers = self.answers(self.python_client(*calls))
        self.assertEqual([answer for answer in answers if answer["code"] != 0], [])
        return [answer["result"] for answer in answers]


class PythonCalls(CallsCase):
    def test_a_batch_is_answered_call_by_call(self):
        self.with_python_worker()
        self.assertEqual(self.values_of(*(["add", [n, 1], {}] for n in range(20_000))), list(range(1, 20_001)))

    def test_values_of_every_type_come_back_as_they_went(self):
        self.with_python_worker()
        values = [None, True, 0, -1, 2**63, -2**63, 1.5, "", "ä€", [], {}, {"a": [1, {"b": None}]}, "x" * 1_000_000]
        self.assertEqual(self.values_of(*(["echo", [value], {}] for value in values)), values)

    def test_failures_say_why(self):
        self.with_python_worker()
        wrong, thrown, coded, unknown, own = self.answers(self.python_client(
            ["add", [1], {}], ["fail", ["no"], {}], ["overload", [], {}], ["nothing", [], {}],
            ["weir.nothing", [], {}]))
        self.assertEqual([wrong["code"], wrong["type"]], [3, "TypeError"])
        self.assertEqual([thrown["code"], thrown["type"], thrown["msg"]], [2, "ValueError", "no"])
        self.assertEqual([coded["code"], coded["msg"]], [8, "come back later"])
        self.assertEqual([unknown["code"], unknown["ns"]], [5, True])
        self.assertEqual([own["code"], own["ns"]], [12, True])

    def test_elements_of_streams_arrive_in_order_and_before_the_reply(self):
        self.with_python_worker()
        many, none, broken, array = self.answers(self.python_client(
            ["count", [1, 1000], {"sw": 3}], ["count", [1, 0], {"sw": 8}], ["broken", [5], {"sw": 100}],
            ["count", [1, 3], {}]))
        self.assertEqual([many["code"], many["result"], many["elements"]], [0, 1000, list(range(1, 1001))])
        self.assertEqual([none["code"], none["elements"]], [0, []])
        self.assertEqual([broken["code"], broken["msg"], broken["elements"]], [2, "broken off", [0, 1, 2, 3, 4]])
        self.assertEqual([array["code"], array["result"], array["elements"]], [0, [1, 2, 3], []])

    def test_a_gateway_says_what_it_offers(self):
        self.with_python_worker()
        ping, services, stats, routes = self.values_of(
            ["weir.ping", [], {}], ["weir.services", [], {}], ["weir.stats", [], {}], ["weir.route", ["add"], {}])
        self.assertEqual(ping["role"], "gateway")
        self.assertEqual({one["name"]: one["workers"] for one in services}["add"], 1)
        self.assertEqual([stats["workers"], stats["clients"]], [1, 1])
        self.assertEqual([one["ep"] for one in routes], [[]])

    def test_no_worker_within_the_wait_is_an_error_and_not_a_hang(self):
        self.weir_gateway("--wait", "50ms")
        (answer,) = self.answers(self.python_client(["add", [1, 2], {}]))
        self.assertEqual([answer["code"], answer["ns"]], [5, True])

    def test_what_a_dead_worker_had_in_hand_fails(self):
        gateway, worker = self.with_python_worker("--heartbeat", "200ms")
        client = self.python_client(["marked_count", [1_000_000_000, 100], {"sw": 8}])
        self.wait_until(lambda: self.begun("100"), "the stream has begun")
        worker.kill()
        (answer,) = self.answers(client)
        self.assertEqual(answer["code"], 14)

    def test_cut_connections_lose_no_call_and_run_none_twice(self):
        gateway = self.weir_gateway("--heartbeat", "20s")  # a slow machine is no dead peer
        before, front = self.proxy("c", "front")
        behind, back = self.proxy("c", "back")
        self.python_methods(back)
        self.wait_for_methods(gateway)
        marks = [n * 300 for n in range(1, 7)]
        client = self.python_client(["marked_count", [3000, *marks], {"sw": 8}],
                                    *(["mark", [f"m{n}x"], {}] for n in range(100)), to=front)
        for n in marks:
            self.wait_until(lambda: self.begun(f"{n}"), f"element {n}")
            (before, behind)[n // 300 % 2].cut()
        stream, *others = self.answers(client)
        self.assertEqual([stream["code"], stream["elements"]], [0, list(range(1, 3001))])
        self.assertEqual([[one["code"], one["result"]] for one in others], [[0, f"m{n}x"] for n in range(100)])
        self.assertEqual(len(self.begun()), 106)


class PythonWorkerAndTheShell(CallsCase):
    def call(self, *arguments, stdin=b"", status=0):
        node = self.weir("call", *arguments, stdin=stdin)
        self.assert_ends(node, status=status)
        return node

    def test_weir_call_gets_results_and_streams(self):
        self.with_python_worker()
        self.assertEqual(self.call(self.calls, "add", "2", "3").output(), b"5\n")
        self.assertEqual(self.call(self.calls, "echo", '{"a": [1, null]}').output(), b'{"a":[1,null]}\n')
        self.assertEqual(self.call(self.calls, "count", "1", "3").output().split(b"\n")[:3], [b"1", b"2", b"3"])

    def test_weir_call_makes_a_call_of_each_line(self):
        self.with_python_worker()
        lines = b"".join(b"[%d, 1]\n" % n for n in range(2000))
        node = self.call("-P", "64", "--keep-order", self.calls, "add", "-", stdin=lines)
        self.assertEqual(node.output(), b"".join(b"%d\n" % n for n in range(1, 2001)))

    def test_weir_call_says_what_failed_and_where(self):
        self.with_python_worker()
        thrown = self.call(self.calls, "fail", "no", status=1)
        self.assertIn("UNKNOWN: no (ValueError", thrown.errors())
        self.assertIn("INVALID_ARGUMENT", self.call(self.calls, "add", "1", status=2).errors())
        self.assertIn("NOT_FOUND", self.call(self.calls, "nothing", status=2).errors())
        self.assertIn("come back later", self.call("--retries", "0", self.calls, "overload", status=4).errors())

    def test_calls_with_one_key_are_run_once(self):
        self.with_python_worker()
        for _ in range(3):
            self.assertEqual(self.call("--key", "k", self.calls, "mark", "once").output(), b"once\n")
        self.assertEqual(len(self.begun("once")), 1)

    def test_a_stream_that_nobody_reads_any_more_is_stopped(self):
        self.with_python_worker()
        self.call("--deadline", "300ms", "--retries", "0", self.calls, "marked_count", "1000000000", status=3)
        self.assertEqual(self.call(self.calls, "add", "2", "3").output(), b"5\n")

    def test_weir_services_lists_what_python_offers(self):
        self.with_python_worker()
        services = self.weir("services", self.calls)
        self.assert_ends(services)
        self.assertIn(b"Streams the numbers from first to last", services.output())


class PythonClientAndWeirsWorker(CallsCase):
    METHODS = ("--method", "upper=tr a-z A-Z", "--method", "join=echo {1} {2}", "--method",
               "three=sh -c 'echo no >&2; exit 3'")

    def check(self):
        upper, join, three, other = self.answers(self.python_client(
            ["upper", ["abc"], {}], ["join", ["a", "b c"], {"md": {"who": "me"}}], ["three", [], {}],
            ["other", [], {}]))
        self.assertEqual([upper["code"], upper["result"]], [0, "ABC"])
        self.assertEqual([join["code"], join["result"]], [0, "a b c"])
        self.assertEqual([three["code"], three["type"], three["msg"]], [2, "exit 3", "no"])
        self.assertEqual([other["code"], other["ns"]], [5, True])

    def test_through_a_gateway(self):
        gateway = self.weir_gateway()
        self.weir_methods("--from", self.calls, *self.METHODS)
        self.wait_for_methods(gateway)
        self.check()

    def test_directly(self):
        self.weir_methods("--bind", self.calls, *self.METHODS)
        self.check()

    def test_a_batch(self):
        self.weir_methods("--bind", self.calls, "--method", "echo=cat")
        answers = self.answers(self.python_client(*(["echo", [f"line {n}"], {"pr": n % 10}] for n in range(300))))
        self.assertEqual([[one["code"], one["result"]] for one in answers], [[0, f"line {n}"] for n in range(300)])

    def test_a_worker_that_drains_answers_what_it_has(self):
        script = 'touch "$MARKS/slow-1"; while [ ! -e "$MARKS/gate" ]; do sleep 0.02; done'
        worker = self.weir_methods("--bind", self.calls, "--method", f"slow=sh -c '{script}'")
        client = self.python_client(["slow", [], {}])
        self.wait_until(lambda: self.begun("slow"), "the call has begun")
        worker.process.terminate()
        self.wait_until(lambda: "leaving" in worker.errors(), "the worker is told to leave")
        self.open_gate()
        self.assertEqual(self.answers(client)[0]["code"], 0)
        self.assert_ends(worker)


if __name__ == "__main__":
    unittest.main()
