#!/usr/bin/python3
"""Workers, gateways and callers that are killed or stopped while calls are under way, in each phase of a call."""
import os
import random
import signal

from call_case import Calls
from support import main, wait_for_change, wait_until

#: Which moments are tried; others are with WEIR_SEED=$RANDOM.
SEED = int(os.environ.get("WEIR_SEED", "1"))


class WorkersDie(Calls):
    def test_what_a_killed_worker_was_running_fails_at_once_or_is_run_by_another(self):
        self.gateway()
        first = self.offer()
        go = self.path("go")
        caller = self.caller("hold again %s" % go, "keep lost %s" % go)
        self.runs("again", "lost")
        self.offer()
        first.kill()
        wait_until(lambda: "lost" in self.so_far(caller), "the one that may not be repeated has failed")
        wait_until(lambda: self.marked()["again"] == 2, "the other is run again")
        self.let_go()
        outcomes = self.outcomes(caller)
        self.assertEqual(outcomes["lost"][0], "UNAVAILABLE")
        self.assertEqual(outcomes["again"], ("OK", "again"))
        self.assertEqual(self.marked()["lost"], 1)

    def test_calls_that_were_queued_when_a_worker_was_killed_run_elsewhere(self):
        self.gateway()
        first = self.offer("--slots", "1")
        go = self.path("go")
        caller = self.caller("keep lost %s" % go, more=True, options=("--no-introduce", "--in-flight", "1000"))
        self.runs("lost")
        # None of them has begun: most wait in the gateway, some perhaps with the worker.
        ids = ["q%d" % n for n in range(200)]
        caller.feed("".join("once %s 0\n" % i for i in ids).encode())
        self.has_come("once", 200)
        first.kill()
        self.offer()
        outcomes = self.outcomes(caller)
        self.assertEqual(outcomes["lost"][0], "UNAVAILABLE")
        self.at_most_once(outcomes, ids)
        done = sum(outcomes[i][0] == "OK" for i in ids)
        self.assertGreaterEqual(done, 150, "what is queued in the gateway is not lost with a worker")

    def test_a_worker_is_killed_with_replies_on_their_way(self):
        self.gateway()
        workers = [self.offer(), self.offer()]
        self.serving(2)
        ids = ["r%d" % n for n in range(400)]
        caller = self.caller(*("large %s 300000" % i for i in ids))
        chance = random.Random(SEED)
        for _ in range(4):
            moment = caller.count() + chance.randrange(20, 60)
            wait_until(lambda: caller.count() >= moment or not caller.running(), "the moment")
            workers.pop(0).kill()
            workers.append(self.offer())
        self.all_ok(caller, ids)

    def test_workers_are_killed_under_load_and_nothing_is_lost_or_run_twice(self):
        self.gateway()
        workers = [self.offer("--slots", "4") for _ in range(3)]
        self.serving(3)
        chance = random.Random(SEED)
        again, once = (["%s%d" % (kind, n) for n in range(1500)] for kind in ("a", "o"))
        lines = ["nap %s 2" % i for i in again] + ["once %s 2" % i for i in once]
        chance.shuffle(lines)
        caller = self.caller(*lines)
        for _ in range(6):
            moment = caller.count() + chance.randrange(100, 300)
            wait_until(lambda: caller.count() >= moment or not caller.running(), "the moment")
            workers.pop(chance.randrange(3)).kill()
            workers.append(self.offer("--slots", "4"))
        outcomes = self.outcomes(caller)
        self.assertEqual({i: outcomes[i] for i in again if outcomes[i][0] != "OK"}, {})
        self.at_most_once(outcomes, once)
        self.assertGreater(sum(outcomes[i][0] == "OK" for i in once), 1000)

    def test_a_worker_that_is_called_directly_is_killed_and_calls_go_back_through_the_gateway(self):
        self.gateway()
        direct = self.offer("--direct", self.endpoint())
        self.serving(1)
        ids = ["d%d" % n for n in range(3000)]
        caller = self.caller(*("nap %s 1" % i for i in ids), options=())
        self.introduced(caller, direct)
        wait_until(lambda: caller.count() >= 500, "calls are under way")
        direct.kill()
        self.offer()
        self.all_ok(caller, ids)

    def test_the_calls_of_a_worker_without_a_gateway_end_when_it_is_killed(self):
        place = self.endpoint()
        worker = self.offer("--bind", place, at=())
        caller = self.caller("keep lost %s" % self.path("go"), at=[place])
        self.runs("lost")
        worker.kill()
        self.assertEqual(self.outcomes(caller)["lost"][0], "UNAVAILABLE")


class GatewaysDie(Calls):
    def test_calls_in_a_killed_gateway_fail_or_are_made_again_with_its_successor(self):
        first = self.gateway()
        self.offer("--slots", "2")
        self.serving(1)
        go = self.path("go")
        caller = self.caller("hold again %s" % go, "keep lost %s" % go, "nap queued 0", "once alike 0")
        self.runs("again", "lost")
        self.asks().call("weir.ping")
        first.kill()
        wait_until(lambda: "lost" in self.so_far(caller), "what may not be repeated fails")
        self.gateway()
        wait_until(lambda: self.marked()["again"] == 2, "the worker came back, and runs it again")
        self.let_go()
        outcomes = self.outcomes(caller)
        self.assertEqual(outcomes["lost"][0], "UNAVAILABLE")
        for call in "again", "queued":
            self.assertEqual(outcomes[call], ("OK", call))
        self.at_most_once(outcomes, ["alike"])
        wait_until(lambda: self.marked()["cancelled lost"], "its handler hears that nobody waits")

    def test_a_gateway_that_restarts_finds_its_workers_again(self):
        gateway = self.gateway()
        for _ in range(3):
            self.offer()
        client = self.serving(3)
        for _ in range(3):
            gateway.kill()
            gateway = self.gateway()
            wait_until(lambda: self.workers_of(client) == 3, "the workers are back")
            ids = ["n%d" % n for n in range(300)]
            self.all_ok(self.caller(*("once %s 0" % i for i in ids)), ids)
        self.assertEqual(set(self.marked().values()), {3})

    def test_one_of_two_gateways_is_killed_under_load_and_no_idempotent_call_is_lost(self):
        both = [self.at, self.endpoint()]
        chance = random.Random(SEED)
        for turn in range(3):
            with self.subTest(turn=turn):
                self.write("marks", b"")
                gateways = [self.gateway(at=at) for at in both]
                workers = [self.offer("--slots", "4", at=both) for _ in range(2)]
                for at in both:
                    self.serving(2, at)
                again, once = (["%s%d" % (kind, n) for n in range(1000)] for kind in ("a", "o"))
                lines = ["nap %s 2" % i for i in again] + ["once %s 2" % i for i in once]
                chance.shuffle(lines)
                caller = self.caller(*lines, at=both)
                moment = chance.randrange(100, 1500)
                wait_until(lambda: caller.count() >= moment, "the moment")
                gateways.pop(turn % 2).kill()
                outcomes = self.outcomes(caller)
                self.assertEqual({i: outcomes[i] for i in again if outcomes[i][0] != "OK"}, {})
                self.at_most_once(outcomes, once)
                for node in gateways + workers:
                    node.kill()

    def test_gateways_are_replaced_one_by_one_and_no_call_is_lost(self):
        both = [self.at, self.endpoint()]
        gateways = [self.gateway(at=at) for at in both]
        self.offer("--slots", "4", at=both)
        for at in both:
            self.serving(1, at)
        ids = ["c%d" % n for n in range(2000)]
        caller = self.caller(*("once %s 4" % i for i in ids), at=both)
        for turn, at in enumerate(both):
            moment = 300 + 600 * turn
            wait_until(lambda: caller.count() >= moment, "the moment")
            gateways[turn].send(signal.SIGTERM)
            self.ends(gateways[turn], 0)
            self.gateway(at=at)
            self.serving(1, at)
        self.all_ok(caller, ids)
        self.assertEqual(set(self.marked().values()), {1})

    def test_introduced_callers_go_on_when_the_only_gateway_is_killed(self):
        gateway = self.gateway()
        direct = self.offer("--direct", self.endpoint())
        self.serving(1)
        caller = self.caller(*("nap a%d 0" % n for n in range(500)), options=(), more=True)
        self.introduced(caller, direct)
        wait_until(lambda: caller.count() == 500, "the first calls are done")
        gateway.kill()
        caller.feed(b"".join(b"nap b%d 0\n" % n for n in range(500)))
        self.all_ok(caller, ["%s%d" % (kind, n) for kind in "ab" for n in range(500)])


class CallersDie(Calls):
    def dies(self, at):
        go = self.path("go")
        other = self.caller("hold others %s" % go, at=at)
        self.runs("others")
        caller = self.caller("hold one %s" % go, *("once never%d 0" % n for n in range(50)), at=at)
        self.runs("one")
        caller.kill()
        wait_until(lambda: self.marked()["cancelled one"], "its handler hears of it")
        return other

    def test_the_calls_of_a_killed_caller_are_cancelled_and_those_of_others_go_on(self):
        self.gateway()
        self.offer("--slots", "2")
        other = self.dies([self.at])
        client = self.asks()
        # This one that asks, and the other caller.
        wait_until(lambda: client.call("weir.stats")["clients"] == 2, "it is forgotten")
        self.let_go()
        self.all_ok(other, ["others"])
        stats = client.call("weir.stats")["methods"]
        self.assertEqual([m["name"] for m in stats if m["queued"] or m["running"]], [])

    def test_a_worker_that_is_called_directly_cancels_them_too(self):
        place = self.endpoint()
        self.offer("--slots", "2", "--bind", place, at=())
        other = self.dies([place])
        self.let_go()
        self.all_ok(other, ["others"])

    def test_what_a_killed_caller_had_queued_is_not_run(self):
        self.gateway()
        self.offer("--slots", "1")
        go = self.path("go")
        other = self.caller("hold others %s" % go)
        self.runs("others")
        caller = self.caller(*("once never%d 0" % n for n in range(50)))
        client = self.has_come("once", 50)
        caller.kill()
        wait_until(lambda: client.call("weir.stats")["clients"] == 2, "it is forgotten")
        wait_until(lambda: not any(m["queued"] for m in client.call("weir.stats")["methods"]), "nothing waits")
        self.let_go()
        self.all_ok(other, ["others"])
        self.all_ok(self.caller("nap last 0"), ["last"])
        self.assertEqual([m for m in self.marked() if m.startswith("never")], [])


class Stops(Calls):
    """SIGSTOP for longer than the five heartbeats after which a peer is taken for dead."""

    def test_a_worker_that_is_stopped_loses_its_calls_and_does_no_harm_when_it_goes_on(self):
        gateway = self.gateway()
        first = self.offer()
        go = self.path("go")
        caller = self.caller("hold again %s" % go, "keep lost %s" % go)
        self.runs("again", "lost")
        first.stop()
        wait_until(lambda: "lost" in self.so_far(caller), "it is taken for dead")
        self.offer()
        wait_until(lambda: self.marked()["again"] == 2, "the call is run by the other")
        first.cont()
        wait_until(lambda: self.marked()["cancelled lost"] and self.marked()["cancelled again"],
                   "it is told that nobody waits any more")
        self.serving(2)
        self.let_go()
        outcomes = self.outcomes(caller)
        self.assertEqual(outcomes["lost"][0], "UNAVAILABLE")
        self.assertEqual(outcomes["again"], ("OK", "again"))
        self.all_ok(self.caller("once after 0"), ["after"])
        self.assertTrue(gateway.running() and first.running())

    def test_a_gateway_that_is_stopped_loses_no_idempotent_call_if_there_is_another(self):
        both = [self.at, self.endpoint()]
        gateways = [self.gateway(at=at) for at in both]
        self.offer("--slots", "4", at=both)
        for at in both:
            self.serving(1, at)
        ids = ["s%d" % n for n in range(2000)]
        caller = self.caller(*("nap %s 2" % i for i in ids), at=both)
        wait_until(lambda: caller.count() > 300, "calls are under way")
        gateways[0].stop()
        self.all_ok(caller, ids)
        gateways[0].cont()
        self.serving(1, both[0])
        self.all_ok(self.caller("once after 0", at=both[:1]), ["after"])

    def test_a_caller_that_is_stopped_for_long_learns_what_became_of_its_calls(self):
        self.gateway()
        self.offer()
        caller = self.caller("keep gone %s" % self.path("go"), more=True)
        self.runs("gone")
        caller.stop()
        wait_until(lambda: self.marked()["cancelled gone"], "it is taken for dead")
        caller.cont()
        caller.feed(b"once after 0\n")
        outcomes = self.outcomes(caller)
        self.assertIn(outcomes["gone"][0], ("UNAVAILABLE", "CANCELLED"))
        self.assertEqual(outcomes["after"], ("OK", "after"))

    def test_a_handler_that_is_busy_for_longer_than_that_is_not_dead(self):
        self.gateway()
        place = self.endpoint()
        self.offer("--slots", "1", "--bind", place)
        self.serving(1)
        for at in self.at, place:
            # Quick ones first: what is quick may be run by the thread that shows liveness.
            quick = ["q%d" % n for n in range(500)]
            ids = ["%s%d" % (method, n) for method in ("nap", "once") for n in range(2)]
            caller = self.caller(*("nap %s 0" % i for i in quick),
                                 *("%s %s 1500" % (i[:-1], i) for i in ids), at=[at])
            self.all_ok(caller, quick + ids)
        self.assertEqual({m: n for m, n in self.marked().items()}, {"once0": 2, "once1": 2})
        for node in self.nodes[:2]:
            self.assertNotRegex(node.stderr(), "silent|closed its connection|not been heard")


class Leaving(Calls):
    def test_workers_that_are_told_to_end_lose_no_call_and_none_is_run_twice(self):
        self.gateway()
        workers = [self.offer("--slots", "4") for _ in range(2)]
        self.serving(2)
        ids = ["t%d" % n for n in range(2000)]
        caller = self.caller(*("once %s 3" % i for i in ids))
        for _ in range(4):
            moment = caller.count() + 200
            wait_until(lambda: caller.count() >= moment, "the moment")
            workers.append(self.offer("--slots", "4"))
            first = workers.pop(0)
            first.send(signal.SIGTERM)
            self.ends(first, 0)
        self.all_ok(caller, ids)
        self.assertEqual(set(self.marked().values()), {1})

    def test_a_gateway_that_is_told_to_end_lets_what_runs_end(self):
        gateway = self.gateway()
        self.offer()
        caller = self.caller("keep one %s" % self.path("go"))
        self.runs("one")
        gateway.send(signal.SIGTERM)
        self.says(gateway, "taking no more calls")
        self.assertFalse(wait_for_change(lambda: not gateway.running(), 0.3))
        self.let_go()
        self.all_ok(caller, ["one"])
        self.ends(gateway, 0)


if __name__ == "__main__":
    main()
