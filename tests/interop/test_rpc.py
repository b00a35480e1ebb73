"""Calls: the Python client, weir-gateway and the Python worker, and each with weir's own on the other side."""

import unittest

from harness import InteropCase


class PythonCalls(InteropCase):
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
            ["add", [1], {}], ["fail", ["no"], {}], ["overload", [], {}], ["nothing", [], {}], ["weir.nothing", [], {}]))
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
        self.assertEqual([stats["workers"], stats["clients"], routes], [1, 1, []])

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


if __name__ == "__main__":
    unittest.main()
